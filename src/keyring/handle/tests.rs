use std::fs;
use std::path::Path;

use super::*;
use crate::keyring::{Lookup, NewSettings, RingUpdateError};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const PROPAGATION: Duration = Duration::from_secs(600);

struct Bench {
    _directory: tempfile::TempDir,
    file: RingFile,
    clock: Clock,
    metrics: Metrics,
    handle: RingHandle,
}

fn bench() -> Bench {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = RingFile::new(directory.path().join("ring.json"));
    file.create(&ring()).expect("an empty directory");
    let (clock, metrics) = (Clock::manual(NOW), Metrics::default());
    let handle = RingHandle::load(file.path().to_owned(), clock.clone(), metrics.clone()).expect("a valid ring");
    Bench { _directory: directory, file, clock, metrics, handle }
}

fn ring() -> KeyRing {
    KeyRing::generate(Algorithm::default(), PROPAGATION, Duration::from_secs(28_800), NOW).expect("valid settings")
}

fn rotate(file: &RingFile) -> KeyId {
    let rotate = |ring: &mut KeyRing| Ok::<_, RingUpdateError>(ring.rotate(NOW, None, None, "").expect("none staged"));
    file.update(rotate).expect("writable").1
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("our own file");
}

#[test]
fn without_a_valid_ring_there_is_no_handle() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let loaded = RingHandle::load(directory.path().join("ring.json"), Clock::manual(NOW), Metrics::default());
    assert!(matches!(loaded, Err(RingFileError::Missing(_))));
}

#[test]
fn a_rotation_is_taken_and_the_snapshot_of_a_running_request_stays() {
    let bench = bench();
    let before = bench.handle.current();
    assert!(!bench.handle.reload().expect("a valid ring"), "nothing has changed");
    assert!(Arc::ptr_eq(&before, &bench.handle.current()));
    let kid = rotate(&bench.file);
    assert!(bench.handle.reload().expect("a valid ring"));
    assert!(matches!(before.find(kid, NOW), Lookup::Unknown));
    assert!(matches!(bench.handle.current().find(kid, NOW), Lookup::Usable(_, KeyState::Staged)));
}

#[test]
fn a_torn_file_is_survived_and_counted_and_the_old_ring_stays() {
    let bench = bench();
    let whole = fs::read(bench.file.path()).expect("readable");
    for length in [0, 1, whole.len() / 2, whole.len() - 3] {
        overwrite(bench.file.path(), &whole[..length]);
        let error = bench.handle.reload().expect_err("torn");
        assert!(matches!(error, RingFileError::Invalid { .. }), "{error}");
        assert_eq!(bench.handle.current().generation(), 1);
    }
    assert_eq!(bench.metrics.ring_reload_failures.get(), 4);
    overwrite(bench.file.path(), &whole);
    assert!(!bench.handle.reload().expect("whole again"));
    assert_eq!(bench.handle.failing_since(), None);
}

#[test]
fn changed_settings_are_told_with_what_they_mean_for_living_sessions() {
    let before = ring();
    let with = |propagation, max_session| {
        let mut ring = before.clone();
        let settings = NewSettings { propagation, max_session };
        ring.rotate_with(settings, NOW, None, None, "").expect("nothing is staged");
        changed_settings(&before, &ring)
    };
    assert_eq!(with(None, None), []);
    let hours = |hours: u64| Some(Duration::from_secs(3600 * hours));
    let [(setting, longer)] = with(None, hours(12)).try_into().expect("one change");
    assert_eq!(setting, "max_session");
    assert!(longer.starts_with("max_session is 12h instead of 8h: living sessions keep their end;"), "{longer}");
    let [(_, shorter), (setting, arrival)] = with(hours(1), hours(4)).try_into().expect("two changes");
    assert!(shorter.contains("begin from now on end after 4h at the latest"), "{shorter}");
    assert!(
        setting == "propagation" && arrival.starts_with("propagation is 1h instead of 10m: no session"),
        "{arrival}"
    );
}

