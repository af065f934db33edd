//! Files as they are asked for, without the rest of the server.

use actix_web::body::to_bytes;
use actix_web::http::header::HeaderMap;
use actix_web::test::TestRequest;

use super::*;
use crate::web::security_headers::SecurityHeaderSettings;

struct Served {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Served {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII")).unwrap_or_default()
    }
}

struct Fixture {
    folder: tempfile::TempDir,
    site: StaticSite,
}

const INDEX_HTML: &str = "<!doctype html><script src=\"/assets/app-4f3a2b1c.js\"></script>";

impl Fixture {
    fn with_policy(policy: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("dist");
        for folder in ["assets", ".well-known/.hidden", ".git"] {
            std::fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        for (name, text) in [
            ("dist/index.html", INDEX_HTML),
            ("dist/assets/app-4f3a2b1c.js", "script"),
            ("dist/assets/app-4f3a2b1c.js.br", "brotli"),
            ("dist/assets/app-4f3a2b1c.js.gz", "gzip"),
            ("dist/assets/app-4f3a2b1c.js.zst", "zstd"),
            ("dist/assets/only-9d8c7b6a.js", "script"),
            ("dist/assets/only-9d8c7b6a.js.zst", "zstd"),
            ("dist/robots.txt", "0123456789"),
            ("dist/.env", "hidden"),
            ("dist/.git/config", "hidden"),
            ("dist/.well-known/security.txt", "contact"),
            ("dist/.well-known/.hidden/x", "hidden"),
            ("secret.txt", "secret"),
        ] {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        std::os::unix::fs::symlink(folder.path().join("secret.txt"), root.join("out.txt")).expect("a link");
        std::os::unix::fs::symlink("robots.txt", root.join("in.txt")).expect("a link");
        std::os::unix::fs::symlink(folder.path(), root.join("up")).expect("a link");
        let settings = StaticSettings::Folder { root, immutable_paths: vec!["/".to_owned()] };
        let headers = SecurityHeaderSettings {
            content_security_policy: policy.to_owned(),
            others: vec![("x-content-type-options".to_owned(), "nosniff".to_owned())],
            ..SecurityHeaderSettings::default()
        };
        let origin = "https://app.example.com".parse().expect("an origin");
        let headers = SecurityHeaders::new(&headers, &origin, &["https://login.example.com"]);
        let site = StaticSite::new(&settings, headers, &Metrics::default()).expect("the folder is there");
        Self { folder, site }
    }

    fn new() -> Self {
        Self::with_policy("script-src 'nonce-{nonce}'")
    }

    async fn ask(&self, method: Method, uri: &str, fields: &[(&str, &str)]) -> Served {
        let mut request = TestRequest::with_uri(uri).method(method);
        for (name, value) in fields {
            request = request.insert_header((*name, *value));
        }
        let request = request.to_http_request();
        let Source::Folder(folder) = &self.site.source else { panic!("a folder") };
        let response = self.site.file(folder, &request).await.unwrap_or_else(|problem| problem.respond(&request));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = to_bytes(response.into_body()).await.expect("a small file");
        Served { status, headers, body: String::from_utf8(body.to_vec()).expect("text") }
    }

    async fn get(&self, uri: &str, fields: &[(&str, &str)]) -> Served {
        self.ask(Method::GET, uri, fields).await
    }
}

const PAGE: (&str, &str) = ("accept", "text/html");

#[actix_web::test]
async fn files_are_served_and_the_app_s_own_routes_get_the_index() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("/assets/app-4f3a2b1c.js", &[]).await.body, "script");
    for uri in ["/", "/index.html", "/inbox/42", "/inbox/v1.2", "/assets/"] {
        let served = fixture.get(uri, &[PAGE]).await;
        assert_eq!((served.status, served.header("cache-control")), (200, "no-cache"), "{uri}");
        assert!(served.body.starts_with("<!doctype html>"), "{uri}: {}", served.body);
    }
    assert_eq!(fixture.get("/assets/gone.js", &[]).await.status, 404);
    assert_eq!(fixture.ask(Method::POST, "/", &[]).await.status, 405);
}

