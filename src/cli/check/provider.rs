//! The provider: whether it answers, whether its metadata fit what is configured, and whether its clock fits ours.

mod application;
mod authorization;
mod client_authentication;

use std::time::Duration;

use humantime::format_duration;
use url::Url;

use super::progress::while_waiting;
use super::{Report, Subject, Verdict};
use crate::clock::UnixTime;
use crate::oidc::discovery::{Fetched, Metadata, fetch};
use crate::oidc::{DiscoveryError, HttpError, ProviderSettings, Unavailable, UserInfoUse};
use crate::proxy::RouteSettings;

const ISSUER: &str = "provider.issuer";

/// What was found about one key.
type Judgement = (Verdict, &'static str, String);

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) {
    subject.each_provider(report, |site, provider, report| {
        let settings = &provider.settings;
        if subject.offline {
            return report.note(ISSUER, format!("{} was not asked (--offline)", settings.issuer));
        }
        // Only the default provider is asked for the application's own tokens.
        let is_default = site.providers.first().is_some_and(|first| first.name == provider.name);
        let routes = if is_default { site.routes.as_slice() } else { &[] };
        for (verdict, key, message) in ask(subject, settings, routes) {
            report.add(subject.loaded, verdict, key, message);
        }
    });
}

fn ask(subject: &Subject<'_>, settings: &ProviderSettings, routes: &[RouteSettings]) -> Vec<Judgement> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![(Verdict::Error, ISSUER, format!("cannot be asked: {error}"))],
    };
    let what = format!("asking {} for its metadata", settings.issuer);
    let asked = subject.clock.now();
    let fetched = runtime.block_on(while_waiting(&what, fetch(settings)));
    let answered = subject.clock.now();
    match fetched {
        Ok(Fetched { metadata, date }) => {
            let mut judgements = compare(&metadata, settings);
            judgements.extend(application::check(&metadata, routes));
            judgements.push(clocks(date, (asked, answered), settings.clock_skew));
            judgements
        }
        Err(error) => vec![(Verdict::Error, ISSUER, format!("{error}; {}", remedy(&error, settings)))],
    }
}

fn remedy(error: &DiscoveryError, settings: &ProviderSettings) -> &'static str {
    match error {
        DiscoveryError::IssuerMismatch { .. } => "if it is your provider, set provider.issuer to exactly what it says",
        DiscoveryError::Endpoint { .. } | DiscoveryError::Missing { .. } => "this has to be corrected at the provider",
        DiscoveryError::Http { source: HttpError::Unavailable(Unavailable::Connect(cause)), .. }
            if cause.contains("certificate") =>
        {
            if settings.ca_file.is_some() {
                "provider.ca_file must hold the authority that signed its certificate"
            } else {
                "if it has an authority of its own, set provider.ca_file"
            }
        }
        DiscoveryError::Http { source: HttpError::Unavailable(Unavailable::Timeout), .. } => {
            "see that this machine can reach it; provider.request_timeout bounds the wait"
        }
        DiscoveryError::Http { source: HttpError::Unavailable(_), .. } => {
            "see that it runs and can be reached from here"
        }
        DiscoveryError::Http { .. } | DiscoveryError::NotMetadata { .. } => {
            "see that provider.issuer is the whole issuer, with its path"
        }
        DiscoveryError::Settings(_) => "correct the settings of [provider]",
    }
}

/// The metadata beside the configuration.
fn compare(metadata: &Metadata, settings: &ProviderSettings) -> Vec<Judgement> {
    let answers = format!("{} answers, and names itself exactly so", metadata.issuer);
    let mut judgements = vec![(Verdict::Ok, ISSUER, answers), endpoints(metadata)];
    judgements.extend(scopes(metadata, settings));
    judgements.extend(client_authentication::check(metadata, settings));
    judgements.extend(authorization::check(metadata, settings));
    judgements.extend(algorithms(metadata, settings));
    judgements.extend(userinfo(metadata, settings));
    judgements.extend(abilities(metadata, settings).map(|(verdict, message)| (verdict, ISSUER, message.to_owned())));
    judgements
}

/// RFC 6749 §3.1, §3.2: TLS. (Discovery has refused http to any other host than loopback.)
fn endpoints(metadata: &Metadata) -> Judgement {
    let Metadata { authorization_endpoint, token_endpoint, jwks_uri, .. } = metadata;
    let optional = [
        &metadata.end_session_endpoint,
        &metadata.revocation_endpoint,
        &metadata.userinfo_endpoint,
        &metadata.pushed_authorization_request_endpoint,
    ];
    let all = [authorization_endpoint, token_endpoint, jwks_uri].into_iter().chain(optional.into_iter().flatten());
    let plain: Vec<&str> = all.filter(|url| url.scheme() != "https").map(Url::as_str).collect();
    match (plain.as_slice(), metadata.issuer.starts_with("https://")) {
        ([], _) => (Verdict::Ok, ISSUER, "all its endpoints are https".to_owned()),
        (_, false) => (Verdict::Note, ISSUER, "its endpoints are http on loopback, for trying out only".to_owned()),
        (plain, true) => {
            let message = format!("it is https, but announces http: {}; correct it at the provider", plain.join(", "));
            (Verdict::Warning, ISSUER, message)
        }
    }
}

