use std::os::unix::fs::symlink;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;

/// A pair in files, valid through 2026 and 2027.
fn pair(folder: &TempDir, name: &str) -> CertificateFiles {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2028, 1, 1));
    let certificate = params.self_signed(&key).expect("signed");
    let files = CertificateFiles {
        certificate: folder.path().join(format!("{name}.crt")),
        key: folder.path().join(format!("{name}.key")),
    };
    fs::write(&files.certificate, certificate.pem()).expect("writable");
    fs::write(&files.key, key.serialize_pem()).expect("writable");
    set_mode(&files.key, 0o600);
    files
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the file is ours");
}

fn at(text: &str) -> UnixTime {
    text.parse().expect("a date")
}

#[test]
fn a_pair_is_read_with_its_dates_and_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let identity = pair(&folder, "app.example.com").load().expect("a pair");
    let Validity { not_before, not_after } = identity.validity();
    assert_eq!((not_before, not_after), (at("2026-01-01T00:00:00Z"), at("2028-01-01T00:00:00Z")));
    assert_eq!(identity.is_for("app.example.com"), Ok(()));
    let refused = identity.is_for("other.example.com").expect_err("another name");
    assert!(refused.contains("app.example.com"), "{refused}");
}

#[test]
fn a_certificate_counts_between_its_dates_and_its_end_is_announced() {
    let folder = tempfile::tempdir().expect("a folder");
    let validity = pair(&folder, "a.test").load().expect("a pair").validity();
    for (date, covers, ends_soon) in [
        ("2025-12-31T23:59:59Z", false, false),
        ("2026-01-01T00:00:00Z", true, false),
        ("2027-12-17T00:00:00Z", true, false),
        ("2027-12-19T00:00:00Z", true, true),
        ("2028-01-01T00:00:01Z", false, true),
    ] {
        assert_eq!((validity.covers(at(date)), validity.ends_soon(at(date))), (covers, ends_soon), "{date}");
    }
    let day = Duration::from_secs(86_400);
    let short = Validity { not_before: validity.not_before, not_after: validity.not_before.plus(6 * day) };
    assert!(!short.ends_soon(short.not_before.plus(3 * day)));
    assert!(short.ends_soon(short.not_before.plus(5 * day)));
}

#[test]
fn a_key_that_is_not_the_certificate_s_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (pair(&folder, "one.test"), pair(&folder, "two.test"));
    let mixed = CertificateFiles { certificate: one.certificate, key: two.key };
    let error = mixed.load().expect_err("they do not match");
    assert!(matches!(error, CertificateError::Mismatch { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("one.test.crt") && text.contains("two.test.key"), "{text}");
}

#[test]
fn a_key_that_others_can_read_is_refused_and_one_of_a_group_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = pair(&folder, "a.test");
    for (mode, accepted) in [(0o400, true), (0o440, true), (0o640, true), (0o644, false), (0o660, false)] {
        set_mode(&files.key, mode);
        let refused = files.load().err();
        assert_eq!(refused.is_none(), accepted, "{mode:o}");
        assert!(accepted || refused.is_some_and(|error| error.to_string().contains("chmod 600")), "{mode:o}");
    }
}

/// Kubernetes mounts links; what they lead to counts.
#[test]
fn links_are_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = pair(&folder, "a.test");
    let linked = CertificateFiles { certificate: folder.path().join("c"), key: folder.path().join("k") };
    symlink(&files.certificate, &linked.certificate).expect("a link");
    symlink(&files.key, &linked.key).expect("a link");
    assert!(linked.load().is_ok());
}

#[test]
fn what_is_no_certificate_or_key_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = pair(&folder, "a.test");
    let with_certificate = |path: &Path| CertificateFiles { certificate: path.to_owned(), ..files.clone() };
    let text = |files: CertificateFiles| files.load().expect_err("refused").to_string();
    assert!(text(with_certificate(&folder.path().join("none"))).contains("cannot be read"));
    assert!(text(with_certificate(folder.path())).contains("not a file"));
    assert!(text(with_certificate(&files.key)).contains("holds no certificate"));
    let garbage = folder.path().join("garbage");
    fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("writable");
    assert!(text(with_certificate(&garbage)).contains("garbage"));
    let without_key = folder.path().join("without-key");
    fs::copy(&files.certificate, &without_key).expect("writable");
    set_mode(&without_key, 0o600);
    let error = text(CertificateFiles { key: without_key, ..files.clone() });
    assert!(error.contains("holds no private key"), "{error}");
}

#[test]
fn nothing_of_a_key_is_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let shown = format!("{:?}", pair(&folder, "a.test").load().expect("a pair"));
    assert!(shown.starts_with("Identity { validity") && !shown.contains("key"), "{shown}");
}
