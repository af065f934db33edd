//! `sealgate keys revoke`: erases a key that somebody may have who should not.
//!
//! Must never end a session without having said so and been told to go on.

use std::io::Write;

use clap::Args;

use super::place::Place;
use super::{KeysError, moment};
use crate::clock::UnixTime;
use crate::keyring::{KeyId, KeyRing, KeyState, Replacement, Revocation};

/// The arguments of `keys revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The key's id, as `keys list` shows it
    #[arg(value_name = "KID")]
    pub kid: KeyId,
    /// Do it: end every session that the key sealed
    #[arg(long)]
    pub yes: bool,
}

pub(super) fn run(file: &Place, args: &RevokeArgs, now: UnixTime, out: &mut dyn Write) -> Result<(), KeysError> {
    let kid = args.kid;
    let (ring, done) = file.update(|ring| {
        let failed = |reason| KeysError::Revoke { path: file.path().to_owned(), reason };
        let done = ring.revoke(kid, now).map_err(failed)?;
        if args.yes {
            return Ok(done);
        }
        let (path, loss) = (file.path().to_owned(), loss(&done, now));
        Err(KeysError::Unconfirmed { path, kid, was: done.was, loss })
    })?;
    writeln!(out, "Revoked key {kid}, which was {}: the key is erased and its cookies are refused.", done.was)?;
    match done.replacement {
        Some(Replacement::Staged(next)) => writeln!(out, "Key {next}, which was staged, seals from now on.")?,
        Some(Replacement::New(next)) => writeln!(out, "The new key {next} seals from now on.")?,
        None => {}
    }
    next_step(&ring, &done, now, out)
}

/// What the revocation would end, for a person who has to decide.
fn loss(revocation: &Revocation, now: UnixTime) -> String {
    let sessions = match revocation.sealed {
        None => "no session ends by it".to_owned(),
        Some((from, until)) => format!(
            "every session that it sealed from {from} to {} would end at once ({} of sessions)",
            if until == now { "now".to_owned() } else { until.to_string() },
            humantime::format_duration(until.since(from))
        ),
    };
    match revocation.replacement {
        None => sessions,
        Some(Replacement::Staged(next)) => format!("{sessions}, and the staged key {next} would seal at once"),
        Some(Replacement::New(_)) => format!("{sessions}, and a new key would seal at once"),
    }
}

fn next_step(ring: &KeyRing, done: &Revocation, now: UnixTime, out: &mut dyn Write) -> Result<(), KeysError> {
    let (generation, propagation) = (ring.generation(), moment(now.plus(ring.propagation()), now));
    writeln!(out, "Next: see that every replica has generation {generation} by {propagation}.")?;
    if done.was == KeyState::Staged {
        return Ok(());
    }
    let beside = match done.replacement {
        Some(Replacement::New(_)) => ", and cannot open those of the new key",
        Some(Replacement::Staged(_)) | None => "",
    };
    writeln!(out, "A replica that does not have it yet goes on taking the revoked key's cookies{beside}.")?;
    Ok(())
}
