//! Whether the provider takes the client authentication that is configured.

use super::{Judgement, Verdict};
use crate::oidc::{ClientAuth, Metadata, ProviderSettings};

const KEY: &str = "provider.client_auth";

/// RFC 8414 §2, `token_endpoint_auth_methods_supported`, `token_endpoint_auth_signing_alg_values_supported`.
pub(super) fn check(metadata: &Metadata, settings: &ProviderSettings) -> Vec<Judgement> {
    std::iter::once(method(metadata, settings)).chain(algorithm(metadata, settings)).collect()
}

fn method(metadata: &Metadata, settings: &ProviderSettings) -> Judgement {
    let (method, methods) = (settings.client_auth.name(), &metadata.token_endpoint_auth_methods_supported);
    let takes = |method: &str| methods.iter().any(|known| known == method);
    if takes(method) {
        return (Verdict::Ok, KEY, format!("the provider takes {method}"));
    }
    let other = match settings.client_auth {
        ClientAuth::SecretBasic(_) => Some("client_secret_post"),
        ClientAuth::SecretPost(_) => Some("client_secret_basic"),
        _ => None,
    };
    let remedy = match other.filter(|other| takes(other)) {
        Some(other) => format!("set it to {other:?}, if the client is registered so"),
        None => "allow it for this client at the provider".to_owned(),
    };
    let message = format!("the provider does not take {method:?}, only {}; {remedy}", methods.join(", "));
    (Verdict::Error, KEY, message)
}

fn algorithm(metadata: &Metadata, settings: &ProviderSettings) -> Option<Judgement> {
    const KEY: &str = "provider.client_assertion_algorithm";
    let ClientAuth::PrivateKeyJwt(assertions) = &settings.client_auth else { return None };
    // It was read with the configuration; who has changed it since finds an error in the log.
    let name = assertions.load_key().ok()?.algorithm().name();
    let known = &metadata.token_endpoint_auth_signing_alg_values_supported;
    Some(if known.is_empty() {
        (Verdict::Note, KEY, format!("assertions are signed with {name}; the provider does not say what it takes"))
    } else if known.iter().any(|known| known == name) {
        (Verdict::Ok, KEY, format!("assertions are signed with {name}, which the provider takes"))
    } else {
        let known = known.join(", ");
        let message =
            format!("assertions are signed with {name}, but the provider takes only {known}; use one of them");
        (Verdict::Error, KEY, message)
    })
}
