//! The rules that cookies follow at this public URL, and whether they fit what proxies take.

use super::{Report, Subject, Verdict};
use crate::config::Config;
use crate::proxy::CsrfMode;
use crate::session::SameSite;
use crate::session::cookies::CookieNames;
use crate::session::store::SESSION_BUDGET;

/// Characters of a `Cookie` field that all cookies beside the session's may take under the default name: activity,
/// tombstone, conflict marker, affinity and one login.
const OTHER_COOKIES: usize = 1_000;
/// How many of those are named after the session's.
const NAMED_AFTER_SESSION: usize = 4;
const DEFAULT_NAME: &str = "__Host-sealgate";

/// The longest `Cookie` field that common servers take by default, measured.
const LIMITS: &[(&str, usize)] = &[("nginx", 8_182), ("HAProxy", 15_236), ("Node", 16_356)];

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) {
    let config = &subject.loaded.config;
    transport(subject, report);
    same_site(subject, report);
    let (verdict, message) = budget(&config.session.cookie_name);
    report.add(subject.loaded, verdict, "session.cookie_name", message);
    report.note(
        "session.cookie_name",
        "cookies are sealed for this name, server.public_url, provider.issuer and provider.client_id: another of them, \
         or another key ring, signs everybody out; other changes keep living sessions",
    );
}

/// RFC 6265bis §4.1.3.2: what `__Host-` asks for can only be kept over TLS.
fn transport(subject: &Subject<'_>, report: &mut Report) {
    let config = &subject.loaded.config;
    let origin = &config.server.public_url;
    let names = CookieNames::new(&config.session.cookie_name, origin.is_https());
    let name = names.session();
    if origin.is_https() {
        report.ok("server.public_url", format!("{origin} is https: cookies keep the __Host- prefix and are Secure"));
        report.ok(
            "session.cookie_name",
            format!("{name}; Path=/; HttpOnly; SameSite={}; Secure; bound to {origin}", same_site_name(config)),
        );
        return;
    }
    let message = format!(
        "{origin} is http on loopback: cookies lose the __Host- prefix and Secure; use https for all but trying out"
    );
    report.add(subject.loaded, Verdict::Warning, "server.public_url", message);
    report.ok(
        "session.cookie_name",
        format!("{name}; Path=/; HttpOnly; SameSite={}; bound to {origin}", same_site_name(config)),
    );
}

fn same_site_name(config: &Config) -> &'static str {
    match config.session.same_site {
        SameSite::Strict => "Strict",
        SameSite::Lax => "Lax",
    }
}

