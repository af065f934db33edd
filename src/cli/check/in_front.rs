//! What stands around us and must know of us: the addresses to register at the provider, and the settings of the
//! reverse proxy in front.

use super::{Report, Subject, Verdict};
use crate::config::Config;
use crate::web;

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) {
    let config = &subject.loaded.config;
    for (what, uri) in [("redirect URI", redirect_uri(config)), ("post-logout redirect URI", post_logout_uri(config))] {
        report.note("provider.client_id", format!("register this {what} at the provider, to the letter: {uri}"));
    }
    // Where our listener is plain, somebody in front speaks TLS with the browsers.
    if config.server.public_url.is_https() && config.server.tls.is_none() {
        reverse_proxy(subject, report);
    }
}

fn redirect_uri(config: &Config) -> String {
    web::redirect_uri(&config.server.public_url, &config.server.prefix, config.easy_auth.as_ref())
}

fn post_logout_uri(config: &Config) -> String {
    let configured = config.provider.particulars.post_logout_redirect_uri.as_deref();
    web::post_logout_redirect_uri(&config.server.public_url, configured, config.easy_auth.as_ref())
}

fn reverse_proxy(subject: &Subject<'_>, report: &mut Report) {
    let server = &subject.loaded.config.server;
    report.note(
        "server.listen",
        format!("{} is plain http, so a proxy in front must terminate TLS for {}", server.listen, server.public_url),
    );
    report.note(
        "server.listen",
        "if that is nginx: `proxy_buffer_size 16k; proxy_buffers 8 16k;`, for the default of 4k answers large logins \
         with 502",
    );
    if server.trusted_proxies.is_empty() {
        let message = "it is empty, so X-Forwarded-* of the proxy in front are ignored, and logs and upstreams see \
                       its address for every client; set it to the proxy's network, as in [\"10.0.0.0/8\"]";
        report.add(subject.loaded, Verdict::Note, "server.trusted_proxies", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::tests::Checked;

    /// RFC 6749 §3.1.2.2, RP-Initiated Logout §3.1: both are compared as strings.
    #[test]
    fn what_to_register_is_printed_to_the_letter() {
        let checked = Checked::new("[server]\nprefix = \"/auth\"", check);
        let ends_with = |text: &str| checked.text().lines().filter(|line| line.ends_with(text)).count();
        assert_eq!(ends_with(" redirect URI at the provider, to the letter: https://app.example.com/auth/callback"), 1);
        assert_eq!(ends_with(" post-logout redirect URI at the provider, to the letter: https://app.example.com/"), 1);
    }

    #[test]
    fn a_post_logout_address_that_is_configured_is_the_one_to_register() {
        let lines = "[provider]\npost_logout_redirect_uri = \"https://app.example.com/bff/logged-out\"";
        let checked = Checked::new(lines, check);
        assert!(checked.text().contains("to the letter: https://app.example.com/bff/logged-out\n"));
    }

    #[test]
    fn a_proxy_that_is_not_trusted_is_spoken_of_where_there_must_be_one() {
        let checked = Checked::new("", check);
        checked.has(Verdict::Note, "server.trusted_proxies", "X-Forwarded-* of the proxy in front are ignored");
        checked.has(Verdict::Note, "server.listen", "proxy_buffer_size 16k");
        let trusting = Checked::new("[server]\ntrusted_proxies = [\"10.0.0.0/8\"]", check);
        trusting.has_none("server.trusted_proxies");
        let direct = "[server]\ntls_certificate_file = \"tls.crt\"\ntls_key_file = \"tls.key\"";
        Checked::new(direct, check).has_none("server.listen");
        let loopback = Checked::new("[server]\npublic_url = \"http://127.0.0.1:8080\"", check);
        loopback.has_none("server.trusted_proxies");
        loopback.has_none("server.listen");
    }
}
