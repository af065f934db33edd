//! The host of the recipes in `deploy/`: its certificate, and a client that trusts it and finds it here.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Client, redirect};
use tokio::process::Command;

use super::ports::loopback;

/// The name in the recipes.
pub const HOST: &str = "app.example.com";

/// Writes `cert.pem` and `key.pem` into `folder`.
pub async fn make_certificate(folder: &Path) {
    let run = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-keyout", "key.pem", "-out", "cert.pem", "-subj", &format!("/CN={HOST}")])
        .args(["-addext", &format!("subjectAltName=DNS:{HOST}"), "-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(folder)
        .output();
    let output = run.await.expect("openssl is installed: `make test` says how");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A client that trusts the certificate in `folder`, and finds the host on this machine.
pub fn client(folder: &Path) -> Client {
    let certificate = fs::read(folder.join("cert.pem")).expect("the certificate is there");
    Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .no_proxy()
        .http1_only()
        .resolve(HOST, loopback(0))
        .tls_certs_only([Certificate::from_pem(&certificate).expect("a certificate")])
        .build()
        .expect("a plain client can be built")
}
