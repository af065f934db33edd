//! `sealgate keys`: makes and shows the key ring, and changes its keys.
//!
//! Must never print key material; a changed ring goes to its file alone, or to standard output where that was asked for.

mod check;
mod list;
mod place;
mod postpone;
mod prune;
mod replicas;
mod retire;
mod revoke;
mod rotate;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use self::place::Place;
use super::moment::moment;
use crate::aead::Algorithm;
use crate::clock::{Clock, UnixTime};
use crate::keyring::{
    GenerateError, KeyId, KeyRing, KeyState, PostponeError, RetireError, RevokeError, RingFile, RingFileError,
    RingUpdateError, RotateError,
};

/// Make, show and rotate the keys that seal cookies
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// The key ring's file; `-`: standard input
    #[arg(long, global = true, value_name = "FILE", default_value = "keys/ring.json")]
    pub ring: PathBuf,
    /// With `--ring -`: write the made or changed ring to standard output, and messages to standard error
    #[arg(long, global = true, value_name = "-", value_parser = ["-"])]
    pub output: Option<String>,
    /// What to do with it
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// What to do with the key ring.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a new ring with one key; an existing ring is never overwritten
    Generate(GenerateArgs),
    /// Show the keys, their states, and what happens next
    List(list::ListArgs),
    /// Stage a new key, which takes over once every replica can open its cookies
    Rotate(rotate::RotateArgs),
    /// Let a staged key take over later, because a replica does not have it yet
    Postpone(postpone::PostponeArgs),
    /// Let the staged key take over from the primary now, if every replica can open its cookies
    Retire(retire::RetireArgs),
    /// Erase a key at once, with every session that it sealed: for a key that others may have
    Revoke(revoke::RevokeArgs),
    /// See whether the ring is sound, and whether it has arrived at every replica
    Check(check::CheckArgs),
    /// Remove the keys whose last session has ended; never earlier
    Prune,
}

/// The arguments of `keys generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The cipher; xchacha20-poly1305 is for processors without AES instructions
    #[arg(long, value_enum, default_value_t)]
    pub algorithm: AlgorithmName,
    /// Within which time a changed ring reaches every replica, the skew of their clocks included
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    pub propagation: Duration,
    /// The longest that any session may live; session.absolute_timeout may be shorter
    #[arg(long, value_name = "DURATION", default_value = "8h", value_parser = humantime::parse_duration)]
    pub max_session: Duration,
}

/// An [`Algorithm`], as it is written on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AlgorithmName {
    /// AES-256-GCM with a 192-bit nonce
    #[default]
    #[value(name = "xaes-256-gcm")]
    Xaes256Gcm,
    /// ChaCha20-Poly1305 with a 192-bit nonce
    #[value(name = "xchacha20-poly1305")]
    XChaCha20Poly1305,
}

