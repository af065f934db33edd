//! Asks replicas on their management listeners which ring they use.
//!
//! Must never print what a replica sent but for its generation: anybody may listen there.

use std::io;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::Deserialize;
use url::Url;

use crate::keyring::RingDigest;

const TIMEOUT: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// A summary of a ring of the largest size is smaller.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// What a replica said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It uses that ring.
    Ring { generation: u64, digest: String },
    /// It said nothing of use.
    Failed(String),
}

impl Answer {
    pub(super) fn agrees(&self, wanted: RingDigest) -> bool {
        matches!(self, Self::Ring { digest, .. } if *digest == wanted.to_string())
    }
}

/// The part of the summary that counts here.
#[derive(Deserialize)]
struct Summary {
    generation: u64,
    digest: String,
}

/// Asks every replica until all use the ring of digest `wanted` or `wait` is over; the last answers, in order.
///
/// # Errors
/// When the system gives no sockets or the HTTP client cannot be made.
pub(super) fn ask(urls: &[Url], wanted: RingDigest, wait: Duration) -> io::Result<Vec<Answer>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        // Management listeners are near: a forward proxy is not asked.
        .no_proxy()
        .build()
        .map_err(io::Error::other)?;
    let started = Instant::now();
    runtime.block_on(async {
        loop {
            let answers = join_all(urls.iter().map(|url| ask_one(&client, url))).await;
            if answers.iter().all(|answer| answer.agrees(wanted)) || started.elapsed() >= wait {
                return Ok(answers);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    })
}

async fn ask_one(client: &reqwest::Client, url: &Url) -> Answer {
    let mut url = url.clone();
    url.set_path("/ring");
    match fetch(client, url).await {
        Ok((200, body)) => match serde_json::from_slice(&body) {
            Ok(Summary { generation, digest }) => Answer::Ring { generation, digest },
            Err(_) => Answer::Failed("the answer is no summary of a ring".to_owned()),
        },
        Ok((status, _)) => Answer::Failed(format!("the answer has status {status}")),
        Err(error) if error.is_timeout() => Answer::Failed("no answer in time".to_owned()),
        Err(error) if error.is_connect() => Answer::Failed("no connection".to_owned()),
        Err(_) => Answer::Failed("no complete answer".to_owned()),
    }
}

/// A body that is too long is cut, and then no JSON.
async fn fetch(client: &reqwest::Client, url: Url) -> Result<(u16, Vec<u8>), reqwest::Error> {
    let mut response = client.get(url).send().await?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            body.clear();
            break;
        }
    }
    Ok((response.status().as_u16(), body))
}
