//! How the client authenticates: the method, and the secret or the key that it needs.

use super::super::leaf::Leaf;
use super::super::reader::Reader;
use super::super::values;
use crate::oidc::{AssertionAlgorithm, AssertionAudience, ClientAuth, ClientKeyError, PrivateKeyJwt};

const METHOD: &str = "provider.client_auth";
const KEY_FILE: &str = "provider.client_key_file";
const ALGORITHM: &str = "provider.client_assertion_algorithm";

/// The keys that belong together.
pub(super) struct RawClient {
    pub(super) method: Option<Leaf>,
    pub(super) secret: Option<Leaf>,
    pub(super) secret_file: Option<Leaf>,
    pub(super) key_file: Option<Leaf>,
    pub(super) key_id: Option<Leaf>,
    pub(super) algorithm: Option<Leaf>,
    pub(super) audience: Option<Leaf>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    SecretBasic,
    SecretPost,
    PrivateKeyJwt,
    None,
}

pub(super) fn parse(raw: RawClient, reader: &mut Reader<'_>) -> Option<ClientAuth> {
    let RawClient { method, secret, secret_file, key_file, key_id, algorithm, audience } = raw;
    let method = reader.value(METHOD, method, |leaf| {
        values::choice(
            leaf,
            &[
                ("client_secret_basic", Method::SecretBasic),
                ("client_secret_post", Method::SecretPost),
                ("private_key_jwt", Method::PrivateKeyJwt),
                ("none", Method::None),
            ],
        )
    });
    let needs_secret = method.is_none_or(|method| matches!(method, Method::SecretBasic | Method::SecretPost));
    if !needs_secret {
        note_unused(&[("provider.client_secret", &secret), ("provider.client_secret_file", &secret_file)], reader);
    }
    if method.is_some_and(|method| method != Method::PrivateKeyJwt) {
        note_unused(&[(KEY_FILE, &key_file)], reader);
    }
    let key = (key_file, key_id, algorithm, audience);
    match method {
        None => {
            reader.secret("provider.client_secret", secret, secret_file);
            None
        }
        Some(Method::SecretBasic) => {
            reader.secret("provider.client_secret", secret, secret_file).map(ClientAuth::SecretBasic)
        }
        Some(Method::SecretPost) => {
            reader.secret("provider.client_secret", secret, secret_file).map(ClientAuth::SecretPost)
        }
        Some(Method::PrivateKeyJwt) => private_key_jwt(key, reader).map(ClientAuth::PrivateKeyJwt),
        Some(Method::None) => {
            reader.warning(
                METHOD,
                "\"none\" is a public client, which anybody who knows its client_id can claim to be; register a \
                 confidential one if the provider can",
            );
            Some(ClientAuth::None)
        }
    }
}

fn note_unused(keys: &[(&str, &Option<Leaf>)], reader: &mut Reader<'_>) {
    for (key, _) in keys.iter().filter(|(_, leaf)| leaf.is_some()) {
        reader.warning(key, format!("is not used with this {METHOD}; remove one of them"));
    }
}

fn private_key_jwt(
    (file, key_id, algorithm, audience): (Option<Leaf>, Option<Leaf>, Option<Leaf>, Option<Leaf>),
    reader: &mut Reader<'_>,
) -> Option<PrivateKeyJwt> {
    if file.is_none() {
        reader.error(KEY_FILE, format!("is missing; {METHOD} = \"private_key_jwt\" signs with the key in that file"));
    }
    let file = file.and_then(|file| reader.value(KEY_FILE, Some(file), values::path));
    let key_id = reader.optional("provider.client_key_id", key_id, values::text);
    let algorithm = reader.optional(ALGORITHM, algorithm, |leaf| {
        values::choice(leaf, &AssertionAlgorithm::ALL.map(|algorithm| (algorithm.name(), algorithm)))
    });
    let audience = reader.value("provider.client_assertion_audience", audience, |leaf| {
        values::choice(
            leaf,
            &[("issuer", AssertionAudience::Issuer), ("token_endpoint", AssertionAudience::TokenEndpoint)],
        )
    });
    let settings = PrivateKeyJwt { key_file: file?, key_id: key_id?, algorithm: algorithm?, audience: audience? };
    reader.note_secret_file(KEY_FILE, &settings.key_file);
    match settings.load_key() {
        Ok(_) => Some(settings),
        Err(error) => {
            let key = if matches!(error, ClientKeyError::Mismatch { .. }) { ALGORITHM } else { KEY_FILE };
            reader.error(key, error.to_string());
            None
        }
    }
}
