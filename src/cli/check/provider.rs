//! The provider's metadata: whether it can be had, and whether it fits what is configured.

use super::{Report, Subject};
use crate::config::Severity;
use crate::oidc::ProviderSettings;
use crate::oidc::discovery::{Metadata, fetch};

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) {
    let settings = &subject.loaded.config.provider;
    if subject.offline {
        return report.ok("provider.issuer", format!("{} was not asked (--offline)", settings.issuer));
    }
    let mut add = |severity, key, message| report.add(subject.loaded.finding(severity, key, message));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return add(Severity::Error, "provider.issuer", format!("cannot be asked: {error}")),
    };
    match runtime.block_on(fetch(settings)) {
        Ok(metadata) => {
            for (severity, key, message) in compare(&metadata, settings) {
                add(severity, key, message);
            }
            report.ok("provider.issuer", format!("{} answers, and names itself so", settings.issuer));
        }
        Err(error) => add(Severity::Error, "provider.issuer", error.to_string()),
    }
}

type Finding = (Severity, &'static str, String);

/// What in the metadata does not fit the configuration.
fn compare(metadata: &Metadata, settings: &ProviderSettings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let unsupported: Vec<_> =
        settings.scopes.iter().filter(|scope| !metadata.scopes_supported.contains(scope)).collect();
    if !metadata.scopes_supported.is_empty() && !unsupported.is_empty() {
        let message =
            format!("the provider does not list {unsupported:?} among its scopes; it may refuse or ignore them");
        findings.push((Severity::Warning, "provider.scopes", message));
    }
    let (method, methods) = (settings.client_auth.name(), &metadata.token_endpoint_auth_methods_supported);
    if !methods.iter().any(|known| known == method) {
        let message = format!("{method:?} is not among what the provider takes: {}", methods.join(", "));
        findings.push((Severity::Error, "provider.client_auth", message));
    }
    let algorithms = &metadata.id_token_signing_alg_values_supported;
    if !algorithms.is_empty() && !algorithms.iter().any(|known| settings.id_token_algorithms.contains(known)) {
        let message = format!("none is among those that the provider signs with: {}", algorithms.join(", "));
        findings.push((Severity::Error, "provider.id_token_algorithms", message));
    }
    findings
        .extend(missing_parts(metadata).map(|(severity, message)| (severity, "provider.issuer", message.to_owned())));
    findings
}

/// RFC 7636, RP-Initiated Logout, RFC 7009: what the provider lacks whatever is configured.
fn missing_parts(metadata: &Metadata) -> impl Iterator<Item = (Severity, &'static str)> {
    let challenges = &metadata.code_challenge_methods_supported;
    let pkce = match challenges.iter().any(|method| method == "S256") {
        true => None,
        false if challenges.is_empty() => {
            Some((Severity::Warning, "the provider does not announce PKCE; make sure that it checks S256 challenges"))
        }
        false => Some((Severity::Error, "the provider does not support PKCE with S256, which every login uses")),
    };
    let logout = metadata.end_session_endpoint.is_none().then_some((
        Severity::Warning,
        "the provider has no end_session_endpoint; after a logout here its own session goes on",
    ));
    let revocation = metadata.revocation_endpoint.is_none().then_some((
        Severity::Warning,
        "the provider has no revocation_endpoint; refresh tokens live on after a logout until they expire",
    ));
    [pkce, logout, revocation].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::oidc::{ClientAuth, LoginLimits};
    use crate::secret::SecretString;

    fn metadata() -> Metadata {
        let url = |path: &str| format!("https://login.example.com/{path}").parse().expect("a URL");
        let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        Metadata {
            issuer: "https://login.example.com".to_owned(),
            authorization_endpoint: url("authorize"),
            token_endpoint: url("token"),
            jwks_uri: url("jwks"),
            end_session_endpoint: Some(url("logout")),
            revocation_endpoint: Some(url("revoke")),
            userinfo_endpoint: None,
            scopes_supported: list(&["openid", "profile"]),
            token_endpoint_auth_methods_supported: list(&["client_secret_basic"]),
            code_challenge_methods_supported: list(&["S256"]),
            id_token_signing_alg_values_supported: list(&["RS256"]),
            authorization_response_iss_parameter_supported: true,
        }
    }

    fn settings() -> ProviderSettings {
        ProviderSettings {
            issuer: "https://login.example.com".to_owned(),
            client_id: "spa-bff".to_owned(),
            client_auth: ClientAuth::SecretBasic(SecretString::new("s")),
            scopes: vec!["openid".to_owned()],
            ca_file: None,
            clock_skew: Duration::ZERO,
            request_timeout: Duration::from_secs(1),
            default_access_token_lifetime: Duration::from_secs(1),
            id_token_algorithms: vec!["RS256".to_owned()],
            trusted_audiences: Vec::new(),
            passthrough_parameters: Vec::new(),
            login_limits: LoginLimits::default(),
        }
    }

    fn found(metadata: &Metadata, settings: &ProviderSettings) -> Vec<(Severity, &'static str)> {
        compare(metadata, settings).into_iter().map(|(severity, key, _)| (severity, key)).collect()
    }

    #[test]
    fn a_provider_that_fits_gives_no_finding() {
        assert_eq!(found(&metadata(), &settings()), []);
    }

    #[test]
    fn what_the_provider_does_not_take_is_an_error() {
        let mut settings = settings();
        settings.client_auth = ClientAuth::SecretPost(SecretString::new("s"));
        settings.id_token_algorithms = vec!["ES256".to_owned()];
        let expected = [(Severity::Error, "provider.client_auth"), (Severity::Error, "provider.id_token_algorithms")];
        assert_eq!(found(&metadata(), &settings), expected);
    }

    #[test]
    fn a_scope_that_is_not_listed_is_a_warning() {
        let mut settings = settings();
        settings.scopes.push("offline_access".to_owned());
        assert_eq!(found(&metadata(), &settings), [(Severity::Warning, "provider.scopes")]);
    }

    /// RFC 7636 §4.2, RFC 9700 §2.1.1
    #[test]
    fn pkce_without_s256_is_an_error_and_silence_a_warning() {
        let mut metadata = metadata();
        metadata.code_challenge_methods_supported = vec!["plain".to_owned()];
        assert_eq!(found(&metadata, &settings()), [(Severity::Error, "provider.issuer")]);
        metadata.code_challenge_methods_supported.clear();
        assert_eq!(found(&metadata, &settings()), [(Severity::Warning, "provider.issuer")]);
    }

    #[test]
    fn a_provider_that_cannot_log_out_is_a_warning() {
        let mut metadata = metadata();
        metadata.end_session_endpoint = None;
        metadata.revocation_endpoint = None;
        assert_eq!(found(&metadata, &settings()), [(Severity::Warning, "provider.issuer"); 2]);
    }
}
