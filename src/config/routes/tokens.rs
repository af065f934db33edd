//! Whose access token a route's upstream gets, and what it is for.

use super::super::provider::authorization::resource;
use super::route_auth_name;
use crate::config::ProviderConfig;
use crate::config::raw::RawRoute;
use crate::config::reader::Reader;
use crate::config::values;
use crate::oidc::{AuthorizationSettings, ClientAuth, Preset, ProviderSettings, TokenNeed};
use crate::proxy::{RouteAuth, RouteSettings, RouteToken};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    User,
    Application,
}

/// Reads the keys of the route at `route` (`routes[0]`).
pub(super) fn parse(
    route: &str,
    auth: Option<RouteAuth>,
    raw: &mut RawRoute,
    reader: &mut Reader<'_>,
) -> Option<RouteToken> {
    let key = |name: &str| format!("{route}.{name}");
    let set =
        [("scopes", raw.scopes.is_some()), ("resource", raw.resource.is_some()), ("audience", raw.audience.is_some())];
    let whose = reader.value(&key("token"), raw.token.take(), |leaf| {
        values::choice(leaf, &[("user", Whose::User), ("application", Whose::Application)])
    });
    let scopes = reader.list(&key("scopes"), raw.scopes.take(), values::scope);
    let resource = reader.optional(&key("resource"), raw.resource.take(), resource);
    let audience = reader.optional(&key("audience"), raw.audience.take(), values::text);
    let (whose, auth) = (whose?, auth?);
    match (whose, auth) {
        (Whose::User, RouteAuth::None | RouteAuth::Bearer) => {
            let why = match auth {
                RouteAuth::None => "which attaches no access token",
                _ => "whose clients bring their access tokens along",
            };
            for (name, _) in set.iter().filter(|(_, is_set)| *is_set) {
                reader.error(
                    &key(name),
                    format!(
                        "has no meaning with auth = {:?}, {why}; set token = \"application\" to send one of the \
                         application's own, another auth, or leave it out",
                        route_auth_name(auth)
                    ),
                );
            }
        }
        (Whose::Application, RouteAuth::None | RouteAuth::Optional) => reader.warning(
            &key("token"),
            "lets everybody act as the application here, because auth asks nobody to sign in; see that the upstream is \
             meant for that",
        ),
        _ => {}
    }
    let need = TokenNeed::new(scopes?, resource?, audience?);
    Some(match whose {
        Whose::Application => RouteToken::Application(need),
        Whose::User if need.is_empty() => RouteToken::Login,
        Whose::User => RouteToken::User(need),
    })
}

/// Compares what the routes ask for with what the provider gives, and tells the provider's settings of it.
///
/// Of several providers, the application's own tokens are the first one's, and a user's are of the one provider that the
/// route names.
pub(in crate::config) fn fit(routes: &mut [RouteSettings], providers: &mut [ProviderConfig], reader: &mut Reader<'_>) {
    for (index, route) in routes.iter_mut().enumerate() {
        let names_one = providers.len() == 1 || route.access.providers.len() == 1;
        if matches!(route.access.token, RouteToken::User(_)) && !names_one {
            reader.error(
                &format!("routes[{index}].providers"),
                "must name one provider, because the access token that the route asks for is had from one",
            );
            continue;
        }
        let key = |name: &str| format!("routes[{index}].{name}");
        let (named, token) = (&route.access.providers, &mut route.access.token);
        let mut of_route: Vec<_> = providers
            .iter_mut()
            .filter(|provider| named.is_empty() || named.contains(&provider.name))
            .map(|provider| &mut provider.settings)
            .collect();
        match token {
            RouteToken::Login => {}
            RouteToken::User(need)
                if of_route.iter().all(|provider| is_that_of_the_login(need, &provider.authorization)) =>
            {
                *token = RouteToken::Login;
            }
            RouteToken::User(need) => {
                for provider in &mut of_route {
                    check_dialect(&key, need, provider, reader);
                    check_refresh(&key, need, provider, reader);
                    if !provider.authorization.of_routes.contains(need) {
                        provider.authorization.of_routes.push(need.clone());
                    }
                }
            }
            RouteToken::Application(need) => {
                let Some(provider) = providers.first().map(|provider| &provider.settings) else { continue };
                check_dialect(&key, need, provider, reader);
                check_client(&key, need, provider, reader);
            }
        }
    }
}

/// Whether the login's own token will do: then there is no need for another.
fn is_that_of_the_login(need: &TokenNeed, login: &AuthorizationSettings) -> bool {
    let audience = login.parameters.iter().find(|(name, _)| name == "audience").map(|(_, value)| value.as_str());
    let same_resource = need.resource().is_some_and(|resource| login.resources == [resource]);
    let same_audience = need.audience().is_some() && need.audience() == audience;
    need.scope().is_none()
        && (same_resource || need.resource().is_none())
        && (same_audience || need.audience().is_none())
}

/// Entra ID refuses requests with `resource` (AADSTS901002) or `audience`.
fn check_dialect(
    key: &impl Fn(&str) -> String,
    need: &TokenNeed,
    provider: &ProviderSettings,
    reader: &mut Reader<'_>,
) {
    if !provider.particulars.preset.is_some_and(Preset::names_apis_by_scope) {
        return;
    }
    for (name, value) in [("resource", need.resource()), ("audience", need.audience())] {
        if let Some(value) = value {
            reader.error(
                &key(name),
                format!(
                    "{value:?}: this provider knows an API by its scopes alone; leave this out, and write \
                     scopes = [\"api://…/.default\"] or the API's single scopes"
                ),
            );
        }
    }
}

/// Tokens for further APIs come by the refresh token alone.
fn check_refresh(
    key: &impl Fn(&str) -> String,
    need: &TokenNeed,
    provider: &ProviderSettings,
    reader: &mut Reader<'_>,
) {
    let is_usual = provider.particulars.preset.is_none_or(|preset| preset.scopes().is_none());
    if !is_usual || provider.scopes.iter().any(|scope| scope == "offline_access") {
        return;
    }
    let names = [("scopes", need.scope()), ("resource", need.resource()), ("audience", need.audience())];
    let name = names.iter().find(|(_, value)| value.is_some()).map_or("scopes", |(name, _)| name);
    reader.warning(
        &key(name),
        "is had with the refresh token, and without \"offline_access\" in provider.scopes most providers give none",
    );
}

/// RFC 6749 §4.4: for confidential clients only.
fn check_client(key: &impl Fn(&str) -> String, need: &TokenNeed, provider: &ProviderSettings, reader: &mut Reader<'_>) {
    if matches!(provider.client_auth, ClientAuth::None) {
        reader.error(
            &key("token"),
            "\"application\" needs a client that authenticates itself; set provider.client_secret_file or \
             provider.client_key_file",
        );
    }
    let by_scope = provider.particulars.preset.is_some_and(Preset::names_apis_by_scope);
    let is_default = need.scope().is_some_and(|scope| !scope.contains(' ') && scope.ends_with("/.default"));
    if by_scope && !is_default {
        reader.warning(
            &key("scopes"),
            "must be one API's \".default\" here: Entra ID gives the application whatever an administrator has granted \
             it; write scopes = [\"api://…/.default\"]",
        );
    }
}
