use std::os::unix::fs::symlink;
use std::thread;

use super::*;
use crate::aead::Algorithm;
use crate::clock::UnixTime;
use crate::keyring::RotateError;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn ring() -> KeyRing {
    let (propagation, max_session) = (std::time::Duration::from_secs(600), std::time::Duration::from_secs(28_800));
    KeyRing::generate(Algorithm::default(), propagation, max_session, NOW).expect("valid settings")
}

/// A ring in a directory of its own, which goes with the first of the pair.
fn written() -> (tempfile::TempDir, RingFile) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = RingFile::new(directory.path().join("ring.json"));
    file.create(&ring()).expect("an empty directory");
    (directory, file)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("our own file");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the file is there").mode() & MODE_BITS
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("our own directory");
    let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string().expect("UTF-8");
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
enum TestError {
    Update(#[from] RingUpdateError),
    Rotate(#[from] RotateError),
}

fn rotate(file: &RingFile) -> Result<(KeyRing, crate::keyring::KeyId), TestError> {
    file.update(|ring| Ok(ring.rotate(NOW, None, None, "")?))
}

#[test]
fn a_new_ring_can_be_read_by_its_owner_only_and_leaves_no_other_file() {
    let (directory, file) = written();
    assert_eq!(mode(file.path()), 0o600);
    assert_eq!(names(directory.path()), ["ring.json", "ring.json.lock"]);
    assert_eq!(mode(&directory.path().join("ring.json.lock")), 0o600);
    assert_eq!(file.read().expect("a new ring").generation(), 1);
}

#[test]
fn missing_directories_are_made_for_their_owner_only() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = RingFile::new(directory.path().join("a/b/ring.json"));
    file.create(&ring()).expect("a place for it");
    assert_eq!(mode(&directory.path().join("a/b")), 0o700);
}

#[test]
fn a_ring_is_never_overwritten_by_a_new_one() {
    let (directory, file) = written();
    let before = fs::read(file.path()).expect("readable");
    let error = file.create(&ring()).expect_err("there is one already");
    assert!(matches!(error, RingUpdateError::Exists(_)), "{error}");
    assert_eq!(fs::read(file.path()).expect("readable"), before);
    let dangling = RingFile::new(directory.path().join("dangling.json"));
    symlink(directory.path().join("nowhere"), dangling.path()).expect("a link");
    assert!(matches!(dangling.create(&ring()), Err(RingUpdateError::Exists(_))));
}

#[test]
fn of_many_that_make_a_ring_at_once_one_does() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = RingFile::new(directory.path().join("ring.json"));
    let outcomes = thread::scope(|scope| {
        let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| file.create(&ring()).is_ok())).collect();
        makers.into_iter().map(|maker| maker.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert_eq!(outcomes.iter().filter(|&&made| made).count(), 1);
    assert_eq!(names(directory.path()), ["ring.json", "ring.json.lock"]);
}

#[test]
fn modes_that_keep_others_out_are_accepted() {
    let (_directory, file) = written();
    for accepted in [0o400, 0o440, 0o600, 0o640] {
        set_mode(file.path(), accepted);
        file.read().unwrap_or_else(|error| panic!("{accepted:o}: {error}"));
    }
}

#[test]
fn every_mode_that_lets_others_in_is_refused_with_its_remedy() {
    let (_directory, file) = written();
    let modes = (0..=0o777).filter(|mode| mode & !0o640 != 0).chain([0o1600, 0o2640, 0o4600]);
    for refused in modes {
        set_mode(file.path(), refused);
        let error = file.read().expect_err("a mode that is refused");
        assert!(matches!(error, RingFileError::Mode { mode, .. } if mode == refused), "{refused:o}: {error}");
    }
    set_mode(file.path(), 0o644);
    let (path, error) = (file.path().display(), file.read().expect_err("others can read it"));
    assert_eq!(
        error.to_string(),
        format!("{path}: mode 0644 is not private; run `chmod 600 {path}` (0400, 0440, 0600 and 0640 are accepted)")
    );
}

#[test]
fn the_mode_that_counts_is_that_of_the_file_behind_a_link() {
    let (directory, file) = written();
    let link = RingFile::new(directory.path().join("link.json"));
    symlink("ring.json", link.path()).expect("a link");
    link.read().expect("a link to a good file");
    set_mode(file.path(), 0o604);
    assert!(matches!(link.read(), Err(RingFileError::Mode { mode: 0o604, .. })));
}

#[test]
fn what_is_no_ring_s_file_is_refused_by_name() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("ring.json");
    let file = RingFile::new(&path);
    let error = file.read().expect_err("nothing there");
    assert!(
        matches!(error, RingFileError::Missing(_)) && error.to_string().contains("keys generate --ring"),
        "{error}"
    );
    assert!(matches!(RingFile::new(directory.path()).read(), Err(RingFileError::NotAFile(_))));
    fs::write(&path, b"{}").expect("writable");
    set_mode(&path, 0o600);
    let error = file.read().expect_err("not a ring");
    assert!(matches!(error, RingFileError::Invalid { .. }), "{error}");
    assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    File::options().write(true).open(&path).and_then(|file| file.set_len(MAX_RING_BYTES + 1)).expect("writable");
    assert!(matches!(file.read(), Err(RingFileError::TooLarge(_))));
}