/// `lax` is there for upstreams that render pages, and for nothing else.
fn same_site(subject: &Subject<'_>, report: &mut Report) {
    let config = &subject.loaded.config;
    let page = config.routes.iter().position(|route| route.csrf == CsrfMode::Page);
    let message = match (config.session.same_site, page) {
        (SameSite::Lax, None) => {
            "\"lax\" is for routes with csrf = \"page\", and there is none; \"strict\" protects better".to_owned()
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
fn budget(cookie_name: &str) -> (Verdict, String) {
    let longer_names = cookie_name.len().saturating_sub(DEFAULT_NAME.len()) * NAMED_AFTER_SESSION;
    let needed = SESSION_BUDGET + OTHER_COOKIES + longer_names;
    let limits: Vec<_> = LIMITS.iter().map(|(name, limit)| format!("{name} takes {}", grouped(*limit))).collect();
    let smallest = LIMITS.iter().map(|(_, limit)| *limit).min().unwrap_or(usize::MAX);
    let estimate = format!(
        "our cookies need at most about {} characters of a request (the session {}, one login under way)",
        grouped(needed),
        grouped(SESSION_BUDGET)
    );
    let defaults = format!("by default {}", limits.join(", "));
    match smallest.checked_sub(needed) {
        Some(left) => {
            (Verdict::Ok, format!("{estimate}; {defaults}: {} are left for other cookies of this host", grouped(left)))
        }
        None => (Verdict::Warning, format!("{estimate}, more than some proxies take ({defaults}); shorten the name")),
    }
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
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::aead::Algorithm;
    use crate::cli::check::tests::{Checked, Folder, NOW};
    use crate::clock::Clock;
    use crate::keyring::{KeyRing, RingHandle};
    use crate::metrics::Metrics;
    use crate::seal::Sealer;
    use crate::secret::{AccessToken, CodeVerifier, IdToken, Nonce, State};
    use crate::session::cookies::{AFFINITY_COOKIE, RequestCookies};
    use crate::session::login_transaction::{LoginTransaction, Replaced};
    use crate::session::store::{ActiveSession, Sessions};
    use crate::session::tombstone::{self, Ended};
    use crate::session::{NewSession, ProviderId, Session, SessionId, StoredAccessToken};

    const MINUTE: Duration = Duration::from_secs(60);

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
    fn the_longest_name_still_fits_the_smallest_default() {
        let (verdict, message) = budget(DEFAULT_NAME);
        assert_eq!(verdict, Verdict::Ok);
        assert!(message.contains("about 7,000") && message.contains("1,182 are left"), "{message}");
        assert!(message.contains("nginx takes 8,182, HAProxy takes 15,236, Node takes 16,356"), "{message}");
        assert_eq!(budget(&"n".repeat(64)).0, Verdict::Ok);
        assert_eq!(budget(&"n".repeat(1_000)).0, Verdict::Warning);
    }

    /// Activity, a full tombstone, affinity, and one login from a page of an ordinary address.
    #[test]
    fn the_other_cookies_are_no_longer_than_estimated() {
        let (sessions, clock) = sessions();
        let mut field = String::new();
        for _ in 0..tombstone::MAX_ENTRIES {
            let ended = Ended::from(&session());
            let cookies = RequestCookies::parse([field.as_bytes()], sessions.names());
            field = pair(&sessions.bury(ended, &cookies).expect("a key"));
        }
        let active = ActiveSession { session: Arc::new(session()), last_seen: NOW, cookie_characters: 0 };
        clock.advance(MINUTE * 30);
        let random = || "x".repeat(43);
        let login = LoginTransaction {
            state: State::new(random()),
            nonce: Nonce::new(random()),
            verifier: CodeVerifier::new(random()),
            return_url: "/inbox/archive?from=2026-11-01&page=2".into(),
            started_at: NOW,
            provider: session().provider,
            replaces: Some(Replaced { ended: Ended::from(&session()), chunks: 2 }),
        };
        let mut lines = sessions.begin_login(&login, &RequestCookies::default()).expect("a key");
        lines.extend(sessions.touch(&active));
        let affinity = format!("{AFFINITY_COOKIE}={}", session().sid.affinity());
        let characters = lines.iter().map(|line| pair(line)).chain([field, affinity]).map(|pair| pair.len() + 2);
        let characters: usize = characters.sum();
        assert!((OTHER_COOKIES / 2..=OTHER_COOKIES).contains(&characters), "{characters}");
    }

    /// Name and value of a `Set-Cookie` line.
    fn pair(line: &str) -> String {
        line.split(';').next().unwrap_or_default().to_owned()
    }

    fn session() -> Session {
        let access_token = StoredAccessToken::new(AccessToken::new("a"), NOW, NOW.plus(MINUTE), None);
        let new = NewSession {
            provider: ProviderId { issuer: "https://login.example.com".into(), client_id: "spa-bff".into() },
            absolute_end: NOW.plus(MINUTE * 480),
            access_token,
            refresh_token: None,
            id_token: IdToken::new("a.b.c"),
        };
        Session::begin(SessionId::random().expect("randomness"), new, NOW)
    }

    fn sessions() -> (Sessions, Clock) {
        let ring = KeyRing::generate(Algorithm::default(), MINUTE, MINUTE * 480, NOW).expect("valid settings");
        let clock = Clock::manual(NOW);
        let origin = "https://app.example.com".parse().expect("an origin");
        let sealer = Sealer::new(RingHandle::fixed(ring), origin, clock.clone(), Metrics::default());
        let settings = Folder::new("").loaded().config.session;
        let names = CookieNames::new(DEFAULT_NAME, true);
        let sessions = Sessions::new(sealer, names, settings, session().provider, clock.clone(), MINUTE);
        (sessions, clock)
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
