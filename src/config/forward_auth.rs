//! `[forward_auth]`, typed.

use super::easy_auth::Compat;
use super::raw::RawForwardAuth;
use super::reader::Reader;
use super::routes::{ClaimNames, headers, rules};
use super::{identity_jwt, values};
use crate::proxy::{CsrfMode, HeaderPart};
use crate::secret::SecretString;
use crate::session::{SameSite, SessionSettings};
use crate::web::forward_auth::{AskingProxy, ForwardAuthSettings};

/// Nobody guesses as many characters, even of hexadecimal digits.
const SHORTEST_SECRET: usize = 32;

/// Reads the section, if it is there. `groups_claim` is the provider's, if it is known; `compat` is what others call it.
pub(super) fn parse(
    raw: Option<RawForwardAuth>,
    groups_claim: Option<&str>,
    compat: Option<&Compat>,
    reader: &mut Reader<'_>,
) -> Option<Option<ForwardAuthSettings>> {
    let Some(raw) = raw else { return Some(None) };
    let proxy = reader.value("forward_auth.proxy", raw.proxy, |leaf| {
        let proxies = [
            ("nginx", AskingProxy::Nginx),
            ("traefik", AskingProxy::Traefik),
            ("caddy", AskingProxy::Caddy),
            ("envoy", AskingProxy::Envoy),
        ];
        values::choice(leaf, &proxies)
    });
    let csrf = reader.value("forward_auth.csrf", raw.csrf, |leaf| {
        values::choice(leaf, &[("same_origin", CsrfMode::SameOrigin), ("page", CsrfMode::Page)])
    });
    let access_token = reader.value("forward_auth.access_token", raw.access_token, values::boolean);
    let forward_cookies = reader.value("forward_auth.forward_cookies", raw.forward_cookies, values::boolean);
    let groups = reader.optional("forward_auth.groups_claim", raw.groups_claim, values::text);
    let roles = reader.value("forward_auth.roles_claim", raw.roles_claim, values::text);
    let secret = reader.secret("forward_auth.secret", raw.secret, raw.secret_file);
    let secrets = secret.and_then(|secret| checked(&secret, reader));
    let names =
        ClaimNames { groups: groups?.unwrap_or_else(|| groups_claim.unwrap_or("groups").to_owned()), roles: roles? };
    let rules = rules::parse("forward_auth", raw.rules, &names, reader);
    let easy_auth = compat.map_or("aad", |compat| &compat.provider);
    let known = headers::Known { claims: &names, easy_auth, by_default: false };
    let headers = headers::parse("forward_auth", raw.header_preset, raw.headers, &known, reader);
    let signed_identity =
        identity_jwt::wanted("forward_auth", raw.identity_jwt, raw.identity_jwt_audience, None, reader);
    let (access_token, mut headers) = (access_token?, headers?);
    if !access_token {
        headers.retain(|header| !header.parts.iter().any(HeaderPart::is_token));
    }
    Some(Some(ForwardAuthSettings {
        proxy: proxy?,
        secrets: secrets?,
        csrf: csrf?,
        access_token,
        forward_cookies: forward_cookies?,
        rules: rules?,
        headers,
        signed_identity: signed_identity?,
    }))
}

/// The secrets, one a line.
fn checked(text: &SecretString, reader: &mut Reader<'_>) -> Option<Vec<SecretString>> {
    let lines: Vec<&str> = text.expose().lines().collect();
    let is_good = |line: &&str| line.len() >= SHORTEST_SECRET && line.bytes().all(|byte| byte.is_ascii_graphic());
    if !lines.iter().all(is_good) {
        reader.error(
            "forward_auth.secret",
            format!(
                "is shorter than {SHORTEST_SECRET} characters, or not all visible ASCII; make one with `openssl rand \
                 -hex 32`"
            ),
        );
        return None;
    }
    Some(lines.into_iter().map(SecretString::new).collect())
}

/// What the endpoint needs of the other sections.
pub(super) fn check(trusts_proxies: bool, session: &SessionSettings, reader: &mut Reader<'_>) {
    if session.same_site == SameSite::Strict {
        reader.error(
            "session.same_site",
            "is strict, but with [forward_auth] the login leads to a page that needs the session at once, and browsers \
             keep strict cookies back there, so that it would lead to the next login; set \"lax\"",
        );
    }
    if !trusts_proxies {
        reader.error(
            "server.trusted_proxies",
            "is empty, but with [forward_auth] only a proxy in it may ask; add the proxy's address",
        );
    }
}
