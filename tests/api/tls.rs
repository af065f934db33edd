//! TLS on the public listener: a browser with a root of its own, straight to the binary.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::StatusCode;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::ports::loopback;
use crate::support::{Browser, Provider, ProviderOptions, Sealgate, SealgateOptions, Upstream, eventually};

/// The session cookie's name where `__Host-` works.
const SESSION: &str = "__Host-sealgate";
const DEADLINE: Duration = Duration::from_secs(30);
const GET: &[u8] = b"GET /public/echo HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

/// A certificate authority, and the files of what it issued last.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    pub(super) root_pem: String,
    folder: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("signed");
        let (root_pem, folder) = (root.pem(), tempfile::tempdir().expect("a folder"));
        let authority = Self { issuer: Issuer::new(params, key), root: root.der().clone(), root_pem, folder };
        authority.issue();
        authority
    }

    fn files(&self) -> [PathBuf; 2] {
        ["tls.crt", "tls.key"].map(|name| self.folder.path().join(name))
    }

    /// Puts a new pair for 127.0.0.1 into its place, and gives the certificate.
    fn issue(&self) -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let [certificate_file, key_file] = self.files();
        replace(&key_file, &key.serialize_pem());
        replace(&certificate_file, &certificate.pem());
        certificate.der().clone()
    }

    /// A connection of these versions, which offers HTTP/2 as browsers do.
    async fn connect(
        &self,
        port: u16,
        versions: &[&'static SupportedProtocolVersion],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let tcp = TcpStream::connect(loopback(port)).await?;
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }
}

fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).expect("writable");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("ours");
    fs::rename(new, file).expect("replaced");
}

/// The same on https, with that authority's certificate.
pub(super) fn secured(mut options: SealgateOptions, authority: &Authority) -> SealgateOptions {
    options.public_url = options.public_url.replace("http://", "https://");
    let [certificate, key] = authority.files();
    options.set("server.tls_certificate_file", json!(certificate)).set("server.tls_key_file", json!(key))
}

/// Sealgate with a certificate of its own, and who stands around it.
struct World {
    authority: Authority,
    provider: Provider,
    upstream: Upstream,
    gate: Sealgate,
    browser: Browser,
}

impl World {
    async fn start() -> Self {
        let (authority, provider, upstream) =
            (Authority::new(), Provider::start(ProviderOptions::default()).await, Upstream::start().await);
        let options = secured(SealgateOptions::new(&provider.issuer, upstream.port), &authority);
        provider.register(options.registration()).await;
        let gate = Sealgate::start(options).await;
        let browser = Browser::trusting(gate.url(), &[&authority.root_pem]);
        Self { authority, provider, upstream, gate, browser }
    }

    async fn connect(&self, versions: &[&'static SupportedProtocolVersion]) -> std::io::Result<TlsStream<TcpStream>> {
        self.authority.connect(self.gate.options.port, versions).await
    }

    async fn presented(&self) -> CertificateDer<'static> {
        let stream = self.connect(rustls::ALL_VERSIONS).await.expect("a handshake");
        stream.get_ref().1.peer_certificates().expect("a certificate")[0].clone().into_owned()
    }
}

async fn is_answered(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(GET).await.expect("the connection stands");
    let mut answer = Vec::new();
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut answer).await.expect("the connection stands"), 0, "the connection ended");
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    // The body is short: whatever of it is still under way belongs to this answer.
    let mut rest = [0; 4096];
    while !answer.ends_with(b"}") && !answer.ends_with(b"0\r\n\r\n") {
        let count = stream.read(&mut rest).await.expect("the connection stands");
        answer.extend_from_slice(&rest[..count]);
    }
}

