//! Certificates: the listener's, whether it can be used, for whom, and how long; and those for upstreams.

use super::{Report, Subject, Verdict, counted};
use crate::certificates::{self, CertificateFiles, Identity};
use crate::config::SiteConfig;
use crate::proxy::{self, RouteSettings};

const KEY: &str = "server.tls_certificate_file";

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) {
    if let Some(files) = &subject.loaded.config.server.tls {
        listener(subject, files, report);
    }
    subject.each_site(report, |site, report| upstreams(subject, site, report));
}

fn upstreams(subject: &Subject<'_>, site: &SiteConfig, report: &mut Report) {
    if let Some(index) = site.routes.iter().position(RouteSettings::trusts_the_system) {
        let key = format!("routes[{index}].upstream");
        match proxy::system_authorities() {
            Ok(count) => report.ok(&key, format!("{} of this system", counted(count, "authority certificate"))),
            Err(error) => report.add(subject.loaded, Verdict::Error, &key, error.to_string()),
        }
    }
    for (index, route) in site.routes.iter().enumerate() {
        let tls = &route.upstream_settings.tls;
        if let Some(path) = &tls.ca_file {
            let key = format!("routes[{index}].upstream_ca_file");
            match certificates::certificates(path) {
                Ok(found) => {
                    report.ok(&key, format!("{} holds {}", path.display(), counted(found.len(), "certificate")))
                }
                Err(error) => report.add(subject.loaded, Verdict::Error, &key, error.to_string()),
            }
        }
        if let Some(files) = &tls.identity {
            let key = format!("routes[{index}].upstream_client_certificate_file");
            identity(subject, &key, files, report);
        }
    }
}

fn listener(subject: &Subject<'_>, files: &CertificateFiles, report: &mut Report) {
    let Some(identity) = identity(subject, KEY, files, report) else { return };
    for site in &subject.loaded.config.sites {
        let (key, public_url) = (site.key("server.public_url"), &site.public_url);
        match identity.is_for(public_url.host()) {
            Ok(()) => report.ok(KEY, format!("it is for {public_url}")),
            Err(names) => {
                let message = format!("it is not for {key} ({public_url}): {names}; have it issued for that name");
                report.add(subject.loaded, Verdict::Error, KEY, message);
            }
        }
    }
}

