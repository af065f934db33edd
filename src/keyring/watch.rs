//! Notices that the ring's file has changed, and has the handle read it.
//!
//! [`file_watch`](crate::file_watch) says when to look.
//! Must never touch the ring itself: what is read, and whether it is taken, is for the handle to decide.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, spawn_blocking};
use tracing::{debug, info};

use super::RingHandle;
use crate::file_watch::{POLL_INTERVAL, Sign, Signs, Watched};

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
        let watched = Watched::new(&[file.path().to_owned()]);
        let handle = self.clone();
        let task = runtime.spawn(async move { follow(watched.signs(period), handle).await });
        WatchGuard(Some(task.abort_handle()))
    }
}

async fn follow(mut signs: Signs, handle: RingHandle) {
    loop {
        let sign = signs.next().await;
        let handle = handle.clone();
        let reload = move || match sign {
            Sign::Perhaps => handle.reload_if_touched(),
            Sign::Hangup => {
                info!(target: "sealgate::keyring", "SIGHUP: reading the key ring");
                handle.reload()
            }
        };
        // A failure has been logged and counted where it was found. A join fails only when the runtime ends.
        if let Ok(Ok(changed)) = spawn_blocking(reload).await {
            debug!(target: "sealgate::keyring", changed, "looked at the key ring");
        }
    }
}

#[cfg(test)]
mod tests;
