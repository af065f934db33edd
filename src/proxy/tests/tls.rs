//! Upstreams behind TLS.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::rt;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::harness::*;
use super::upgrade::{SWITCHING, tunnel};
use crate::proxy::upstream_tls;

/// An https upstream with a certificate for `name`: where it is, whom to trust for it, and the protocols agreed on.
async fn secure(name: &str) -> (String, CertificateDer<'static>, Rc<RefCell<Vec<Option<Vec<u8>>>>>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([name.to_owned()]).expect("a certificate for a name");
    let certificate = cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = versions
        .expect("TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("the key fits the certificate");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let uri = format!("https://{name}:{}", listener.local_addr().expect("bound").port());
    let agreed = Rc::<RefCell<Vec<Option<Vec<u8>>>>>::default();
    let seen = Rc::clone(&agreed);
    rt::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            seen.borrow_mut().push(tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec));
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
    (uri, certificate, agreed)
}

/// RFC 7301: HTTP/1.1 is asked for; RFC 9110 §4.3.4: the certificate must be one that we trust.
#[test]
fn an_https_upstream_is_reached_over_trusted_tls() {
    run(async {
        let (uri, certificate, agreed) = secure("localhost").await;
        let tls = upstream_tls(&[certificate]).expect("usable roots");
        let front = Front::start_with(vec![route("/", &[&uri])], false, tls);
        for _ in 0..2 {
            let answer = front.get("/x", "").await;
            assert_eq!((status(&answer), body(&answer)), (200, "secret"));
        }
        assert_eq!(*agreed.borrow(), [Some(b"http/1.1".to_vec())], "one connection, one protocol");
    });
}

#[test]
fn a_websocket_passes_over_tls_too() {
    run(async {
        let (uri, certificate, _) = secure("localhost").await;
        let tls = upstream_tls(&[certificate]).expect("usable roots");
        let mut stream = tunnel(&Front::start_with(vec![route("/", &[&uri])], false, tls)).await;
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
        let (uri, _, agreed) = secure("localhost").await;
        let front = Front::start_with(vec![route("/", &[&uri])], false, upstream_tls(&[]).expect("usable roots"));
        let answer = front.get("/x", "").await;
        assert_eq!((status(&answer), body(&answer)), (502, "upstream-unreachable"));
        assert!(agreed.borrow().is_empty());
    });
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    run(async {
        let (uri, certificate, _) = secure("localhost").await;
        let tls = upstream_tls(&[certificate]).expect("usable roots");
        let front = Front::start_with(vec![route("/", &[&uri.replace("localhost", "127.0.0.1")])], false, tls);
        assert_eq!(status(&front.get("/x", "").await), 502);
    });
}
