//! `sealgate keys rotate`: stages a new key, and changes the ring's settings with it.

use std::cmp::Ordering;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use humantime::format_duration;

use super::place::Place;
use super::{AlgorithmName, KeysError, moment};
use crate::aead::Algorithm;
use crate::clock::UnixTime;
use crate::keyring::{KeyId, KeyRing, NewSettings};

/// The arguments of `keys rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// When the new key takes over, counted from now; the ring's propagation by default and at least
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub activate_after: Option<Duration>,
    /// The new key's cipher; the present key's by default
    #[arg(long, value_enum)]
    pub algorithm: Option<AlgorithmName>,
    /// From now on: the time within which a changed ring reaches every replica
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub propagation: Option<Duration>,
    /// From now on: the longest that any session may live
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub max_session: Option<Duration>,
    /// A remark that is kept with the key
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub note: String,
}

pub(super) fn run(file: &Place, args: &RotateArgs, now: UnixTime, out: &mut dyn Write) -> Result<(), KeysError> {
    let (ring, (before, kid)) = file.update(|ring| {
        let before = Before {
            primary: ring.primary(now).map(|key| key.kid()),
            propagation: ring.propagation(),
            max_session: ring.max_session(),
        };
        let settings = NewSettings { propagation: args.propagation, max_session: args.max_session };
        let kid = ring
            .rotate_with(settings, now, args.activate_after, args.algorithm.map(Algorithm::from), &args.note)
            .map_err(|reason| KeysError::Rotate { path: file.path().to_owned(), reason })?;
        Ok::<_, KeysError>((before, kid))
    })?;
    let record = |kid: KeyId| ring.states(now).map(|(record, _)| record).find(|record| record.kid() == kid);
    if let Some(new) = record(kid) {
        let (algorithm, active) = (new.algorithm(), moment(new.not_before(), now));
        writeln!(out, "Staged key {kid} ({algorithm}): it opens from now on, and seals from {active}.")?;
    }
    if let Some((old, end)) = before.primary.and_then(record).and_then(|old| Some((old.kid(), ring.opens_until(old)?)))
    {
        writeln!(out, "Key {old} seals until then, and opens until {}.", moment(end, now))?;
    }
    new_settings(&before, &ring, out)?;
    let propagation = moment(now.plus(ring.propagation().max(before.propagation)), now);
    writeln!(out, "Next: see that every replica has generation {} by {propagation}.", ring.generation())?;
    Ok(())
}

/// The ring as it was.
struct Before {
    primary: Option<KeyId>,
    propagation: Duration,
    max_session: Duration,
}

/// Says what changed settings do to living sessions, and when.
fn new_settings(before: &Before, ring: &KeyRing, out: &mut dyn Write) -> Result<(), KeysError> {
    let (propagation, max_session) = (ring.propagation(), ring.max_session());
    if propagation != before.propagation {
        writeln!(
            out,
            "propagation is {} instead of {} from the next rotation on; for this one the longer counts, and no session \
             ends by it.",
            format_duration(propagation),
            format_duration(before.propagation)
        )?;
    }
    let (new, old) = (format_duration(max_session), format_duration(before.max_session));
    match max_session.cmp(&before.max_session) {
        Ordering::Equal => {}
        Ordering::Greater => writeln!(
            out,
            "max_session is {new} instead of {old}: living sessions keep their end; for longer ones raise \
             session.absolute_timeout once every replica has this generation."
        )?,
        Ordering::Less => writeln!(
            out,
            "max_session is {new} instead of {old}: living sessions keep their end; new ones end after {new} at a replica \
             that has this generation. Lower session.absolute_timeout to it before the next start of `sealgate serve`."
        )?,
    }
    Ok(())
}
