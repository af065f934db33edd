//! Requests and answers that try to desynchronise a proxy, byte for byte: a raw client, the real binary with a session
//! route, and a raw upstream that misbehaves on purpose.
//!
//! The cases are data, in `requests` (what clients send) and `answers` (what upstreams send). Each says what the upstream
//! saw, what the client got, and whether the client's connection stays open. For every case, whatever it is about:
//! - each request that the upstream saw is one whole request with nothing behind it, with our fields exactly once;
//! - the client got the expected answers and not a byte more: the next answer on its connection is the next request's.

mod answers;
mod case;
mod client;
mod message;
mod requests;
#[path = "../support/support.rs"]
mod support;
mod upstream;

use std::collections::HashSet;

use futures_util::{StreamExt, stream};

use self::case::Case;
use self::client::Outcome;
use self::support::alone::{Alone, alone};
use self::upstream::Upstream;

/// How many cases are under way at once.
const AT_ONCE: usize = 8;

/// RFC 9112 §2.2, §3.2, §5.1, §5.2, §6.1, §6.3, RFC 9110 §5.5
#[tokio::test(flavor = "multi_thread")]
async fn what_clients_send_never_becomes_another_request() {
    play(requests::cases()).await;
}

/// RFC 9112 §5.2, §6.3, §9.2, RFC 9110 §5.5, §7.8
#[tokio::test(flavor = "multi_thread")]
async fn what_upstreams_send_never_becomes_another_answer() {
    play(answers::cases()).await;
}

#[test]
fn there_are_sixty_cases_and_more_and_each_has_a_name_of_its_own() {
    let tables = [requests::cases(), answers::cases()];
    assert!(tables.iter().map(Vec::len).sum::<usize>() >= 60);
    for cases in tables {
        let mut names = HashSet::new();
        for case in cases {
            assert!(names.insert(case.name), "{} occurs twice", case.name);
        }
    }
}

/// Queue poisoning with patience: what comes between two requests belongs to neither.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_on_an_idle_connection_is_never_the_next_client_s_answer() {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let upstream = Upstream::start(vec![case::answer(case::FINE).late(poison)]).await;
    let routes = vec![route("/idle", upstream.port)];
    let gate = alone(|options| options.set("routes", routes).set("server.workers", 1)).await;
    for round in 0..50 {
        let got = client::next(&gate, "/idle").await.expect("an answer");
        assert!(case::fine().matches(&got), "round {round}: {got:#?}");
        upstream.send_late().await;
    }
}

/// Plays all cases against one server, each on a route of its own, and tells of all that fail.
async fn play(cases: Vec<Case>) {
    let upstreams: Vec<_> = stream::iter(&cases).then(|case| Upstream::start(case.upstream.clone())).collect().await;
    let mut routes: Vec<_> =
        upstreams.iter().enumerate().map(|(number, upstream)| route(&path(number), upstream.port)).collect();
    let probe = Upstream::start(vec![case::answer(client::PROBE_ANSWER)]).await;
    routes.push(route(client::PROBE_PATH, probe.port));
    let gate = alone(|options| options.set("routes", routes).set("server.workers", 1)).await;

    let played = cases.iter().zip(&upstreams).enumerate().map(|(number, (case, upstream))| {
        let (gate, path) = (&gate, path(number));
        async move { play_one(gate, &path, case, upstream).await.err().map(|why| format!("{}: {why}", case.name)) }
    });
    let failures: Vec<_> =
        stream::iter(played).buffer_unordered(AT_ONCE).filter_map(async |failed| failed).collect().await;
    assert!(failures.is_empty(), "{} of {} cases:\n\n{}", failures.len(), cases.len(), failures.join("\n\n"));
}

fn path(number: usize) -> String {
    format!("/case{number}")
}

fn route(path: &str, upstream: u16) -> serde_json::Value {
    let upstream = format!("http://127.0.0.1:{upstream}");
    serde_json::json!({"path": path, "upstream": upstream, "auth": "session", "csrf": "header",
        "forward_cookies": true, "first_byte_timeout": "5s", "idle_timeout": "5s"})
}

async fn play_one(gate: &Alone, path: &str, case: &Case, upstream: &Upstream) -> Result<(), String> {
    let Outcome { got, open } = client::play(gate, path, case, upstream).await?;
    if got.len() != case.got.len() || !case.got.iter().zip(&got).all(|(wanted, got)| wanted.matches(got)) {
        return Err(format!("the client got {got:#?}\nin place of {:#?}", case.got));
    }
    if open != case.stays_open {
        return Err(format!("the connection is {}", if open { "open still" } else { "closed" }));
    }
    upstream.saw(&case.seen.iter().map(|seen| seen.replace("{path}", path)).collect::<Vec<_>>()).await?;
    if let Some(wanted) = &case.next {
        let got = client::next(gate, path).await?;
        if !wanted.matches(&got) {
            return Err(format!("the next client got {got:#?}\nin place of {wanted:#?}"));
        }
    }
    Ok(())
}
