//! An OpenID provider for the demo and for tests: the authorization code flow with PKCE, rotated refresh tokens that
//! detect a replay, revocation, UserInfo and RP-initiated logout.
//!
//! Must never listen on anything but loopback, and never pretend to be more than a demo: the passwords are on its login
//! page, and all its state is in memory.

use std::io;
use std::net::TcpListener;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::{App, HttpServer, web};
use minijinja::Environment;
use url::Url;

use crate::clock::Clock;
use crate::secret::SecretString;

use super::loopback::{self, LoopbackError, RunningServer};

use self::grants::Grants;
use self::keys::{KeyError, SigningKey};
use self::sessions::Sessions;

pub mod keys;
pub mod users;

mod authorize;
mod discovery;
mod grants;
mod logout;
mod pages;
mod params;
mod sessions;
mod token;

/// The audience of the access tokens.
pub const AUDIENCE: &str = "demo-api";

/// The one client that the provider knows, and how long its access tokens live.
#[derive(Clone, Debug)]
pub struct DemoProviderSettings {
    /// Its identifier.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// The only redirect URI, compared as a string.
    pub redirect_uri: String,
    /// The only address to go to after a logout, compared as a string.
    pub post_logout_redirect_uri: String,
    /// How long an access token lives.
    pub access_token_lifetime: Duration,
}

/// Why the provider did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoProviderError {
    /// The port is not to be had.
    #[error(transparent)]
    Listen(#[from] LoopbackError),
    /// There is no signing key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The redirect URI is not a URL.
    #[error("the redirect URI {0:?} is not an absolute URL")]
    RedirectUri(String),
    /// A page's template is malformed.
    #[error("a page of the demo provider is malformed: {0}")]
    Template(#[from] minijinja::Error),
    /// The server refused its listeners.
    #[error("the demo provider cannot start: {0}")]
    Server(#[source] io::Error),
}

/// A running provider; it stops when this is dropped.
pub struct DemoProvider {
    issuer: String,
    verifying: keys::VerifyingKey,
    _server: RunningServer,
}

impl DemoProvider {
    /// Starts on `port` of localhost (0: any). To be called inside a tokio runtime.
    ///
    /// # Errors
    /// See [`DemoProviderError`].
    pub fn start(settings: DemoProviderSettings, port: u16, clock: Clock) -> Result<Self, DemoProviderError> {
        let listeners = loopback::listen_on_localhost(port)?;
        let chosen = listeners.first().map(TcpListener::local_addr).transpose().map_err(DemoProviderError::Server)?;
        let issuer = format!("http://localhost:{}", chosen.map_or(port, |address| address.port()));
        let provider = Provider::new(settings, issuer.clone(), clock)?;
        let verifying = provider.keys.verifying().clone();
        let data = web::Data::new(provider);
        let mut server =
            HttpServer::new(move || App::new().app_data(data.clone()).configure(routes)).workers(1).disable_signals();
        for listener in listeners {
            server = server.listen(listener).map_err(DemoProviderError::Server)?;
        }
        Ok(Self { issuer, verifying, _server: RunningServer::spawn(server.run()) })
    }

    /// The issuer, `http://localhost:PORT`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What checks the provider's tokens.
    pub fn verifying_key(&self) -> &keys::VerifyingKey {
        &self.verifying
    }
}

fn routes(app: &mut web::ServiceConfig) {
    app.route("/.well-known/openid-configuration", web::get().to(discovery::metadata))
        .route("/jwks", web::get().to(discovery::jwks))
        .route("/authorize", web::get().to(authorize::get))
        .route("/authorize", web::post().to(authorize::post))
        .route("/login", web::post().to(authorize::login))
        .route("/token", web::post().to(token::token))
        .route("/revoke", web::post().to(token::revoke))
        .route("/userinfo", web::get().to(token::userinfo))
        .route("/userinfo", web::post().to(token::userinfo))
        .route("/logout", web::get().to(logout::get))
        .route("/logout", web::post().to(logout::post))
        .route("/style.css", web::get().to(pages::style));
}

/// What the handlers share.
struct Provider {
    settings: DemoProviderSettings,
    redirect_url: Url,
    issuer: String,
    keys: SigningKey,
    templates: Environment<'static>,
    clock: Clock,
    state: Mutex<State>,
}

/// All that changes.
#[derive(Default)]
struct State {
    sessions: Sessions,
    grants: Grants,
}

impl Provider {
    fn new(settings: DemoProviderSettings, issuer: String, clock: Clock) -> Result<Self, DemoProviderError> {
        let redirect_url = Url::parse(&settings.redirect_uri)
            .map_err(|_| DemoProviderError::RedirectUri(settings.redirect_uri.clone()))?;
        let keys = SigningKey::generate(&issuer)?;
        let templates = pages::templates()?;
        Ok(Self { settings, redirect_url, issuer, keys, templates, clock, state: Mutex::default() })
    }

    /// A handler that panicked has at worst left a code unused: its state is as good as before.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
