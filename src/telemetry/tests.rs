//! Lines as people and collectors see them. The words and the shape are those of tracing-subscriber, which writes them
//! on a terminal: the two are compared.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, HttpMessage as _, HttpRequest, HttpResponse, web};
use tracing_actix_web::{RequestId, TracingLogger};

use super::*;

/// More than a lone level, which holds libraries at `warn`.
const EVERYTHING: &str = "trace,hyper=info";

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    /// What was written, without the time of each line.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text");
        text.lines().map(without_time).collect()
    }
}

impl Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn without_time(line: &str) -> String {
    const TIME: usize = "2026-11-23T07:50:03.123456Z".len();
    match line.strip_prefix("{\"timestamp\":\"") {
        Some(rest) => format!("{{{}", &rest[TIME + 2..]),
        None => line[TIME + 1..].to_owned(),
    }
}

/// What this module writes.
fn ours(format: LogFormat, level: &str, scenario: impl FnOnce()) -> Vec<String> {
    let seen = Seen::default();
    let writer = seen.clone();
    let sink = move |lines: &[u8]| writer.clone().write_all(lines).expect("memory");
    let (output, _guard) = Output::start(Box::new(sink), Duration::ZERO);
    let (filter, by_span) = Filter::new(level).expect("directives");
    assert!(by_span.is_none(), "{level} needs a registry");
    tracing::subscriber::with_default(Log::new(format, filter, output), scenario);
    seen.lines()
}

/// What tracing-subscriber writes, on a terminal or with directives about spans.
fn theirs(format: LogFormat, level: &str, scenario: impl FnOnce()) -> Vec<String> {
    let seen = Seen::default();
    let writer = seen.clone();
    let lines = fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
    let (filter, by_span) = Filter::new(level).expect("directives");
    let log = registry().with(by_span).with(filter).with(shaped(lines, format));
    tracing::subscriber::with_default(log, scenario);
    seen.lines()
}

#[derive(Debug, thiserror::Error)]
#[error("the {what} is gone")]
struct Gone {
    what: &'static str,
    source: Option<Box<Gone>>,
}

