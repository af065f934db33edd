//! The ring's JSON, `sealgate-keyring/1`: parsed with every check at once, written in a stable order.
//!
//! A ring that parses needs no further check. Must never repeat a key text in an error, wherever in the file it stands.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Entry, KeyId, KeyMaterial, KeyRecord, KeyRing, KeyTextError, RingKey};
use crate::aead::Algorithm;
use crate::clock::UnixTime;
use crate::secret::SecretString;

/// The format that this release reads and writes.
pub const FORMAT: &str = "sealgate-keyring/1";

const LONGEST_PROPAGATION: Duration = Duration::from_secs(7 * 86_400);
/// The longest that browsers keep a cookie (draft-ietf-httpbis-rfc6265bis §5.5).
const LONGEST_SESSION: Duration = Duration::from_secs(400 * 86_400);

/// Runs of this many base64 characters are not repeated in errors: they may be a key.
const LONGEST_SHOWN_RUN: usize = 23;

/// Why a text is not a key ring: each names the field, what is wrong with it and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// Not JSON, cut short, or a field that is missing, unknown or of another type.
    #[error("not a key ring: {0}; correct it, or restore the file from where it came")]
    Json(String),
    /// Written by another release.
    #[error("format: {found:?} is not {FORMAT:?}; use the release of sealgate that wrote the ring")]
    Format {
        /// The format that the file names.
        found: String,
    },
    /// Generations count from 1.
    #[error("generation: 0 is no generation, they count from 1; write one that is above all earlier ones")]
    Generation,
    /// Not a duration, or outside its bounds.
    #[error("{field}: {found:?} is not a whole number of seconds from 1s to {longest}; write one such as {example}")]
    Duration {
        /// Which of the two durations.
        field: &'static str,
        /// What the file says.
        found: String,
        /// The upper bound.
        longest: &'static str,
        /// A usual value.
        example: &'static str,
    },
    /// An empty list.
    #[error("keys: the list is empty; make a new ring with `sealgate keys generate`")]
    NoKeys,
    /// Two keys of one id; revoked ones count.
    #[error("key {0}: there are two of this kid; remove one")]
    DuplicateKid(KeyId),
    /// One key under two ids.
    #[error("key {0}: key {1} has the same key text; remove one")]
    DuplicateKey(KeyId, KeyId),
    /// A key that cannot be read.
    #[error("key {0}: its key text {1}; restore it, or revoke the key")]
    KeyText(KeyId, KeyTextError),
    /// The id was written for another key or another algorithm.
    #[error("key {kid}: its key text belongs to kid {actual} under {algorithm}; restore kid, alg and key together")]
    KidMismatch {
        /// The id in the file.
        kid: KeyId,
        /// The id of the key text in the file.
        actual: KeyId,
        /// The algorithm in the file.
        algorithm: Algorithm,
    },
    /// A key that is not revoked must have its text.
    #[error("key {0}: key is null although the key is not revoked; restore the key text, or revoke the key")]
    KeyMissing(KeyId),
    /// A revoked key must be erased.
    #[error("key {0}: the key is revoked and its key text is still there; replace the text by null")]
    RevokedNotErased(KeyId),
    /// The key would never have opened.
    #[error("key {kid}: open_until {open_until} is before not_before {not_before}; correct the dates")]
    EndsBeforeItBegins {
        /// The key.
        kid: KeyId,
        /// Its end.
        open_until: UnixTime,
        /// Its beginning.
        not_before: UnixTime,
    },
}

/// Finds the format before anything else is judged, for a later format may have other fields.
#[derive(Deserialize)]
struct RawFormat {
    format: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRing {
    format: String,
    generation: u64,
    propagation: String,
    max_session: String,
    keys: Vec<RawKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    kid: KeyId,
    alg: Algorithm,
    created: UnixTime,
    not_before: UnixTime,
    #[serde(default)]
    open_until: Option<UnixTime>,
    #[serde(default)]
    revoked: Option<UnixTime>,
    #[serde(default)]
    key: Option<RawKeyText>,
    #[serde(default)]
    note: String,
}

struct RawKeyText(SecretString);

impl Serialize for RawKeyText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for RawKeyText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::new(text)))
    }
}

