//! Finds our cookies among others, and says of each what can be known with or without the keys.
//!
//! Must never decide anything: whether a request is signed in is asked of the very code that serves it.

use std::path::Path;

use super::CookieError;
use super::report::{CookieReport, Report};
use crate::clock::{Clock, UnixTime};
use crate::config::SiteConfig;
use crate::keyring::{KeyId, KeyRing, KeyState, RingFile, RingFileError, RingHandle};
use crate::metrics::Metrics;
use crate::origin::PublicOrigin;
use crate::seal::{Envelope, OpenError, Purpose, Sealer};
use crate::session::ProviderId;
use crate::session::cookies::{CookieNames, RequestCookies};
use crate::session::inspect::{Contents, Found, Kind, find};
use crate::session::store::Sessions;

const DEFAULT_NAME: &str = "__Host-sealgate";

/// The names to look for, and the keys where there are any.
pub(super) struct Bench {
    names: Vec<CookieNames>,
    keys: Option<Keys>,
}

/// What opens cookies as `serve` does with the same configuration.
struct Keys {
    ring: KeyRing,
    sealer: Sealer,
    sessions: Sessions,
    origin: PublicOrigin,
    clock: Clock,
}

impl Bench {
    /// Looks for the default names, with and without their prefix.
    pub(super) fn without_keys() -> Self {
        Self { names: [true, false].map(|https| CookieNames::new(DEFAULT_NAME, https)).into(), keys: None }
    }

    /// Looks for the site's name and opens what is found with the ring.
    pub(super) fn with_keys(ring: &Path, site: &SiteConfig, clock: Clock) -> Result<Self, RingFileError> {
        let ring = RingFile::new(ring).read()?;
        let origin = site.public_url.clone();
        let names = CookieNames::new(&site.session.cookie_name, origin.is_https());
        let handle = RingHandle::fixed(ring.clone());
        let sealer = Sealer::new(handle, origin.clone(), clock.clone(), Metrics::default());
        let providers = site.providers.iter().map(|provider| ProviderId::from(&provider.settings)).collect();
        let skew = site.providers.iter().map(|provider| provider.settings.clock_skew).max().unwrap_or_default();
        let settings = site.session.clone();
        let sessions = Sessions::new(sealer.clone(), names.clone(), settings, providers, clock.clone(), skew);
        Ok(Self { names: vec![names], keys: Some(Keys { ring, sealer, sessions, origin, clock }) })
    }

    /// Describes the cookies of ours in `fields`.
    pub(super) fn inspect(&self, fields: &[String]) -> Result<Report, CookieError> {
        let pairs = fields.iter().flat_map(|field| field.split(';')).filter(|pair| pair.contains('=')).count();
        if pairs == 0 {
            return Err(CookieError::NoPair);
        }
        let mut cookies: Vec<CookieReport> = Vec::new();
        let mut session = None;
        for names in &self.names {
            let request = RequestCookies::parse(fields.iter().map(String::as_bytes), names);
            let affinity_is_known = cookies.iter().any(|cookie| cookie.kind == Kind::Affinity);
            let found = find(&request, names);
            // The affinity cookie has one name, whatever the others are called.
            let new = found.iter().filter(|found| !(found.kind == Kind::Affinity && affinity_is_known));
            cookies.extend(new.map(|found| self.describe(found, names)));
            session = self.keys.as_ref().map(|keys| keys.verdict(&request));
        }
        if cookies.is_empty() {
            return Err(self.none_of_ours(pairs));
        }
        Ok(Report { session, cookies })
    }

    fn none_of_ours(&self, cookies: usize) -> CookieError {
        let names: Vec<_> = self.names.iter().map(CookieNames::session).collect();
        let remedy = match self.keys {
            Some(_) => {
                "see that session.cookie_name and server.public_url are those that the browser was signed in under"
            }
            None => "if session.cookie_name is configured, name the configuration with --config",
        };
        CookieError::NoneOfOurs { cookies, names: names.join(" or "), remedy }
    }

    fn describe(&self, found: &Found<'_>, names: &CookieNames) -> CookieReport {
        let mut report = CookieReport {
            name: found.name.to_owned(),
            kind: found.kind,
            version: None,
            kid: None,
            key_state: None,
            chunks: found.chunks,
            characters: found.characters,
            bytes: None,
            opens: None,
            problem: None,
            contents: None,
        };
        let value = match &found.value {
            Ok(value) => value,
            Err(damage) => {
                report.problem = Some(damage.to_string());
                return report;
            }
        };
        let Some((purpose, base_name)) = found.kind.sealed_for(names) else {
            if found.kind == Kind::Unknown {
                report.problem = Some("its name is like ours and not known to this release".to_owned());
            }
            return report;
        };
        match Envelope::read(value) {
            Ok(Envelope { version, kid, bytes }) => {
                (report.version, report.kid, report.bytes) = (Some(version), Some(kid), Some(bytes));
            }
            Err(error) => report.problem = Some(error.to_string()),
        }
        if let Some(keys) = &self.keys {
            keys.open(&mut report, purpose, base_name, value);
        }
        report
    }
}

impl Keys {
    fn open(&self, report: &mut CookieReport, purpose: Purpose, base_name: &str, value: &str) {
        let now = self.clock.now();
        report.key_state = report.kid.and_then(|kid| self.state(kid, now));
        let opened = self.sealer.open(purpose, base_name, value);
        report.opens = Some(opened.is_ok());
        match opened.map(|plaintext| Contents::read(purpose, plaintext)) {
            Ok(Ok(contents)) => report.contents = Some(contents),
            Ok(Err(error)) => {
                report.problem = Some(format!("it opens, but {error}: another release may have sealed it"))
            }
            // The envelope says more about what is malformed.
            Err(OpenError::Malformed) => {}
            Err(error) => report.problem = Some(self.why_not(error, base_name, now)),
        }
    }

    fn state(&self, kid: KeyId, now: UnixTime) -> Option<KeyState> {
        self.ring.states(now).find(|(record, _)| record.kid() == kid).map(|(_, state)| state)
    }

    fn why_not(&self, error: OpenError, base_name: &str, now: UnixTime) -> String {
        let record = |kid| self.ring.states(now).map(|(record, _)| record).find(|record| record.kid() == kid);
        let origin = &self.origin;
        match error {
            OpenError::UnknownKey(kid) => {
                format!("key {kid} is not in the ring: it was pruned, or the cookie is from another installation")
            }
            OpenError::RevokedKey(kid) => match record(kid).and_then(|record| record.revoked()) {
                Some(revoked) => format!("key {kid} was revoked at {revoked}"),
                None => format!("key {kid} was revoked"),
            },
            OpenError::ExpiredKey(kid) => match record(kid).and_then(|record| self.ring.opens_until(record)) {
                Some(end) => format!("key {kid} stopped opening at {end}: no session that it sealed can be alive"),
                None => format!("key {kid} no longer opens"),
            },
            _ => format!(
                "the key is there and the seal does not match: the value was changed, or it was sealed for another \
                 purpose, another cookie than {base_name}, or another site than {origin} (session.cookie_name or \
                 server.public_url may have changed)"
            ),
        }
    }

    /// What `serve` would make of the request.
    fn verdict(&self, request: &RequestCookies) -> String {
        match self.sessions.open(request) {
            Ok(active) => {
                let now = self.clock.now();
                let idle_end = active.last_seen.plus(self.sessions.settings().idle_timeout);
                let left = now.until(idle_end.min(active.session.absolute_end));
                format!("signed in, for {} without activity", humantime::format_duration(left))
            }
            Err(reason) => format!("signed out: {reason}"),
        }
    }
}
