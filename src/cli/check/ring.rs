//! The key ring: whether it can be read, which key seals, what happens next, and whether keys live as long as sessions.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use humantime::format_duration;

use super::{Report, Subject, Verdict};
use crate::aead::AesImplementation;
use crate::cli::moment::moment;
use crate::clock::UnixTime;
use crate::keyring::{KeyRecord, KeyRing, KeyState, RingFile};

const KEY: &str = "keys.ring";

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) {
    let loaded = subject.loaded;
    let path = &loaded.config.ring;
    let ring = match RingFile::new(path).read() {
        Ok(ring) => ring,
        Err(error) => return report.add(loaded, Verdict::Error, KEY, error.to_string()),
    };
    let now = subject.clock.now();
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o7777).unwrap_or_default();
    let keys = ring.states(now).count();
    report.ok(
        KEY,
        format!(
            "{} (mode {mode:04o}): generation {}, {keys} key{}, propagation {}",
            path.display(),
            ring.generation(),
            if keys == 1 { "" } else { "s" },
            format_duration(ring.propagation())
        ),
    );
    for (record, state) in ring.states(now) {
        let verdict = if matches!(state, KeyState::Expired | KeyState::Revoked) { Verdict::Note } else { Verdict::Ok };
        let message = format!("key {} ({}) {}", record.kid(), record.algorithm(), life(&ring, record, state, now));
        match verdict {
            Verdict::Note => report.note(KEY, message),
            _ => report.ok(KEY, message),
        }
    }
    if ring.primary(now).is_none() {
        report.add(loaded, Verdict::Error, KEY, no_primary(&ring, now));
    }
    session_length(subject, &ring, report);
    cipher(AesImplementation::detect(), subject, &ring, report);
}

/// Whether this machine is quick at the cipher that seals. It may not be the one that `serve` runs on.
fn cipher(aes: AesImplementation, subject: &Subject<'_>, ring: &KeyRing, report: &mut Report) {
    let Some(primary) = ring.primary(subject.clock.now()) else { return };
    let algorithm = primary.algorithm();
    match aes.advice(algorithm) {
        Some(advice) => report.add(subject.loaded, Verdict::Warning, KEY, advice),
        None => report.ok(KEY, format!("{algorithm} suits this machine (AES: {aes})")),
    }
}

/// What a key does, since when and until when.
fn life(ring: &KeyRing, record: &KeyRecord, state: KeyState, now: UnixTime) -> String {
    let since = record.not_before();
    match state {
        KeyState::Staged => format!("is staged: it opens, and becomes primary at {}", moment(since, now)),
        KeyState::Primary => match ring.staged(now) {
            Some(next) => format!(
                "is primary since {since}: it seals until key {} takes over at {}",
                next.kid(),
                moment(next.record().not_before(), now)
            ),
            None => format!("is primary since {since}: it seals; no successor is staged"),
        },
        KeyState::Retired => match ring.opens_until(record) {
            Some(end) => format!("is retired: it opens until {}", moment(end, now)),
            None => "is retired: it opens".to_owned(),
        },
        KeyState::Expired => "is expired: it opens nothing, and can be pruned".to_owned(),
        KeyState::Revoked => match record.revoked() {
            Some(at) => format!("was revoked at {at}: its cookies are refused"),
            None => "was revoked: its cookies are refused".to_owned(),
        },
    }
}

fn no_primary(ring: &KeyRing, now: UnixTime) -> String {
    match ring.staged(now) {
        Some(next) => format!(
            "no key seals, so nobody can log in until key {} becomes primary at {}",
            next.kid(),
            moment(next.record().not_before(), now)
        ),
        None => "no key seals, so nobody can log in; run `sealgate keys rotate`".to_owned(),
    }
}

/// A session must not outlive the key that seals it; `serve` refuses to start with the same rule.
fn session_length(subject: &Subject<'_>, ring: &KeyRing, report: &mut Report) {
    let possible = ring.max_session();
    subject.each_site(report, |site, report| {
        session_fits(subject, site.session.absolute_timeout, possible, report);
    });
}

