//! `keyring::KeyRing::parse`: what parses survives being written, and what does not is refused without repeating a key.

use sealgate::keyring::KeyRing;

use super::vectors::NOW;

/// No run of this many base64 characters of a ring may come back in an error. (A run may grow by a few characters
/// where an error escapes one that is not printable, hence not 24.)
const LONG_RUN: usize = 32;

/// Reads the input as a ring.
pub fn run(data: &[u8]) {
    let ring = match KeyRing::parse(data) {
        Ok(ring) => ring,
        Err(error) => return repeats_no_long_run(data, &error.to_string()),
    };
    let written = ring.to_json();
    let again = KeyRing::parse(&written).expect("what we write, we read");
    assert_eq!(again.digest(), ring.digest());
    assert_eq!(again.to_json(), written);
    let states = |ring: &KeyRing| ring.states(NOW).map(|(record, state)| (record.clone(), state)).collect::<Vec<_>>();
    assert_eq!(states(&again), states(&ring));
    let primary = |ring: &KeyRing| ring.primary(NOW).map(|key| key.kid());
    assert_eq!(primary(&again), primary(&ring));
}

fn repeats_no_long_run(ring: &[u8], error: &str) {
    let of_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte);
    for run in ring.split(|byte| !of_base64(byte)).filter(|run| run.len() >= LONG_RUN) {
        let run = std::str::from_utf8(run).expect("base64 is ASCII");
        assert!(!error.contains(run), "{error}");
    }
}
