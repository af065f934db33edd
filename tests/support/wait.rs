//! Waiting without guessing: ask until the answer comes, and say what was waited for when it does not.

use std::time::{Duration, Instant};

const BETWEEN: Duration = Duration::from_millis(20);

/// Asks `probe` until it gives a value. Panics with `what` when `within` has passed.
pub async fn eventually<T>(what: &str, within: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain for {what}");
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Waits for a moment that the test itself computed, such as the expiry of a token: the event is the time.
pub async fn reach(moment: Instant) {
    tokio::time::sleep_until(moment.into()).await;
}
