//! One signed-in browser with several tabs, whose page behaves as a well-made single-page app: it follows redirects,
//! and tries a call once more that lost a race of refreshes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::support::{Browser, Reply};
use crate::tally::Tally;

/// Connections that a browser opens to one host over HTTP/1.1.
const CONNECTIONS: usize = 6;
/// What an app waits before it tries a call again that lost a race.
const BEFORE_RETRY: Duration = Duration::from_millis(500);

/// A browser and its session.
pub struct Visitor {
    /// The browser itself.
    pub browser: Browser,
    tally: Arc<Tally>,
    connections: Semaphore,
    network: Arc<Semaphore>,
    signed_out: AtomicBool,
}

impl Visitor {
    /// A browser that shares connections with the others of a crowd.
    pub fn new(origin: &str, http: Client, network: Arc<Semaphore>, tally: Arc<Tally>) -> Self {
        Self {
            browser: Browser::one_of_many(origin, http),
            tally,
            connections: Semaphore::new(CONNECTIONS),
            network,
            signed_out: AtomicBool::new(false),
        }
    }

    /// Whether it ever found itself signed out.
    pub fn is_signed_out(&self) -> bool {
        self.signed_out.load(Ordering::SeqCst)
    }

    /// One tab's burst: all calls begin at once, reads and a few writes.
    pub async fn burst(&self, calls: usize) {
        join_all((0..calls).map(|call| async move {
            match call % 5 {
                3 => self.call(Method::GET, "/bff/user").await,
                4 => self.call(Method::POST, "/api/echo").await,
                _ => self.call(Method::GET, "/api/echo").await,
            }
        }))
        .await;
    }

    /// One call of the app; gives whether it succeeded.
    pub async fn call(&self, method: Method, target: &str) -> bool {
        let connection = self.connections.acquire().await;
        let network = self.network.acquire().await;
        let (begun, began_at) = (Instant::now(), seconds());
        self.tally.count(|counts| counts.requests += 1);
        let mut answer = self.follow(&method, target).await;
        if answer.as_ref().is_ok_and(|reply| problem(reply).ends_with(":refresh-conflict")) {
            self.tally.count(|counts| counts.conflicts += 1);
            tokio::time::sleep(BEFORE_RETRY).await;
            answer = self.follow(&method, target).await;
        }
        drop((connection, network));
        self.judge(answer, begun, began_at)
    }

    /// As a browser does it: a 307 keeps the method.
    async fn follow(&self, method: &Method, target: &str) -> reqwest::Result<Reply> {
        let mut rounds = 0;
        loop {
            let reply = self.browser.fetch(method.clone(), target).try_send().await?;
            if reply.status != StatusCode::TEMPORARY_REDIRECT || rounds == 20 {
                return Ok(reply);
            }
            rounds += 1;
            self.tally.count(|counts| counts.redirects += 1);
        }
    }

    fn judge(&self, answer: reqwest::Result<Reply>, begun: Instant, began_at: i64) -> bool {
        let add = |map: &mut BTreeMap<String, u64>, key: String| *map.entry(key).or_default() += 1;
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => {
                let what = if error.is_timeout() { "timeout" } else { "connection broke" };
                self.tally.count(|counts| add(&mut counts.broken, what.to_owned()));
                return false;
            }
        };
        match reply.status {
            status if status.is_success() => {
                self.tally.count(|counts| {
                    counts.took(begun.elapsed());
                    if reached_with_expired_token(&reply, began_at) {
                        add(&mut counts.odd, "expired token at the API".to_owned());
                    }
                });
                return true;
            }
            StatusCode::UNAUTHORIZED => {
                self.signed_out.store(true, Ordering::SeqCst);
                self.tally.count(|counts| add(&mut counts.signed_out, problem(&reply)));
            }
            status if status.is_server_error() => {
                let by = problem(&reply);
                let by = if by.is_empty() { "haproxy".to_owned() } else { by };
                self.tally.count(|counts| add(&mut counts.server_errors, format!("{} {by}", status.as_u16())));
            }
            status => {
                self.tally.count(|counts| add(&mut counts.odd, format!("{} {}", status.as_u16(), problem(&reply))))
            }
        }
        false
    }

    /// Whether the session lives and can go on living: its refresh token is good.
    pub async fn is_alive(&self) -> bool {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            match self.follow(&Method::POST, "/bff/refresh").await {
                Ok(reply) if reply.status == StatusCode::OK => return true,
                // Neither says anything about the session.
                Ok(reply) if reply.status.is_server_error() && Instant::now() < until => {}
                Err(_) if Instant::now() < until => {}
                _ => return false,
            }
            tokio::time::sleep(BEFORE_RETRY).await;
        }
    }
}

/// The last part of a problem's `type`; empty for anything else.
fn problem(reply: &Reply) -> String {
    if reply.media_type() != "application/problem+json" {
        return String::new();
    }
    reply.json::<Value>()["type"].as_str().unwrap_or_default().to_owned()
}

/// `…/echo` shows the access token that arrived there.
fn reached_with_expired_token(reply: &Reply, began_at: i64) -> bool {
    if !reply.url.path().ends_with("/echo") {
        return false;
    }
    let seen: crate::support::upstream::Seen = reply.json();
    let payload = seen.bearer().split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Value> = payload.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    claims.and_then(|claims| claims["exp"].as_i64()).is_some_and(|end| end < began_at)
}

fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time")
}
