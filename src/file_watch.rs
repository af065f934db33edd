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
use tokio::time::{MissedTickBehavior, interval, sleep};

const POLL_INTERVAL: Duration = Duration::from_secs(5);
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

/// Calls `changed`, on a thread that may block, whenever one of `files` is another than before, and on SIGHUP.
///
/// `runtime` must have its I/O and time drivers enabled.
pub fn watch(files: Vec<PathBuf>, runtime: &Handle, changed: impl Fn() + Clone + Send + 'static) -> FileWatch {
    watch_polling_every(POLL_INTERVAL, files, runtime, changed)
}

fn watch_polling_every(
    period: Duration,
    files: Vec<PathBuf>,
    runtime: &Handle,
    changed: impl Fn() + Clone + Send + 'static,
) -> FileWatch {
    let (watcher, events) = watch_directories(&files);
    // Taken before this returns, so that nothing which happens later is missed.
    let seen = fingerprints(&files);
    let task = runtime.spawn(async move {
        // It lives as long as the task does; to drop it is to stop it.
        let _watcher = watcher;
        follow(period, files, seen, events, changed).await;
    });
    FileWatch(task.abort_handle())
}

async fn follow(
    period: Duration,
    files: Vec<PathBuf>,
    mut seen: Vec<Option<Fingerprint>>,
    mut events: Receiver<()>,
    changed: impl Fn() + Clone + Send + 'static,
) {
    let mut hangups = hangups();
    let mut poll = interval(period);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let told = tokio::select! {
            Some(()) = events.recv() => {
                sleep(SETTLING).await;
                while events.try_recv().is_ok() {}
                false
            }
            Some(()) = hangup(&mut hangups) => true,
            _ = poll.tick() => false,
        };
        let now = fingerprints(&files);
        if told || now != seen {
            seen = now;
            // It fails only when the runtime ends, and the watch with it.
            let _ = spawn_blocking(changed.clone()).await;
        }
    }
}

/// Without a watcher the poll remains.
fn watch_directories(files: &[PathBuf]) -> (Option<RecommendedWatcher>, Receiver<()>) {
    // One waiting event stands for all: what changed is found out by looking.
    let (sender, events) = mpsc::channel(1);
    let directories: BTreeSet<&Path> = files.iter().map(|file| directory(file)).collect();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| may_change_a_file(event.kind)) {
            // Full: an event waits already. Closed: the watch has ended.
            let _ = sender.try_send(());
        }
    });
    let watched = watcher.and_then(|mut watcher| {
        directories.iter().try_for_each(|directory| watcher.watch(directory, RecursiveMode::NonRecursive))?;
        Ok(watcher)
    });
    match watched {
        Ok(watcher) => (Some(watcher), events),
        Err(error) => {
            tracing::warn!(%error, "certificates cannot be watched; polling for changes instead");
            (None, events)
        }
    }
}

fn directory(file: &Path) -> &Path {
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
}
