//! The rules that cookies follow at this public URL, and whether they fit what proxies take.

use super::{Report, Subject, Verdict};
use crate::config::SiteConfig;
use crate::session::budget::{CookieBudget, OUR_COOKIES};
use crate::session::cookies::{CookieNames, MAX_SINGLE_LINE};
use crate::session::{ProviderId, SameSite};

/// The longest `Cookie` field that common servers take by default, measured.
const LIMITS: &[(&str, usize)] = &[("nginx", 8_182), ("HAProxy", 15_236), ("Node", 16_356)];

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) {
    subject.each_site(report, |site, report| check_site(subject, site, report));
}

fn check_site(subject: &Subject<'_>, site: &SiteConfig, report: &mut Report) {
    transport(subject, site, report);
    same_site(subject, site, report);
    let names = CookieNames::new(&site.session.cookie_name, site.public_url.is_https());
    let registrations: Vec<_> = site.providers.iter().map(|provider| ProviderId::from(&provider.settings)).collect();
    let (verdict, message) = budget(&names, &registrations);
    report.add(subject.loaded, verdict, "session.cookie_name", message);
    report.note(
        "session.cookie_name",
        "cookies are sealed for this name, server.public_url, provider.issuer and provider.client_id: another of them, \
         or another key ring, signs everybody out; other changes keep living sessions",
    );
}

/// RFC 6265bis §4.1.3.2: what `__Host-` asks for can only be kept over TLS.
fn transport(subject: &Subject<'_>, site: &SiteConfig, report: &mut Report) {
    let origin = &site.public_url;
    let names = CookieNames::new(&site.session.cookie_name, origin.is_https());
    let name = names.session();
    if origin.is_https() {
        report.ok("server.public_url", format!("{origin} is https: cookies keep the __Host- prefix and are Secure"));
        report.ok(
            "session.cookie_name",
            format!("{name}; Path=/; HttpOnly; SameSite={}; Secure; bound to {origin}", same_site_name(site)),
        );
        return;
    }
    let message = format!(
        "{origin} is http on loopback: cookies lose the __Host- prefix and Secure; use https for all but trying out"
    );
    report.add(subject.loaded, Verdict::Warning, "server.public_url", message);
    report.ok(
        "session.cookie_name",
        format!("{name}; Path=/; HttpOnly; SameSite={}; bound to {origin}", same_site_name(site)),
    );
}

fn same_site_name(site: &SiteConfig) -> &'static str {
    match site.session.same_site {
        SameSite::Strict => "Strict",
        SameSite::Lax => "Lax",
        SameSite::None => "None",
    }
}

/// `lax` is there for upstreams that render pages, and for nothing else.
fn same_site(subject: &Subject<'_>, site: &SiteConfig, report: &mut Report) {
    let page = site.routes.iter().position(|route| route.csrf.takes_pages());
    let message = match (site.session.same_site, page) {
        (SameSite::Lax, None) => {
            "\"lax\" is for routes that render pages (csrf = \"page\" or \"same_origin\"), and there is none; \"strict\" protects better".to_owned()
        }
        (SameSite::Strict, Some(index)) => format!(
            "routes[{index}] renders pages, and with \"strict\" a link from another site finds users signed out \
             there; \"lax\" would find them signed in"
        ),
        _ => return,
    };
    report.add(subject.loaded, Verdict::Note, "session.same_site", message);
}

/// What our cookies may need of a `Cookie` field, against the limits of what stands in front or behind.
fn budget(names: &CookieNames, providers: &[ProviderId]) -> (Verdict, String) {
    let session = CookieBudget::new(names, providers).session();
    let limits: Vec<_> = LIMITS.iter().map(|(name, limit)| format!("{name} takes {}", grouped(*limit))).collect();
    let smallest = LIMITS.iter().map(|(_, limit)| *limit).min().unwrap_or(usize::MAX);
    let share = format!(
        "our cookies need at most {} characters of a request, of which the session {}",
        grouped(OUR_COOKIES),
        grouped(session)
    );
    if session < MAX_SINGLE_LINE {
        let message =
            format!("{share}, too few for many providers' tokens; shorten the name, or the client identifier");
        return (Verdict::Warning, message);
    }
    let left = grouped(smallest.saturating_sub(OUR_COOKIES));
    (Verdict::Ok, format!("{share}; by default {}: {left} are left for other cookies of this host", limits.join(", ")))
}

/// A number with a comma before every three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::tests::Checked;

    #[test]
    fn over_https_cookies_are_secure_and_keep_their_prefix() {
        let checked = Checked::new("", check);
        checked.has(Verdict::Ok, "server.public_url", "https://app.example.com is https");
        let rules = "__Host-sealgate; Path=/; HttpOnly; SameSite=Strict; Secure; bound to https://app.example.com";
        checked.has(Verdict::Ok, "session.cookie_name", rules);
    }

    #[test]
    fn over_http_the_loss_of_prefix_and_secure_is_said() {
        let checked = Checked::new("[server]\npublic_url = \"http://127.0.0.1:8080\"", check);
        checked.has(Verdict::Warning, "server.public_url", "lose the __Host- prefix and Secure");
        checked.has(Verdict::Ok, "session.cookie_name", "sealgate; Path=/; HttpOnly; SameSite=Strict; bound");
    }

    #[test]
    fn lax_is_questioned_without_a_route_that_renders_pages() {
        let lax = "[session]\nsame_site = \"lax\"\n";
        let page = "[[routes]]\npath = \"/p\"\nupstream = \"http://p\"\ncsrf = \"page\"\n";
        Checked::new(lax, check).has(Verdict::Note, "session.same_site", "\"strict\" protects better");
        Checked::new(page, check).has(Verdict::Note, "session.same_site", "routes[0] renders pages");
        Checked::new(&format!("{lax}{page}"), check).has_none("session.same_site");
        Checked::new("", check).has_none("session.same_site");
    }

    #[test]
    fn the_longest_name_still_leaves_enough_to_the_session() {
        let budget = |name: &str| {
            let provider = ProviderId { issuer: "https://login.example.com".into(), client_id: "spa-bff".into() };
            budget(&CookieNames::new(name, true), &[provider])
        };
        let (verdict, message) = budget("__Host-sealgate");
        assert_eq!(verdict, Verdict::Ok);
        assert!(message.contains("at most 7,000") && message.contains("1,182 are left"), "{message}");
        assert!(message.contains("nginx takes 8,182, HAProxy takes 15,236, Node takes 16,356"), "{message}");
        assert_eq!(budget(&"n".repeat(64)).0, Verdict::Ok);
        assert_eq!(budget(&"n".repeat(1_000)).0, Verdict::Warning);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
