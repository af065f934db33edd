//! Notices that files have changed: by events in their directories, by a difference in what `stat` says every five
//! seconds, and by SIGHUP.
//!
//! Directories are watched and not files, for Kubernetes swaps a link beside them (`..data`) and an atomic rename leaves
//! a watch on the old file behind; the poll is for file systems without events. Must never read a file: what has become
//! of it is for the caller to find out.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};

/// How often files are looked at where no event tells of them.
pub const POLL_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_secs(60);
/// A writer makes several events in a row, and a certificate comes with its key; one look after the last will do.
const SETTLING: Duration = Duration::from_millis(50);

/// Watches for as long as it lives.
#[derive(Debug)]
#[must_use = "the watch ends when this is dropped"]
pub struct FileWatch(AbortHandle);

impl Drop for FileWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Calls `changed`, on a thread that may block, whenever one of `files` is another than before, and on SIGHUP; and once
/// a minute again for as long as it answers that what it found could not be used.
///
/// `runtime` must have its I/O and time drivers enabled.
pub fn watch(files: Vec<PathBuf>, runtime: &Handle, changed: impl Fn() -> bool + Clone + Send + 'static) -> FileWatch {
    watch_polling_every(POLL_INTERVAL, files, runtime, changed)
}

fn watch_polling_every(
    period: Duration,
    files: Vec<PathBuf>,
    runtime: &Handle,
    changed: impl Fn() -> bool + Clone + Send + 'static,
) -> FileWatch {
    let watched = Watched::new(&files);
    // Taken before this returns, so that nothing which happens later is missed.
    let seen = fingerprints(&files);
    let task = runtime.spawn(async move {
        follow(watched.signs(period), files, seen, changed).await;
    });
    FileWatch(task.abort_handle())
}

async fn follow(
    mut signs: Signs,
    files: Vec<PathBuf>,
    mut seen: Vec<Option<Fingerprint>>,
    changed: impl Fn() -> bool + Clone + Send + 'static,
) {
    let mut refused_at = None;
    loop {
        let told = signs.next().await == Sign::Hangup;
        let now = fingerprints(&files);
        // A certificate whose time begins in a moment, or a file system that failed for one.
        let again = refused_at.is_some_and(|at: Instant| at.elapsed() >= RETRY_INTERVAL);
        if told || again || now != seen {
            seen = now;
            // It fails only when the runtime ends, and the watch with it.
            let used = spawn_blocking(changed.clone()).await.unwrap_or(true);
            refused_at = (!used).then(Instant::now);
        }
    }
}

/// Files whose directories are watched: what happens from here on is not missed.
pub struct Watched {
    /// To drop it is to stop it.
    _watcher: Option<RecommendedWatcher>,
    events: Receiver<()>,
}

impl Watched {
    /// Begins to watch. Where that cannot be done the poll remains.
    pub fn new(files: &[PathBuf]) -> Self {
        // One waiting event stands for all: what changed is found out by looking.
        let (sender, events) = mpsc::channel(1);
        let directories: BTreeSet<&Path> = files.iter().map(|file| directory(file)).collect();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| may_change_a_file(event.kind)) {
                // Full: an event waits already. Closed: the watch has ended.
                let _ = sender.try_send(());
            }
        });
        let watching = watcher.and_then(|mut watcher| {
            directories.iter().try_for_each(|directory| watcher.watch(directory, RecursiveMode::NonRecursive))?;
            Ok(watcher)
        });
        let failed = |error: &notify::Error| {
            tracing::warn!(?directories, %error, "the files cannot be watched; polling for changes instead");
        };
        Self { _watcher: watching.inspect_err(failed).ok(), events }
    }

    /// What says that the files may have changed. To be called on a runtime with its I/O and time drivers enabled.
    pub fn signs(self, period: Duration) -> Signs {
        let mut poll = interval(period);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Signs { watched: self, hangups: hangups(), poll }
    }
}

/// Three signs, any of which is enough: an event, the poll's turn, and SIGHUP.
pub struct Signs {
    watched: Watched,
    hangups: Option<Signal>,
    poll: Interval,
}

/// Why the files are to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// They may have changed.
    Perhaps,
    /// SIGHUP: somebody wants them read, changed or not.
    Hangup,
}

impl Signs {
    /// No event and no poll, for tests of SIGHUP.
    #[cfg(test)]
    pub(crate) fn only_hangups() -> Self {
        const NEVER: Duration = Duration::from_secs(3600);
        let watched = Watched { _watcher: None, events: mpsc::channel(1).1 };
        Self { watched, hangups: hangups(), poll: tokio::time::interval_at(Instant::now() + NEVER, NEVER) }
    }