#[actix_web::test]
async fn nothing_outside_the_root_and_no_hidden_file_is_served() {
    let fixture = Fixture::new();
    for uri in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/.well-known/.hidden/x",
        "/.well-known/../.env",
        "/out.txt",
        "/up/secret.txt",
        "/..%5csecret.txt",
        "/%00",
        "//etc/passwd",
    ] {
        let served = fixture.get(uri, &[]).await;
        assert!(served.status == 404 || served.body.starts_with("<!doctype"), "{uri}: {}", served.body);
    }
    assert_eq!(fixture.get("/.well-known/security.txt", &[]).await.body, "contact");
    assert_eq!(fixture.get("/in.txt", &[]).await.body, "0123456789", "links within the root are followed");
}

/// RFC 8246; RFC 9111 §5.2.2.
#[actix_web::test]
async fn a_hashed_file_is_kept_for_ever_and_others_are_asked_for() {
    let fixture = Fixture::new();
    let hashed = fixture.get("/assets/app-4f3a2b1c.js", &[]).await;
    assert_eq!(hashed.header("cache-control"), "public, max-age=31536000, immutable");
    let plain = fixture.get("/robots.txt", &[]).await;
    assert_eq!(plain.header("cache-control"), "no-cache");
    let again = fixture.get("/robots.txt", &[("if-none-match", plain.header("etag"))]).await;
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", plain.header("etag")));
    std::fs::write(fixture.folder.path().join("dist/robots.txt"), "9876543210").expect("a file");
    let changed = fixture.get("/robots.txt", &[("if-none-match", plain.header("etag"))]).await;
    assert_eq!((changed.status, changed.body.as_str()), (200, "9876543210"));
}

#[actix_web::test]
async fn the_entity_tag_is_made_of_the_content_so_that_replicas_agree() {
    let (one, other) = (Fixture::new(), Fixture::new());
    let tags = (one.get("/robots.txt", &[]).await, other.get("/robots.txt", &[]).await);
    assert_eq!(tags.0.header("etag"), tags.1.header("etag"));
}

