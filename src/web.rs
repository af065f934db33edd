//! The endpoints: one file each, and what they share.
//!
//! Handlers see `session`, never `seal` or `keyring`. No handler may answer an API call with a redirect to log in.

pub mod api;
pub mod caching;
pub mod callback;
pub mod conflict;
pub mod cookie_line;
pub mod csrf;
pub mod easy_auth;
pub mod event_stream;
pub mod fetch_metadata;
pub mod forward_auth;
pub mod head;
pub mod initiate_login;
pub mod landing;
pub mod logged_out;
pub mod login;
pub mod logout;
pub mod original;
pub mod page;
pub mod problem;
pub mod query;
pub mod redemptions;
pub mod refresh;
pub mod security_headers;
pub mod signed_identity;
pub mod silent_login;
pub mod sites;
pub mod spa_settings;
pub mod static_site;
pub mod step_up;
pub mod tunnels;
pub mod user;

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{COOKIE, HeaderValue, SET_COOKIE};
use actix_web::{HttpResponse, HttpResponseBuilder};
use ipnet::IpNet;

use self::easy_auth::EasyAuth;
use self::forward_auth::ForwardAuthSettings;
use self::page::Pages;
use self::problem::Problem;
use self::redemptions::Redemptions;
use self::signed_identity::SignedIdentities;
use self::spa_settings::SpaSettings;
use self::static_site::StaticSite;
use self::tunnels::Tunnels;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::oidc::{BearerVerifier, Provider};
use crate::origin::PublicOrigin;
use crate::proxy::{OwnNames, RouteTable};
use crate::refresh::Refresher;
use crate::refresh::application::ApplicationTokens;
use crate::return_url::{ReturnUrl, ReturnUrlError};
use crate::session::Session;
use crate::session::cookies::{RequestCookies, SetCookie};
use crate::session::providers::{Providers, SiteProvider};
use crate::session::store::{ActiveSession, Sessions, SignedOut};

/// The custom header that marks a request as our own page's (RFC 10017 §6.1.3.3.2).
#[derive(Clone, Debug)]
pub struct CsrfHeader {
    /// Its name; `X-CSRF` unless configured.
    pub name: String,
    /// Its value; `1` unless configured.
    pub value: String,
}

/// What the endpoints know of the site that they serve.
#[derive(Clone, Debug)]
pub struct Site {
    /// The origin that browsers see.
    pub origin: PublicOrigin,
    /// The prefix of our own endpoints, `/bff`.
    pub prefix: String,
    /// The custom header.
    pub csrf: CsrfHeader,
    /// Peers whose `X-Forwarded-*` count.
    pub trusted_proxies: Vec<IpNet>,
    /// Azure App Service's names, if we answer to them besides our own.
    pub easy_auth: Option<EasyAuth>,
}

impl Site {
    /// Where the provider sends the browser back to: an address of its own for each, so that no provider's answer can
    /// pass for another's (RFC 9700 §4.4.2.2).
    pub fn redirect_uri(&self, provider: &SiteProvider) -> String {
        let name = Some(provider.name.as_str()).filter(|_| !provider.is_default);
        redirect_uri(&self.origin, &self.prefix, self.easy_auth.as_ref(), name)
    }

    /// Where the provider sends the browser after a logout.
    pub fn post_logout_redirect_uri(&self, provider: &Provider) -> String {
        let configured = provider.settings().particulars.post_logout_redirect_uri.as_deref();
        post_logout_redirect_uri(&self.origin, configured, self.easy_auth.as_ref())
    }

    /// A page of this site that a login or logout may lead to.
    ///
    /// # Errors
    /// See [`ReturnUrlError`].
    pub fn return_url(&self, text: &str) -> Result<ReturnUrl, ReturnUrlError> {
        let return_url = ReturnUrl::parse(text, &self.prefix)?;
        match self.easy_auth {
            Some(_) => ReturnUrl::parse(text, easy_auth::PREFIX),
            None => Ok(return_url),
        }
    }

    /// The site's root.
    pub fn home(&self) -> String {
        self.origin.join("/")
    }

    /// The endpoint that checks what comes back from a logout at the provider.
    pub fn logged_out_uri(&self) -> String {
        self.origin.join(&format!("{}/logged-out", self.prefix))
    }

    /// Whether the peer is a proxy of ours.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.trusted_proxies.iter().any(|network| network.contains(&peer)))
    }
}

/// The redirect URI to register at the provider: of the default one, with Easy Auth's names the one that its registrations
/// have; or of another one by its `name`.
pub fn redirect_uri(origin: &PublicOrigin, prefix: &str, easy_auth: Option<&EasyAuth>, name: Option<&str>) -> String {
    origin.join(&match (name, easy_auth) {
        (Some(name), _) => format!("{prefix}/callback/{name}"),
        (None, Some(names)) => names.callback_path(),
        (None, None) => format!("{prefix}/callback"),
    })
}