fn session_fits(subject: &Subject<'_>, wanted: Duration, possible: Duration, report: &mut Report) {
    const KEY: &str = "session.absolute_timeout";
    let (shown, longest) = (format_duration(wanted), format_duration(possible));
    if wanted <= possible {
        return report.ok(
            KEY,
            format!(
                "{shown} is within the key ring's max_session ({longest}); a change is for sessions that begin after it"
            ),
        );
    }
    let message = format!(
        "{shown} is more than the key ring's max_session ({longest}), after which retired keys open nothing; \
         lower it, or run `sealgate keys rotate --max-session {shown}` first"
    );
    report.add(subject.loaded, Verdict::Error, KEY, message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aead::Algorithm;
    use crate::cli::check::tests::{Checked, Folder, NOW};
    use crate::clock::Clock;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_new_ring_has_a_primary_and_no_successor() {
        let checked = Checked::new("", check);
        checked.has(Verdict::Ok, KEY, "keys/ring.json (mode 0600): generation 1, 1 key, propagation 10m");
        checked.has(Verdict::Ok, KEY, &format!("is primary since {NOW}: it seals; no successor is staged"));
        checked.has(Verdict::Ok, "session.absolute_timeout", "8h is within the key ring's max_session (8h)");
    }

    /// Every state that a rotation brings, with its date.
    #[test]
    fn states_and_dates_of_all_keys_are_shown() {
        let folder = Folder::new("");
        folder.change_ring(|ring| ring.rotate(NOW, None, None, "").map(drop).expect("a key"));
        let checked = folder.check(check);
        let takes_over = format!("takes over at {} (in 10m)", NOW.plus(MINUTE * 10));
        checked.has(Verdict::Ok, KEY, &takes_over);
        checked.has(Verdict::Ok, KEY, "is staged: it opens, and becomes primary at");
        let later = folder.check_at(NOW.plus(MINUTE * 11), check);
        later.has(Verdict::Ok, KEY, "is retired: it opens until");
        let much_later = folder.check_at(NOW.plus(MINUTE * 60 * 24), check);
        much_later.has(Verdict::Note, KEY, "is expired: it opens nothing");
    }

    #[test]
    fn a_ring_that_cannot_seal_yet_is_an_error_that_says_when_it_can() {
        let checked = Folder::new("").check_at(NOW.minus(MINUTE), check);
        checked.has(Verdict::Error, KEY, "no key seals, so nobody can log in until key");
    }

    #[test]
    fn a_ring_that_others_can_read_or_that_is_missing_is_an_error() {
        let folder = Folder::new("");
        folder.set_mode("keys/ring.json", 0o644);
        folder.check(check).has(Verdict::Error, KEY, "mode 0644 is not private; run `chmod 600");
        std::fs::remove_file(folder.path("keys/ring.json")).expect("it is ours");
        folder.check(check).has(Verdict::Error, KEY, "there is no key ring; make one with `sealgate keys generate");
    }

    #[test]
    fn sessions_that_outlive_the_ring_s_keys_are_an_error() {
        let checked = Checked::new("[session]\nabsolute_timeout = \"9h\"", check);
        checked.has(Verdict::Error, "session.absolute_timeout", "9h is more than the key ring's max_session (8h)");
    }

    #[test]
    fn a_broken_ring_is_an_error_without_its_text() {
        let folder = Folder::new("");
        std::fs::write(folder.path("keys/ring.json"), "{\"key\": \"sgk1_marker\"}").expect("it is ours");
        let checked = folder.check(check);
        checked.has(Verdict::Error, KEY, "keys/ring.json: ");
        assert!(!checked.text().contains("marker"));
    }

    #[test]
    fn a_cipher_that_is_slow_on_this_machine_is_a_warning_that_names_the_command() {
        let folder = Folder::new("");
        let (loaded, clock) = (folder.loaded(), Clock::manual(NOW));
        let ring = RingFile::new(&loaded.config.ring).read().expect("a valid ring");
        let on = |aes| {
            let subject = Subject { loaded: &loaded, files: &[], clock: &clock, offline: true };
            let mut report = Report::default();
            cipher(aes, &subject, &ring, &mut report);
            let [line] = report.lines() else { panic!("one line: {:?}", report.lines()) };
            (line.verdict, line.message.clone())
        };
        let (verdict, message) = on(AesImplementation::Software);
        assert!(verdict == Verdict::Warning && message.contains("rotate --algorithm xchacha20-poly1305"), "{message}");
        let (verdict, message) = on(AesImplementation::AesNi);
        assert_eq!((verdict, message.as_str()), (Verdict::Ok, "xaes-256-gcm suits this machine (AES: AES-NI)"));
    }

    #[test]
    fn the_algorithm_of_a_key_is_shown() {
        let algorithm = Algorithm::default();
        Checked::new("", check).has(Verdict::Ok, KEY, &format!("({algorithm}) is primary"));
    }
}
