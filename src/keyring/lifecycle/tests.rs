use proptest::prelude::*;

use super::fixture::{MAX_SESSION, PROPAGATION, START, after};
use super::*;
use crate::keyring::Lookup;

fn ring() -> KeyRing {
    fixture::ring().0
}

fn state(ring: &KeyRing, kid: KeyId, now: UnixTime) -> KeyState {
    ring.states(now).find(|(record, _)| record.kid() == kid).expect("a key of the ring").1
}

fn revoke(ring: &mut KeyRing, kid: KeyId, now: UnixTime) {
    let entry = ring.entries.iter_mut().find(|entry| entry.record().kid == kid).expect("a key of the ring");
    *entry = Entry::Revoked(KeyRecord { revoked: Some(now), ..entry.record().clone() });
}

#[test]
fn a_new_ring_has_one_key_that_seals_at_once() {
    let ring = ring();
    assert_eq!(ring.generation(), 1);
    let states: Vec<_> = ring.states(START).map(|(_, state)| state).collect();
    assert_eq!(states, [KeyState::Primary]);
    assert_eq!(ring.opens_until(ring.primary(START).expect("a primary").record()), None);
}

#[test]
fn a_ring_with_durations_outside_their_bounds_is_not_made() {
    for (propagation, max_session, field) in [
        (Duration::ZERO, MAX_SESSION, "propagation"),
        (Duration::from_millis(1500), MAX_SESSION, "propagation"),
        (Duration::from_secs(8 * 86_400), MAX_SESSION, "propagation"),
        (PROPAGATION, Duration::ZERO, "max_session"),
        (PROPAGATION, Duration::from_secs(401 * 86_400), "max_session"),
    ] {
        let error =
            KeyRing::generate(Algorithm::default(), propagation, max_session, START).expect_err("out of bounds");
        assert!(error.to_string().starts_with(field), "{error}");
    }
}

/// The whole life of two keys, to the second.
#[test]
fn states_follow_from_the_dates() {
    use KeyState::{Expired, Primary, Retired, Staged};
    let mut ring = ring();
    let first = ring.primary(START).expect("a primary").kid();
    let second = ring.rotate(after(1000), None, None, "").expect("nothing is staged");
    let (active, end) = (1000 + 600, 1000 + 600 + 28_800 + 600 + 60);
    for (seconds, expected) in [
        (1000, (Primary, Staged)),
        (active - 1, (Primary, Staged)),
        (active, (Retired, Primary)),
        (end - 1, (Retired, Primary)),
        (end, (Expired, Primary)),
        (end + 1_000_000, (Expired, Primary)),
    ] {
        let now = after(seconds);
        assert_eq!((state(&ring, first, now), state(&ring, second, now)), expected, "{seconds} s after the start");
    }
}

#[test]
fn staged_primary_and_retired_keys_open_and_expired_or_unknown_ones_do_not() {
    let mut ring = ring();
    let first = ring.primary(START).expect("a primary").kid();
    let second = ring.rotate(START, None, None, "").expect("nothing is staged");
    assert!(matches!(ring.find(second, START), Lookup::Usable(key, KeyState::Staged) if key.kid() == second));
    assert!(matches!(ring.find(first, START), Lookup::Usable(key, KeyState::Primary) if key.kid() == first));
    assert!(matches!(ring.find(first, after(600)), Lookup::Usable(_, KeyState::Retired)));
    assert!(matches!(ring.find(first, after(100_000)), Lookup::Expired));
    let stranger = KeyId::from_bytes([0xff; 4]);
    assert!(first != stranger && second != stranger);
    assert!(matches!(ring.find(stranger, START), Lookup::Unknown));
}

#[test]
fn a_revoked_key_is_refused_and_the_key_before_it_seals_again() {
    let mut ring = ring();
    let first = ring.primary(START).expect("a primary").kid();
    let second = ring.rotate(START, None, None, "").expect("nothing is staged");
    revoke(&mut ring, second, after(700));
    assert!(matches!(ring.find(second, after(700)), Lookup::Revoked));
    assert_eq!(ring.primary(after(700)).map(RingKey::kid), Some(first));
    assert_eq!(state(&ring, first, after(1_000_000)), KeyState::Primary, "its written end does not stop a primary");
}

#[test]
fn where_every_key_is_revoked_none_seals_and_a_rotation_takes_over_at_once() {
    let mut ring = ring();
    let first = ring.primary(START).expect("a primary").kid();
    revoke(&mut ring, first, after(5));
    assert!(ring.primary(after(5)).is_none());
    let second = ring.rotate(after(5), None, None, "").expect("nothing is staged");
    assert_eq!(ring.primary(after(5)).map(RingKey::kid), Some(second));
}

