use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;
use crate::clock::UnixTime;

const DEADLINE: Duration = Duration::from_secs(20);
/// In November 2026.
const NOW: UnixTime = UnixTime::from_secs(1_795_000_000);

fn files(folder: &TempDir) -> CertificateFiles {
    CertificateFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") }
}

/// Puts a new pair into its place, which counts through the years from `from` to `to`.
fn renew(files: &CertificateFiles, from: i32, to: i32) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["app.example.com".to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    let certificate = params.self_signed(&key).expect("signed").pem();
    replace(&files.key, &key.serialize_pem());
    replace(&files.certificate, &certificate);
}

fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).expect("writable");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("ours");
    fs::rename(new, file).expect("replaced");
}

fn load(files: &CertificateFiles) -> (ListenerCertificate, Metrics) {
    let metrics = Metrics::default();
    let loaded = ListenerCertificate::load(files.clone(), Clock::manual(NOW), metrics.clone());
    (loaded.expect("a pair"), metrics)
}

fn end(certificate: &ListenerCertificate) -> String {
    certificate.0.current.load().validity().not_after.to_string()
}

#[tokio::test]
async fn a_new_pair_is_taken_when_its_files_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = files(&folder);
    renew(&files, 2026, 2027);
    let (certificate, metrics) = load(&files);
    let _watch = certificate.watch(&Handle::current());
    renew(&files, 2026, 2028);
    let begun = Instant::now();
    while end(&certificate) != "2028-01-01T00:00:00Z" {
        assert!(begun.elapsed() < DEADLINE, "{}", end(&certificate));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let text = metrics.render();
    assert!(text.contains(r#"sealgate_certificate_not_after_seconds{certificate="listener"} 1830297600"#), "{text}");
}

#[test]
fn a_pair_that_cannot_be_used_leaves_the_old_one_in_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = files(&folder);
    renew(&files, 2026, 2027);
    let (certificate, metrics) = load(&files);
    replace(&files.key, &KeyPair::generate().expect("a key").serialize_pem());
    certificate.reload();
    replace(&files.certificate, "no certificate");
    certificate.reload();
    assert_eq!(end(&certificate), "2027-01-01T00:00:00Z");
    let text = metrics.render();
    assert!(text.contains(r#"sealgate_certificate_reload_failures_total{certificate="listener"} 2"#), "{text}");
}

#[test]
fn a_valid_certificate_is_not_replaced_by_one_that_is_not_valid_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = files(&folder);
    renew(&files, 2026, 2027);
    let (certificate, _) = load(&files);
    for (from, to) in [(2024, 2025), (2027, 2030)] {
        renew(&files, from, to);
        certificate.reload();
        assert_eq!(end(&certificate), "2027-01-01T00:00:00Z");
    }
}

/// Somebody who connects all the same is better served than by nobody.
#[test]
fn an_expired_certificate_is_served_until_there_is_a_better_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = files(&folder);
    renew(&files, 2024, 2025);
    let (certificate, _) = load(&files);
    renew(&files, 2026, 2027);
    certificate.reload();
    assert_eq!(end(&certificate), "2027-01-01T00:00:00Z");
}