/// RFC 9110 §12.5.3, §12.5.5.
#[actix_web::test]
async fn the_compressed_copy_goes_to_whoever_takes_it() {
    let fixture = Fixture::new();
    for (accepted, body, coding) in [
        ("gzip, deflate, br, zstd", "brotli", "br"),
        ("gzip", "gzip", "gzip"),
        ("zstd", "zstd", "zstd"),
        ("gzip, zstd", "zstd", "zstd"),
        ("br;q=0.5, gzip", "gzip", "gzip"),
        ("gzip;q=0.8, br;q=0.8, zstd;q=0.9", "zstd", "zstd"),
        ("br;q=0, gzip;q=0, *", "zstd", "zstd"),
        ("ZSTD;Q=0.5, br;q=0.4", "zstd", "zstd"),
        ("zstd;q=0, br;q=0, gzip;q=0", "script", ""),
        ("gzip;q=0.5, identity", "script", ""),
        ("gzip, identity;q=0.5", "gzip", "gzip"),
        ("identity", "script", ""),
        ("", "script", ""),
    ] {
        let served = fixture.get("/assets/app-4f3a2b1c.js", &[("accept-encoding", accepted)]).await;
        assert_eq!((served.body.as_str(), served.header("content-encoding")), (body, coding), "{accepted}");
        assert_eq!(served.header("vary"), "Accept-Encoding");
        assert_eq!(served.header("content-type"), "text/javascript; charset=utf-8");
        assert_eq!(served.header("cache-control"), "public, max-age=31536000, immutable");
    }
    assert_eq!(fixture.get("/robots.txt", &[("accept-encoding", "br")]).await.header("vary"), "");
    let only = fixture.get("/assets/only-9d8c7b6a.js", &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(
        (only.body.as_str(), only.header("content-encoding"), only.header("vary")),
        ("script", "", "Accept-Encoding")
    );
}

/// RFC 9110 §8.8.3.3: what differs in a byte has another strong tag, and is compared with its own alone.
#[actix_web::test]
async fn each_copy_has_an_entity_tag_of_its_own() {
    let fixture = Fixture::new();
    let get = async |coding: &str, others: &[(&str, &str)]| {
        let fields = [&[("accept-encoding", coding)], others].concat();
        fixture.get("/assets/app-4f3a2b1c.js", &fields).await
    };
    let mut tags = Vec::new();
    for coding in ["br", "zstd", "gzip", "identity"] {
        tags.push(get(coding, &[]).await.header("etag").to_owned());
    }
    for (coding, own) in ["br", "zstd", "gzip", "identity"].iter().zip(&tags) {
        for tag in &tags {
            let served = get(coding, &[("if-none-match", tag)]).await;
            assert_eq!(served.status, if tag == own { 304 } else { 200 }, "{coding} with {tag}");
            assert_eq!((served.header("vary"), served.header("etag")), ("Accept-Encoding", own.as_str()));
        }
    }
    let part = get("zstd", &[("range", "bytes=1-2")]).await;
    assert_eq!((part.status, part.body.as_str(), part.header("content-encoding")), (206, "st", "zstd"));
}

/// RFC 9110 §14.2, §13.1.5.
#[actix_web::test]
async fn a_part_is_served_as_a_part() {
    let fixture = Fixture::new();
    let tag = fixture.get("/robots.txt", &[]).await.header("etag").to_owned();
    for (fields, status, body) in [
        (vec![("range", "bytes=2-4")], 206, "234"),
        (vec![("range", "bytes=-3")], 206, "789"),
        (vec![("range", "bytes=20-30")], 416, ""),
        (vec![("range", "bytes=0-1,4-5")], 200, "0123456789"),
        (vec![("range", "lines=1-2")], 200, "0123456789"),
        (vec![("range", "bytes=2-4"), ("if-range", tag.as_str())], 206, "234"),
        (vec![("range", "bytes=2-4"), ("if-range", "\"other\"")], 200, "0123456789"),
        (vec![("if-match", "\"other\"")], 412, ""),
    ] {
        let served = fixture.get("/robots.txt", &fields).await;
        assert_eq!((served.status, served.body.as_str()), (status, body), "{fields:?}");
    }
}

/// CSP3 §7.1.
#[actix_web::test]
async fn the_page_and_its_policy_have_the_same_nonce_and_never_twice() {
    let fixture = Fixture::new();
    let (first, second) = (fixture.get("/", &[PAGE]).await, fixture.get("/", &[PAGE]).await);
    let nonce = |served: &Served| {
        let nonce = served.body.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce");
        assert!(served.header("content-security-policy").contains(&format!("'nonce-{nonce}'")));
        assert_eq!((served.header("etag"), served.header("last-modified")), ("", ""), "nothing to compare with");
        nonce.to_owned()
    };
    assert_ne!(nonce(&first), nonce(&second));
    std::fs::write(fixture.folder.path().join("dist/index.html"), "<p>new").expect("a file");
    assert_eq!(fixture.get("/", &[PAGE]).await.body, "<p>new", "a new build is served at once");
}

#[actix_web::test]
async fn without_a_nonce_the_page_is_a_file_like_others() {
    let fixture = Fixture::with_policy("script-src 'self'");
    let page = fixture.get("/", &[PAGE]).await;
    assert_eq!(page.body, INDEX_HTML);
    assert_eq!(page.header("cache-control"), "no-cache");
    assert_eq!(page.header("content-security-policy"), "script-src 'self'");
    assert_eq!(fixture.get("/", &[PAGE, ("if-none-match", page.header("etag"))]).await.status, 304);
}
