//! Why a session was lost, from what the replicas wrote about it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// How many sessions' stories are told.
const STORIES: usize = 5;
/// How many lines are told before a session was lost: of itself, and of replicas that came or went.
const BEFORE: usize = 4;

/// What happened before sessions had a refresh refused, by time; the logs with their replicas.
pub fn lost_sessions(logs: impl Iterator<Item = (usize, String)>) -> String {
    let (mut of_session, mut of_replicas) = (BTreeMap::<String, Vec<String>>::new(), Vec::new());
    for (replica, log) in logs {
        for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let text = |key: &str| line[key].as_str().unwrap_or_default();
            let (at, sid) = (text("timestamp"), text("sid"));
            if text("message").starts_with("stop") || text("message") == "sealgate listens" {
                of_replicas.push(format!("{at} replica {replica}: {}", text("message")));
            } else if text("target") == "sealgate::audit" && !sid.is_empty() {
                let told =
                    format!("{at} replica {replica}: {} {} {}", text("event"), line["generation"], text("error"));
                of_session.entry(sid.to_owned()).or_default().push(told);
            }
        }
    }
    of_replicas.sort_unstable();
    let stories = of_session.into_iter().filter_map(|(sid, lines)| Some((sid, loss(lines, &of_replicas)?)));
    stories.take(STORIES).fold(String::new(), |mut all, (sid, lines)| {
        writeln!(all, "  session {sid}:\n    {}", lines.join("\n    ")).expect("memory");
        all
    })
}

/// The lines up to the first refusal; none when there was none.
fn loss(mut lines: Vec<String>, of_replicas: &[String]) -> Option<Vec<String>> {
    lines.sort_unstable();
    let refused = lines.iter().position(|line| line.contains("refresh_failed") && line.contains("no longer valid"))?;
    let mut story = lines[refused.saturating_sub(BEFORE)..=refused].to_vec();
    let earlier = of_replicas.partition_point(|line| *line < lines[refused]);
    story.extend_from_slice(&of_replicas[earlier.saturating_sub(BEFORE)..(earlier + 2).min(of_replicas.len())]);
    story.sort_unstable();
    Some(story)
}
