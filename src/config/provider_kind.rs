//! The keys of `[provider]` that tell what kind of provider it is, and what follows from that.

use url::Url;

use super::leaf::Leaf;
use super::raw::RawProvider;
use super::reader::Reader;
use super::server::is_under;
use super::values;
use crate::oidc::{LogoutUrl, Particulars, Preset, ProviderSettings, is_shared_issuer, is_tenant_id};
use crate::origin::{PublicOrigin, is_loopback};
use crate::web::easy_auth;

/// Reads the particulars, and puts the preset's defaults where nothing else is said.
pub(super) fn parse(raw: &mut RawProvider, reader: &mut Reader<'_>) -> Option<Particulars> {
    let preset = reader.optional("provider.preset", raw.preset.take(), |leaf| values::choice(leaf, &Preset::ALL));
    if let Some(Some(preset)) = preset {
        complete(preset, raw);
    }
    let logout_url = reader.optional("provider.logout_url", raw.logout_url.take(), |leaf| {
        let text = values::text(leaf)?;
        LogoutUrl::parse(&text).map_err(|error| format!("{text:?} cannot be used: {error}"))
    });
    let back = reader.optional(POST_LOGOUT, raw.post_logout_redirect_uri.take(), redirect_uri);
    Some(Particulars { preset: preset?, logout_url: logout_url?, post_logout_redirect_uri: back? })
}

const POST_LOGOUT: &str = "provider.post_logout_redirect_uri";

/// RP-Initiated Logout §3.1: any address that was registered.
fn redirect_uri(leaf: &Leaf) -> Result<String, String> {
    let text = values::text(leaf)?;
    let url = Url::parse(&text).map_err(|_| format!("{text:?} is not an absolute URL"))?;
    let is_protected = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    if is_protected && url.fragment().is_none() && url.username().is_empty() && url.password().is_none() {
        return Ok(text);
    }
    Err(format!("{text:?} must be https (or http on loopback), without fragment and user name"))
}

fn complete(preset: Preset, raw: &mut RawProvider) {
    let text = |text: &str| Leaf::Text(text.to_owned());
    if raw.scopes.is_none() {
        raw.scopes = preset.scopes().map(|scopes| Leaf::List(scopes.iter().map(|scope| text(scope)).collect()));
    }
    if raw.groups_claim.is_none() {
        raw.groups_claim = preset.groups_claim().map(text);
    }
}

/// A tenant's identifier, a GUID; it is compared in lower case, as Entra ID writes it.
pub(super) fn tenant(leaf: &Leaf) -> Result<String, String> {
    let text = values::text(leaf)?;
    let lower = text.to_ascii_lowercase();
    if is_tenant_id(&lower) {
        return Ok(lower);
    }
    Err(format!("{text:?} is not a tenant ID; write it as in \"11111111-2222-3333-4444-555555555555\""))
}

/// What the preset's provider would refuse, or what would let in more than is meant.
pub(super) fn check(settings: &ProviderSettings, reader: &mut Reader<'_>) {
    let limits = &settings.login_limits;
    let shared = is_shared_issuer(&settings.issuer, settings.particulars.preset);
    if shared && limits.allowed_tenants.is_empty() {
        reader.warning(
            "provider.allowed_tenants",
            "is empty, and the issuer serves all organisations: everybody with an account at any of them can log in; \
             name those that may, or use your own tenant's issuer",
        );
    }
    if !limits.allowed_tenants.is_empty() && settings.particulars.preset != Some(Preset::Entra) {
        reader.warning("provider.allowed_tenants", "is set without preset = \"entra\"; other providers name no tenant");
    }
    let Some(preset) = settings.particulars.preset else { return };
    if preset.refuses_offline_access() && settings.scopes.iter().any(|scope| scope == "offline_access") {
        reader.error(
            "provider.scopes",
            "has \"offline_access\", which this provider refuses; leave it out, a refresh token comes all the same",
        );
    }
    if let Some(problem) = strange_issuer(preset, &settings.issuer) {
        reader.error("provider.issuer", format!("{:?} {problem}", settings.issuer));
    }
    if preset == Preset::Okta && !settings.issuer.contains("/oauth2/") && !is_local(&settings.issuer) {
        reader.warning(
            "provider.issuer",
            "is Okta's organisation server, whose access tokens no API but Okta's own can verify; for an API of yours \
             use a custom authorization server, such as https://your-org.okta.com/oauth2/default",
        );
    }
}

/// Where the provider's documentation says what its issuers look like, what is wrong with this one.
fn strange_issuer(preset: Preset, issuer: &str) -> Option<&'static str> {
    if is_local(issuer) {
        return None;
    }
    let fits = match preset {
        Preset::Entra => issuer.ends_with("/v2.0"),
        Preset::Google => issuer == "https://accounts.google.com",
        Preset::Keycloak => issuer.contains("/realms/"),
        Preset::Auth0 => issuer.ends_with('/'),
        Preset::Okta => !issuer.ends_with('/') && !issuer.contains("-admin.okta"),
        Preset::Cognito => issuer.starts_with("https://cognito-idp.") && !issuer.ends_with('/'),
    };
    if fits {
        return None;
    }
    Some(match preset {
        Preset::Entra => "is not an issuer of version 2; write https://login.microsoftonline.com/<tenant>/v2.0",
        Preset::Google => "is not Google's issuer; write https://accounts.google.com",
        Preset::Keycloak => "is not a realm; write https://<host>/realms/<realm>",
        Preset::Auth0 => "lacks the slash at its end, which Auth0's issuers have",
        Preset::Okta => "is not an issuer of Okta; write it without -admin and without a slash at the end",
        Preset::Cognito => "is not a user pool; write https://cognito-idp.<region>.amazonaws.com/<pool>",
    })
}

/// A stand-in for trying out has the quirks, but not the address.
fn is_local(issuer: &str) -> bool {
    Url::parse(issuer).is_ok_and(|url| is_loopback(&url))
}

/// An address under our prefix must be the endpoint that is there for it; and its provider must send `state` back.
pub(super) fn check_post_logout(
    settings: &ProviderSettings,
    (public_url, prefix): (&PublicOrigin, &str),
    easy_auth: bool,
    reader: &mut Reader<'_>,
) {
    let Some(back) = &settings.particulars.post_logout_redirect_uri else { return };
    let Some(path) = back.strip_prefix(public_url.as_str()) else { return };
    if easy_auth && is_under(path, easy_auth::PREFIX) {
        let complete = format!("{public_url}{}", easy_auth::LOGGED_OUT);
        if *back != complete {
            reader.error(POST_LOGOUT, format!("{back:?} is no endpoint for this; write {complete:?}"));
        }
        return;
    }
    if !is_under(path, prefix) {
        return;
    }
    let endpoint = format!("{public_url}{prefix}/logged-out");
    if *back != endpoint {
        return reader.error(POST_LOGOUT, format!("{back:?} is no endpoint for this; write {endpoint:?}"));
    }
    if settings.particulars.preset.is_some_and(|preset| !preset.returns_logout_state()) {
        reader.error(
            POST_LOGOUT,
            format!("{back:?} checks the state that comes back, and this provider sends none; name a page of the app"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::definitions;

    #[test]
    fn every_preset_is_named_in_the_reference() {
        let unit = definitions::find("provider.preset").expect("a key");
        for (name, _) in Preset::ALL {
            assert!(unit.unit.contains(&format!("{name:?}")), "{name}");
        }
    }
}