fn scopes(metadata: &Metadata, settings: &ProviderSettings) -> Vec<Judgement> {
    const KEY: &str = "provider.scopes";
    let mut judgements = Vec::new();
    let supported = &metadata.scopes_supported;
    let unknown: Vec<_> = settings.scopes.iter().filter(|scope| !supported.contains(scope)).cloned().collect();
    judgements.push(if supported.is_empty() {
        (Verdict::Note, KEY, "the provider does not say which scopes it knows".to_owned())
    } else if unknown.is_empty() {
        (Verdict::Ok, KEY, format!("the provider knows {}", settings.scopes.join(", ")))
    } else {
        let unknown = unknown.join(", ");
        let message = format!("the provider does not list {unknown}; it may refuse or ignore what it does not know");
        (Verdict::Warning, KEY, message)
    });
    // Some presets ask for a refresh token in another way.
    let is_usual = settings.particulars.preset.is_none_or(|preset| preset.scopes().is_none());
    if is_usual && !settings.scopes.iter().any(|scope| scope == "offline_access") {
        let message = "without \"offline_access\" most providers give no refresh token, and a session ends with its \
                       first access token";
        judgements.push((Verdict::Note, KEY, message.to_owned()));
    }
    judgements
}

/// OpenID Connect Discovery §3: the endpoint is recommended, not required.
fn userinfo(metadata: &Metadata, settings: &ProviderSettings) -> Option<Judgement> {
    const KEY: &str = "provider.userinfo";
    match (settings.userinfo, &metadata.userinfo_endpoint) {
        (UserInfoUse::Never, _) => None,
        (UserInfoUse::Login, Some(_)) => Some((Verdict::Ok, KEY, "the provider has a UserInfo endpoint".to_owned())),
        (UserInfoUse::Login, None) => {
            let message = "the provider announces no userinfo_endpoint, so that every login fails; set it to \"never\"";
            Some((Verdict::Error, KEY, message.to_owned()))
        }
    }
}

fn algorithms(metadata: &Metadata, settings: &ProviderSettings) -> Option<Judgement> {
    const KEY: &str = "provider.id_token_algorithms";
    let announced = &metadata.id_token_signing_alg_values_supported;
    let common: Vec<_> = announced.iter().filter(|known| settings.id_token_algorithms.contains(known)).collect();
    if announced.is_empty() {
        return None;
    }
    let announced = announced.join(", ");
    Some(if common.is_empty() {
        let message = format!(
            "none is among those that the provider signs with ({announced}); let both have one (but not HS256 or none)"
        );
        (Verdict::Error, KEY, message)
    } else {
        (Verdict::Ok, KEY, format!("the provider signs ID tokens with {announced}"))
    })
}

/// What the provider can do, whatever is configured: RFC 7636, RFC 9207, RP-Initiated Logout, RFC 7009.
fn abilities(
    metadata: &Metadata,
    settings: &ProviderSettings,
) -> impl Iterator<Item = (Verdict, &'static str)> + use<> {
    let challenges = &metadata.code_challenge_methods_supported;
    let pkce = match challenges.iter().any(|method| method == "S256") {
        true => (Verdict::Ok, "PKCE with S256 is supported"),
        false if challenges.is_empty() => {
            (Verdict::Warning, "it does not announce PKCE; make sure that it checks S256 challenges")
        }
        false => (Verdict::Error, "it does not support PKCE with S256, which every login uses; take one that does"),
    };
    let iss = match metadata.authorization_response_iss_parameter_supported {
        true => (Verdict::Ok, "its authorization responses name their issuer (RFC 9207)"),
        false => (
            Verdict::Note,
            "its authorization responses do not name their issuer (RFC 9207); no harm, for no other provider shares its \
             redirect URI",
        ),
    };
    let logout = match metadata.end_session_endpoint {
        Some(_) => (Verdict::Ok, "a logout here ends its own session too (end_session_endpoint)"),
        None if settings.particulars.has_logout(metadata) => {
            (Verdict::Ok, "a logout here ends its own session too, at the address that is configured or known for it")
        }
        None => (Verdict::Warning, "it has no end_session_endpoint; after a logout here its own session goes on"),
    };
    let revocation = match metadata.revocation_endpoint {
        Some(_) => (Verdict::Ok, "refresh tokens are revoked at logout (revocation_endpoint)"),
        None => {
            (Verdict::Warning, "it has no revocation_endpoint; refresh tokens live on after a logout until they expire")
        }
    };
    [pkce, iss, logout, revocation].into_iter()
}

/// Compares the provider's time with ours, which moved on from `asked` to `answered` meanwhile. Half of the tolerance
/// is a warning: clocks that drift apart go on drifting.
fn clocks(date: Option<UnixTime>, (asked, answered): (UnixTime, UnixTime), skew: Duration) -> Judgement {
    const KEY: &str = "provider.clock_skew";
    /// Both clocks are read in whole seconds.
    const RESOLUTION: Duration = Duration::from_secs(1);
    let Some(date) = date else {
        return (Verdict::Note, KEY, "the provider's answer has no date, so its clock cannot be compared".to_owned());
    };
    let behind = asked.minus(RESOLUTION).since(date);
    let ahead = date.since(answered.plus(RESOLUTION));
    let (apart, direction) = if behind > ahead { (behind, "behind") } else { (ahead, "ahead of") };
    let tolerance = format_duration(skew);
    if apart.is_zero() {
        return (Verdict::Ok, KEY, format!("the provider's clock and ours agree; {tolerance} are tolerated"));
    }
    let message =
        format!("the provider's clock is {} {direction} ours, {tolerance} are tolerated", format_duration(apart));
    if apart > skew {
        (Verdict::Error, KEY, format!("{message}; set both by NTP, or no ID token will be valid"))
    } else if apart > skew / 2 {
        (Verdict::Warning, KEY, format!("{message}; set both by NTP"))
    } else {
        (Verdict::Ok, KEY, message)
    }
}

#[cfg(test)]
mod tests;
