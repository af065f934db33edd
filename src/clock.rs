//! Time, as an argument: every rule about ages and ends takes a [`UnixTime`], and only [`Clock`] reads the system's.
//!
//! Must never be bypassed: nothing else in the crate asks the system for the date.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// A moment in whole seconds since 1970-01-01T00:00:00Z (RFC 7519 §2, `NumericDate`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

impl UnixTime {
    /// The moment `seconds` after the epoch.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    pub const fn as_secs(self) -> i64 {
        self.0
    }

    /// This moment, `duration` later; saturates, and drops fractions of a second.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_seconds(duration)))
    }

    /// This moment, `duration` earlier; saturates, and drops fractions of a second.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole_seconds(duration)))
    }

    /// How long it is from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// How long it is from this moment to `later`; zero if it has passed.
    pub fn until(self, later: Self) -> Duration {
        later.since(self)
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC, to the second, as the key ring's dates are written.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_second(self.0) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => write!(f, "@{}", self.0),
        }
    }
}

/// A text that is not an RFC 3339 date and time.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a date and time such as 2026-11-23T10:00:00Z")]
pub struct UnixTimeError(String);

impl FromStr for UnixTime {
    type Err = UnixTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Timestamp>()
            .map(|timestamp| Self(timestamp.as_second()))
            .map_err(|_| UnixTimeError(text.to_owned()))
    }
}

impl serde::Serialize for UnixTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for UnixTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The system's time, microseconds after the epoch: for the heads of log lines, which nothing is decided by.
pub fn microseconds() -> i64 {
    Timestamp::now().as_microsecond()
}

/// The system's time in seconds, several times a request: without a calendar.
fn seconds() -> i64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970, or one far beyond the sun's end, counts as 1970: every cookie is from the future then.
    since_epoch.ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or(0)
}

/// Where the time comes from: the system, or a test's hand. Clones share the same hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `now` until [`Clock::advance`] moves it.
    pub fn manual(now: UnixTime) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(now.0))))
    }

    /// The present moment.
    pub fn now(&self) -> UnixTime {
        match &self.0 {
            Source::System => UnixTime(seconds()),
            Source::Manual(hand) => UnixTime(hand.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock on; the system's clock stays as it is.
    pub fn advance(&self, duration: Duration) {
        if let Source::Manual(hand) = &self.0 {
            hand.fetch_add(whole_seconds(duration), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_survive_the_round_trip_through_rfc_3339() {
        let moment = UnixTime::from_secs(1_795_392_000);
        assert_eq!(moment.to_string(), "2026-11-23T00:00:00Z");
        assert_eq!(moment.to_string().parse::<UnixTime>().expect("a date of our own"), moment);
    }

    #[test]
    fn a_text_that_is_no_date_is_named_in_the_error() {
        let error = "tomorrow".parse::<UnixTime>().expect_err("no date");
        assert!(error.to_string().contains("tomorrow"));
    }

    #[test]
    fn time_that_has_passed_is_zero_away() {
        let (earlier, later) = (UnixTime::from_secs(10), UnixTime::from_secs(25));
        assert_eq!(later.since(earlier), Duration::from_secs(15));
        assert_eq!(earlier.since(later), Duration::ZERO);
        assert_eq!(later.until(earlier), Duration::ZERO);
    }

    #[test]
    fn a_manual_clock_moves_for_all_its_clones() {
        let clock = Clock::manual(UnixTime::from_secs(100));
        let clone = clock.clone();
        clock.advance(Duration::from_secs(5));
        assert_eq!(clone.now(), UnixTime::from_secs(105));
    }
}