#[test]
fn a_retired_key_without_a_written_end_gets_it_from_its_successor() {
    let mut ring = ring();
    let first = ring.primary(START).expect("a primary").kid();
    ring.rotate(START, None, None, "").expect("nothing is staged");
    ring.change(first, |record| record.open_until = None);
    let end = 600 + 28_800 + 600 + 60;
    assert_eq!(state(&ring, first, after(end - 1)), KeyState::Retired);
    assert_eq!(state(&ring, first, after(end)), KeyState::Expired);
}

#[test]
fn rotation_makes_the_next_generation_and_keeps_algorithm_and_note() {
    let mut ring = ring();
    let other = Algorithm::XChaCha20Poly1305;
    let second = ring.rotate(START, None, Some(other), "for the new machines").expect("nothing is staged");
    assert_eq!(ring.generation(), 2);
    let third = ring.rotate(after(600), None, None, "").expect("the second is active");
    let record = |kid: KeyId| ring.records().find(|record| record.kid() == kid).expect("a key of the ring");
    assert_eq!((record(second).algorithm(), record(second).note()), (other, "for the new machines"));
    assert_eq!((record(third).algorithm(), record(third).note()), (other, ""));
}

#[test]
fn rotation_refuses_to_be_earlier_than_the_propagation() {
    let mut ring = ring();
    let error = ring.rotate(START, Some(Duration::from_secs(599)), None, "").expect_err("too soon");
    assert!(matches!(error, RotateError::TooSoon { .. }));
    assert_eq!(
        error.to_string(),
        "activate-after: 9m 59s is shorter than the ring's propagation, in which some replicas cannot open the new \
         key's cookies yet; give 10m or more"
    );
    assert_eq!((ring.generation(), ring.states(START).count()), (1, 1));
}

#[test]
fn rotation_refuses_a_key_that_would_be_staged_for_more_than_a_year() {
    let error = ring().rotate(START, Some(Duration::from_secs(400 * 86_400)), None, "").expect_err("too late");
    assert!(matches!(error, RotateError::TooLate { .. }));
}

#[test]
fn rotation_refuses_a_second_staged_key() {
    let mut ring = ring();
    let second = ring.rotate(START, None, None, "").expect("nothing is staged");
    let error = ring.rotate(after(599), None, None, "").expect_err("one is staged");
    assert!(matches!(error, RotateError::Pending { kid, .. } if kid == second));
    assert_eq!((ring.generation(), ring.states(START).count()), (2, 2));
    ring.rotate(after(600), None, None, "").expect("the staged key has become primary");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// SP 800-57-1 §5.3.4 speaks of originator and recipient usage periods: here, of sealing and opening.
    #[test]
    fn one_key_seals_at_any_time_and_its_predecessor_opens_until_its_last_session_has_ended(
        rotations in prop::collection::vec((0u64..40_000, 0u64..20_000), 1..6),
        looks in prop::collection::vec(0u64..400_000, 20),
    ) {
        let mut ring = ring();
        let mut now = START;
        let mut active_from = vec![(ring.primary(now).expect("a primary").kid(), START)];
        for (pause, beyond) in rotations {
            now = now.plus(Duration::from_secs(pause));
            let delay = PROPAGATION + Duration::from_secs(beyond);
            let pending = active_from.last().expect("one at least").1 > now;
            match ring.rotate(now, Some(delay), None, "") {
                Ok(kid) => active_from.push((kid, now.plus(delay))),
                Err(error) => {
                    let refused_as_pending = matches!(error, RotateError::Pending { .. });
                    prop_assert!(pending && refused_as_pending);
                }
            }
        }
        let again = KeyRing::parse(&ring.to_json()).expect("a ring of our own");
        prop_assert_eq!(again.digest(), ring.digest());
        let edges = active_from.iter().flat_map(|&(_, from)| [from, from.minus(Duration::from_secs(1))]);
        let ends = active_from.iter().map(|&(_, from)| from.plus(MAX_SESSION + PROPAGATION + CLOCK_SKEW));
        let ends = ends.flat_map(|end| [end, end.minus(Duration::from_secs(1))]);
        let looks = looks.into_iter().map(after);
        for at in looks.chain(edges).chain(ends).filter(|at| *at >= START).collect::<Vec<_>>() {
            let primaries = again.states(at).filter(|(_, state)| *state == KeyState::Primary).count();
            prop_assert_eq!(primaries, 1, "at {}", at);
            for pair in active_from.windows(2) {
                let ((old, _), (_, successor_from)) = (pair[0], pair[1]);
                let end = successor_from.plus(MAX_SESSION + PROPAGATION + CLOCK_SKEW);
                let opens = matches!(again.find(old, at), Lookup::Usable(..));
                prop_assert_eq!(opens, at < end, "key {} at {}", old, at);
            }
        }
    }
}
