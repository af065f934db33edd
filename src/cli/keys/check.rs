//! `sealgate keys check`: whether the ring is sound, and whether it has arrived at every replica.
//!
//! Must never change the ring.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use url::Url;

use super::place::Place;
use super::replicas::{self, Answer};
use super::{KeysError, moment};
use crate::clock::UnixTime;
use crate::keyring::{CLOCK_SKEW, KeyRecord, KeyRing, KeyState, RingDigest};

/// The arguments of `keys check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Management listeners of replicas, such as http://10.0.0.5:9090: do they use this ring?
    #[arg(long, value_name = "URL", num_args = 1..)]
    pub replica: Vec<Url>,
    /// Ask again until all replicas use this ring, for that long at most; by default for the ring's propagation
    #[arg(long, value_name = "DURATION", num_args = 0..=1, value_parser = humantime::parse_duration)]
    #[arg(requires = "replica")]
    pub wait: Option<Option<Duration>>,
    /// Print {"ok", "generation", "digest", "lines": [{ok, subject, message}]}
    #[arg(long)]
    pub json: bool,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Line {
    ok: bool,
    subject: String,
    message: String,
}

#[derive(Serialize)]
struct Outcome<'a> {
    ok: bool,
    generation: u64,
    digest: RingDigest,
    lines: &'a [Line],
}

pub(super) fn run(place: &Place, args: &CheckArgs, now: UnixTime, out: &mut dyn Write) -> Result<(), KeysError> {
    let ring = place.read()?;
    let mut lines = ring_lines(place, &ring, now);
    let mut arrived = None;
    if !args.replica.is_empty() {
        let wait = args.wait.map_or(Duration::ZERO, |wait| wait.unwrap_or(ring.propagation()));
        let answers = replicas::ask(&args.replica, ring.digest(), wait).map_err(KeysError::Client)?;
        lines.extend(args.replica.iter().zip(&answers).map(|(url, answer)| replica_line(url, answer, &ring)));
        arrived = answers.iter().all(|answer| answer.agrees(ring.digest())).then(|| everywhere(&ring, now));
    }
    let problems = lines.iter().filter(|line| !line.ok).count();
    if args.json {
        let outcome =
            Outcome { ok: problems == 0, generation: ring.generation(), digest: ring.digest(), lines: &lines };
        serde_json::to_writer_pretty(&mut *out, &outcome).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        for Line { ok, subject, message } in &lines {
            writeln!(out, "{:<5}  {subject}: {message}", if *ok { "ok" } else { "error" })?;
        }
        if let Some(arrived) = arrived {
            writeln!(out, "\n{arrived}")?;
        }
    }
    if problems > 0 { Err(KeysError::Problems { path: place.path().to_owned(), problems }) } else { Ok(()) }
}

/// The file could be read, so that its mode is private and every key in it is whole and not weak.
fn ring_lines(place: &Place, ring: &KeyRing, now: UnixTime) -> Vec<Line> {
    let subject = place.path().display().to_string();
    let (generation, digest) = (ring.generation(), ring.digest());
    let sound = if let Place::File(_) = place { "private and valid" } else { "valid" };
    let message = format!("{sound}, generation {generation}, digest {digest}");
    let mut lines = vec![Line { ok: true, subject: subject.clone(), message }];
    lines.extend(ring.states(now).map(|(record, state)| key_line(ring, record, state, now)));
    if ring.primary(now).is_none() {
        let message = match ring.staged(now) {
            Some(next) => {
                let active = moment(next.record().not_before(), now);
                format!("no key seals, so nobody can log in until key {} becomes primary at {active}", next.kid())
            }
            None => "no key seals, so nobody can log in; run `sealgate keys rotate`".to_owned(),
        };
        lines.push(Line { ok: false, subject, message });
    }
    lines
}

fn key_line(ring: &KeyRing, record: &KeyRecord, state: KeyState, now: UnixTime) -> Line {
    let subject = format!("key {}", record.kid());
    let past = [("created", Some(record.created())), ("revoked", record.revoked())];
    let latest = now.plus(CLOCK_SKEW);
    if let Some((field, date)) =
        past.into_iter().find_map(|(field, date)| Some((field, date.filter(|&at| at > latest)?)))
    {
        let message = format!("{field} {date} is in the future; set the clock of this machine, or correct the date");
        return Line { ok: false, subject, message };
    }
    let end = ring.opens_until(record);
    let message = match (state, end) {
        (KeyState::Staged, _) => format!("staged, becomes primary at {}", moment(record.not_before(), now)),
        (KeyState::Primary, _) => format!("primary since {}", record.not_before()),
        (KeyState::Retired, Some(end)) => format!("retired, opens until {}", moment(end, now)),
        (KeyState::Retired, None) => "retired, opens what it sealed".to_owned(),
        (KeyState::Expired, _) => "expired, `sealgate keys prune` removes it".to_owned(),
        (KeyState::Revoked, _) => "revoked, its cookies are refused".to_owned(),
    };
    Line { ok: true, subject, message }
}

fn replica_line(url: &Url, answer: &Answer, ring: &KeyRing) -> Line {
    let wanted = ring.generation();
    let (ok, message) = match answer {
        Answer::Ring { generation, .. } if answer.agrees(ring.digest()) => {
            (true, format!("uses this ring, generation {generation}"))
        }
        Answer::Ring { generation, .. } if *generation == wanted => (
            false,
            format!("uses another ring of generation {generation}; copy one and the same file to every replica"),
        ),
        Answer::Ring { generation, .. } => {
            (false, format!("uses generation {generation} instead of {wanted}; copy the ring's file there, or wait"))
        }
        Answer::Failed(problem) => (false, format!("{problem}; name the management listener of a running replica")),
    };
    // Without a user name and a password that may stand in the URL.
    Line { ok, subject: url.origin().ascii_serialization(), message }
}

/// What the agreement of all replicas means for whoever has just changed the ring.
fn everywhere(ring: &KeyRing, now: UnixTime) -> String {
    let mut text = format!("Generation {} has arrived everywhere.", ring.generation());
    if let Some(staged) = ring.staged(now) {
        text.push_str(&format!(" The staging of key {} has: every replica opens its cookies.", staged.kid()));
    }
    for (record, _) in ring.states(now).filter(|(_, state)| *state == KeyState::Revoked) {
        text.push_str(&format!(" The revocation of key {} has: no replica takes its cookies.", record.kid()));
    }
    text
}
