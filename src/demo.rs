//! The demo: an OpenID provider, an API and a single-page app inside the binary, for a first look without any set-up.
//!
//! Nothing may import this but `cli/demo.rs` and tests. Must never listen on anything but loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Clock;
use crate::secret::SecretString;

use self::api::{DemoApi, DemoApiError};
use self::loopback::LoopbackError;
use self::provider::{DemoProvider, DemoProviderError, DemoProviderSettings};
use self::spa::{Spa, SpaError, SpaFacts};

pub mod api;
pub mod loopback;
pub mod provider;
pub mod spa;

/// The client identifier of the BFF at the demo provider.
pub const CLIENT_ID: &str = "sealgate-demo";
/// Where the BFF's own endpoints are.
const PREFIX: &str = "/bff";

/// What the demo is started with.
#[derive(Clone, Debug)]
pub struct DemoSettings {
    /// Where the BFF will listen: loopback, with its final port (see [`loopback::free_address`]).
    pub app: SocketAddr,
    /// The provider's port on localhost; 0: any.
    pub provider_port: u16,
    /// How long an access token lives.
    pub access_token_lifetime: Duration,
    /// The command that started the demo, which the page names.
    pub program: String,
    /// The key ring's file, which the page names.
    pub ring: PathBuf,
    /// How long a new key waits before it seals, which the page names.
    pub propagation: Duration,
}

/// Why the demo did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoStartError {
    /// The app's address is not loopback.
    #[error(transparent)]
    App(#[from] LoopbackError),
    /// The provider did not start.
    #[error(transparent)]
    Provider(#[from] DemoProviderError),
    /// The API did not start.
    #[error(transparent)]
    Api(#[from] DemoApiError),
    /// The page was not unpacked.
    #[error(transparent)]
    Page(#[from] SpaError),
}

/// All that the BFF needs around it; it stops, and cleans up, when this is dropped.
pub struct Demo {
    provider: DemoProvider,
    api: DemoApi,
    spa: Spa,
    client_secret: SecretString,
}

impl Demo {
    /// Starts the provider and the API, and unpacks the page. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// See [`DemoStartError`].
    pub fn start(settings: &DemoSettings, clock: &Clock) -> Result<Self, DemoStartError> {
        if !settings.app.ip().is_loopback() {
            return Err(LoopbackError::NotLoopback(settings.app).into());
        }
        let app = format!("http://{}", settings.app);
        let client_secret = SecretString::new(random_secret());
        let provider = DemoProvider::start(
            DemoProviderSettings {
                client_id: CLIENT_ID.to_owned(),
                client_secret: client_secret.clone(),
                redirect_uri: format!("{app}{PREFIX}/callback"),
                post_logout_redirect_uri: format!("{app}/"),
                access_token_lifetime: settings.access_token_lifetime,
            },
            settings.provider_port,
            clock.clone(),
        )?;
        let api = DemoApi::start(provider.verifying_key().clone(), clock.clone())?;
        let spa = Spa::unpack(&SpaFacts {
            issuer: provider.issuer(),
            program: &settings.program,
            ring: &settings.ring,
            access_token_lifetime: settings.access_token_lifetime.as_secs(),
            propagation: settings.propagation.as_secs(),
        })?;
        Ok(Self { provider, api, spa, client_secret })
    }

    /// The provider's issuer.
    pub fn issuer(&self) -> &str {
        self.provider.issuer()
    }

    /// The BFF's secret at the provider, new at every start.
    pub fn client_secret(&self) -> &SecretString {
        &self.client_secret
    }

    /// Where the API listens.
    pub fn api_address(&self) -> SocketAddr {
        self.api.address()
    }

    /// The folder with the page.
    pub fn page(&self) -> &Path {
        self.spa.root()
    }
}

fn random_secret() -> String {
    rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(app: &str) -> DemoSettings {
        DemoSettings {
            program: "sealgate".to_owned(),
            app: app.parse().expect("an address"),
            provider_port: 0,
            access_token_lifetime: Duration::from_secs(60),
            ring: PathBuf::from("/tmp/ring.json"),
            propagation: Duration::from_secs(5),
        }
    }

    #[tokio::test]
    async fn an_app_that_others_can_reach_is_refused() {
        let error = Demo::start(&settings("0.0.0.0:8080"), &Clock::system()).err().expect("refused");
        assert!(error.to_string().contains("loopback only"), "{error}");
    }

    #[tokio::test]
    async fn the_provider_is_on_another_site_than_the_app() {
        let demo = Demo::start(&settings("127.0.0.1:8080"), &Clock::system()).expect("free ports");
        assert!(demo.issuer().starts_with("http://localhost:"), "{}", demo.issuer());
        assert!(demo.api_address().ip().is_loopback());
        assert!(demo.page().join("index.html").is_file());
    }
}
