//! The single-page app's files; a path that names none serves `index.html`, so that the app's own routes work.
//!
//! Must never serve a file outside the root, nor one whose name begins with a dot.

use std::path::{Component, Path, PathBuf};

use actix_files::NamedFile;
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpRequest, HttpResponse};

use crate::web::StaticSettings;
use crate::web::problem::{NOT_FOUND, Problem};

const INDEX: &str = "index.html";

/// A folder of files.
#[derive(Clone, Debug)]
pub struct StaticSite {
    root: PathBuf,
}

impl StaticSite {
    /// Serves the folder, whose `index.html` the configuration has checked.
    ///
    /// # Errors
    /// When the folder cannot be resolved.
    pub fn new(settings: &StaticSettings) -> std::io::Result<Self> {
        Ok(Self { root: settings.root.canonicalize()? })
    }

    /// The file for the request's path, or the index.
    ///
    /// # Errors
    /// 404 for what looks like a file and is none, 405 for methods other than GET and HEAD.
    pub fn handle(&self, request: &HttpRequest) -> Result<HttpResponse, Problem> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Problem::method_not_allowed("GET, HEAD"));
        }
        let not_found = || Problem::new(&NOT_FOUND, "No file and no route has this address.");
        let relative = relative_path(request.uri().path()).ok_or_else(not_found)?;
        let (file, is_index) = match self.file(&relative) {
            Some(file) => (file, relative.as_os_str() == INDEX),
            None if relative.extension().is_some() && !accepts_html(request) => return Err(not_found()),
            None => (self.root.join(INDEX), true),
        };
        let file = NamedFile::open(file).map_err(|_| not_found())?;
        let mut response = file.into_response(request);
        let headers = response.headers_mut();
        if is_index {
            // The page names the current assets: an old copy would ask for files that are gone.
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        Ok(response)
    }

    /// The file, if there is one and, with all links resolved, it lies below the root.
    fn file(&self, relative: &Path) -> Option<PathBuf> {
        let file = self.root.join(relative).canonicalize().ok()?;
        let file = if file.is_dir() { file.join(INDEX) } else { file };
        (file.starts_with(&self.root) && file.is_file()).then_some(file)
    }
}

fn accepts_html(request: &HttpRequest) -> bool {
    request
        .headers()
        .get("accept")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// The decoded path below the root; none for anything that could lead out of it or to a hidden file.
fn relative_path(raw: &str) -> Option<PathBuf> {
    let decoded = percent_encoding::percent_decode_str(raw).decode_utf8().ok()?;
    if decoded.contains(['\\', '\0']) || decoded.chars().any(char::is_control) {
        return None;
    }
    let path = Path::new(decoded.trim_start_matches('/'));
    let harmless = path.components().all(|component| match component {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
        _ => false,
    });
    if path.as_os_str().is_empty() {
        return Some(PathBuf::from(INDEX));
    }
    harmless.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::test::TestRequest;

    use super::*;

    struct Served {
        status: u16,
        body: String,
        cache_control: Option<String>,
    }

    async fn get(site: &StaticSite, uri: &str, accept: &'static str) -> Served {
        let request = TestRequest::with_uri(uri).insert_header(("accept", accept)).to_http_request();
        match site.handle(&request) {
            Ok(response) => {
                let cache_control =
                    response.headers().get(CACHE_CONTROL).map(|value| value.to_str().expect("ASCII").to_owned());
                let status = response.status().as_u16();
                let body = to_bytes(response.into_body()).await.expect("a small file");
                Served { status, body: String::from_utf8(body.to_vec()).expect("text"), cache_control }
            }
            Err(problem) => {
                Served { status: problem.respond(&request).status().as_u16(), body: String::new(), cache_control: None }
            }
        }
    }

    fn site() -> (tempfile::TempDir, StaticSite) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("dist");
        std::fs::create_dir_all(root.join("assets")).expect("a folder");
        for (name, text) in [
            ("dist/index.html", "index"),
            ("dist/assets/app.js", "script"),
            ("dist/.env", "hidden"),
            ("secret.txt", "secret"),
        ] {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        std::os::unix::fs::symlink(folder.path().join("secret.txt"), root.join("link.txt")).expect("a link");
        let site = StaticSite::new(&StaticSettings { root }).expect("the folder is there");
        (folder, site)
    }

    #[actix_web::test]
    async fn files_are_served_and_the_app_s_own_routes_get_the_index() {
        let (_folder, site) = site();
        assert_eq!(get(&site, "/assets/app.js", "*/*").await.body, "script");
        for uri in ["/", "/index.html", "/inbox/42", "/inbox/v1.2"] {
            let served = get(&site, uri, "text/html").await;
            assert_eq!((served.status, served.body.as_str()), (200, "index"), "{uri}");
            assert_eq!(served.cache_control.as_deref(), Some("no-cache"));
        }
        assert_eq!(get(&site, "/assets/gone.js", "*/*").await.status, 404);
    }

    #[actix_web::test]
    async fn nothing_outside_the_root_and_no_hidden_file_is_served() {
        let (_folder, site) = site();
        for uri in [
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/assets/..%2f..%2fsecret.txt",
            "/.env",
            "/link.txt",
            "/..%5csecret.txt",
            "/%00",
        ] {
            let served = get(&site, uri, "*/*").await;
            assert!(served.status == 404 || served.body == "index", "{uri}: {} {}", served.status, served.body);
        }
    }
}
