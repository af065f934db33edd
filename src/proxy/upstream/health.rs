//! Whether an upstream is one to send requests to: from how requests fare (passive), and from checks (active).
//!
//! One state a process, in atomics that all workers share. It only ever orders upstreams: where all are out, requests
//! go to them nevertheless, for an answer that may come is better than none.

use std::fmt::Display;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;

use crate::metrics::UpstreamMetrics;

/// What `ejected_until` counts from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// When an upstream that fails is left out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectionSettings {
    /// So many failures in a row; 0: never.
    pub after: u32,
    /// So long; then a single further failure ejects it again.
    pub duration: Duration,
}

/// The state of one upstream.
#[derive(Debug)]
pub(super) struct Health {
    settings: EjectionSettings,
    /// In a row.
    failures: AtomicU32,
    /// Milliseconds after [`START`]; 0: it is not ejected, or has answered since.
    ejected_until: AtomicU64,
    /// What the checks say.
    is_down: AtomicBool,
    metrics: UpstreamMetrics,
}

/// Whether an answer counts as a failure of the upstream itself: what a gateway, or a server that is overloaded or
/// stops, says (RFC 9110 §15.6.3 to §15.6.5). 500 is an application's own matter.
pub(in crate::proxy) fn is_failure(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

impl Health {
    pub(super) fn new(settings: EjectionSettings, metrics: UpstreamMetrics) -> Self {
        metrics.available.set(1);
        Self {
            settings,
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            is_down: AtomicBool::new(false),
            metrics,
        }
    }

    /// Whether requests should go there before they go to those that are not.
    pub(super) fn is_available(&self) -> bool {
        if self.is_down.load(Ordering::Relaxed) {
            return false;
        }
        let until = self.ejected_until.load(Ordering::Relaxed);
        until == 0 || until <= now()
    }

    /// It could not be reached, kept us waiting too long, broke off, or answered that it cannot.
    pub(super) fn failed(&self, upstream: &impl Display) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if self.settings.after == 0 || failures < self.settings.after {
            return;
        }
        let now = now();
        let until = now.saturating_add(millis(self.settings.duration)).max(1);
        let before = self.ejected_until.swap(until, Ordering::Relaxed);
        if before == 0 || before <= now {
            self.metrics.ejections.inc();
        }
        if before == 0 {
            self.metrics.available.set(0);
            let duration = self.settings.duration;
            tracing::warn!(%upstream, failures, ?duration, "an upstream fails; others go first for a while");
        }
    }

    /// It answered as a server does that works.
    pub(super) fn answered(&self, upstream: &impl Display) {
        // Looked at before they are written, which keeps them in every worker's cache.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.ejected_until.load(Ordering::Relaxed) != 0 && self.ejected_until.swap(0, Ordering::Relaxed) != 0 {
            tracing::info!(%upstream, "an upstream that was left out answers again");
            self.metrics.available.set(i64::from(!self.is_down.load(Ordering::Relaxed)));
        }
    }

    /// What the checks say of it from now on.
    pub(super) fn checked(&self, upstream: &impl Display, is_up: bool) {
        let was_up = !self.is_down.swap(!is_up, Ordering::Relaxed);
        if was_up == is_up {
            return;
        }
        if is_up {
            // What requests knew of it was before that.
            self.failures.store(0, Ordering::Relaxed);
            self.ejected_until.store(0, Ordering::Relaxed);
            self.metrics.available.set(1);
            tracing::info!(%upstream, "an upstream passes its checks again");
        } else {
            self.metrics.ejections.inc();
            self.metrics.available.set(0);
            tracing::warn!(%upstream, "an upstream fails its checks; others go first");
        }
    }
}

fn now() -> u64 {
    millis(START.elapsed())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(after: u32, duration: Duration) -> Health {
        Health::new(EjectionSettings { after, duration }, UpstreamMetrics::default())
    }

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn only_failures_in_a_row_eject() {
        let health = health(3, LONG);
        for _ in 0..5 {
            health.failed(&"a");
            health.failed(&"a");
            health.answered(&"a");
        }
        assert!(health.is_available());
        (0..3).for_each(|_| health.failed(&"a"));
        assert!(!health.is_available());
        assert_eq!((health.metrics.ejections.get(), health.metrics.available.get()), (1, 0));
        health.answered(&"a");
        assert!(health.is_available());
        assert_eq!((health.metrics.ejections.get(), health.metrics.available.get()), (1, 1));
    }

    #[test]
    fn after_its_time_it_is_tried_again_and_one_failure_ejects_it_anew() {
        let health = health(2, Duration::ZERO);
        health.failed(&"a");
        health.failed(&"a");
        assert!(health.is_available(), "its time is over at once");
        assert_eq!(health.metrics.available.get(), 0, "but it has not answered yet");
        health.failed(&"a");
        assert_eq!(health.metrics.ejections.get(), 2);
    }

    #[test]
    fn failures_while_it_is_out_are_the_same_ejection() {
        let health = health(1, LONG);
        (0..9).for_each(|_| health.failed(&"a"));
        assert_eq!(health.metrics.ejections.get(), 1);
    }

    #[test]
    fn zero_means_never() {
        let health = health(0, LONG);
        (0..9).for_each(|_| health.failed(&"a"));
        assert!(health.is_available());
    }

    #[test]
    fn what_the_checks_say_counts_until_they_say_otherwise() {
        let health = health(1, LONG);
        health.checked(&"a", false);
        health.answered(&"a");
        assert!(!health.is_available());
        health.failed(&"a");
        health.checked(&"a", true);
        assert!(health.is_available(), "a passed check outweighs older failures");
    }

    #[test]
    fn an_application_s_own_errors_are_no_failures_of_its_server() {
        assert!([502, 503, 504].into_iter().all(|code| is_failure(StatusCode::from_u16(code).expect("a code"))));
        assert!(
            [200, 401, 404, 429, 500, 501].iter().all(|code| !is_failure(StatusCode::from_u16(*code).expect("one")))
        );
    }
}
