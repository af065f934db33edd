//! `[[routes.issuers]]`, typed.

use std::time::Duration;

use url::Url;

use super::wanted::required_claims;
use crate::config::leaf::Leaf;
use crate::config::provider::{algorithm, certificates, client_id};
use crate::config::raw::RawIssuer;
use crate::config::reader::{Reader, readable};
use crate::config::values;
use crate::oidc::{IntrospectionSettings, TokenIssuerSettings};

/// An answer that is older says little about whether a token was revoked.
const LONGEST_CACHE: Duration = Duration::from_secs(3600);

/// Reads the issuers of the route at `route` (`routes[0]`).
pub(super) fn parse(route: &str, raw: Vec<RawIssuer>, reader: &mut Reader<'_>) -> Option<Vec<TokenIssuerSettings>> {
    let parsed: Vec<_> = raw
        .into_iter()
        .enumerate()
        .map(|(index, raw)| issuer(&format!("{route}.issuers[{index}]"), raw, reader))
        .collect();
    let issuers: Vec<TokenIssuerSettings> = parsed.into_iter().collect::<Option<_>>()?;
    for (index, issuer) in issuers.iter().enumerate() {
        let key = |name: &str| format!("{route}.issuers[{index}].{name}");
        if let Some(first) = issuers[..index].iter().position(|other| other.issuer == issuer.issuer) {
            reader.error(&key("issuer"), format!("{:?} is that of issuers[{first}] too; remove one", issuer.issuer));
        }
        let asks = |issuer: &TokenIssuerSettings| issuer.introspection.is_some();
        if asks(issuer) && issuers[..index].iter().any(asks) {
            reader.error(
                &key("introspection"),
                "is on for another issuer of the route too; nobody could tell whose an opaque token is, so keep one",
            );
        }
    }
    Some(issuers)
}

fn issuer(path: &str, mut raw: RawIssuer, reader: &mut Reader<'_>) -> Option<TokenIssuerSettings> {
    let key = |name: &str| format!("{path}.{name}");
    let issuer = reader.value(&key("issuer"), raw.issuer.take(), values::issuer);
    let audience = reader.list(&key("audience"), raw.audience.take(), values::text);
    let algorithms = reader.list(&key("algorithms"), raw.algorithms.take(), algorithm).and_then(|algorithms| {
        if algorithms.is_empty() {
            reader.error(&key("algorithms"), "is empty, so that no token could pass; name one at least");
            return None;
        }
        Some(algorithms)
    });
    let required_scopes = reader.list(&key("required_scopes"), raw.required_scopes.take(), values::scope);
    let required_claims = required_claims(&key("required_claims"), raw.required_claims.take(), reader);
    let clock_skew = reader.value(&key("clock_skew"), raw.clock_skew.take(), crate::config::provider::clock_skew);
    let jwks_uri = reader.optional(&key("jwks_uri"), raw.jwks_uri.take(), jwks_uri);
    let requires_type = reader.value(&key("require_at_jwt"), raw.require_at_jwt.take(), values::boolean);
    let ca_file =
        reader.optional(&key("ca_file"), raw.ca_file.take(), |leaf| readable(values::path(leaf)?, certificates));
    let introspection = introspection(path, raw, reader);
    let (audience, introspection) = (audience?, introspection?);
    check_audience(&key("audience"), &audience, introspection.is_some(), reader)?;
    Some(TokenIssuerSettings {
        issuer: issuer?,
        audience,
        algorithms: algorithms?,
        required_scopes: required_scopes?,
        required_claims: required_claims?,
        clock_skew: clock_skew?,
        jwks_uri: jwks_uri?,
        requires_type: requires_type?,
        ca_file: ca_file?,
        introspection,
    })
}

/// A token for somebody else must not pass (GHSA-wcvh-g65p-v576).
fn check_audience(key: &str, audience: &[String], is_introspected: bool, reader: &mut Reader<'_>) -> Option<()> {
    if !audience.is_empty() {
        return Some(());
    }
    if !is_introspected {
        reader.error(key, "is empty, so that no token could pass; name the audience of this API");
        return None;
    }
    reader.warning(key, "is empty: every active token of the issuer passes, also those for other APIs");
    Some(())
}

fn introspection(path: &str, raw: RawIssuer, reader: &mut Reader<'_>) -> Option<Option<IntrospectionSettings>> {
    let key = |name: &str| format!("{path}.{name}");
    let is_on = reader.value(&key("introspection"), raw.introspection, values::boolean);
    let cache = reader.value(&key("introspection_cache"), raw.introspection_cache, |leaf| {
        values::at_most(values::duration(leaf)?, LONGEST_CACHE)
    });
    if !is_on? {
        let credentials = [
            ("client_id", raw.client_id.is_some()),
            ("client_secret", raw.client_secret.is_some()),
            ("client_secret_file", raw.client_secret_file.is_some()),
        ];
        for (name, _) in credentials.iter().filter(|(_, is_set)| *is_set) {
            reader
                .warning(&key(name), "is for introspection, which is off; set introspection = true, or leave this out");
        }
        return Some(None);
    }
    if raw.client_id.is_none() {
        reader.error(&key("client_id"), "is missing; introspection needs a client at the issuer");
    }
    let client_id = reader.optional(&key("client_id"), raw.client_id, client_id);
    let client_secret = reader.secret(&key("client_secret"), raw.client_secret, raw.client_secret_file);
    Some(Some(IntrospectionSettings { client_id: client_id??, client_secret: client_secret?, cache: cache? }))
}

/// As an issuer's, but with a query where it has one.
fn jwks_uri(leaf: &Leaf) -> Result<Url, String> {
    let text = values::text(leaf)?;
    let url = Url::parse(&text).map_err(|_| format!("{text:?} is not an absolute URL"))?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let is_protected = url.scheme() == "https" || (url.scheme() == "http" && crate::origin::is_loopback(&url));
    if is_bare && is_protected {
        return Ok(url);
    }
    Err("must be https (or http on loopback), without user name and fragment".to_owned())
}
