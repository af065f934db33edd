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

/// What the demo is started with.
#[derive(Clone, Debug)]
pub struct DemoSettings {
    /// Where the BFF will listen: loopback, with its final port (see [`loopback::free_address`]).
    pub app: SocketAddr,
    /// The provider's port on localhost; 0: any.
    pub provider_port: u16,
    /// How long an access token lives.
    pub access_token_lifetime: Duration,
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
                redirect_uri: format!("{app}/bff/callback"),
                post_logout_redirect_uri: format!("{app}/"),
                access_token_lifetime: settings.access_token_lifetime,
            },
            settings.provider_port,
            clock.clone(),
        )?;
        let api = DemoApi::start(provider.verifying_key().clone(), clock.clone())?;
        let spa = Spa::unpack(&SpaFacts {
            issuer: provider.issuer(),
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
