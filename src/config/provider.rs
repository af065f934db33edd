//! `[provider]`, typed.

pub(super) mod authorization;
mod client;

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use self::authorization::RawAuthorization;
use self::client::RawClient;
use super::leaf::Leaf;
use super::raw::RawProvider;
use super::reader::{Reader, readable};
use super::{provider_kind, values};
use crate::oidc::{LoginLimits, ProviderSettings, ResponseMode, UserInfoUse};
use crate::origin::PublicOrigin;

/// Signature algorithms that can be verified with a provider's public key, and that the JWT library knows.
const ASYMMETRIC_ALGORITHMS: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// More than this is no skew but a wrong clock.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(10 * 60);

pub(super) fn parse(mut raw: RawProvider, reader: &mut Reader<'_>) -> Option<ProviderSettings> {
    let particulars = provider_kind::parse(&mut raw, reader);
    let issuer = reader.value("provider.issuer", raw.issuer, values::issuer);
    let client_id = reader.value("provider.client_id", raw.client_id, client_id);
    let client = RawClient {
        method: raw.client_auth,
        secret: raw.client_secret,
        secret_file: raw.client_secret_file,
        key_file: raw.client_key_file,
        key_id: raw.client_key_id,
        algorithm: raw.client_assertion_algorithm,
        audience: raw.client_assertion_audience,
    };
    let client_auth = client::parse(client, reader);
    let scopes =
        reader.list("provider.scopes", raw.scopes, values::scope).and_then(|scopes| with_openid(scopes, reader));
    let authorization = RawAuthorization {
        pushed: raw.pushed_authorization_requests,
        response_mode: raw.response_mode,
        prompt: raw.prompt,
        max_age: raw.max_age,
        acr_values: raw.acr_values,
        ui_locales: raw.ui_locales,
        claims: raw.claims,
        resource: raw.resource,
        audience: raw.audience,
        parameters: raw.authorization_parameters,
    };
    let authorization = authorization::parse(authorization, reader);
    let ca_file = reader.optional("provider.ca_file", raw.ca_file, |leaf| readable(values::path(leaf)?, certificates));
    let clock_skew = reader.value("provider.clock_skew", raw.clock_skew, clock_skew);
    let request_timeout = reader.value("provider.request_timeout", raw.request_timeout, values::positive_duration);
    let default_access_token_lifetime =
        reader.value("provider.default_access_token_lifetime", raw.default_access_token_lifetime, |leaf| {
            values::seconds(leaf, values::MAX_COOKIE_AGE)
        });
    let id_token_algorithms = reader
        .list("provider.id_token_algorithms", raw.id_token_algorithms, algorithm)
        .and_then(|algorithms| at_least_one(algorithms, reader));
    let trusted_audiences = reader.list("provider.trusted_audiences", raw.trusted_audiences, values::text);
    let userinfo = reader.value("provider.userinfo", raw.userinfo, userinfo_use);
    let passthrough_parameters =
        reader.list("provider.passthrough_parameters", raw.passthrough_parameters, authorization::passthrough);
    let allowed_groups = reader.list("provider.allowed_groups", raw.allowed_groups, values::text);
    let allowed_email_domains = reader.list("provider.allowed_email_domains", raw.allowed_email_domains, email_domain);
    let allowed_tenants = reader.list("provider.allowed_tenants", raw.allowed_tenants, provider_kind::tenant);
    let groups_claim = reader.value("provider.groups_claim", raw.groups_claim, values::text);
    let login_limits = || {
        Some(LoginLimits {
            allowed_groups: allowed_groups?,
            groups_claim: groups_claim?,
            allowed_email_domains: allowed_email_domains?,
            allowed_tenants: allowed_tenants?,
        })
    };
    let login_limits = login_limits();
    let settings = ProviderSettings {
        issuer: issuer?,
        client_id: client_id?,
        client_auth: client_auth?,
        scopes: scopes?,
        authorization: authorization?,
        ca_file: ca_file?,
        clock_skew: clock_skew?,
        request_timeout: request_timeout?,
        default_access_token_lifetime: default_access_token_lifetime?,
        id_token_algorithms: id_token_algorithms?,
        trusted_audiences: trusted_audiences?,
        userinfo: userinfo?,
        passthrough_parameters: passthrough_parameters?,
        login_limits: login_limits?,
        particulars: particulars?,
    };
    provider_kind::check(&settings, reader);
    Some(settings)
}

/// A form that another site posts brings `SameSite=None` cookies alone, and browsers keep those over https only.
pub(super) fn check_response_mode(provider: &ProviderSettings, public_url: &PublicOrigin, reader: &mut Reader<'_>) {
    if provider.authorization.response_mode == ResponseMode::FormPost && !public_url.is_https() {
        let problem =
            format!("\"form_post\" needs cookies that browsers keep over https only, and {public_url} is http");
        reader.error("provider.response_mode", format!("{problem}; write \"query\", or use https"));
    }
}

/// More than ten minutes is no skew.
pub(super) fn clock_skew(leaf: &Leaf) -> Result<Duration, String> {
    values::at_most(values::duration(leaf)?, MAX_CLOCK_SKEW)
}

/// RFC 6749 appendix A.1: visible ASCII and spaces.
pub(super) fn client_id(leaf: &Leaf) -> Result<String, String> {
    let text = values::text(leaf)?;
    if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Ok(text);
    }
    Err(format!("{text:?} has characters outside visible ASCII"))
}

fn userinfo_use(leaf: &Leaf) -> Result<UserInfoUse, String> {
    values::choice(leaf, &[("never", UserInfoUse::Never), ("login", UserInfoUse::Login)])
}

fn with_openid(scopes: Vec<String>, reader: &mut Reader<'_>) -> Option<Vec<String>> {
    if scopes.iter().any(|scope| scope == "openid") {
        return Some(scopes);
    }
    reader.error("provider.scopes", "lacks \"openid\", without which there is no login; add it");
    None
}

/// RFC 8725 §3.2, §2.1: symmetric algorithms and `none` would let whoever knows public data make tokens.
pub(super) fn algorithm(leaf: &Leaf) -> Result<String, String> {
    let text = values::text(leaf)?;
    if ASYMMETRIC_ALGORITHMS.contains(&text.as_str()) {
        return Ok(text);
    }
    if text.eq_ignore_ascii_case("none") || text.starts_with("HS") {
        return Err(format!("{text:?} is refused: a token must be signed with a key that only the provider has"));
    }
    Err(format!("{text:?} is not one of {}", ASYMMETRIC_ALGORITHMS.join(", ")))
}

fn at_least_one(algorithms: Vec<String>, reader: &mut Reader<'_>) -> Option<Vec<String>> {
    if algorithms.is_empty() {
        reader.error("provider.id_token_algorithms", "is empty, so that no ID token could pass; name one at least");
        return None;
    }
    Some(algorithms)
}

/// A whole domain in lower case; the comparison is exact.
fn email_domain(leaf: &Leaf) -> Result<String, String> {
    let text = values::text(leaf)?;
    let domain = text.to_ascii_lowercase();
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || !byte.is_ascii())
    };
    if domain.split('.').all(is_label) {
        return Ok(domain);
    }
    Err(format!("{text:?} is not a domain; write it as in \"example.com\", without @ and *"))
}

pub(super) fn certificates(content: &[u8]) -> Result<(), String> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    match parsed {
        Ok(certificates) if !certificates.is_empty() => Ok(()),
        Ok(_) => Err("holds no certificate in PEM form".to_owned()),
        Err(error) => Err(format!("is not valid PEM: {error}")),
    }
}
