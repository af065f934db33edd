//! How browsers reach us: over TLS, or in clear text on loopback.

use super::{Report, Subject};
use crate::config::Severity;

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) {
    let config = &subject.loaded.config;
    let origin = &config.server.public_url;
    if origin.is_https() {
        report.ok("server.public_url", format!("{origin} is https; cookies are Secure and keep their __Host- prefix"));
        return;
    }
    let name = config.session.cookie_name.trim_start_matches("__Host-");
    let message = format!(
        "{origin} is http on loopback, so cookies lose their __Host- prefix and Secure (the session cookie is named \
         {name}); use https for anything but trying out"
    );
    report.add(subject.loaded.finding(Severity::Warning, "server.public_url", message));
}
