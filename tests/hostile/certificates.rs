//! Providers behind TLS that is not right.

use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd};

use crate::provider::{Endpoint, Provider};
use crate::stage::{PATIENCE, Stage};
use crate::support::eventually;

/// A certificate that is its own authority.
fn self_signed(name: &str, years: (i32, i32)) -> CertifiedKey<KeyPair> {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
    let signing_key = KeyPair::generate().expect("a key");
    CertifiedKey { cert: params.self_signed(&signing_key).expect("a certificate"), signing_key }
}

/// Whether a provider with that certificate, which we trust for an authority, is talked to.
async fn is_talked_to(presented: &CertifiedKey<KeyPair>, trusted: &CertifiedKey<KeyPair>, log: &str) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, trusted.cert.pem()).expect("a new file");
    let provider = Provider::start_with_tls(presented).await;
    let ca_file = file.to_str().expect("a path in UTF-8").to_owned();
    let stage = Stage::around(provider, |options| options.set("provider.ca_file", ca_file)).await;
    let browser = stage.browser();
    let begins = eventually("a login, or the reason for none", PATIENCE, async || {
        let begins = browser.navigate("/bff/login").await.status.as_u16() == 303;
        (begins || stage.gate.log().contains(log)).then_some(begins)
    })
    .await;
    assert!(begins || stage.provider.asked(Endpoint::Discovery) == 0, "nothing is sent");
    begins
}

/// RFC 9700 §2.6, RFC 9110 §4.3.4
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_has_expired_is_of_another_name_or_from_nobody_ends_the_talk() {
    let good = self_signed("localhost", (2020, 2090));
    assert!(is_talked_to(&good, &good, "provider discovered").await, "the test itself is right");
    let expired = self_signed("localhost", (2020, 2021));
    assert!(!is_talked_to(&expired, &expired, "certificate expired").await);
    let early = self_signed("localhost", (2089, 2090));
    assert!(!is_talked_to(&early, &early, "certificate not valid yet").await);
    let other = self_signed("evil.example", (2020, 2090));
    assert!(!is_talked_to(&other, &other, "certificate not valid for name").await);
    let nobody = self_signed("localhost", (2020, 2090));
    assert!(!is_talked_to(&nobody, &good, "invalid peer certificate").await);
}
