use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tokio::time::{interval, timeout};

use super::*;
use crate::aead::Algorithm;
use crate::clock::{Clock, UnixTime};
use crate::keyring::RingFile;
use crate::keyring::{KeyRing, RingUpdateError};
use crate::metrics::Metrics;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const DEADLINE: Duration = Duration::from_secs(20);
/// Longer than any test: whatever is noticed was not noticed by polling.
const NEVER: Duration = Duration::from_secs(3600);

fn ring() -> KeyRing {
    let (propagation, max_session) = (Duration::from_secs(600), Duration::from_secs(28_800));
    KeyRing::generate(Algorithm::default(), propagation, max_session, NOW).expect("valid settings")
}

fn rotate(file: &RingFile) {
    let rotate = |ring: &mut KeyRing| Ok::<_, RingUpdateError>(ring.rotate(NOW, None, None, "").expect("none staged"));
    file.update(rotate).expect("writable");
}

fn written() -> (tempfile::TempDir, RingFile, RingHandle) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = RingFile::new(directory.path().join("ring.json"));
    file.create(&ring()).expect("an empty directory");
    let handle = load(file.path());
    (directory, file, handle)
}

fn load(path: &Path) -> RingHandle {
    RingHandle::load(path.to_owned(), Clock::manual(NOW), Metrics::default()).expect("a valid ring")
}

/// Looks again and again until `expected` holds.
async fn eventually(what: &str, expected: impl Fn() -> bool) {
    let looking = async {
        let mut looks = interval(Duration::from_millis(5));
        while !expected() {
            looks.tick().await;
        }
    };
    timeout(DEADLINE, looking).await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"));
}

#[tokio::test]
async fn a_rotation_is_noticed_by_its_event() {
    let (_directory, file, handle) = written();
    let _guard = handle.watch_polling_every(NEVER, &Handle::current());
    rotate(&file);
    eventually("generation 2", || handle.current().generation() == 2).await;
}

#[tokio::test]
async fn a_rotation_is_noticed_by_the_poll_where_there_are_no_events() {
    let (directory, file, _) = written();
    // The link's directory sees no event when the file behind the link is replaced.
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let link = elsewhere.path().join("ring.json");
    symlink(directory.path().join("ring.json"), &link).expect("a link");
    let handle = load(&link);
    let _guard = handle.watch_polling_every(Duration::from_millis(20), &Handle::current());
    rotate(&file);
    eventually("generation 2", || handle.current().generation() == 2).await;
}

/// Writes `ring` as Kubernetes does: a directory of its own, and `..data` swapped to it by a rename.
fn mount(volume: &Path, version: &str, ring: &KeyRing) -> PathBuf {
    let directory = volume.join(version);
    RingFile::new(directory.join("ring.json")).create(ring).expect("an empty directory");
    symlink(version, volume.join("..data_tmp")).expect("a link");
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("an atomic swap");
    directory
}

#[tokio::test]
async fn a_swap_of_the_data_link_of_kubernetes_is_noticed_by_its_event_again_and_again() {
    let volume = tempfile::tempdir().expect("a temporary directory");
    let mut ring = ring();
    let mut mounted = mount(volume.path(), "..2026_11_23_10_00", &ring);
    let path = volume.path().join("ring.json");
    symlink("..data/ring.json", &path).expect("a link");
    let handle = load(&path);
    let _guard = handle.watch_polling_every(NEVER, &Handle::current());
    for (generation, hour) in [(2, 11), (3, 12)] {
        ring.rotate(NOW.plus(Duration::from_secs(generation * 600)), None, None, "").expect("nothing is staged");
        let next = mount(volume.path(), &format!("..2026_11_23_{hour}_00"), &ring);
        fs::remove_dir_all(&mounted).expect("the old version");
        mounted = next;
        eventually("the next generation", || handle.current().generation() == generation).await;
    }
}

#[tokio::test]
async fn a_torn_file_is_survived_and_the_whole_one_is_taken() {
    let (_directory, file, handle) = written();
    let _guard = handle.watch_polling_every(Duration::from_millis(20), &Handle::current());
    rotate(&file);
    let whole = fs::read(file.path()).expect("readable");
    fs::write(file.path(), &whole[..whole.len() / 2]).expect("our own file");
    eventually("a failure", || handle.failing_since().is_some()).await;
    assert!(handle.current().primary(NOW).is_some());
    fs::write(file.path(), &whole).expect("our own file");
    eventually("generation 2", || handle.current().generation() == 2 && handle.failing_since().is_none()).await;
}

#[tokio::test]
async fn a_remedied_mode_is_noticed() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_directory, file, handle) = written();
    let _guard = handle.watch_polling_every(Duration::from_millis(20), &Handle::current());
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).expect("our own file");
    eventually("a failure", || handle.failing_since().is_some()).await;
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).expect("our own file");
    eventually("no failure", || handle.failing_since().is_none()).await;
}

#[tokio::test]
async fn a_hangup_has_the_ring_read_without_event_or_poll() {
    let (_directory, file, handle) = written();
    // The signal is waited for from here on: it would end the process otherwise.
    let task = tokio::spawn(follow(Signs::only_hangups(), handle.clone()));
    rotate(&file);
    let kill = format!("kill -HUP {}", std::process::id());
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    eventually("generation 2", || handle.current().generation() == 2).await;
    task.abort();
}

#[tokio::test]
async fn the_watch_ends_with_its_guard() {
    let (_directory, _file, handle) = written();
    let guard = handle.watch(&Handle::current());
    let task = guard.0.clone().expect("a ring from a file is watched");
    assert!(!task.is_finished());
    drop(guard);
    eventually("the end of the task", || task.is_finished()).await;
}

#[tokio::test]
async fn a_fixed_ring_is_not_watched() {
    assert!(RingHandle::fixed(ring()).watch(&Handle::current()).0.is_none());
}
