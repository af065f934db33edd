//! Says on standard error what a check waits for, while it waits and only on a terminal.

use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

const TICK: Duration = Duration::from_millis(250);

/// Runs `work`; people see `what` and the seconds that it has taken so far.
pub(super) async fn while_waiting<T>(what: &str, work: impl Future<Output = T>) -> T {
    if !io::stderr().is_terminal() {
        return work.await;
    }
    let mut work = pin!(work);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let started = Instant::now();
    let mut shown = 0;
    loop {
        tokio::select! {
            done = &mut work => {
                write(&format!("\r{:shown$}\r", ""));
                return done;
            }
            // The first tick comes at once: what is quick shows nothing.
            _ = ticks.tick() => if started.elapsed() >= TICK {
                let text = format!("{what} ({} s)", started.elapsed().as_secs());
                shown = text.chars().count();
                write(&format!("\r{text}"));
            },
        }
    }
}

/// Progress that cannot be shown is no failure.
fn write(text: &str) {
    let mut stderr = io::stderr();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
