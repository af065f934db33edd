//! Upstreams behind TLS.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::rt;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::harness::*;
use super::upgrade::{SWITCHING, tunnel};
use crate::certificates::CertificateFiles;
use crate::proxy::RouteSettings;

/// An https upstream with a certificate for `name`.
struct Secure {
    uri: String,
    certificate: String,
    /// The protocol agreed on with each connection.
    agreed: Rc<RefCell<Vec<Option<Vec<u8>>>>>,
    /// The certificate that each connection came with.
    clients: Rc<RefCell<Vec<Option<CertificateDer<'static>>>>>,
}

impl Secure {
    /// A route to it that trusts it; the file is in `folder`.
    fn trusted(&self, folder: &TempDir) -> RouteSettings {
        let file = folder.path().join("ca.pem");
        fs::write(&file, &self.certificate).expect("writable");
        let mut route = route("/", &[&self.uri]);
        route.upstream_settings.tls.ca_file = Some(file);
        route
    }
}

/// One that asks nobody for a certificate.
async fn secure(name: &str) -> Secure {
    secure_for(name, &[]).await
}

/// One that takes only clients with one of these certificates, if there are any.
async fn secure_for(name: &str, clients: &[CertificateDer<'static>]) -> Secure {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([name.to_owned()]).expect("a certificate for a name");
    let certificate = cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = versions.expect("TLS");
    let builder = if clients.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        clients.iter().for_each(|client| roots.add(client.clone()).expect("a root"));
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        builder.with_client_cert_verifier(verifier.expect("roots"))
    };
    let mut config = builder.with_single_cert(vec![certificate], key).expect("the key fits the certificate");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let uri = format!("https://{name}:{}", listener.local_addr().expect("bound").port());
    let agreed = Rc::<RefCell<Vec<Option<Vec<u8>>>>>::default();
    let came = Rc::<RefCell<Vec<_>>>::default();
    let (seen, who) = (Rc::clone(&agreed), Rc::clone(&came));
    rt::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let connection = tls.get_ref().1;
            seen.borrow_mut().push(connection.alpn_protocol().map(<[u8]>::to_vec));
            who.borrow_mut().push(connection.peer_certificates().map(|chain| chain[0].clone().into_owned()));
            rt::spawn(async move {
                let mut request = Vec::new();
                while tls.read_buf(&mut request).await.is_ok_and(|count| count > 0) {
                    if request.ends_with(b"\r\n\r\n") && request.windows(9).any(|name| name == b"websocket") {
                        let sent = tls.write_all(SWITCHING.as_bytes()).await;
                        sent.expect("the proxy reads");
                        let (mut read, mut write) = tokio::io::split(tls);
                        // The end of the test ends it.
                        let _ = tokio::io::copy(&mut read, &mut write).await;
                        return;
                    }
                    if request.ends_with(b"\r\n\r\n") {
                        request.clear();
                        let sent = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").await;
                        sent.expect("the proxy reads");
                    }
                }
            });
        }
    });
    Secure { uri, certificate: cert.pem(), agreed, clients: came }
}

/// A certificate of ours in files of `folder`.
fn identity(folder: &TempDir) -> (CertificateFiles, CertificateDer<'static>) {
    let files =
        CertificateFiles { certificate: folder.path().join("client.crt"), key: folder.path().join("client.key") };
    (files.clone(), renew(&files))
}

/// Puts a new certificate and its key into the files.
fn renew(files: &CertificateFiles) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["sealgate.test".to_owned()]).expect("a certificate");
    replace(&files.key, &signing_key.serialize_pem());
    replace(&files.certificate, &cert.pem());
    cert.der().clone()
}

fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).expect("writable");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("ours");
    fs::rename(new, file).expect("replaced");
}

/// RFC 7301: HTTP/1.1 is asked for; RFC 9110 §4.3.4: the certificate must be one that we trust.
#[test]
fn an_https_upstream_is_reached_over_trusted_tls() {
    run(async {
        let (secure, folder) = (secure("localhost").await, tempfile::tempdir().expect("a folder"));
        let front = Front::start(vec![secure.trusted(&folder)], false);
        for _ in 0..2 {
            let answer = front.get("/x", "").await;
            assert_eq!((status(&answer), body(&answer)), (200, "secret"));
        }
        assert_eq!(*secure.agreed.borrow(), [Some(b"http/1.1".to_vec())], "one connection, one protocol");
    });
}

