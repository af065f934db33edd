//! The ring in use: a snapshot that every request reads without waiting, replaced when the file brings a newer one.
//!
//! Must never replace a ring in use by one that does not validate or is older: what is wrong is logged and counted,
//! the old ring stays, and after the ring's propagation in that state the replica is no longer ready.

use std::cmp::Ordering;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use humantime::format_duration;
use serde::Serialize;
use tracing::{info, warn};

use super::file::Fingerprint;
use super::{KeyId, KeyRing, KeyState, RingDigest, RingFile, RingFileError};
use crate::aead::Algorithm;
use crate::clock::{Clock, UnixTime};
use crate::metrics::Metrics;

/// Cookies with unknown keys are cheap to make: they must not keep the disk busy.
const REREAD_INTERVAL: Duration = Duration::from_secs(1);

/// The ring in use. Clones share it.
#[derive(Clone)]
pub struct RingHandle(Arc<Shared>);

struct Shared {
    ring: ArcSwap<KeyRing>,
    clock: Clock,
    /// `None` for a ring that is not from a file.
    source: Option<Source>,
}

struct Source {
    file: RingFile,
    metrics: Metrics,
    /// Held while the file is read.
    reading: Mutex<Reading>,
    /// Never held for long: readiness asks for it.
    failure: Mutex<Option<Failure>>,
}

struct Reading {
    /// The file as it was when it was last taken.
    seen: Fingerprint,
    /// When a cookie last had it read, and whether that changed the ring.
    for_unknown_key: Option<(Instant, bool)>,
}

struct Failure {
    since: UnixTime,
    message: String,
}

impl RingHandle {
    /// Reads the ring at `path`.
    ///
    /// # Errors
    /// [`RingFileError`]: without a valid ring there is nothing to start with.
    pub fn load(path: PathBuf, clock: Clock, metrics: Metrics) -> Result<Self, RingFileError> {
        let file = RingFile::new(path);
        let (ring, seen) = file.read_with_fingerprint()?;
        log_taken(&file, &ring, &clock);
        let reading = Mutex::new(Reading { seen, for_unknown_key: None });
        let source = Some(Source { file, metrics, reading, failure: Mutex::new(None) });
        Ok(Self(Arc::new(Shared { ring: ArcSwap::from_pointee(ring), clock, source })))
    }

    /// A ring without a file, which never changes.
    pub fn fixed(ring: KeyRing) -> Self {
        Self(Arc::new(Shared { ring: ArcSwap::from_pointee(ring), clock: Clock::system(), source: None }))
    }

    /// The ring in use. It is another one, by [`Arc::ptr_eq`], as soon as anything has changed.
    pub fn current(&self) -> Arc<KeyRing> {
        self.0.ring.load_full()
    }

    /// Reads the file again for a cookie whose key is unknown, at most once a second; whether that, or the reading a
    /// moment ago, changed the ring. The file is small: no need to leave the thread.
    pub fn reread_for_unknown_key(&self) -> bool {
        let Some(source) = &self.0.source else { return false };
        let mut reading = lock(&source.reading);
        match reading.for_unknown_key {
            Some((at, changed)) if at.elapsed() < REREAD_INTERVAL => changed,
            _ => {
                // A failure has been logged and counted; for the cookie it means that its key stays unknown.
                let changed = self.take(source, &mut reading).unwrap_or(false);
                reading.for_unknown_key = Some((Instant::now(), changed));
                changed
            }
        }
    }

    /// Reads the file again; whether the ring changed.
    ///
    /// # Errors
    /// [`RingFileError`], which has been logged and counted; the ring in use stays.
    pub fn reload(&self) -> Result<bool, RingFileError> {
        match &self.0.source {
            Some(source) => self.take(source, &mut lock(&source.reading)),
            None => Ok(false),
        }
    }

    /// Reads the file again if it is not the one last taken, or if the last reading failed.
    pub(super) fn reload_if_touched(&self) -> Result<bool, RingFileError> {
        let Some(source) = &self.0.source else { return Ok(false) };
        let mut reading = lock(&source.reading);
        let untouched = source.file.fingerprint() == Some(reading.seen) && lock(&source.failure).is_none();
        if untouched { Ok(false) } else { self.take(source, &mut reading) }
    }

    pub(super) fn file(&self) -> Option<&RingFile> {
        self.0.source.as_ref().map(|source| &source.file)
    }

    fn take(&self, source: &Source, reading: &mut Reading) -> Result<bool, RingFileError> {
        let running = self.current();
        match source.read_newer_than(&running) {
            Ok((ring, seen)) => {
                reading.seen = seen;
                if lock(&source.failure).take().is_some() {
                    info!(target: "sealgate::keyring", path = %source.file.path().display(), "key ring is readable again");
                }
                let changed = ring.digest() != running.digest();
                if changed {
                    log_taken(&source.file, &ring, &self.0.clock);
                    for (setting, meaning) in changed_settings(&running, &ring) {
                        info!(target: "sealgate::audit", event = "key_ring_settings", setting, "{meaning}");
                    }
                    self.0.ring.store(Arc::new(ring));
                }
                Ok(changed)
            }
            Err(error) => {
                source.failed(&error, self.0.clock.now());
                Err(error)
            }
        }
    }

    /// Since when the file cannot be taken; `None` while all is well.
    pub fn failing_since(&self) -> Option<UnixTime> {
        let source = self.0.source.as_ref()?;
        lock(&source.failure).as_ref().map(|failure| failure.since)
    }