impl KeyRing {
    /// Reads a ring and checks it whole.
    ///
    /// # Errors
    /// The first finding, as a [`RingError`].
    pub fn parse(json: &[u8]) -> Result<Self, RingError> {
        let RawFormat { format } = serde_json::from_slice(json).map_err(json_error)?;
        if format != FORMAT {
            return Err(RingError::Format { found: without_long_runs(&format) });
        }
        let raw: RawRing = serde_json::from_slice(json).map_err(json_error)?;
        if raw.generation == 0 {
            return Err(RingError::Generation);
        }
        let propagation = duration(&PROPAGATION, &raw.propagation)?;
        let max_session = duration(&MAX_SESSION, &raw.max_session)?;
        let entries = raw.keys.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        check_together(&entries)?;
        Ok(Self { generation: raw.generation, propagation, max_session, entries })
    }

    /// The ring as its file holds it: indented, fields in a fixed order, a newline at the end.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let raw = RawRing {
            format: FORMAT.to_owned(),
            generation: self.generation,
            propagation: humantime::format_duration(self.propagation).to_string(),
            max_session: humantime::format_duration(self.max_session).to_string(),
            keys: self.entries.iter().map(raw_key).collect(),
        };
        // Room for all of it from the start: growing would leave copies of the keys behind in freed memory. A note
        // takes six bytes a byte at most, when all of it is escaped.
        let room = 512 + self.records().map(|record| 512 + 6 * record.note.len()).sum::<usize>();
        let mut json = Zeroizing::new(Vec::with_capacity(room));
        // Texts and numbers into memory: neither the serialiser nor the writer has a way to fail.
        serde_json::to_writer_pretty(&mut *json, &raw).expect("a ring is plain data");
        json.push(b'\n');
        json
    }

    /// SHA-256 over everything that replicas must agree on, key material excepted (which the key ids stand for).
    ///
    /// The text that is hashed has a line each for the format, `generation N`, `propagation SECONDS` and
    /// `max_session SECONDS`; then, by key id, a line `key KID ALG CREATED NOT_BEFORE OPEN_UNTIL REVOKED` a key, with
    /// the dates in seconds since 1970 and `-` for none. Each line ends in a newline. Notes do not count.
    pub fn digest(&self) -> RingDigest {
        let (propagation, max_session) = (self.propagation.as_secs(), self.max_session.as_secs());
        let generation = self.generation;
        let mut text =
            format!("{FORMAT}\ngeneration {generation}\npropagation {propagation}\nmax_session {max_session}\n");
        let mut records: Vec<&KeyRecord> = self.records().collect();
        records.sort_by_key(|record| record.kid);
        for record in records {
            let date = |date: Option<UnixTime>| date.map_or("-".to_owned(), |date| date.as_secs().to_string());
            let (created, not_before) = (date(Some(record.created)), date(Some(record.not_before)));
            let (open_until, revoked) = (date(record.open_until), date(record.revoked));
            let KeyRecord { kid, algorithm, .. } = record;
            text.push_str(&format!("key {kid} {algorithm} {created} {not_before} {open_until} {revoked}\n"));
        }
        RingDigest(Sha256::digest(text.as_bytes()).into())
    }
}

/// The digest of a ring; 64 hexadecimal digits in text. Equal digests: the same ring, but for its notes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RingDigest([u8; 32]);

impl fmt::Display for RingDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RingDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingDigest({self})")
    }
}

impl Serialize for RingDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Checks the durations of a ring that is to be made.
pub(super) fn check_settings(propagation: Duration, max_session: Duration) -> Result<(), RingError> {
    in_bounds(&PROPAGATION, propagation, || humantime::format_duration(propagation).to_string())?;
    in_bounds(&MAX_SESSION, max_session, || humantime::format_duration(max_session).to_string())?;
    Ok(())
}

