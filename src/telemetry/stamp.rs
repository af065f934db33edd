//! The time at the head of a line: RFC 3339 in UTC, to the microsecond.
//!
//! Must never print another form: collectors parse it, and lines are sorted by it as text.

use std::cell::RefCell;

use crate::clock::UnixTime;

const PER_SECOND: i64 = 1_000_000;

thread_local! {
    /// A second, and its text without the `Z`: what thousands of lines have in common.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// Appends the time that lies `microseconds` after the epoch.
pub(super) fn push(out: &mut String, microseconds: i64) {
    let second = microseconds.div_euclid(PER_SECOND);
    // While a thread ends its text may be gone already.
    let known = SECOND.try_with(|known| {
        let mut known = known.borrow_mut();
        if known.0 != second {
            *known = (second, to_the_second(second));
        }
        out.push_str(&known.1);
    });
    if known.is_err() {
        out.push_str(&to_the_second(second));
    }
    out.push('.');
    let mut rest = microseconds.rem_euclid(PER_SECOND);
    let mut unit = PER_SECOND / 10;
    while unit > 0 {
        // A digit, so it fits.
        out.push(char::from(b'0' + (rest / unit) as u8));
        rest %= unit;
        unit /= 10;
    }
    out.push('Z');
}

fn to_the_second(second: i64) -> String {
    let text = UnixTime::from_secs(second).to_string();
    text.strip_suffix('Z').unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(microseconds: i64) -> String {
        let mut out = String::new();
        push(&mut out, microseconds);
        out
    }

    #[test]
    fn it_always_has_six_digits_of_a_second() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(stamp(1_795_420_203_000_045), "2026-11-23T07:50:03.000045Z");
        assert_eq!(stamp(1_795_420_203_999_999), "2026-11-23T07:50:03.999999Z");
        assert_eq!(stamp(1_795_420_204_000_000), "2026-11-23T07:50:04.000000Z");
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed() {
        assert_eq!(stamp(1_795_420_204_000_000), "2026-11-23T07:50:04.000000Z");
        assert_eq!(stamp(1_795_420_203_000_000), "2026-11-23T07:50:03.000000Z");
        assert_eq!(stamp(-1), "1969-12-31T23:59:59.999999Z");
    }
}
