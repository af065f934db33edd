//! `sealgate keys retire`: lets the staged key take over before its time.

use std::io::Write;

use clap::Args;

use super::place::Place;
use super::{KeysError, moment};
use crate::clock::UnixTime;
use crate::keyring::KeyId;

/// The arguments of `keys retire`.
#[derive(Debug, Args)]
pub struct RetireArgs {
    /// The primary key's id, as `keys list` shows it
    #[arg(value_name = "KID")]
    pub kid: KeyId,
}

pub(super) fn run(file: &Place, args: &RetireArgs, now: UnixTime, out: &mut dyn Write) -> Result<(), KeysError> {
    let kid = args.kid;
    let (ring, successor) = file.update(|ring| {
        ring.retire(kid, now).map_err(|reason| KeysError::Retire { path: file.path().to_owned(), reason })
    })?;
    let retired = ring.states(now).map(|(record, _)| record).find(|record| record.kid() == kid);
    match retired.and_then(|record| ring.opens_until(record)) {
        Some(end) => writeln!(out, "Retired key {kid}: it opens until {}.", moment(end, now))?,
        None => writeln!(out, "Retired key {kid}.")?,
    }
    writeln!(out, "Key {successor}, which was staged, seals from now on.")?;
    let (generation, propagation) = (ring.generation(), moment(now.plus(ring.propagation()), now));
    writeln!(out, "Next: see that every replica has generation {generation} by {propagation}.")?;
    Ok(())
}