#[test]
fn an_update_replaces_the_file_as_a_whole_and_leaves_nothing_beside_it() {
    let (directory, file) = written();
    let inode = fs::metadata(file.path()).expect("the file is there").ino();
    let (ring, kid) = rotate(&file).expect("nothing is staged");
    assert_eq!(ring.generation(), 2);
    let read = file.read().expect("the new ring");
    assert_eq!((read.digest(), read.staged(NOW).map(|key| key.kid())), (ring.digest(), Some(kid)));
    assert_ne!(fs::metadata(file.path()).expect("the file is there").ino(), inode);
    assert_eq!(names(directory.path()), ["ring.json", "ring.json.lock"]);
}

#[test]
fn an_update_that_is_refused_leaves_everything_as_it_was() {
    let (directory, file) = written();
    rotate(&file).expect("nothing is staged");
    let before = fs::read(file.path()).expect("readable");
    let error = rotate(&file).expect_err("one is staged");
    assert!(matches!(error, TestError::Rotate(RotateError::Pending { .. })), "{error}");
    assert_eq!(fs::read(file.path()).expect("readable"), before);
    assert_eq!(names(directory.path()), ["ring.json", "ring.json.lock"]);
}

#[test]
fn an_update_that_would_make_the_ring_invalid_is_not_written() {
    let (directory, file) = written();
    let before = fs::read(file.path()).expect("readable");
    let spoil = |ring: &mut KeyRing| {
        ring.generation = 0;
        Ok::<_, RingUpdateError>(())
    };
    let error = file.update(spoil).expect_err("generation 0");
    assert!(matches!(error, RingUpdateError::Invalid { .. }), "{error}");
    assert_eq!(fs::read(file.path()).expect("readable"), before);
    assert_eq!(names(directory.path()), ["ring.json", "ring.json.lock"]);
}

#[test]
fn an_update_keeps_the_mode_so_that_a_group_that_could_read_still_can() {
    let (_directory, file) = written();
    for mode_before in [0o640, 0o440] {
        set_mode(file.path(), mode_before);
        file.update(|_| Ok::<_, RingUpdateError>(())).expect("writable");
        assert_eq!(mode(file.path()), mode_before);
    }
}

#[test]
fn an_update_through_a_link_replaces_the_file_that_it_leads_to() {
    let (directory, file) = written();
    let link = RingFile::new(directory.path().join("link.json"));
    symlink("ring.json", link.path()).expect("a link");
    rotate(&link).expect("nothing is staged");
    assert!(fs::symlink_metadata(link.path()).expect("the link is there").is_symlink());
    assert_eq!(file.read().expect("the new ring").generation(), 2);
}

#[test]
fn of_two_rotations_at_once_one_stages_a_key_and_the_other_is_told_of_it() {
    let (_directory, file) = written();
    let outcomes = thread::scope(|scope| {
        let rotations: Vec<_> = (0..2).map(|_| scope.spawn(|| rotate(&file))).collect();
        rotations.into_iter().map(|rotation| rotation.join().expect("no panic")).collect::<Vec<_>>()
    });
    let pending = |outcome: &&_| matches!(outcome, Err(TestError::Rotate(RotateError::Pending { .. })));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(outcomes.iter().filter(pending).count(), 1);
    assert_eq!(file.read().expect("the new ring").generation(), 2);
}

#[test]
fn no_update_is_lost_and_no_reader_sees_half_a_ring_however_many_write() {
    let (_directory, file) = written();
    thread::scope(|scope| {
        let count = |ring: &mut KeyRing| {
            ring.generation += 1;
            Ok::<_, RingUpdateError>(())
        };
        let file = &file;
        for _ in 0..4 {
            scope.spawn(move || (0..10).for_each(|_| drop(file.update(count).expect("writable"))));
        }
        scope.spawn(move || (0..200).for_each(|_| drop(file.read().expect("always a whole ring"))));
    });
    assert_eq!(file.read().expect("the last ring").generation(), 41);
}