/// The pair and its dates; none if it cannot be used.
fn identity(subject: &Subject<'_>, key: &str, files: &CertificateFiles, report: &mut Report) -> Option<Identity> {
    let shown = files.certificate.display();
    let identity = match files.load() {
        Ok(identity) => identity,
        Err(error) => {
            report.add(subject.loaded, Verdict::Error, key, error.to_string());
            return None;
        }
    };
    let (now, validity) = (subject.clock.now(), identity.validity());
    let (from, to) = (validity.not_before, validity.not_after);
    let (verdict, message) = if now < from {
        (Verdict::Error, format!("{shown} is valid from {from} on; correct the clock, or wait"))
    } else if !validity.covers(now) {
        (Verdict::Error, format!("{shown} has expired on {to}; renew it"))
    } else if validity.ends_soon(now) {
        (Verdict::Warning, format!("{shown} expires on {to}; renew it, which needs no restart"))
    } else {
        (Verdict::Ok, format!("{shown} and its key belong together, and are valid until {to}"))
    };
    report.add(subject.loaded, verdict, key, message);
    Some(identity)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::cli::check::tests::{Checked, Folder};
    use crate::clock::UnixTime;

    /// A check at that moment, with a certificate for `name` through 2026 and 2027.
    fn checked(name: &str, key: Option<&KeyPair>, now: &str) -> Checked {
        let folder = Folder::new("");
        let own = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2028, 1, 1));
        let certificate = params.self_signed(&own).expect("signed").pem();
        fs::write(folder.path("tls.crt"), certificate).expect("the folder is ours");
        fs::write(folder.path("tls.key"), key.unwrap_or(&own).serialize_pem()).expect("the folder is ours");
        folder.set_mode("tls.key", 0o600);
        let (certificate, key) = (folder.path("tls.crt"), folder.path("tls.key"));
        folder.configure(&format!("[server]\ntls_certificate_file = {certificate:?}\ntls_key_file = {key:?}\n"));
        folder.check_at(now.parse::<UnixTime>().expect("a date"), check)
    }

    #[test]
    fn a_certificate_for_our_name_is_in_order() {
        let checked = checked("app.example.com", None, "2027-01-01T00:00:00Z");
        checked.has(Verdict::Ok, KEY, "valid until 2028-01-01T00:00:00Z");
        checked.has(Verdict::Ok, KEY, "it is for https://app.example.com");
    }

    #[test]
    fn a_certificate_that_ends_soon_is_a_warning_and_one_that_has_ended_an_error() {
        let soon = checked("app.example.com", None, "2027-12-24T00:00:00Z");
        soon.has(Verdict::Warning, KEY, "expires on 2028-01-01T00:00:00Z");
        checked("app.example.com", None, "2028-01-02T00:00:00Z").has(Verdict::Error, KEY, "has expired");
        checked("app.example.com", None, "2025-01-02T00:00:00Z").has(Verdict::Error, KEY, "valid from");
    }

    #[test]
    fn a_certificate_for_another_name_is_an_error() {
        let checked = checked("login.example.com", None, "2027-01-01T00:00:00Z");
        checked.has(Verdict::Error, KEY, "it is not for server.public_url (https://app.example.com)");
    }

    #[test]
    fn a_certificate_must_be_for_every_site() {
        let folder = Folder::new("");
        let own = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(["a.example.com".to_owned()]).expect("a name").self_signed(&own);
        fs::write(folder.path("tls.crt"), certificate.expect("signed").pem()).expect("the folder is ours");
        fs::write(folder.path("tls.key"), own.serialize_pem()).expect("the folder is ours");
        folder.set_mode("tls.key", 0o600);
        let (certificate, key) = (folder.path("tls.crt"), folder.path("tls.key"));
        let site = |name: &str| {
            format!(
                "[[sites]]\npublic_url = \"https://{name}.example.com\"\n[sites.provider]\n\
                 issuer = \"https://login.example.com\"\nclient_id = \"a\"\nclient_secret = \"x\"\n"
            )
        };
        let server = format!("[server]\ntls_certificate_file = {certificate:?}\ntls_key_file = {key:?}\n");
        folder.configure_alone(&format!("{server}{}{}", site("a"), site("b")));
        let checked = folder.check(check);
        checked.has(Verdict::Ok, KEY, "it is for https://a.example.com");
        checked.has(Verdict::Error, KEY, "it is not for sites[1].public_url (https://b.example.com)");
    }

    #[test]
    fn a_key_of_another_certificate_is_an_error() {
        let other = KeyPair::generate().expect("a key");
        let checked = checked("app.example.com", Some(&other), "2027-01-01T00:00:00Z");
        checked.has(Verdict::Error, KEY, "do not belong together");
    }

    #[test]
    fn what_is_for_upstreams_is_looked_at_too() {
        let folder = Folder::new("");
        let own = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(["sealgate.test".to_owned()]).expect("a name").self_signed(&own);
        fs::write(folder.path("ca.pem"), certificate.expect("signed").pem()).expect("the folder is ours");
        let (ca, none) = (folder.path("ca.pem"), folder.path("none.pem"));
        folder.configure(&format!(
            "[[routes]]\npath = \"/api\"\nupstream = \"https://api.internal\"\nupstream_ca_file = {ca:?}\n\
             upstream_client_certificate_file = {none:?}\nupstream_client_key_file = {none:?}\n"
        ));
        let checked = folder.check(check);
        checked.has(Verdict::Ok, "routes[0].upstream_ca_file", "ca.pem holds 1 certificate");
        checked.has(Verdict::Error, "routes[0].upstream_client_certificate_file", "none.pem: cannot be read");
    }
}