/// RFC 6265bis §4.1.3.2: `__Host-` needs `Secure`, `Path=/` and no `Domain`.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_over_tls_without_a_proxy_in_front() {
    let world = World::start().await;
    let callback = world.browser.sign_in().await;
    let cookies = callback.set_cookies();
    let session = cookies.iter().find(|cookie| cookie.name == SESSION).expect("a session");
    assert!(session.has("Secure") && session.has("HttpOnly") && session.has("Path=/"), "{session:?}");
    assert_eq!(session.attribute("Domain"), None);
    let reply = world.browser.get("/api/echo").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let seen = world.upstream.last();
    assert_eq!(vec![seen.bearer().to_owned()], world.provider.issued_of("access_token").await);
    assert_eq!(seen.header("x-forwarded-proto"), ["https"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_over_wss() {
    let world = World::start().await;
    world.browser.sign_in().await;
    let stream = world.connect(rustls::ALL_VERSIONS).await.expect("a handshake");
    let url = world.gate.url().replace("https://", "wss://") + "/api/socket";
    let mut request = url.into_client_request().expect("a URL");
    let cookie = format!("{SESSION}={}", world.browser.cookie(SESSION).expect("signed in"));
    request.headers_mut().insert("origin", world.gate.url().parse().expect("a field value"));
    request.headers_mut().insert("cookie", cookie.parse().expect("a field value"));
    let opened = tokio_tungstenite::client_async(request, stream).await;
    let (mut socket, _) = opened.unwrap_or_else(|error| match error {
        Error::Http(response) => panic!("{}", response.status()),
        error => panic!("{error}"),
    });
    socket.send(Message::text("Grüße")).await.expect("the tunnel stands");
    let back = socket.next().await.expect("an answer").expect("a message");
    assert_eq!(back, Message::text("Grüße"));
}

/// RFC 9325 §3.1.1, RFC 7301.
#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_and_1_3_are_spoken_and_http_1_1_alone_is_agreed_on() {
    let world = World::start().await;
    for (version, expected) in
        [(&rustls::version::TLS12, ProtocolVersion::TLSv1_2), (&rustls::version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let mut stream = world.connect(&[version]).await.expect("a handshake");
        let connection = stream.get_ref().1;
        assert_eq!(connection.protocol_version(), Some(expected));
        assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));
        is_answered(&mut stream).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_for_new_connections_and_cuts_nobody_off() {
    let world = World::start().await;
    let (first, mut old) = (world.presented().await, world.connect(rustls::ALL_VERSIONS).await.expect("a handshake"));
    is_answered(&mut old).await;
    let second = world.authority.issue();
    assert_ne!(first, second);
    eventually("the new certificate", DEADLINE, async || (world.presented().await == second).then_some(())).await;
    is_answered(&mut old).await;
    assert_eq!(world.browser.get("/public/echo").await.status, StatusCode::OK);

    // A key that does not fit: the certificate in use stays, and it is said why.
    replace(&world.authority.files()[1], &KeyPair::generate().expect("a key").serialize_pem());
    let failures = r#"sealgate_certificate_reload_failures_total{certificate="listener"}"#;
    eventually("the refusal", DEADLINE, async || (world.gate.metric(failures).await > 0).then_some(())).await;
    assert!(world.gate.log().contains("do not belong together"));
    assert_eq!(world.presented().await, second);
    is_answered(&mut old).await;
    let third = world.authority.issue();
    eventually("the next certificate", DEADLINE, async || (world.presented().await == third).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_certificate_is_in_the_metrics() {
    let world = World::start().await;
    let metrics = world.gate.management_text("/metrics").await;
    let line = metrics.lines().find(|line| line.starts_with("sealgate_certificate_not_after_seconds"));
    // rcgen's own default: the year 4096.
    assert_eq!(
        line,
        Some(r#"sealgate_certificate_not_after_seconds{certificate="listener"} 67090118400"#),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_can_read_keeps_the_server_from_starting() {
    let authority = Authority::new();
    let [_, key] = authority.files();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("ours");
    let mut gate = Sealgate::launch(secured(SealgateOptions::new("http://127.0.0.1:9", 9), &authority)).await;
    assert_eq!(gate.exit_status().await.code(), Some(1));
    assert!(gate.log().contains("mode 0644 is not private; run `chmod 600"), "{}", gate.log());
}

/// Who leaves over TLS takes the upstream's request along, as over plain http.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_over_tls_ends_the_request_at_the_upstream() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let authority = Authority::new();
    let options = secured(SealgateOptions::new("http://127.0.0.1:9", port_of(&listener)), &authority);
    let gate = Sealgate::start(options).await;
    let mut client = authority.connect(gate.options.port, rustls::ALL_VERSIONS).await.expect("a handshake");
    client.write_all(GET).await.expect("the connection stands");
    let (mut upstream, _) = listener.accept().await.expect("the request arrives");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert_ne!(upstream.read_buf(&mut request).await.expect("readable"), 0);
    }
    drop(client);
    let end = tokio::time::timeout(DEADLINE, upstream.read_buf(&mut request)).await.expect("the request ends");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

/// A handshake that stalls costs its own connection, and nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_stalls_is_given_up() {
    let authority = Authority::new();
    let options = secured(SealgateOptions::new("http://127.0.0.1:9", 9), &authority);
    let gate = Sealgate::start(options.set("server.client_timeout", "500ms")).await;
    let mut stalled = TcpStream::connect(loopback(gate.options.port)).await.expect("it listens");
    stalled.write_all(&[22, 3, 1]).await.expect("the connection stands");
    let end = tokio::time::timeout(DEADLINE, stalled.read(&mut [0; 16])).await.expect("it is given up");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

fn port_of(listener: &tokio::net::TcpListener) -> u16 {
    listener.local_addr().expect("bound").port()
}