    /// Waits for the next one. What comes close behind an event is the same sign.
    pub async fn next(&mut self) -> Sign {
        let Self { watched: Watched { events, .. }, hangups, poll } = self;
        tokio::select! {
            Some(()) = events.recv() => {
                sleep(SETTLING).await;
                while events.try_recv().is_ok() {}
                Sign::Perhaps
            }
            Some(()) = hangup(hangups) => Sign::Hangup,
            _ = poll.tick() => Sign::Perhaps,
        }
    }
}

/// The directory that `file` is in: `.` for a bare name.
pub fn directory(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Readings are events too, our own among them.
fn may_change_a_file(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// What tells one state of a file from another without reading it; links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    device_and_inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    /// Permissions and owner change this one only.
    changed: (i64, i64),
}

fn fingerprints(files: &[PathBuf]) -> Vec<Option<Fingerprint>> {
    let fingerprint = |file: &PathBuf| {
        let metadata = fs::metadata(file).ok()?;
        Some(Fingerprint {
            device_and_inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    };
    files.iter().map(fingerprint).collect()
}

fn hangups() -> Option<Signal> {
    signal(SignalKind::hangup())
        .inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be waited for; watching the files only"))
        .ok()
}

async fn hangup(hangups: &mut Option<Signal>) -> Option<()> {
    match hangups {
        Some(signal) => signal.recv().await,
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use notify::event::{CreateKind, ModifyKind};

    use super::*;

    /// Longer than any test: whatever is noticed was not noticed by polling.
    const NEVER: Duration = Duration::from_secs(3600);
    const DEADLINE: Duration = Duration::from_secs(20);

    /// Counts the calls of a watch.
    fn counted(period: Duration, files: Vec<PathBuf>) -> (FileWatch, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let watch = watch_polling_every(period, files, &Handle::current(), move || {
            counter.fetch_add(1, Ordering::SeqCst);
            true
        });
        (watch, count)
    }

    async fn called(count: &AtomicUsize, times: usize) {
        let begun = Instant::now();
        while count.load(Ordering::SeqCst) < times {
            assert!(begun.elapsed() < DEADLINE, "{} calls, not {times}", count.load(Ordering::SeqCst));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_is_noticed_by_its_event() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, new) = (folder.path().join("file"), folder.path().join("new"));
        fs::write(&file, "one").expect("writable");
        let (_watch, count) = counted(NEVER, vec![file.clone()]);
        for times in 1..4 {
            fs::write(&new, "two").expect("writable");
            fs::rename(&new, &file).expect("renamed");
            called(&count, times).await;
        }
    }

    /// Kubernetes: `file` → `..data/file`, `..data` → `..1`, and the latter link is swapped.
    #[tokio::test]
    async fn a_link_that_is_swapped_beside_the_file_is_noticed_by_its_event() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(path(version)).expect("new");
            fs::write(path(version).join("file"), version).expect("writable");
        }
        symlink("..1", path("..data")).expect("a link");
        symlink("..data/file", path("file")).expect("a link");
        let (_watch, count) = counted(NEVER, vec![path("file")]);
        symlink("..2", path("..new")).expect("a link");
        fs::rename(path("..new"), path("..data")).expect("swapped");
        called(&count, 1).await;
    }

    #[tokio::test]
    async fn a_file_behind_a_link_to_elsewhere_is_noticed_by_polling() {
        let (folder, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let target = elsewhere.path().join("file");
        fs::write(&target, "one").expect("writable");
        symlink(&target, folder.path().join("link")).expect("a link");
        let (_watch, count) = counted(Duration::from_millis(10), vec![folder.path().join("link")]);
        fs::write(&target, "longer").expect("writable");
        called(&count, 1).await;
    }

    #[tokio::test]
    async fn other_files_beside_it_are_nobody_s_business() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "one").expect("writable");
        let (_watch, count) = counted(NEVER, vec![file.clone()]);
        fs::write(folder.path().join("other"), "two").expect("writable");
        fs::write(&file, "three").expect("writable");
        called(&count, 1).await;
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn readings_are_no_sign_of_a_change_or_each_look_would_cause_the_next() {
        assert!(!may_change_a_file(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(!may_change_a_file(EventKind::Access(AccessKind::Close(AccessMode::Read))));
        assert!(may_change_a_file(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(may_change_a_file(EventKind::Create(CreateKind::Any)));
        assert!(may_change_a_file(EventKind::Modify(ModifyKind::Any)));
    }
}
