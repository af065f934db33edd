//! What authorization requests say, and how they and their answers go.

use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::super::leaf::Leaf;
use super::super::reader::Reader;
use super::super::values;
use crate::oidc::{AuthorizationSettings, OWN_PARAMETERS, PushedRequests, ResponseMode};

/// No user stays signed in anywhere for longer.
const LONGEST_MAX_AGE: Duration = values::MAX_COOKIE_AGE;
/// Parameters that have a key of their own, which knows more about them.
const KEYS_OF_THEIR_OWN: &[&str] = &["acr_values", "audience", "claims", "max_age", "prompt", "resource", "ui_locales"];

/// The keys that belong together.
pub(super) struct RawAuthorization {
    pub(super) pushed: Option<Leaf>,
    pub(super) response_mode: Option<Leaf>,
    pub(super) prompt: Option<Leaf>,
    pub(super) max_age: Option<Leaf>,
    pub(super) acr_values: Option<Leaf>,
    pub(super) ui_locales: Option<Leaf>,
    pub(super) claims: Option<Leaf>,
    pub(super) resource: Option<Leaf>,
    pub(super) audience: Option<Leaf>,
    pub(super) parameters: Option<Leaf>,
}

pub(super) fn parse(raw: RawAuthorization, reader: &mut Reader<'_>) -> Option<AuthorizationSettings> {
    let pushed = reader.value("provider.pushed_authorization_requests", raw.pushed, |leaf| {
        values::choice(
            leaf,
            &[("auto", PushedRequests::Auto), ("always", PushedRequests::Always), ("never", PushedRequests::Never)],
        )
    });
    let response_mode = reader.value("provider.response_mode", raw.response_mode, |leaf| {
        values::choice(leaf, &[("query", ResponseMode::Query), ("form_post", ResponseMode::FormPost)])
    });
    let prompt = reader.optional("provider.prompt", raw.prompt, prompt);
    let max_age = reader.optional("provider.max_age", raw.max_age, max_age);
    let acr_values = reader.list("provider.acr_values", raw.acr_values, one_word);
    let ui_locales = reader.list("provider.ui_locales", raw.ui_locales, one_word);
    let claims = reader.optional("provider.claims", raw.claims, claims);
    let resources = reader.list("provider.resource", raw.resource, resource);
    let audience = reader.optional("provider.audience", raw.audience, values::text);
    let further = further(raw.parameters, reader);

    let joined = |words: Vec<String>| Some(words.join(" ")).filter(|text| !text.is_empty());
    let named = [
        ("prompt", prompt?),
        ("acr_values", joined(acr_values?)),
        ("ui_locales", joined(ui_locales?)),
        ("claims", claims?),
        ("audience", audience?),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Some(AuthorizationSettings {
        pushed: pushed?,
        response_mode: response_mode?,
        max_age: max_age?,
        resources: resources?,
        of_routes: Vec::new(),
        parameters: named.chain(further?).collect(),
    })
}

/// OpenID Connect Core §3.1.2.1: words with a space between. A fixed `none` would keep everybody out who is not signed
/// in at the provider already.
fn prompt(leaf: &Leaf) -> Result<String, String> {
    let text = values::text(leaf)?;
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    if words.contains(&"none") {
        return Err("\"none\" would let nobody sign in; leave it to the links of silent logins".to_owned());
    }
    Ok(words.join(" "))
}

fn max_age(leaf: &Leaf) -> Result<Duration, String> {
    let duration = values::duration(leaf)?;
    if duration.subsec_nanos() != 0 {
        return Err("must be in whole seconds".to_owned());
    }
    values::at_most(duration, LONGEST_MAX_AGE)
}

/// An element of a list that is sent with spaces between.
fn one_word(leaf: &Leaf) -> Result<String, String> {
    let text = values::text(leaf)?;
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text);
    }
    Err(format!("{text:?} is not one word in visible ASCII; write each as an element of its own"))
}

/// OpenID Connect Core §5.5: an object, whose known members are objects again.
fn claims(leaf: &Leaf) -> Result<String, String> {
    const EXAMPLE: &str = r#"write it as in '{"id_token": {"acr": null}}'"#;
    let text = values::text(leaf)?;
    let object: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| format!("is not a JSON object ({error}); {EXAMPLE}"))?;
    let misplaced =
        ["id_token", "userinfo"].into_iter().find(|name| object.get(*name).is_some_and(|of| !of.is_object()));
    match misplaced {
        Some(name) => Err(format!("has a member {name} that is not an object; {EXAMPLE}")),
        None => Ok(Value::Object(object).to_string()),
    }
}

/// RFC 8707 §2: absolute, without fragment.
pub(in crate::config) fn resource(leaf: &Leaf) -> Result<String, String> {
    let text = values::text(leaf)?;
    let is_absolute = Url::parse(&text).is_ok() && text.bytes().all(|byte| byte.is_ascii_graphic());
    match (is_absolute, text.contains('#')) {
        (true, false) => Ok(text),
        (true, true) => Err(format!("{text:?} has a fragment, which a resource must not; leave it out")),
        (false, _) => Err(format!("{text:?} is not an absolute URI such as https://api.example.com")),
    }
}

/// Parameters with names of the operator's own choice.
fn further(leaf: Option<Leaf>, reader: &mut Reader<'_>) -> Option<Vec<(String, String)>> {
    const KEY: &str = "provider.authorization_parameters";
    let table = reader.table(KEY, leaf)?;
    let read: Vec<_> = table
        .into_iter()
        .map(|(name, value)| {
            let key = format!("{KEY}.{name}");
            let known = reader.value(&key, Some(Leaf::Text(name)), parameter_name);
            let value = reader.value(&key, Some(value), values::text);
            known.zip(value)
        })
        .collect();
    read.into_iter().collect()
}

fn parameter_name(leaf: &Leaf) -> Result<String, String> {
    let name = values::text(leaf)?;
    if OWN_PARAMETERS.contains(&name.as_str()) {
        return Err("secures the flow, and Sealgate sets it itself; leave it out".to_owned());
    }
    if KEYS_OF_THEIR_OWN.contains(&name.as_str()) {
        return Err(format!("has a key of its own: write provider.{name}"));
    }
    is_name(&name).then_some(name).ok_or_else(|| "is not a parameter name".to_owned())
}

/// The name of a parameter that a login's link may bring.
pub(super) fn passthrough(leaf: &Leaf) -> Result<String, String> {
    let name = values::text(leaf)?;
    if OWN_PARAMETERS.contains(&name.as_str()) || name == "returnUrl" {
        return Err(format!("{name:?} must not come from a link: it secures the flow; leave it out"));
    }
    if name == "resource" {
        return Err(
            "\"resource\" must not come from a link: code and refresh requests repeat it; write provider.resource"
                .to_owned(),
        );
    }
    if is_name(&name) { Ok(name) } else { Err(format!("{name:?} is not a parameter name")) }
}

/// RFC 6749 appendix A: name-char.
fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}