#[test]
fn a_lower_generation_is_refused() {
    let bench = bench();
    let old = fs::read(bench.file.path()).expect("readable");
    let kid = rotate(&bench.file);
    assert!(bench.handle.reload().expect("a valid ring"));
    overwrite(bench.file.path(), &old);
    let error = bench.handle.reload().expect_err("older");
    assert!(matches!(error, RingFileError::Older { found: 1, running: 2, .. }), "{error}");
    assert!(matches!(bench.handle.current().find(kid, NOW), Lookup::Usable(..)));
    assert_eq!(bench.handle.failing_since(), Some(NOW));
}

#[test]
fn a_ring_that_others_can_read_is_refused_while_running_too() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = bench();
    fs::set_permissions(bench.file.path(), fs::Permissions::from_mode(0o644)).expect("our own file");
    assert!(matches!(bench.handle.reload(), Err(RingFileError::Mode { .. })));
    assert!(matches!(bench.handle.reload_if_touched(), Err(RingFileError::Mode { .. })));
}

#[test]
fn a_replica_is_stale_once_its_ring_fails_for_longer_than_the_propagation() {
    let bench = bench();
    fs::remove_file(bench.file.path()).expect("our own file");
    bench.clock.advance(Duration::from_secs(5));
    bench.handle.reload().expect_err("nothing there");
    bench.clock.advance(PROPAGATION);
    bench.handle.reload().expect_err("nothing there");
    let now = bench.clock.now();
    assert_eq!(bench.handle.failing_since(), Some(NOW.plus(Duration::from_secs(5))), "since the first failure");
    assert!(!bench.handle.is_stale(now) && !bench.handle.summary().is_stale(now));
    let later = now.plus(Duration::from_secs(1));
    assert!(bench.handle.is_stale(later) && bench.handle.summary().is_stale(later));
}

#[test]
fn an_unknown_key_has_the_ring_read_again_at_most_once_a_second() {
    let bench = bench();
    rotate(&bench.file);
    assert!(bench.handle.reread_for_unknown_key());
    overwrite(bench.file.path(), b"{");
    assert!(bench.handle.reread_for_unknown_key(), "the answer of a moment ago, for those who waited for it");
    assert_eq!(bench.metrics.ring_reload_failures.get(), 0, "it was not read a second time");
}

#[test]
fn an_unknown_key_in_an_unchanged_or_broken_ring_stays_unknown() {
    let unchanged = bench();
    assert!(!unchanged.handle.reread_for_unknown_key());
    let broken = bench();
    overwrite(broken.file.path(), b"{");
    assert!(!broken.handle.reread_for_unknown_key());
    assert_eq!(broken.metrics.ring_reload_failures.get(), 1);
}

#[test]
fn a_fixed_ring_never_changes() {
    let handle = RingHandle::fixed(ring());
    assert!(!handle.reread_for_unknown_key() && !handle.reload().expect("nothing to read"));
    assert_eq!(handle.failing_since(), None);
}

#[test]
fn the_summary_shows_states_and_dates_and_no_key() {
    let bench = bench();
    let second = rotate(&bench.file);
    bench.handle.reload().expect("a valid ring");
    bench.clock.advance(PROPAGATION);
    let summary = bench.handle.summary();
    assert_eq!(summary.primary, Some(second));
    let json = serde_json::to_value(&summary).expect("plain data");
    assert_eq!(json["generation"], 2);
    assert_eq!(json["digest"], bench.handle.current().digest().to_string());
    assert_eq!(json["keys"][0]["state"], "retired");
    assert_eq!(json["keys"][0]["open_until"], NOW.plus(Duration::from_secs(600 + 28_800 + 600 + 60)).to_string());
    assert_eq!(json["keys"][1]["state"], "primary");
    assert_eq!(json["keys"][1]["kid"], second.to_string());
    assert_eq!(json["failing_since"], serde_json::Value::Null);
    let fields: Vec<_> = json.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(fields, ["generation", "digest", "primary", "keys", "failing_since"]);
    assert!(!json.to_string().contains("sgk1_") && !format!("{:?}", bench.handle).contains("sgk1_"));
}
