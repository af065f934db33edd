//! What issuers said of opaque tokens, for a moment. Bounded; keyed by the SHA-256 of the token, so that no token is kept.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::super::id_token::numeric_date;
use crate::clock::UnixTime;
use crate::secret::AccessToken;

/// Answers that are kept at once; the oldest goes first.
const MOST_ANSWERS: usize = 10_000;
/// Bytes of claims of one answer that is kept; larger ones are asked for each time.
const LARGEST_ANSWER: usize = 8 * 1024;

type Key = [u8; 32];

/// The answers.
#[derive(Default)]
pub(super) struct IntrospectionCache(Mutex<Answers>);

#[derive(Default)]
struct Answers {
    by_token: HashMap<Key, Answer>,
    /// In the order in which they came.
    order: VecDeque<(Key, u64)>,
    /// How many there have been.
    count: u64,
}

struct Answer {
    /// None: not active.
    claims: Option<Map<String, Value>>,
    until: UnixTime,
    number: u64,
}

impl IntrospectionCache {
    /// The answer about `token`, if it is still to be believed; the inner `None`: the token is not active.
    pub(super) fn find(&self, token: &AccessToken, now: UnixTime) -> Option<Option<Map<String, Value>>> {
        let answers = self.lock();
        let answer = answers.by_token.get(&key(token))?;
        (now < answer.until).then(|| answer.claims.clone())
    }

    /// Keeps an answer for `time`, and never beyond the token's own expiry.
    pub(super) fn keep(&self, token: &AccessToken, claims: Option<Map<String, Value>>, time: Duration, now: UnixTime) {
        let end = now.plus(time);
        let expiry = claims.as_ref().and_then(|claims| claims.get("exp")).and_then(numeric_date);
        let until = expiry.map_or(end, |expiry| expiry.min(end));
        let is_small = claims.as_ref().is_none_or(|claims| size(claims) <= LARGEST_ANSWER);
        if until <= now || !is_small {
            return;
        }
        let mut answers = self.lock();
        answers.count += 1;
        let (key, number) = (key(token), answers.count);
        answers.by_token.insert(key, Answer { claims, until, number });
        answers.order.push_back((key, number));
        answers.cut(now);
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        // Nothing is left half done in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    /// Lets those go that are over, and the oldest of too many.
    fn cut(&mut self, now: UnixTime) {
        while let Some(&(key, number)) = self.order.front() {
            let current = self.by_token.get(&key).filter(|answer| answer.number == number);
            let is_over = current.is_none_or(|answer| answer.until <= now);
            if !is_over && self.order.len() <= MOST_ANSWERS {
                return;
            }
            if current.is_some() {
                self.by_token.remove(&key);
            }
            self.order.pop_front();
        }
    }
}

fn key(token: &AccessToken) -> Key {
    Sha256::digest(token.expose()).into()
}

fn size(claims: &Map<String, Value>) -> usize {
    serde_json::to_string(claims).map_or(usize::MAX, |text| text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_000);
    const HALF_A_MINUTE: Duration = Duration::from_secs(30);

    fn claims(value: Value) -> Option<Map<String, Value>> {
        value.as_object().cloned()
    }

    fn token(number: usize) -> AccessToken {
        AccessToken::new(format!("token {number}"))
    }

    #[test]
    fn an_answer_is_believed_for_its_time_and_never_beyond_the_expiry() {
        let cache = IntrospectionCache::default();
        cache.keep(&token(1), claims(json!({"sub": "a"})), HALF_A_MINUTE, NOW);
        cache.keep(&token(2), claims(json!({"sub": "b", "exp": 1_010})), HALF_A_MINUTE, NOW);
        cache.keep(&token(3), None, HALF_A_MINUTE, NOW);
        let at = |number, seconds| cache.find(&token(number), NOW.plus(Duration::from_secs(seconds)));
        assert_eq!(at(1, 29), Some(claims(json!({"sub": "a"}))));
        assert_eq!(at(1, 30), None);
        assert!(at(2, 9).is_some() && at(2, 10).is_none());
        assert_eq!(at(3, 29), Some(None));
        assert_eq!(at(4, 0), None);
    }

    #[test]
    fn nothing_is_kept_for_no_time_nor_when_it_is_large() {
        let cache = IntrospectionCache::default();
        cache.keep(&token(1), claims(json!({})), Duration::ZERO, NOW);
        cache.keep(&token(2), claims(json!({"x": "y".repeat(LARGEST_ANSWER)})), HALF_A_MINUTE, NOW);
        assert_eq!((cache.find(&token(1), NOW), cache.find(&token(2), NOW)), (None, None));
    }

    #[test]
    fn there_are_never_more_answers_than_there_may_be() {
        let cache = IntrospectionCache::default();
        for number in 0..=MOST_ANSWERS {
            cache.keep(&token(number), None, HALF_A_MINUTE, NOW);
        }
        assert_eq!(cache.find(&token(0), NOW), None);
        assert_eq!(cache.find(&token(1), NOW), Some(None));
        let later = NOW.plus(HALF_A_MINUTE);
        cache.keep(&token(0), None, HALF_A_MINUTE, later);
        let answers = cache.lock();
        assert_eq!((answers.by_token.len(), answers.order.len()), (1, 1));
    }

    #[test]
    fn asking_again_and_again_keeps_one_answer_a_token() {
        let cache = IntrospectionCache::default();
        for _ in 0..2 * MOST_ANSWERS {
            cache.keep(&token(1), None, HALF_A_MINUTE, NOW);
        }
        assert_eq!(cache.find(&token(1), NOW), Some(None));
        assert!(cache.lock().order.len() <= MOST_ANSWERS);
    }
}