fn all_kinds_of_values() {
    let gone = Gone { what: "house", source: Some(Box::new(Gone { what: "door", source: None })) };
    let cause: &(dyn std::error::Error + 'static) = &gone;
    let alone: &(dyn std::error::Error + 'static) = &Gone { what: "key", source: None };
    tracing::info!("nothing but words");
    tracing::warn!(count = 3, less = -3, ratio = 0.5, whole = 2.0, yes = true, "numbers: {}", 4);
    tracing::error!(nan = f64::NAN, large = u64::MAX, larger = u128::MAX);
    tracing::debug!(text = "quo\"te\\back", display = %"dis\"play", debug = ?Some("x"), empty = "");
    tracing::trace!(r#type = "a word of Rust", none = None::<u64>, some = Some(1), nonascii = "größer →");
    tracing::info!(cause, alone, "errors");
    let outer = tracing::info_span!("outer", a = 1, late = tracing::field::Empty, path = "/a\"b\\c");
    let _outer = outer.enter();
    tracing::info!(within = true);
    outer.record("late", 7);
    tracing::info!(target: "elsewhere", "recorded");
    let inner = tracing::debug_span!("inner", later = tracing::field::Empty).entered();
    tracing::info!("two deep");
    inner.record("later", "x");
    tracing::info!("two deep");
    tracing::info!(parent: &outer, "of the outer");
    tracing::info_span!("bare").in_scope(|| tracing::info!("three deep"));
}

#[test]
fn pretty_lines_are_those_of_a_terminal_without_the_colours() {
    assert_eq!(
        ours(LogFormat::Pretty, EVERYTHING, all_kinds_of_values),
        theirs(LogFormat::Pretty, EVERYTHING, all_kinds_of_values)
    );
}

/// RFC 8259 §4: the order of members has no meaning.
#[test]
fn json_lines_have_the_shape_that_tracing_subscriber_gives_them() {
    let parsed = |lines: Vec<String>| -> Vec<serde_json::Value> {
        lines.iter().map(|line| serde_json::from_str(&line.replace("r#type", "type")).expect("JSON")).collect()
    };
    let (ours, theirs) = (
        ours(LogFormat::Json, EVERYTHING, all_kinds_of_values),
        theirs(LogFormat::Json, EVERYTHING, all_kinds_of_values),
    );
    assert_eq!(parsed(ours), parsed(theirs));
}

#[test]
fn a_field_that_is_recorded_twice_stands_once_in_a_json_span() {
    let lines = ours(LogFormat::Json, "info", || {
        let span = tracing::info_span!("s", a = 1, status = tracing::field::Empty, b = "}\",").entered();
        span.record("status", 200);
        span.record("status", 500);
        tracing::info!("done");
    });
    let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!(line["span"], serde_json::json!({"a": 1, "b": "}\",", "status": 500, "name": "s"}));
    assert_eq!(lines[0].matches("status").count(), 1);
}

#[test]
fn no_value_can_forge_a_line_or_reach_a_terminal() {
    let forge = || {
        let span = tracing::info_span!("s", path = "/\n\u{1b}[2J").entered();
        tracing::info!(shown = %"a\nINFO forged\r\u{1b}[2J\u{9b}2J", "message\n\u{7f}");
        drop(span);
    };
    assert_eq!(
        ours(LogFormat::Pretty, "info", forge),
        [r#" INFO s{path="/\n\u{1b}[2J"}: message\n\x7f shown=a\nINFO forged\r\x1b[2J\u{9b}2J"#]
    );
    let json = ours(LogFormat::Json, "info", forge);
    assert_eq!(json.len(), 1);
    assert!(json[0].contains(r#""path":"/\n\u001b[2J""#), "{json:?}");
}

#[test]
fn a_value_that_logs_while_it_is_shown_breaks_no_line() {
    struct Talkative;
    impl std::fmt::Debug for Talkative {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            tracing::info!("shown");
            f.write_str("talkative")
        }
    }
    let lines = ours(LogFormat::Pretty, "info", || {
        let span = tracing::info_span!("s", late = tracing::field::Empty).entered();
        span.record("late", tracing::field::debug(Talkative));
        tracing::info!("outer");
    });
    assert_eq!(lines, [" INFO s: shown", " INFO s{late=talkative}: outer"]);
}

/// A request through the middleware, with a line of its handler and the access line; its id.
async fn request(path: &str) -> String {
    async fn handler(request: HttpRequest) -> HttpResponse {
        tracing::warn!("in the handler");
        access(None, 503, Duration::from_millis(12));
        let id = request.extensions().get::<RequestId>().map(ToString::to_string);
        HttpResponse::ServiceUnavailable().body(id.expect("the middleware's"))
    }
    let app = init_service(App::new().wrap(TracingLogger::<RequestSpan>::new()).default_service(web::to(handler)));
    let response = call_service(&app.await, TestRequest::with_uri(path).to_request()).await;
    let body = actix_web::body::to_bytes(response.into_body()).await;
    String::from_utf8(body.map_err(|_| "a body").expect("in memory").to_vec()).expect("text")
}

fn lines_of_a_request(format: LogFormat, path: &str) -> (Vec<String>, String) {
    let mut id = String::new();
    let lines = ours(format, "info", || id = actix_web::rt::System::new().block_on(request(path)));
    (lines, id)
}

#[test]
fn every_line_within_a_request_names_it_and_none_its_query() {
    let (lines, id) = lines_of_a_request(LogFormat::Pretty, "/api/it's?code=secret");
    let span = format!(r#"request{{method=GET path="/api/it's" request_id={id}}}:"#);
    assert_eq!(lines, [format!(" WARN {span} in the handler"), format!(" INFO {span} status=503 milliseconds=12")]);
    let (lines, id) = lines_of_a_request(LogFormat::Json, "/api/it's?code=secret");
    let span = format!(r#""span":{{"method":"GET","path":"/api/it's","request_id":"{id}","name":"request"}}}}"#);
    assert_eq!(
        lines,
        [
            format!(r#"{{"level":"WARN","message":"in the handler","target":"sealgate::telemetry::tests",{span}"#),
            format!(r#"{{"level":"INFO","status":503,"milliseconds":12,"target":"sealgate::access",{span}"#),
        ]
    );
}

#[test]
fn request_ids_are_random_uuids() {
    let ids: std::collections::BTreeSet<_> =
        (0..50).map(|_| lines_of_a_request(LogFormat::Json, "/").1).inspect(|id| assert_eq!(id.len(), 36)).collect();
    assert_eq!(ids.len(), 50);
    assert!(ids.iter().all(|id| &id[14..15] == "4"), "{ids:?}");
}

#[test]
fn a_lone_level_is_for_our_own_lines() {
    let lines = |level| {
        ours(LogFormat::Pretty, level, || {
            tracing::trace!(target: "sealgate::refresh", "ours");
            tracing::info!(target: "hyper", "theirs");
            tracing::warn!(target: "hyper", "their warning");
        })
    };
    assert_eq!(lines("trace"), ["TRACE ours", " WARN their warning"]);
    assert_eq!(lines("info"), [" WARN their warning"]);
}

#[test]
fn directives_decide_by_module_and_by_span() {
    let scenario = || {
        tracing::debug!(target: "sealgate::refresh", "of the refresh");
        tracing::debug!(target: "sealgate::web", "of the web");
        tracing::info_span!(target: "sealgate", "request")
            .in_scope(|| tracing::debug!(target: "sealgate::web", "in a request"));
    };
    assert_eq!(ours(LogFormat::Pretty, "warn,sealgate::refresh=debug", scenario), ["DEBUG of the refresh"]);
    assert_eq!(ours(LogFormat::Pretty, "info,", scenario), [""; 0]);
    assert_eq!(theirs(LogFormat::Pretty, "info,[request]=debug", scenario), ["DEBUG request: in a request"]);
}

#[test]
fn libraries_that_print_the_wire_are_held_even_when_asked_for_more() {
    let scenario = || {
        let _request = tracing::info_span!("request").entered();
        tracing::trace!(target: "actix_http::h1::dispatcher", "a head");
        tracing::debug!(target: "hyper", "a frame");
        tracing::info!(target: "hyper", "a word");
    };
    for level in ["trace,hyper=trace", "info,actix_http::h1::dispatcher=trace"] {
        assert_eq!(ours(LogFormat::Pretty, level, scenario), [" INFO request: a word"], "{level}");
    }
    assert_eq!(theirs(LogFormat::Pretty, "info,[request]=trace", scenario), [" INFO request: a word"]);
}

#[test]
fn a_level_that_is_none_is_refused() {
    assert!(Filter::new("sealgate=loud").is_err());
}
