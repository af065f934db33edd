//! The key ring: whether it can be read, seals, and opens cookies for as long as sessions live.

use super::{Report, Subject};
use crate::config::Severity;
use crate::keyring::RingFile;

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) {
    let loaded = subject.loaded;
    let ring = match RingFile::new(&loaded.config.ring).read() {
        Ok(ring) => ring,
        Err(error) => return report.add(loaded.finding(Severity::Error, "keys.ring", error.to_string())),
    };
    let now = subject.clock.now();
    match ring.primary(now) {
        Some(key) => report.ok(
            "keys.ring",
            format!(
                "generation {}, {} key(s); {} ({}) seals",
                ring.generation(),
                ring.states(now).count(),
                key.kid(),
                key.algorithm()
            ),
        ),
        None => report.add(loaded.finding(
            Severity::Error,
            "keys.ring",
            format!("{} has no key that may seal now; see `sealgate keys list`", loaded.config.ring.display()),
        )),
    }
    let (wanted, possible) = (loaded.config.session.absolute_timeout, ring.max_session());
    if wanted > possible {
        let (wanted, possible) = (humantime::format_duration(wanted), humantime::format_duration(possible));
        let message = format!(
            "{wanted} is more than the key ring's max_session ({possible}), after which retired keys open nothing; \
             lower it, or make a ring with a longer one"
        );
        report.add(loaded.finding(Severity::Error, "session.absolute_timeout", message));
    }
}
