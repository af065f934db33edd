//! Whether the provider takes authorization requests as they are configured, and answers them so.

use super::{Judgement, Verdict};
use crate::oidc::{Metadata, ProviderSettings, PushedRequests, ResponseMode};

pub(super) fn check(metadata: &Metadata, settings: &ProviderSettings) -> Vec<Judgement> {
    std::iter::once(pushed(metadata, settings)).chain(response_mode(metadata, settings)).collect()
}

/// RFC 9126 §5.
fn pushed(metadata: &Metadata, settings: &ProviderSettings) -> Judgement {
    const KEY: &str = "provider.pushed_authorization_requests";
    let is_required = metadata.require_pushed_authorization_requests;
    let (verdict, message) = match (settings.authorization.pushed, &metadata.pushed_authorization_request_endpoint) {
        (PushedRequests::Never, _) if is_required => {
            (Verdict::Error, "\"never\", but the provider takes no others; write \"auto\"")
        }
        (PushedRequests::Never, Some(_)) => {
            (Verdict::Note, "login requests go through the browser, though the provider takes pushed ones")
        }
        (PushedRequests::Never, None) => (Verdict::Ok, "login requests go through the browser"),
        (PushedRequests::Auto | PushedRequests::Always, Some(_)) => {
            (Verdict::Ok, "login requests are pushed to the provider")
        }
        (PushedRequests::Auto, None) if !is_required => {
            (Verdict::Ok, "login requests go through the browser: the provider takes no pushed ones")
        }
        (PushedRequests::Auto, None) => {
            (Verdict::Error, "the provider takes pushed requests alone and does not say where; correct it there")
        }
        (PushedRequests::Always, None) => {
            (Verdict::Error, "\"always\", but the provider does not say where to push requests; write \"auto\"")
        }
    };
    (verdict, KEY, message.to_owned())
}

/// OAuth 2.0 Form Post Response Mode §2; RFC 8414 §2, `response_modes_supported`.
fn response_mode(metadata: &Metadata, settings: &ProviderSettings) -> Option<Judgement> {
    const KEY: &str = "provider.response_mode";
    if settings.authorization.response_mode == ResponseMode::Query {
        return None;
    }
    let modes = &metadata.response_modes_supported;
    Some(if modes.iter().any(|mode| mode == "form_post") {
        (Verdict::Ok, KEY, "the provider answers with form_post".to_owned())
    } else {
        let message =
            format!("the provider does not announce \"form_post\", only {}; write \"query\"", modes.join(", "));
        (Verdict::Warning, KEY, message)
    })
}
