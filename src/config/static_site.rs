//! `[static]`, `[security_headers]` and `[spa_settings]`, typed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Number, Value};

use super::leaf::Leaf;
use super::raw::{RawSecurityHeaders, RawStatic};
use super::reader::Reader;
use super::values;
use crate::origin::PublicOrigin;
use crate::web::security_headers::SecurityHeaderSettings;
use crate::web::static_site::StaticSettings;

/// Parts of names that a secret might have.
const SECRET_NAMES: [&str; 5] = ["secret", "password", "passwd", "private_key", "privatekey"];

pub(super) fn parse(
    raw: Option<RawStatic>,
    public_url: Option<&PublicOrigin>,
    reader: &mut Reader<'_>,
) -> Option<Option<StaticSettings>> {
    let Some(raw) = raw else { return Some(None) };
    let immutable_paths = reader.list("static.immutable_paths", raw.immutable_paths, values::whole_path);
    let dev_server = reader.optional("static.dev_server", raw.dev_server, values::upstream)?;
    if let Some(address) = dev_server {
        if public_url.is_some_and(|origin| !origin.is_loopback()) {
            reader.error(
                "static.dev_server",
                "is for development, and the site's public_url is not on loopback; build the app and set static.root",
            );
            return None;
        }
        reader
            .warning("static.dev_server", "takes the app from a dev server; build it and set static.root to deploy it");
        return Some(Some(StaticSettings::DevServer(address)));
    }
    let root = reader.value("static.root", raw.root, static_root);
    Some(Some(StaticSettings::Folder { root: root?, immutable_paths: immutable_paths? }))
}

fn static_root(leaf: &Leaf) -> Result<PathBuf, String> {
    let root = values::path(leaf)?;
    if !root.is_dir() {
        return Err(format!("{} is not a folder; build the app first, or name its folder", root.display()));
    }
    if !root.join("index.html").is_file() {
        return Err(format!("{} has no index.html; name the folder of the built app", root.display()));
    }
    Ok(root)
}

pub(super) fn security_headers(raw: RawSecurityHeaders, reader: &mut Reader<'_>) -> Option<SecurityHeaderSettings> {
    let mut value = |name: &str, leaf| reader.value(&format!("security_headers.{name}"), leaf, field_or_nothing);
    let content_security_policy = value("content_security_policy", raw.content_security_policy);
    let strict_transport_security = value("strict_transport_security", raw.strict_transport_security);
    let others = [
        ("referrer-policy", value("referrer_policy", raw.referrer_policy)),
        ("permissions-policy", value("permissions_policy", raw.permissions_policy)),
        ("cross-origin-opener-policy", value("cross_origin_opener_policy", raw.cross_origin_opener_policy)),
        ("cross-origin-resource-policy", value("cross_origin_resource_policy", raw.cross_origin_resource_policy)),
        ("x-content-type-options", value("x_content_type_options", raw.x_content_type_options)),
    ];
    let others: Option<Vec<_>> = others.into_iter().map(|(name, value)| Some((name.to_owned(), value?))).collect();
    Some(SecurityHeaderSettings {
        content_security_policy: content_security_policy?,
        strict_transport_security: strict_transport_security?,
        others: others?,
    })
}

/// A field's value; an empty one stands for no field.
fn field_or_nothing(leaf: &Leaf) -> Result<String, String> {
    match leaf {
        Leaf::Text(text) | Leaf::Untyped(text) if text.trim().is_empty() => Ok(String::new()),
        leaf => {
            let text = values::text(leaf)?;
            let is_value = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
            if is_value { Ok(text) } else { Err(format!("{text:?} has characters outside visible ASCII")) }
        }
    }
}

pub(super) fn spa_settings(raw: BTreeMap<String, Leaf>, reader: &mut Reader<'_>) -> Option<Map<String, Value>> {
    let mut settings = Map::new();
    let mut is_whole = true;
    for (name, leaf) in raw {
        let key = format!("spa_settings.{name}");
        if SECRET_NAMES.iter().any(|secret| name.to_ascii_lowercase().contains(secret)) {
            reader.warning(&key, "is public, and its name is a secret's; take it out if it is one");
        }
        match reader.value(&key, Some(leaf), public_value) {
            Some(value) => drop(settings.insert(name, value)),
            None => is_whole = false,
        }
    }
    is_whole.then_some(settings)
}

fn public_value(leaf: &Leaf) -> Result<Value, String> {
    match leaf {
        Leaf::Boolean(value) => Ok((*value).into()),
        Leaf::Integer(value) => Ok((*value).into()),
        Leaf::Float(value) => {
            Number::from_f64(*value).map(Value::Number).ok_or_else(|| "is not a finite number".into())
        }
        Leaf::Text(text) => Ok(text.as_str().into()),
        // In the environment everything is text: what reads as a boolean or a number is one.
        Leaf::Untyped(text) => Ok(match (text.parse::<bool>(), text.parse::<Number>()) {
            (Ok(value), _) => value.into(),
            (_, Ok(number)) => number.into(),
            _ => text.as_str().into(),
        }),
        other => Err(format!("must be a string, a number or a boolean, not {}", other.kind())),
    }
}
