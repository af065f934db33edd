//! A Sealgate without a provider, and a session that is sealed here with its own ring: for tests about everything that
//! comes after a login.

use std::time::Duration;

use sealgate::clock::Clock;
use sealgate::keyring::RingHandle;
use sealgate::metrics::Metrics;
use sealgate::seal::{Purpose, Sealer};
use sealgate::secret::{AccessToken, IdToken};
use sealgate::session::{NewSession, ProviderId, Session, SessionId, StoredAccessToken, WriteFormat};

use super::sealgate::{Sealgate, SealgateOptions};
use super::wait::eventually;

const HOUR: Duration = Duration::from_secs(3600);

/// The access token of the sessions that are sealed here.
pub const ACCESS_TOKEN: &str = "hunter2-access-token";

/// A server whose provider does not answer, and the `Cookie` pair of a session there.
pub struct Alone {
    /// The server.
    pub gate: Sealgate,
    /// `name=value` of a good session.
    pub session: String,
}

/// Starts one.
pub async fn alone(change: impl FnOnce(SealgateOptions) -> SealgateOptions) -> Alone {
    let gate = Sealgate::launch(change(SealgateOptions::new("http://127.0.0.1:1", 1))).await;
    eventually("the management listener", Duration::from_secs(60), async || gate.management("/healthz").await).await;
    let session = session_cookie(&gate, gate.url(), &gate.options.client_id);
    Alone { gate, session }
}

/// The `Cookie` pair of a session that would be good there, but for the site and the client that it was sealed for.
pub fn session_cookie(gate: &Sealgate, origin: &str, client_id: &str) -> String {
    let (clock, metrics) = (Clock::system(), Metrics::default());
    let ring = RingHandle::load(gate.ring.clone(), clock.clone(), metrics.clone()).expect("a valid ring");
    let now = clock.now();
    let new = NewSession {
        provider: ProviderId { issuer: gate.options.issuer.clone(), client_id: client_id.to_owned() },
        absolute_end: now.plus(HOUR),
        access_token: StoredAccessToken::new(AccessToken::new(ACCESS_TOKEN), now, now.plus(HOUR), None),
        refresh_token: None,
        id_token: IdToken::new("e30.e30.hunter2"),
    };
    let session = Session::begin(SessionId::random().expect("randomness"), new, now);
    let sealer = Sealer::new(ring, origin.parse().expect("an origin"), clock, metrics);
    let payload = session.encode(WriteFormat::default());
    let sealed = sealer.seal(Purpose::Session, "sealgate", &payload).expect("a primary key");
    format!("sealgate=1{sealed}")
}
