//! `[routes.headers]` and `header_preset`, typed.

use std::collections::BTreeMap;

use http::HeaderName;

use super::rules::ClaimNames;
use crate::config::leaf::Leaf;
use crate::config::reader::Reader;
use crate::config::values;
use crate::oidc::ClaimPath;
use crate::proxy::{HeaderPart, IdentityHeader, easy_auth};

/// Sets of headers that upstreams may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeaderPreset {
    Oauth2Proxy,
    EasyAuth,
    /// No headers, where otherwise there would be some.
    Nothing,
}

/// What the headers are made with.
pub(in crate::config) struct Known<'a> {
    /// Where groups and roles are.
    pub(in crate::config) claims: &'a ClaimNames,
    /// What Easy Auth calls the provider.
    pub(in crate::config) easy_auth: &'a str,
    /// Whether a route has Easy Auth's headers unless it says otherwise.
    pub(in crate::config) by_default: bool,
}

/// Headers that mean something else, beside those for one connection.
const RESERVED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "max-forwards",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "traceparent",
    "tracestate",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-forwarded-proto",
];

/// Reads the headers of the route at `route` (`routes[0]`), or of `forward_auth`; those that it names itself come over the preset's.
pub(in crate::config) fn parse(
    route: &str,
    preset: Option<Leaf>,
    headers: Option<Leaf>,
    known: &Known<'_>,
    reader: &mut Reader<'_>,
) -> Option<Vec<IdentityHeader>> {
    let preset = reader.optional(&format!("{route}.header_preset"), preset, |leaf| {
        let presets = [
            ("oauth2-proxy", HeaderPreset::Oauth2Proxy),
            ("easyauth", HeaderPreset::EasyAuth),
            ("none", HeaderPreset::Nothing),
        ];
        values::choice(leaf, &presets)
    });
    let own = named(&format!("{route}.headers"), headers, reader);
    let (preset, mut headers) = (preset?, own?);
    let preset = preset.or(known.by_default.then_some(HeaderPreset::EasyAuth));
    for header in preset.map(|preset| preset.headers(known)).unwrap_or_default() {
        if headers.iter().all(|own| own.name != header.name) {
            headers.push(header);
        }
    }
    Some(headers)
}

fn named(key: &str, headers: Option<Leaf>, reader: &mut Reader<'_>) -> Option<Vec<IdentityHeader>> {
    let table: BTreeMap<String, Leaf> = reader.table(key, headers)?;
    let parsed: Vec<_> = table
        .into_iter()
        .map(|(name, leaf)| {
            let key = format!("{key}.{name}");
            let parts = reader.value(&key, Some(leaf), template);
            let name = header_name(&name).map_err(|message| reader.error(&key, message)).ok();
            Some(IdentityHeader { name: name?, parts: parts? })
        })
        .collect();
    let headers: Vec<IdentityHeader> = parsed.into_iter().collect::<Option<_>>()?;
    let spelling = |header: &IdentityHeader| header.name.as_str().replace('_', "-");
    for (index, header) in headers.iter().enumerate() {
        if headers[..index].iter().any(|other| spelling(other) == spelling(header)) {
            reader.error(key, format!("{} is there twice; remove one", header.name));
        }
    }
    Some(headers)
}

/// A header of the operator's choice that says something of the user.
pub(in crate::config) fn header_name(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("{text:?} is not a header name"))?;
    if RESERVED.contains(&name.as_str().replace('_', "-").as_str()) {
        return Err(format!("{text:?} means something else to upstreams; take a name of your own"));
    }
    Ok(name)
}

/// Text with claims in braces: `user={sub}`.
fn template(leaf: &Leaf) -> Result<Vec<HeaderPart>, String> {
    let text = values::text(leaf)?;
    if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(format!("{text:?} has characters outside visible ASCII"));
    }
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once('{') {
        let claim = behind.split_once('}').filter(|(name, _)| !name.is_empty() && !name.contains('{'));
        let Some((name, after)) = claim.filter(|_| !before.contains('}')) else {
            return Err(format!("{text:?} has braces that are not around a claim's name; write it as in \"{{sub}}\""));
        };
        if !before.is_empty() {
            parts.push(HeaderPart::Text(before.to_owned()));
        }
        parts.push(HeaderPart::Claim(vec![ClaimPath::new(name)]));
        rest = after;
    }
    if rest.contains('}') {
        return Err(format!("{text:?} has a brace that closes nothing; write claims as in \"{{sub}}\""));
    }
    if !rest.is_empty() {
        parts.push(HeaderPart::Text(rest.to_owned()));
    }
    Ok(parts)
}

