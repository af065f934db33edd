//! When an access token is to be refreshed, and when it can no longer be used.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use crate::clock::UnixTime;
use crate::oidc::TokenNeed;
use crate::session::Session;

/// Whether the access token for `need` can be used at `now`.
pub(super) fn is_valid(session: &Session, need: Option<&TokenNeed>, now: UnixTime) -> bool {
    session.access_token_for(need).is_some_and(|stored| now < stored.expires_at)
}

/// How long before its end a token with that lifetime is renewed: min(`refresh_before`, a fifth of the lifetime).
pub(super) fn ahead(lifetime: Duration, refresh_before: Duration) -> Duration {
    refresh_before.min(lifetime / 5)
}

/// Whether it is time: [`ahead`] and a jitter of up to a quarter of that ahead of expiry. The jitter is fixed for a
/// session's generation, so that all its requests agree.
pub(super) fn is_due(session: &Session, need: Option<&TokenNeed>, now: UnixTime, refresh_before: Duration) -> bool {
    let Some(stored) = session.access_token_for(need) else { return true };
    let ahead = ahead(stored.lifetime(), refresh_before);
    let left = now.until(stored.expires_at);
    if left > ahead + ahead / 4 {
        // Whatever the jitter is.
        return false;
    }
    let mut hasher = DefaultHasher::new();
    (session.sid, session.generation).hash(&mut hasher);
    let quarter = u32::try_from(hasher.finish() % 256).unwrap_or(0);
    let jitter = ahead / 4 * quarter / 256;
    left <= ahead + jitter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::{NOW, a_session};

    #[test]
    fn a_refresh_is_due_a_fifth_of_a_short_lifetime_ahead_and_the_configured_time_ahead_of_a_long_one() {
        // The token of the sample session lives for 300 s.
        let session = a_session();
        let at = |seconds| NOW.plus(Duration::from_secs(seconds));
        let hour = Duration::from_secs(3600);
        assert!(!is_due(&session, None, at(224), hour), "a fifth and a quarter of it are 75 s");
        assert!(is_due(&session, None, at(240), hour), "a fifth is 60 s");
        let ten = Duration::from_secs(10);
        assert!(!is_due(&session, None, at(287), ten));
        assert!(is_due(&session, None, at(290), ten));
        assert!(is_valid(&session, None, at(299)) && !is_valid(&session, None, at(300)));
    }
}
