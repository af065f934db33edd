//! Whether the provider gives the application tokens of its own. None is asked for: a token that nobody uses would be one
//! more that somebody could find, and shows up in the provider's audit.

use super::{Judgement, Verdict};
use crate::oidc::Metadata;
use crate::proxy::{RouteSettings, RouteToken};

/// RFC 8414 §2, `grant_types_supported`.
pub(super) fn check(metadata: &Metadata, routes: &[RouteSettings]) -> Option<Judgement> {
    const KEY: &str = "routes";
    const GRANT: &str = "client_credentials";
    let acts = routes.iter().filter(|route| matches!(route.access.token, RouteToken::Application(_)));
    let paths: Vec<&str> = acts.map(|route| route.path.as_str()).collect();
    if paths.is_empty() {
        return None;
    }
    let (paths, grants) = (paths.join(", "), &metadata.grant_types_supported);
    Some(if grants.iter().any(|grant| grant == GRANT) {
        let message = format!(
            "the provider knows {GRANT}, for {paths}; whether this client may use it, the first request there shows"
        );
        (Verdict::Ok, KEY, message)
    } else if grants.is_empty() {
        let message =
            format!("the provider does not say whether it knows {GRANT}, which {paths} needs; it was not tried");
        (Verdict::Note, KEY, message)
    } else {
        let message = format!(
            "{paths} acts as the application, and the provider announces no {GRANT}, only {}; allow it there, or leave \
             token = \"application\" out",
            grants.join(", ")
        );
        (Verdict::Warning, KEY, message)
    })
}
