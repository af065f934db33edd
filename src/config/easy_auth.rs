//! `server.compat`, typed.

use super::leaf::Leaf;
use super::reader::Reader;
use super::server::{OwnPaths, is_under};
use super::values;
use crate::oidc::Preset;
use crate::web::easy_auth::{EasyAuth, PREFIX};

/// The provider's name in headers where nothing tells it.
const ENTRA: &str = "aad";

/// The keys as they were read.
pub(super) struct RawCompat {
    pub(super) compat: Option<Leaf>,
    pub(super) provider: Option<Leaf>,
}

/// What they mean.
#[derive(Clone)]
pub(super) struct Compat {
    /// Whose endpoints we have besides our own.
    pub(super) easy_auth: Option<EasyAuth>,
    /// The provider's name in Easy Auth's headers.
    pub(super) provider: String,
}

/// Reads them; `preset` is the provider's, if it is known. The other sort of header, `header_preset = "easyauth"`
/// without the endpoints, has Entra ID's names unless the provider is known for another.
pub(super) fn parse(raw: RawCompat, preset: Option<Preset>, reader: &mut Reader<'_>) -> Option<Compat> {
    let compat = reader
        .optional("server.compat", raw.compat, |leaf| values::choice(leaf, &[("easyauth", ())]))
        .map(|set| set.is_some());
    let provider = reader.optional("server.compat_provider", raw.provider, provider_name);
    let (compat, provider) = (compat?, provider?);
    let provider = provider.unwrap_or_else(|| {
        match preset {
            Some(Preset::Entra) => ENTRA,
            Some(Preset::Google) => "google",
            _ if compat => "oidc",
            _ => ENTRA,
        }
        .to_owned()
    });
    Some(Compat { easy_auth: compat.then(|| EasyAuth::new(&provider)), provider })
}

/// Our other paths must keep off Easy Auth's.
pub(super) fn check(own: &OwnPaths, reader: &mut Reader<'_>) {
    for (key, path) in [("server.prefix", &own.prefix), ("server.public_health_path", &own.public_health_path)] {
        if let Some(path) = path.as_ref().filter(|path| is_under(path, PREFIX)) {
            reader.error(
                key,
                format!("{path:?} lies under {PREFIX}, where server.compat has its endpoints; move it out"),
            );
        }
    }
}

/// It stands in a path and in names of headers. `done` is no provider: the page behind a login has that path.
fn provider_name(leaf: &Leaf) -> Result<String, String> {
    let text = values::text(leaf)?;
    let is_name = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_name && text.len() <= 32 && text != "done" {
        return Ok(text);
    }
    Err(format!(
        "{text:?} is no name of a provider; write at most 32 lower-case letters, digits and dashes, and not \"done\""
    ))
}
