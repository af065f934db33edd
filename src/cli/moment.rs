//! Dates for people: when it is, and how far away that is.

use crate::clock::UnixTime;

/// A date, and how far away it is: `2026-11-23T10:10:00Z (in 10m)`.
pub(super) fn moment(at: UnixTime, now: UnixTime) -> String {
    use humantime::format_duration;
    match at.cmp(&now) {
        std::cmp::Ordering::Less => format!("{at} ({} ago)", format_duration(now.since(at))),
        std::cmp::Ordering::Equal => format!("{at} (now)"),
        std::cmp::Ordering::Greater => format!("{at} (in {})", format_duration(now.until(at))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_present_and_future_are_told_apart() {
        let at =
            |seconds: i64| moment(UnixTime::from_secs(1_795_428_000 + seconds), UnixTime::from_secs(1_795_428_000));
        assert_eq!(at(-90), "2026-11-23T09:58:30Z (1m 30s ago)");
        assert_eq!(at(0), "2026-11-23T10:00:00Z (now)");
        assert_eq!(at(3600), "2026-11-23T11:00:00Z (in 1h)");
    }
}