/// The address for after a logout to register at the provider: what is configured, else the root, or what is there for
/// it among Easy Auth's endpoints.
pub fn post_logout_redirect_uri(
    origin: &PublicOrigin,
    configured: Option<&str>,
    easy_auth: Option<&EasyAuth>,
) -> String {
    let default = easy_auth.map_or("/", |_| easy_auth::LOGGED_OUT);
    configured.map_or_else(|| origin.join(default), str::to_owned)
}

#[cfg(test)]
impl Site {
    /// https://app.example.com, with everything else as it comes.
    pub(crate) fn for_tests() -> Self {
        Self {
            origin: "https://app.example.com".parse().expect("an origin"),
            prefix: "/bff".into(),
            csrf: CsrfHeader { name: "X-CSRF".into(), value: "1".into() },
            trusted_proxies: Vec::new(),
            easy_auth: None,
        }
    }
}

/// All that the endpoints of one site work with.
pub struct Services {
    /// The site.
    pub site: Site,
    /// Opens and writes sessions.
    pub sessions: Sessions,
    /// The OpenID providers.
    pub providers: Providers,
    /// Keeps sessions usable.
    pub refresher: Refresher,
    /// The application's own access tokens.
    pub application: ApplicationTokens,
    /// The proxied routes.
    pub routes: RouteTable,
    /// How other proxies ask whether a request may pass; none: they cannot.
    pub forward_auth: Option<ForwardAuthSettings>,
    /// What signs identities for upstreams; none: nothing does.
    pub identities: Option<SignedIdentities>,
    /// What judges the access tokens that clients bring along, by the routes' places in the configuration.
    pub bearer: Vec<Option<BearerVerifier>>,
    /// Names that the proxy keeps from upstreams.
    pub own_names: OwnNames,
    /// The logins that are being completed now.
    pub redemptions: Redemptions,
    /// The WebSockets and event streams that are open.
    pub tunnels: Tunnels,
    /// The single-page app, if we serve it.
    pub static_site: Option<StaticSite>,
    /// What the single-page app is told at run time.
    pub spa_settings: SpaSettings,
    /// The pages that people see.
    pub pages: Pages,
    /// The time.
    pub clock: Clock,
    /// The counters.
    pub metrics: Metrics,
}

impl Services {
    /// The provider of a session; none: it has gone from the configuration.
    pub fn provider_of(&self, session: &Session) -> Option<&Provider> {
        self.providers.of(&session.provider).map(|provider| &provider.provider)
    }

    /// Our cookies in the request.
    pub fn cookies<'a>(&self, request: &'a HttpRequest) -> RequestCookies<'a> {
        let fields = request.headers().get_all(COOKIE).map(HeaderValue::as_bytes);
        RequestCookies::parse(fields, self.sessions.names())
    }

    /// The request's session; why there is none goes to the log, and the client learns only that there is none.
    ///
    /// # Errors
    /// A problem of status 401.
    pub fn session(&self, cookies: &RequestCookies) -> Result<ActiveSession, Problem> {
        self.sessions.open(cookies).map_err(|reason| match reason {
            SignedOut::NoCookie => {
                // What a logout at another replica leaves behind.
                self.sessions.ended(cookies).for_each(|sid| self.tunnels.end(sid));
                Problem::not_signed_in()
            }
            SignedOut::Ended(session) => {
                tracing::info!(target: "sealgate::audit", event = "tombstone_hit", sid = ?session.sid, "an ended session came back");
                self.tunnels.end(session.sid);
                self.refresher.revoke_in_background(&session);
                Problem::session_expired().with_cookies(self.sessions.delete_session())
            }
            SignedOut::OtherProvider => {
                tracing::info!(
                    target: "sealgate::audit",
                    event = "other_provider",
                    "the session of another provider or client was refused: provider.issuer or provider.client_id may \
                     have changed"
                );
                Problem::session_expired()
            }
            reason => {
                tracing::info!(%reason, "signed out");
                Problem::session_expired()
            }
        })
    }
}

/// Adds `Set-Cookie` values to a response.
pub fn append_cookies(response: &mut HttpResponse, lines: impl IntoIterator<Item = SetCookie>) {
    for line in lines {
        match HeaderValue::from_str(&line) {
            Ok(value) => response.headers_mut().append(SET_COOKIE, value),
            // Names come from a checked configuration and values are base64url.
            Err(_) => tracing::error!("a cookie of ours is not a valid field value"),
        }
    }
}

/// Finishes a response of one of our own endpoints: never stored, never a referrer.
pub fn own_response(mut builder: HttpResponseBuilder) -> HttpResponseBuilder {
    builder
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("Referrer-Policy", "no-referrer"))
        .insert_header(("X-Content-Type-Options", "nosniff"));
    builder
}