impl From<AlgorithmName> for Algorithm {
    fn from(name: AlgorithmName) -> Self {
        match name {
            AlgorithmName::Xaes256Gcm => Self::Xaes256Gcm,
            AlgorithmName::XChaCha20Poly1305 => Self::XChaCha20Poly1305,
        }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The ring cannot be read.
    #[error(transparent)]
    Read(#[from] RingFileError),
    /// The ring cannot be written.
    #[error(transparent)]
    Write(#[from] RingUpdateError),
    /// No ring was made.
    #[error("{path}: no key ring was made: {reason}", path = .path.display())]
    Generate {
        /// Where it would have been.
        path: PathBuf,
        /// Why not.
        reason: GenerateError,
    },
    /// No key was staged.
    #[error("{path}: no key was staged: {reason}", path = .path.display())]
    Rotate {
        /// The ring.
        path: PathBuf,
        /// Why not.
        reason: RotateError,
    },
    /// No key was postponed.
    #[error("{path}: no key was postponed: {reason}", path = .path.display())]
    Postpone {
        /// The ring.
        path: PathBuf,
        /// Why not.
        reason: PostponeError,
    },
    /// No key was retired.
    #[error("{path}: no key was retired: {reason}", path = .path.display())]
    Retire {
        /// The ring.
        path: PathBuf,
        /// Why not.
        reason: RetireError,
    },
    /// No key was revoked.
    #[error("{path}: no key was revoked: {reason}", path = .path.display())]
    Revoke {
        /// The ring.
        path: PathBuf,
        /// Why not.
        reason: RevokeError,
    },
    /// A revocation that was not confirmed.
    #[error("{path}: key {kid} ({was}) was not revoked: {loss}; add --yes to go on", path = .path.display())]
    Unconfirmed {
        /// The ring.
        path: PathBuf,
        /// The key.
        kid: KeyId,
        /// The state that it is in.
        was: KeyState,
        /// What the revocation would do.
        loss: String,
    },
    /// `check` found something.
    #[error("{path}: the check found {problems} problem(s), listed on standard output", path = .path.display())]
    Problems {
        /// The ring.
        path: PathBuf,
        /// How many; one at least.
        problems: usize,
    },
    /// No replica could be asked.
    #[error("the replicas cannot be asked ({0}); try again, or check without --replica")]
    Client(io::Error),
    /// A ring that would be changed or made, and get lost.
    #[error("--ring -: the changed ring goes nowhere; add --output - to write it to standard output")]
    NoOutput,
    /// A file that is to be read, and an output.
    #[error("--output - needs --ring -: with a file, the file is changed; list and check take no --output")]
    NeedlessOutput,
    /// Nobody reads the output any more.
    #[error("the result cannot be printed ({0}); what was done stays done")]
    Output(#[from] io::Error),
}

/// What a command reads and writes.
pub struct Streams<'a> {
    /// A ring, with `--ring -`.
    pub input: &'a mut dyn Read,
    /// The result: what people read, or a ring with `--output -`.
    pub out: &'a mut dyn Write,
    /// What people read, with `--output -`.
    pub messages: &'a mut dyn Write,
}

/// Runs a command and prints its result.
///
/// # Errors
/// [`KeysError`]; the ring is then unchanged, unless it was the printing that failed.
pub fn run(args: KeysArgs, clock: &Clock, streams: Streams<'_>) -> Result<(), KeysError> {
    let now = clock.now();
    let Streams { input, out, messages } = streams;
    let piped = args.ring.as_os_str() == "-";
    let only_reads = matches!(args.command, KeysCommand::List(_) | KeysCommand::Check(_));
    match args.output {
        Some(_) if !piped || only_reads => return Err(KeysError::NeedlessOutput),
        None if piped && !only_reads => return Err(KeysError::NoOutput),
        _ => {}
    }
    let place = match &args.command {
        KeysCommand::Generate(generated) if piped => return generate_into_pipe(generated, now, out, messages),
        KeysCommand::Generate(generated) => return generate(&RingFile::new(args.ring), generated, now, out),
        _ if piped => Place::pipe(input)?,
        _ => Place::File(RingFile::new(args.ring)),
    };
    let said = if piped && !only_reads { messages } else { &mut *out };
    match &args.command {
        KeysCommand::Generate(_) => {}
        KeysCommand::List(args) => list::run(&place, args, now, said)?,
        KeysCommand::Check(args) => check::run(&place, args, now, said)?,
        KeysCommand::Rotate(args) => rotate::run(&place, args, now, said)?,
        KeysCommand::Postpone(args) => postpone::run(&place, args, now, said)?,
        KeysCommand::Retire(args) => retire::run(&place, args, now, said)?,
        KeysCommand::Revoke(args) => revoke::run(&place, args, now, said)?,
        KeysCommand::Prune => prune::run(&place, now, said)?,
    }
    if only_reads {
        return Ok(());
    }
    place.passed_on().map_or(Ok(()), |json| Ok(out.write_all(&json)?))
}

fn generate(file: &RingFile, args: &GenerateArgs, now: UnixTime, out: &mut dyn Write) -> Result<(), KeysError> {
    let path = file.path();
    let ring = args.ring(path, now)?;
    file.create(&ring)?;
    say_what_was_made(&ring, &format!("the key ring {}", path.display()), now, out)?;
    writeln!(out, "Next: set `keys.ring = {path:?}` in the configuration and start `sealgate serve`.")?;
    writeln!(out, "Later: `sealgate keys rotate --ring {}` brings a new key; no session ends by it.", path.display())?;
    Ok(())
}

fn generate_into_pipe(
    args: &GenerateArgs,
    now: UnixTime,
    out: &mut dyn Write,
    messages: &mut dyn Write,
) -> Result<(), KeysError> {
    let output = Path::new("standard output");
    let ring = args.ring(output, now)?;
    out.write_all(&ring.to_json())?;
    say_what_was_made(&ring, "a key ring", now, messages)
}

fn say_what_was_made(ring: &KeyRing, what: &str, now: UnixTime, out: &mut dyn Write) -> Result<(), KeysError> {
    for (record, _) in ring.states(now) {
        writeln!(out, "Made {what} with key {} ({}).", record.kid(), record.algorithm())?;
    }
    writeln!(out, "It is a secret: give every replica the same file, readable by no one else, and keep a copy safe.")?;
    Ok(())
}

impl GenerateArgs {
    fn ring(&self, path: &Path, now: UnixTime) -> Result<KeyRing, KeysError> {
        let made = KeyRing::generate(self.algorithm.into(), self.propagation, self.max_session, now);
        made.map_err(|reason| KeysError::Generate { path: path.to_owned(), reason })
    }
}

#[cfg(test)]
mod tests;
