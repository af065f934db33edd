//! Active checks: asks an upstream for a path every so often, away from the workers.
//!
//! A check never carries anything of a user. Each is a connection of its own, so that it finds out whether new ones can
//! be made.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::connect::dial;
use super::http1::Io;
use super::origin::Upstream;

/// How upstreams are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// What is asked for with GET; any 2xx passes.
    pub path: Uri,
    /// Between the beginnings of two checks.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// So many failed ones in a row take the upstream out.
    pub failures: u32,
    /// So many passed ones in a row bring it back.
    pub successes: u32,
}

/// Checks `upstream` for ever.
pub(in crate::proxy) async fn check(upstream: Arc<Upstream>, settings: HealthSettings) {
    let mut ticks = interval(settings.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_up, mut against) = (true, 0);
    loop {
        ticks.tick().await;
        let passed =
            timeout(settings.timeout, ask(&upstream, &settings.path)).await.unwrap_or(Err("no answer in time"));
        if let Err(reason) = passed {
            tracing::debug!(%upstream, reason, "a check failed");
        }
        // What would change the verdict must be seen so many times in a row.
        against = if passed.is_ok() == is_up { 0 } else { against + 1 };
        if against >= if is_up { settings.failures } else { settings.successes } {
            (is_up, against) = (!is_up, 0);
            upstream.checked(is_up);
        }
    }
}

async fn ask(upstream: &Upstream, path: &Uri) -> Result<(), &'static str> {
    let (io, _) = dial(upstream).await.map_err(|_| "no connection")?;
    exchange(TokioIo::new(io), upstream, path).await
}

async fn exchange(io: TokioIo<Io>, upstream: &Upstream, path: &Uri) -> Result<(), &'static str> {
    let (mut sender, connection) = http1::handshake(io).await.map_err(|_| "no HTTP")?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path.clone();
    request.headers_mut().insert(HOST, upstream.host_header());
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("sealgate-check"));
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    // It moves the bytes, and is dropped with the set.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    match sender.send_request(request).await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(_) => Err("another status than 2xx"),
        Err(_) => Err("no answer"),
    }
}
