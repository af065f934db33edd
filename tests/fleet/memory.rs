//! Sessions take no memory: what a replica holds does not grow with how many it has seen.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use sealgate::clock::Clock;
use sealgate::keyring::RingHandle;
use sealgate::metrics::Metrics;
use sealgate::seal::Sealer;
use sealgate::secret::{AccessToken, IdToken, RefreshToken};
use sealgate::session::cookies::{CookieNames, RequestCookies};
use sealgate::session::store::Sessions;
use sealgate::session::{
    NewSession, ProviderId, SameSite, Session, SessionId, SessionSettings, StoredAccessToken, UserFormat, WriteFormat,
};

use crate::cluster::Cluster;
use crate::support::Sealgate;
use crate::support::browser::client;
use crate::support::ports::loopback;
use crate::tally::show;

const HOUR: Duration = Duration::from_secs(3600);

/// Makes the cookies of sessions that never logged in: sealed with the test's own ring.
struct Mint {
    sessions: Sessions,
    provider: ProviderId,
    clock: Clock,
}

impl Mint {
    fn new(replica: &Sealgate) -> Self {
        let clock = Clock::system();
        let ring = RingHandle::load(replica.ring.clone(), clock.clone(), Metrics::default()).expect("a ring");
        let origin = replica.url().parse().expect("an origin");
        let settings = SessionSettings {
            cookie_name: "__Host-sealgate".to_owned(),
            same_site: SameSite::Strict,
            idle_timeout: HOUR,
            absolute_timeout: 8 * HOUR,
            refresh_before: Duration::from_secs(60),
            persistent: true,
            user_format: UserFormat::Object,
            write_format: WriteFormat::default(),
        };
        let provider =
            ProviderId { issuer: replica.options.issuer.clone(), client_id: replica.options.client_id.clone() };
        let names = CookieNames::new(&settings.cookie_name, false);
        let sealer = Sealer::new(ring, origin, clock.clone(), Metrics::default());
        let skew = Duration::from_secs(60);
        let sessions = Sessions::new(sealer, names, settings, vec![provider.clone()], clock.clone(), skew);
        Self { sessions, provider, clock }
    }

    /// A `Cookie` field.
    fn cookies(&self) -> String {
        let now = self.clock.now();
        let token = |bytes: usize| (0..bytes).map(|_| rand::random_range('a'..='z')).collect::<String>();
        let new = NewSession {
            provider: self.provider.clone(),
            absolute_end: now.plus(8 * HOUR),
            access_token: StoredAccessToken::new(AccessToken::new(token(900)), now, now.plus(HOUR), None),
            refresh_token: Some(RefreshToken::new(token(43))),
            id_token: IdToken::new(format!("e30.eyJzdWIiOiJhZGEifQ.{}", token(300))),
        };
        let session = Session::begin(SessionId::random().expect("random numbers"), new, now);
        let sealed = self.sessions.seal(session).expect("it fits");
        let nothing = RequestCookies::parse([], self.sessions.names());
        let lines = self.sessions.deliver(&sealed, &nothing);
        let pairs: Vec<&str> = lines.iter().filter_map(|line| line.split(';').next()).collect();
        pairs.join("; ")
    }
}

/// Shows a replica `before` distinct sessions, and then more of them until it has seen `after`; gives its resident
/// memory in KiB at both moments.
pub async fn growth(before: usize, after: usize) -> (u64, u64) {
    let cluster = Cluster::plan().replicas(1).start().await;
    let replica = cluster.replica(0);
    show_sessions(replica, before).await;
    let first = replica.resident_kib();
    show_sessions(replica, after - before).await;
    let last = replica.resident_kib();
    show(&format!("\nResident memory after {before} sessions: {first} KiB; after {after}: {last} KiB"));
    (first, last)
}

async fn show_sessions(replica: &Sealgate, count: usize) {
    let (mint, http) = (Arc::new(Mint::new(replica)), client());
    let origin: url::Url = replica.url().parse().expect("a URL");
    let host = format!("127.0.0.1:{}", origin.port().expect("a port"));
    let url = format!("http://{}/api/echo", loopback(replica.options.port));
    let call = |_| {
        let request = http.get(&url).header("Host", &host).header("X-CSRF", "1").header("Cookie", mint.cookies());
        async move {
            let response = request.send().await.expect("the replica answers");
            assert!(response.status().is_success(), "{}", response.status());
            response.bytes().await.expect("a whole answer");
        }
    };
    stream::iter(0..count).map(call).buffer_unordered(16).collect::<Vec<()>>().await;
}

/// DESIGN: nothing is stored on the server.
#[tokio::test(flavor = "multi_thread")]
async fn ten_times_as_many_sessions_take_no_more_memory() {
    let (first, last) = growth(500, 5_000).await;
    assert!(last * 10 <= first * 11, "{first} KiB became {last} KiB");
}