/// A duration of the ring, and its bounds.
struct Setting {
    field: &'static str,
    longest: Duration,
    longest_text: &'static str,
    example: &'static str,
}

const PROPAGATION: Setting =
    Setting { field: "propagation", longest: LONGEST_PROPAGATION, longest_text: "7days", example: "10m" };
const MAX_SESSION: Setting =
    Setting { field: "max_session", longest: LONGEST_SESSION, longest_text: "400days", example: "8h" };

fn duration(setting: &Setting, text: &str) -> Result<Duration, RingError> {
    // Where the text is no duration, zero stands for it, which is out of bounds.
    in_bounds(setting, humantime::parse_duration(text).unwrap_or_default(), || without_long_runs(text))
}

fn in_bounds(setting: &Setting, duration: Duration, found: impl FnOnce() -> String) -> Result<Duration, RingError> {
    let whole = duration.subsec_nanos() == 0;
    if whole && !duration.is_zero() && duration <= setting.longest {
        return Ok(duration);
    }
    let Setting { field, longest_text: longest, example, .. } = *setting;
    Err(RingError::Duration { field, found: found(), longest, example })
}

fn entry(raw: RawKey) -> Result<Entry, RingError> {
    let RawKey { kid, alg: algorithm, created, not_before, open_until, revoked, key, note } = raw;
    if let Some(open_until) = open_until.filter(|&end| end < not_before) {
        return Err(RingError::EndsBeforeItBegins { kid, open_until, not_before });
    }
    let record = KeyRecord { kid, algorithm, created, not_before, open_until, revoked, note };
    match (revoked, key) {
        (Some(_), None) => Ok(Entry::Revoked(record)),
        (Some(_), Some(_)) => Err(RingError::RevokedNotErased(kid)),
        (None, None) => Err(RingError::KeyMissing(kid)),
        (None, Some(RawKeyText(text))) => {
            let material = KeyMaterial::from_text(text.expose()).map_err(|problem| RingError::KeyText(kid, problem))?;
            let actual = material.kid(algorithm);
            if actual != kid {
                return Err(RingError::KidMismatch { kid, actual, algorithm });
            }
            Ok(Entry::Live(Box::new(RingKey::new(record, material))))
        }
    }
}

fn check_together(entries: &[Entry]) -> Result<(), RingError> {
    if entries.is_empty() {
        return Err(RingError::NoKeys);
    }
    let mut kids = HashSet::new();
    if let Some(twice) = entries.iter().map(|entry| entry.record().kid).find(|&kid| !kids.insert(kid)) {
        return Err(RingError::DuplicateKid(twice));
    }
    let keys: Vec<&RingKey> = entries.iter().filter_map(Entry::live).collect();
    for (at, key) in keys.iter().enumerate() {
        if let Some(same) = keys[..at].iter().find(|other| other.material == key.material) {
            return Err(RingError::DuplicateKey(key.kid(), same.kid()));
        }
    }
    Ok(())
}

fn raw_key(entry: &Entry) -> RawKey {
    let KeyRecord { kid, algorithm, created, not_before, open_until, revoked, ref note } = *entry.record();
    let key = entry.live().map(|key| RawKeyText(key.material.to_text()));
    RawKey { kid, alg: algorithm, created, not_before, open_until, revoked, key, note: note.clone() }
}

fn json_error(error: serde_json::Error) -> RingError {
    RingError::Json(without_long_runs(&error.to_string()))
}

/// `text` with every run of base64 characters that is long enough to be a key, or a good part of one, left out.
fn without_long_runs(text: &str) -> String {
    let of_base64 = |character: char| character.is_ascii_alphanumeric() || "+/-_=".contains(character);
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = rest.find(|character| of_base64(character) != of_base64(first)).unwrap_or(rest.len());
        let (now, later) = rest.split_at(run);
        kept.push_str(if of_base64(first) && run > LONGEST_SHOWN_RUN { "[redacted]" } else { now });
        rest = later;
    }
    kept
}

#[cfg(test)]
mod tests;
