//! `sealgate keys prune`: removes the keys that are no use any more.

use std::io::Write;

use super::place::Place;
use super::{KeysError, moment};
use crate::clock::UnixTime;
use crate::keyring::{KeyState, Prunable, RingUpdateError};

pub(super) fn run(file: &Place, now: UnixTime, out: &mut dyn Write) -> Result<(), KeysError> {
    match file.update(|ring| {
        let removed = ring.prune(now);
        let kept: Vec<Prunable> = ring.prunable(now).collect();
        if removed.is_empty() { Err(Unchanged::Nothing(kept)) } else { Ok((removed, kept)) }
    }) {
        Ok((ring, (removed, kept))) => {
            for key in removed {
                writeln!(out, "Removed key {}, which was {}.", key.kid, key.state)?;
            }
            show_kept(&kept, now, out)?;
            let (generation, propagation) = (ring.generation(), moment(now.plus(ring.propagation()), now));
            writeln!(out, "Next: see that every replica has generation {generation} by {propagation}.")?;
        }
        Err(Unchanged::Nothing(kept)) => {
            writeln!(out, "Nothing to remove; {} is as it was.", file.path().display())?;
            show_kept(&kept, now, out)?;
        }
        Err(Unchanged::Failed(error)) => return Err(error.into()),
    }
    Ok(())
}

/// Why the file is not written.
enum Unchanged {
    /// It would be the same; these keys will be removed later.
    Nothing(Vec<Prunable>),
    Failed(RingUpdateError),
}

impl From<RingUpdateError> for Unchanged {
    fn from(error: RingUpdateError) -> Self {
        Self::Failed(error)
    }
}

fn show_kept(kept: &[Prunable], now: UnixTime, out: &mut dyn Write) -> Result<(), KeysError> {
    for Prunable { kid, state, from } in kept {
        let why = match state {
            KeyState::Revoked => "cookies that it sealed may still come",
            _ => "sessions that it sealed may be alive",
        };
        writeln!(out, "Kept key {kid} ({state}) until {}: {why}.", moment(*from, now))?;
    }
    Ok(())
}
