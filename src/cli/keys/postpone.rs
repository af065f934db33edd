//! `sealgate keys postpone`: lets a staged key wait until a replica that lags has it.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::place::Place;
use super::{KeysError, moment};
use crate::clock::UnixTime;
use crate::keyring::KeyId;

/// The arguments of `keys postpone`.
#[derive(Debug, Args)]
pub struct PostponeArgs {
    /// The staged key's id, as `keys list` shows it
    #[arg(value_name = "KID")]
    pub kid: KeyId,
    /// By how much later it takes over; the ring's propagation by default
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub by: Option<Duration>,
}

pub(super) fn run(file: &Place, args: &PostponeArgs, now: UnixTime, out: &mut dyn Write) -> Result<(), KeysError> {
    let kid = args.kid;
    let (ring, (before, active)) = file.update(|ring| {
        let before = ring.staged(now).map(|key| key.record().not_before());
        let active = ring.postpone(kid, args.by, now);
        let active = active.map_err(|reason| KeysError::Postpone { path: file.path().to_owned(), reason })?;
        Ok::<_, KeysError>((before.unwrap_or(now), active))
    })?;
    writeln!(out, "Postponed key {kid}: it seals from {}.", moment(active, now))?;
    if let Some(primary) = ring.primary(now)
        && let Some(end) = ring.opens_until(primary.record())
    {
        writeln!(out, "Key {} seals until then, and opens until {}.", primary.kid(), moment(end, now))?;
    }
    let generation = ring.generation();
    writeln!(
        out,
        "Next: see that every replica has generation {generation} by {}: the others would begin to seal with the key.",
        moment(before, now)
    )?;
    Ok(())
}