#[test]
fn a_websocket_passes_over_tls_too() {
    run(async {
        let (secure, folder) = (secure("localhost").await, tempfile::tempdir().expect("a folder"));
        let mut stream = tunnel(&Front::start(vec![secure.trusted(&folder)], false)).await;
        for sent in [&b"hello"[..], b"again"] {
            stream.write_all(sent).await.expect("the tunnel stands");
            let mut back = [0; 5];
            stream.read_exact(&mut back).await.expect("the tunnel stands");
            assert_eq!(back, sent);
        }
    });
}

#[test]
fn a_certificate_that_we_do_not_trust_is_refused() {
    run(async {
        let secure = secure("localhost").await;
        let front = Front::start(vec![route("/", &[&secure.uri])], false);
        let answer = front.get("/x", "").await;
        assert_eq!((status(&answer), body(&answer)), (502, "upstream-unreachable"));
        assert!(secure.agreed.borrow().is_empty());
    });
}

#[test]
fn a_certificate_for_another_name_is_refused_unless_that_name_is_asked_for() {
    run(async {
        let (secure, folder) = (secure("api.internal").await, tempfile::tempdir().expect("a folder"));
        let mut route = secure.trusted(&folder);
        route.upstreams = vec![secure.uri.replace("api.internal", "127.0.0.1").parse().expect("a URI")];
        assert_eq!(status(&Front::start(vec![route.clone()], false).get("/x", "").await), 502);
        route.upstream_settings.tls.server_name = Some("api.internal".try_into().expect("a name"));
        assert_eq!(status(&Front::start(vec![route], false).get("/x", "").await), 200);
    });
}

/// RFC 8446 §4.3.2.
#[test]
fn an_upstream_that_asks_for_a_certificate_gets_ours() {
    run(async {
        let folder = tempfile::tempdir().expect("a folder");
        let (files, certificate) = identity(&folder);
        let secure = secure_for("localhost", std::slice::from_ref(&certificate)).await;
        let without = secure.trusted(&folder);
        let mut with = without.clone();
        with.path = "/with".to_owned();
        with.upstream_settings.tls.identity = Some(files);
        let front = Front::start(vec![without, with], false);
        for _ in 0..2 {
            // The connection of the one route is never used for the other.
            assert_eq!(status(&front.get("/with/x", "").await), 200);
            assert_eq!(status(&front.get("/x", "").await), 502);
        }
        assert_eq!(*secure.clients.borrow(), [Some(certificate)]);
        let metrics = front.metrics.render();
        assert!(metrics.contains(r#"certificate_not_after_seconds{certificate="upstream"}"#), "{metrics}");
    });
}

#[test]
fn a_new_certificate_of_ours_is_taken_when_its_files_change() {
    run(async {
        let folder = tempfile::tempdir().expect("a folder");
        let (files, first) = identity(&folder);
        let second_folder = tempfile::tempdir().expect("a folder");
        let (second_files, second) = identity(&second_folder);
        let secure = secure_for("localhost", &[first.clone(), second.clone()]).await;
        let mut route = secure.trusted(&folder);
        route.upstream_settings.tls.identity = Some(files.clone());
        let front = Front::start(vec![route], false);
        assert_eq!(status(&front.get("/x", "").await), 200);
        for (from, to) in [(&second_files.key, &files.key), (&second_files.certificate, &files.certificate)] {
            replace(to, &fs::read_to_string(from).expect("readable"));
        }
        let begun = Instant::now();
        while secure.clients.borrow().last() != Some(&Some(second.clone())) {
            assert!(begun.elapsed().as_secs() < 15, "the new certificate is not taken");
            assert_eq!(status(&front.get("/x", "").await), 200);
        }
        assert_eq!(secure.clients.borrow().first(), Some(&Some(first)));
    });
}

#[test]
fn a_file_that_cannot_be_used_keeps_the_table_from_being_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = route("/", &["https://localhost"]);
    settings.upstream_settings.tls.ca_file = Some(folder.path().join("none.pem"));
    let error = crate::proxy::RouteTable::new(vec![settings], &crate::metrics::Metrics::default());
    assert!(error.expect_err("no file").to_string().contains("none.pem: cannot be read"));
}
