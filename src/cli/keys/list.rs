//! `sealgate keys list`: the keys, their states, what each still opens, and what happens next.
//!
//! Must never change the ring, nor print key material.

use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::place::Place;
use super::{KeysError, moment};
use crate::aead::Algorithm;
use crate::clock::UnixTime;
use crate::keyring::{KeyId, KeyRecord, KeyRing, KeyState, RingDigest};

/// The arguments of `keys list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(place: &Place, args: &ListArgs, now: UnixTime, out: &mut dyn Write) -> Result<(), KeysError> {
    let ring = place.read()?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &listing(place.path(), &ring, now)).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        table(&ring, now, out)?;
        writeln!(out, "\n{}", what_happens_next(&ring, now))?;
    }
    Ok(())
}

/// `keys list --json`.
#[derive(Serialize)]
struct Listing<'a> {
    ring: &'a Path,
    generation: u64,
    digest: RingDigest,
    propagation: String,
    max_session: String,
    keys: Vec<ListedKey<'a>>,
    next: String,
}

#[derive(Serialize)]
struct ListedKey<'a> {
    kid: KeyId,
    state: KeyState,
    alg: Algorithm,
    created: UnixTime,
    not_before: UnixTime,
    open_until: Option<UnixTime>,
    /// When the sessions that it can still open were sealed.
    still_opens: Option<Sealed>,
    revoked: Option<UnixTime>,
    note: &'a str,
}

#[derive(Serialize)]
struct Sealed {
    from: UnixTime,
    until: UnixTime,
}

fn listing<'a>(path: &'a Path, ring: &'a KeyRing, now: UnixTime) -> Listing<'a> {
    let keys = ring.states(now).map(|(record, state)| ListedKey {
        kid: record.kid(),
        state,
        alg: record.algorithm(),
        created: record.created(),
        not_before: record.not_before(),
        open_until: ring.opens_until(record),
        still_opens: ring.sealed_and_alive(record, now).map(|(from, until)| Sealed { from, until }),
        revoked: record.revoked(),
        note: record.note(),
    });
    Listing {
        ring: path,
        generation: ring.generation(),
        digest: ring.digest(),
        propagation: humantime::format_duration(ring.propagation()).to_string(),
        max_session: humantime::format_duration(ring.max_session()).to_string(),
        keys: keys.collect(),
        next: what_happens_next(ring, now),
    }
}

const HEADINGS: [&str; 8] =
    ["KID", "STATE", "ALG", "CREATED", "ACTIVE FROM", "OPENS UNTIL", "STILL OPENS SESSIONS OF", "NOTE"];

fn table(ring: &KeyRing, now: UnixTime, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(ring.states(now).map(|(record, state)| row(ring, record, state, now)));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; HEADINGS.len()] = std::array::from_fn(width);
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn row(ring: &KeyRing, record: &KeyRecord, state: KeyState, now: UnixTime) -> [String; HEADINGS.len()] {
    [
        record.kid().to_string(),
        state.to_string(),
        record.algorithm().to_string(),
        record.created().to_string(),
        record.not_before().to_string(),
        ring.opens_until(record).map_or("-".to_owned(), |end| end.to_string()),
        still_opens(ring, record, state, now),
        // A note is anybody's text: it must not move the cursor.
        record.note().chars().map(|character| if character.is_control() { ' ' } else { character }).collect(),
    ]
}

/// When the sessions that the key can still open were sealed.
fn still_opens(ring: &KeyRing, record: &KeyRecord, state: KeyState, now: UnixTime) -> String {
    match (state, ring.sealed_and_alive(record, now)) {
        (KeyState::Revoked, _) => record.revoked().map_or("none".to_owned(), |at| format!("none, revoked {at}")),
        (KeyState::Staged, _) => "none yet".to_owned(),
        (_, Some((from, until))) if until >= now => format!("{from} to now"),
        (_, Some((from, until))) => format!("{from} to {until}"),
        (_, None) => "none".to_owned(),
    }
}

fn what_happens_next(ring: &KeyRing, now: UnixTime) -> String {
    let retiring = ring
        .states(now)
        .filter(|(_, state)| *state == KeyState::Retired)
        .filter_map(|(record, _)| Some((ring.opens_until(record)?, record.kid())))
        .min();
    match (ring.staged(now), ring.primary(now), retiring) {
        (Some(staged), Some(primary), _) => {
            let (kid, active) = (staged.kid(), moment(staged.record().not_before(), now));
            format!("Next: key {kid} becomes primary at {active}, and key {} retires.", primary.kid())
        }
        (Some(staged), None, _) => {
            let (kid, active) = (staged.kid(), moment(staged.record().not_before(), now));
            format!("No key seals, so nobody can log in until key {kid} becomes primary at {active}.")
        }
        (None, None, _) => "No key seals, so nobody can log in: run `sealgate keys rotate`.".to_owned(),
        (None, Some(_), Some((end, kid))) => format!("Next: key {kid} stops opening at {}.", moment(end, now)),
        (None, Some(primary), None) => {
            format!("Next: nothing by itself; `sealgate keys rotate` brings key {} a successor.", primary.kid())
        }
    }
}
