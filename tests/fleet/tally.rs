//! What became of the requests: counts by outcome and cause, and how long they took.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

/// Shared by all browsers of a crowd.
#[derive(Default)]
pub struct Tally(Mutex<Counts>);

/// The counts at one moment.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests that browsers meant; redirects after a lost race and retries are not counted again.
    pub requests: u64,
    /// 307 after a lost race, followed.
    pub redirects: u64,
    /// 401 `refresh-conflict`, tried again.
    pub conflicts: u64,
    /// Requests whose browser found itself signed out, by the problem's type.
    pub signed_out: BTreeMap<String, u64>,
    /// Answers of 500 and above, by status and problem type, or by who answered.
    pub server_errors: BTreeMap<String, u64>,
    /// Connections that broke, by what the client says.
    pub broken: BTreeMap<String, u64>,
    /// Answers that nobody should get: other statuses, and expired tokens at the API.
    pub odd: BTreeMap<String, u64>,
    /// Microseconds of every request that succeeded.
    latencies: Vec<u32>,
}

impl Tally {
    /// Changes the counts.
    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().expect("no test panics while it counts"));
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.0.lock().expect("no test panics while it counts").clone()
    }
}

impl Counts {
    /// Notes how long a request took.
    pub fn took(&mut self, time: Duration) {
        self.latencies.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// The time within which that share of the successful requests was answered.
    pub fn percentile(&self, share: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of a list in memory")]
        let index = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
        Duration::from_micros(sorted.get(index).copied().unwrap_or(0).into())
    }

    /// How many of a map there are.
    pub fn total(of: &BTreeMap<String, u64>) -> u64 {
        of.values().sum()
    }
}

/// A table of two columns, for people.
pub fn table(title: &str, rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut table = format!("\n{title}\n");
    for (name, value) in rows {
        writeln!(table, "  {name:<width$}  {value}").expect("memory");
    }
    table
}

/// Shows people something: with `--nocapture`, or when a test fails.
#[expect(clippy::print_stdout, reason = "the test harness captures it")]
pub fn show(text: &str) {
    println!("{text}");
}

/// `a: 1, b: 2`, or a dash.
pub fn listed(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return "-".to_owned();
    }
    counts.iter().map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>().join(", ")
}