impl HeaderPreset {
    fn headers(self, known: &Known<'_>) -> Vec<IdentityHeader> {
        let names = known.claims;
        let claims = |paths: &[&str]| HeaderPart::Claim(paths.iter().map(|path| ClaimPath::new(*path)).collect());
        let header =
            |name: &'static str, part| IdentityHeader { name: HeaderName::from_static(name), parts: vec![part] };
        match self {
            Self::Oauth2Proxy => vec![
                header("x-forwarded-user", claims(&["sub"])),
                header("x-forwarded-email", claims(&["email"])),
                header("x-forwarded-groups", claims(&[&names.groups])),
                header("x-forwarded-preferred-username", claims(&["preferred_username"])),
                header("x-forwarded-access-token", HeaderPart::AccessToken),
                header("x-auth-request-user", claims(&["sub"])),
                header("x-auth-request-email", claims(&["email"])),
                header("x-auth-request-groups", claims(&[&names.groups])),
                header("x-auth-request-preferred-username", claims(&["preferred_username"])),
                header("x-auth-request-access-token", HeaderPart::AccessToken),
            ],
            Self::EasyAuth => easy_auth_headers(known),
            Self::Nothing => Vec::new(),
        }
    }
}

/// Azure App Service, "Work with user identities" and "Work with OAuth tokens". Its X-MS-TOKEN-<NAME>-REFRESH-TOKEN is not
/// among them: a refresh token that upstreams have can be used up behind our back, and outlives the session.
fn easy_auth_headers(known: &Known<'_>) -> Vec<IdentityHeader> {
    let provider = known.easy_auth;
    let text = |text: &str| HeaderPart::Text(text.to_owned());
    let header = |name: &str, part| {
        // The provider's name is letters, digits and dashes.
        HeaderName::try_from(name).ok().map(|name| IdentityHeader { name, parts: vec![part] })
    };
    let token = |kind: &str, part| header(&format!("x-ms-token-{provider}-{kind}"), part);
    let principal =
        HeaderPart::ClientPrincipal { provider: provider.to_owned(), roles: ClaimPath::new(&known.claims.roles) };
    let headers = [
        header("x-ms-client-principal", principal),
        header("x-ms-client-principal-id", HeaderPart::Claim(easy_auth::user_id_claims())),
        header("x-ms-client-principal-name", HeaderPart::Claim(easy_auth::user_name_claims())),
        header("x-ms-client-principal-idp", text(provider)),
        token("access-token", HeaderPart::AccessToken),
        token("id-token", HeaderPart::IdToken),
        token("expires-on", HeaderPart::ExpiresOn),
    ];
    headers.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Result<Vec<HeaderPart>, String> {
        template(&Leaf::Text(text.to_owned()))
    }

    #[test]
    fn a_template_is_text_with_claims_in_braces() {
        let text = |text: &str| HeaderPart::Text(text.to_owned());
        let claim = |path: &str| HeaderPart::Claim(vec![ClaimPath::new(path)]);
        assert_eq!(parts("{sub}"), Ok(vec![claim("sub")]));
        assert_eq!(
            parts("user={sub};roles={realm_access.roles}."),
            Ok(vec![text("user="), claim("sub"), text(";roles="), claim("realm_access.roles"), text(".")])
        );
        assert_eq!(parts("internal"), Ok(vec![text("internal")]));
        for bad in ["{}", "{sub", "sub}", "{a{b}}", "{a}}", "}{", "ä"] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_header_that_means_something_else_is_refused_in_every_spelling() {
        for bad in ["Authorization", "X-Forwarded-For", "x_forwarded_for", "Cookie", "a b", ""] {
            assert!(header_name(bad).is_err(), "{bad}");
        }
        for good in ["X-User", "x_user", "X-Forwarded-User", "Remote-User"] {
            assert!(header_name(good).is_ok(), "{good}");
        }
    }
}
