//! What stands around us and must know of us: the addresses to register at the provider, and the settings of the
//! reverse proxy in front.

use super::{Report, Subject, Verdict};
use crate::config::{ProviderConfig, SiteConfig};
use crate::web;
use crate::web::forward_auth::AskingProxy;

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) {
    let config = &subject.loaded.config;
    subject.each_provider(report, |site, provider, report| {
        let addresses = [
            ("redirect URI", redirect_uri(site, provider)),
            ("post-logout redirect URI", post_logout_uri(site, provider)),
        ];
        for (what, uri) in addresses {
            report.note("provider.client_id", format!("register this {what} at the provider, to the letter: {uri}"));
        }
    });
    subject.each_site(report, |site, report| {
        if let Some(settings) = &site.forward_auth {
            report.note("forward_auth.proxy", cookies_behind(settings.proxy));
        }
    });
    // Where our listener is plain, somebody in front speaks TLS with the browsers.
    let https: Vec<_> = config.sites.iter().map(|site| &site.public_url).filter(|url| url.is_https()).collect();
    if !https.is_empty() && config.server.tls.is_none() {
        let shown: Vec<_> = https.iter().map(ToString::to_string).collect();
        reverse_proxy(subject, &shown.join(", "), report);
    }
    if config.sites.len() > 1 {
        report.note(
            "sites",
            "requests are told apart by their Host: a proxy in front must pass it on as browsers send it, with its \
             port (nginx: `proxy_set_header Host $http_host;`)",
        );
    }
}

/// How the cookies of an answer reach the browser: a refreshed session may need up to three.
fn cookies_behind(proxy: AskingProxy) -> String {
    let how = match proxy {
        AskingProxy::Nginx => {
            "nginx passes on one Set-Cookie of an answer, and a session can need three cookies: they come as \
             X-Sealgate-Set-Cookie-1 to -4, each of which its configuration must add to the response"
        }
        AskingProxy::Caddy => {
            "Caddy passes on one Set-Cookie of an answer that lets pass, and a session can need three cookies: they come \
             as X-Sealgate-Set-Cookie-1 to -4, each of which its configuration must add to the response"
        }
        AskingProxy::Traefik => {
            "a session can need three cookies: name them all in addAuthCookiesToResponse of Traefik's forwardAuth"
        }
        AskingProxy::Envoy => {
            "a session can need three cookies: allowed_client_headers_on_success of Envoy's ext_authz must have set-cookie"
        }
    };
    format!("{how}; docs/forward-auth.md has the configuration")
}

fn redirect_uri(site: &SiteConfig, provider: &ProviderConfig) -> String {
    let is_default = site.providers.first().is_some_and(|first| first.name == provider.name);
    let name = (!is_default).then_some(provider.name.as_str());
    web::redirect_uri(&site.public_url, &site.prefix, site.easy_auth.as_ref(), name)
}

fn post_logout_uri(site: &SiteConfig, provider: &ProviderConfig) -> String {
    let configured = provider.settings.particulars.post_logout_redirect_uri.as_deref();
    web::post_logout_redirect_uri(&site.public_url, configured, site.easy_auth.as_ref())
}

fn reverse_proxy(subject: &Subject<'_>, sites: &str, report: &mut Report) {
    let server = &subject.loaded.config.server;
    report.note(
        "server.listen",
        format!("{} is plain http, so a proxy in front must terminate TLS for {sites}", server.listen),
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