    /// Whether the file has not been taken for longer than the ring's propagation, so that this replica may lack a key
    /// that others seal with: it is not ready.
    pub fn is_stale(&self, now: UnixTime) -> bool {
        is_stale(self.failing_since(), self.current().propagation(), now)
    }

    /// What the management listener shows.
    pub fn summary(&self) -> RingSummary {
        let (ring, now) = (self.current(), self.0.clock.now());
        let keys = ring.states(now).map(|(record, state)| KeySummary {
            kid: record.kid(),
            alg: record.algorithm(),
            state,
            not_before: record.not_before(),
            open_until: ring.opens_until(record),
        });
        RingSummary {
            generation: ring.generation(),
            digest: ring.digest(),
            primary: ring.primary(now).map(|key| key.kid()),
            keys: keys.collect(),
            failing_since: self.failing_since(),
            propagation: ring.propagation(),
        }
    }
}

impl Source {
    fn read_newer_than(&self, running: &KeyRing) -> Result<(KeyRing, Fingerprint), RingFileError> {
        let (ring, seen) = self.file.read_with_fingerprint()?;
        let (found, running) = (ring.generation(), running.generation());
        if found < running {
            return Err(RingFileError::Older { path: self.file.path().to_owned(), found, running });
        }
        Ok((ring, seen))
    }

    /// Counts a failure, and logs it unless it is the same as before.
    fn failed(&self, error: &RingFileError, now: UnixTime) {
        self.metrics.ring_reload_failures.inc();
        let message = error.to_string();
        let mut failure = lock(&self.failure);
        if failure.as_ref().is_none_or(|before| before.message != message) {
            warn!(target: "sealgate::audit", event = "key_ring_refused", "key ring refused, the one in use stays: {message}");
        }
        let since = failure.as_ref().map_or(now, |before| before.since);
        *failure = Some(Failure { since, message });
    }
}

impl fmt::Debug for RingHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RingHandle").field(&self.current()).finish()
    }
}

/// The public side of a ring: no key material.
#[derive(Clone, Debug, Serialize)]
pub struct RingSummary {
    /// How many times the ring has been written.
    pub generation: u64,
    /// Equal on all replicas once they have the same ring.
    pub digest: RingDigest,
    /// The key that seals now; none when all are revoked.
    pub primary: Option<KeyId>,
    /// Every key, in the order of the file.
    pub keys: Vec<KeySummary>,
    /// Since when the file cannot be taken.
    pub failing_since: Option<UnixTime>,
    #[serde(skip)]
    propagation: Duration,
}

impl RingSummary {
    /// See [`RingHandle::is_stale`].
    pub fn is_stale(&self, now: UnixTime) -> bool {
        is_stale(self.failing_since, self.propagation, now)
    }
}

/// The public side of a key.
#[derive(Clone, Debug, Serialize)]
pub struct KeySummary {
    /// The key id.
    pub kid: KeyId,
    /// The algorithm.
    pub alg: Algorithm,
    /// Where it stands at the time of the summary.
    pub state: KeyState,
    /// When it becomes, or became, the one that seals.
    pub not_before: UnixTime,
    /// When it stops opening; see [`KeyRing::opens_until`].
    pub open_until: Option<UnixTime>,
}

fn is_stale(failing_since: Option<UnixTime>, propagation: Duration, now: UnixTime) -> bool {
    failing_since.is_some_and(|since| now.since(since) > propagation)
}

fn log_taken(file: &RingFile, ring: &KeyRing, clock: &Clock) {
    let (path, generation, digest) = (file.path().display(), ring.generation(), ring.digest());
    match ring.primary(clock.now()) {
        Some(key) => {
            info!(target: "sealgate::audit", event = "key_ring", %path, generation, %digest, primary = %key.kid(), "key ring in use");
        }
        None => {
            warn!(target: "sealgate::audit", event = "key_ring", %path, generation, %digest, "key ring in use, but no key of it seals");
        }
    }
}

/// The settings in which two rings differ, and what that means for living sessions and from when on.
fn changed_settings(before: &KeyRing, now: &KeyRing) -> Vec<(&'static str, String)> {
    let mut changes = Vec::new();
    let (old, new) = (before.max_session(), now.max_session());
    let shown = format!("max_session is {} instead of {}", format_duration(new), format_duration(old));
    match new.cmp(&old) {
        Ordering::Equal => {}
        Ordering::Greater => changes.push((
            "max_session",
            format!(
                "{shown}: living sessions keep their end; retired keys open for longer; session.absolute_timeout may be \
                 raised once every replica has this ring"
            ),
        )),
        Ordering::Less => changes.push((
            "max_session",
            format!(
                "{shown}: living sessions keep their end; sessions that begin from now on end after {} at the latest, \
                 whatever session.absolute_timeout says, and the next start refuses a longer one",
                format_duration(new)
            ),
        )),
    }
    let (old, new) = (before.propagation(), now.propagation());
    if new != old {
        changes.push((
            "propagation",
            format!(
                "propagation is {} instead of {}: no session ends by it; it counts from the next rotation on, and for \
                 how long this replica is ready without a valid ring",
                format_duration(new),
                format_duration(old)
            ),
        ));
    }
    changes
}

/// The data behind these locks is whole at every moment, so that a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
