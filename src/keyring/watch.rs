//! Notices that the ring's file has changed, and has the handle read it.
//!
//! Three signs, any of which is enough: an event in the file's directory, a difference in what `stat` says every five
//! seconds, and SIGHUP. The directory is watched and not the file, for Kubernetes swaps a link beside it (`..data`)
//! and an atomic rename leaves a watch on the old file behind; the poll is for file systems without events.
//! Must never touch the ring itself: what is read, and whether it is taken, is for the handle to decide.

use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use super::RingHandle;
use super::file::{RingFile, parent_directory};

const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// A writer makes several events in a row; one reading after the last of them will do.
const SETTLING: Duration = Duration::from_millis(50);

/// Watches for as long as it lives.
#[derive(Debug)]
#[must_use = "the watch ends when the guard is dropped"]
pub struct WatchGuard(Option<AbortHandle>);

impl Drop for WatchGuard {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl RingHandle {
    /// Keeps the ring in step with its file until the guard is dropped. A ring that is not from a file is not watched.
    ///
    /// `runtime` must have its I/O and time drivers enabled.
    pub fn watch(&self, runtime: &Handle) -> WatchGuard {
        self.watch_polling_every(POLL_INTERVAL, runtime)
    }

    fn watch_polling_every(&self, period: Duration, runtime: &Handle) -> WatchGuard {
        let Some(file) = self.file() else { return WatchGuard(None) };
        let (watcher, events) = watch_directory(file);
        let handle = self.clone();
        let task = runtime.spawn(async move {
            // It lives as long as the task does; to drop it is to stop it.
            let _watcher = watcher;
            Signs { events, hangups: hangups(), poll: poll(period) }.follow(handle).await;
        });
        WatchGuard(Some(task.abort_handle()))
    }
}

/// What says that the file may have changed.
struct Signs {
    events: Receiver<()>,
    hangups: Option<Signal>,
    poll: Interval,
}

impl Signs {
    async fn follow(mut self, handle: RingHandle) {
        loop {
            let handle = handle.clone();
            let reload: Box<dyn FnOnce() -> _ + Send> = tokio::select! {
                Some(()) = self.events.recv() => {
                    sleep(SETTLING).await;
                    while self.events.try_recv().is_ok() {}
                    Box::new(move || handle.reload_if_touched())
                }
                Some(()) = hangup(&mut self.hangups) => {
                    info!(target: "sealgate::keyring", "SIGHUP: reading the key ring");
                    Box::new(move || handle.reload())
                }
                _ = self.poll.tick() => Box::new(move || handle.reload_if_touched()),
            };
            // A failure has been logged and counted where it was found. A join fails only when the runtime ends.
            if let Ok(Ok(changed)) = spawn_blocking(reload).await {
                debug!(target: "sealgate::keyring", changed, "looked at the key ring");
            }
        }
    }
}

/// Without a watcher the poll remains, which is enough for any propagation above a few seconds.
fn watch_directory(file: &RingFile) -> (Option<RecommendedWatcher>, Receiver<()>) {
    // One waiting event stands for all: what changed is found out by looking.
    let (sender, events) = mpsc::channel(1);
    let directory = parent_directory(file.path());
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| may_change_a_file(event.kind)) {
            // Full: an event waits already. Closed: the watch has ended.
            let _ = sender.try_send(());
        }
    })
    .and_then(|mut watcher| watcher.watch(directory, RecursiveMode::NonRecursive).map(|()| watcher));
    match watcher {
        Ok(watcher) => (Some(watcher), events),
        Err(error) => {
            let directory = directory.display();
            warn!(target: "sealgate::keyring", "{directory}: cannot be watched ({error}); polling for changes instead");
            (None, events)
        }
    }
}

/// Readings are events too, our own among them.
fn may_change_a_file(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

fn hangups() -> Option<Signal> {
    match signal(SignalKind::hangup()) {
        Ok(signal) => Some(signal),
        Err(error) => {
            warn!(target: "sealgate::keyring", "SIGHUP cannot be waited for ({error}); watching the file only");
            None
        }
    }
}

async fn hangup(hangups: &mut Option<Signal>) -> Option<()> {
    match hangups {
        Some(signal) => signal.recv().await,
        None => None,
    }
}

fn poll(period: Duration) -> Interval {
    let mut poll = interval(period);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    poll
}

#[cfg(test)]
mod tests;
