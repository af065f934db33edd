//! The runtime of provider traffic, refresh flights and the ring's watch.
//!
//! It is built and dropped within another runtime, whichever way a start or a run ends: it must never wait there for
//! its tasks, which panics.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads for provider traffic; it waits far more than it works.
const THREADS: usize = 2;

/// A running runtime; dropped, it leaves its tasks where they stand.
pub(super) struct ProviderRuntime {
    handle: Handle,
    /// There until the drop.
    runtime: Option<Runtime>,
}

impl ProviderRuntime {
    /// Starts the threads.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("sealgate-provider")
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Spawns on it.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for ProviderRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_can_be_dropped_within_another_runtime() {
        let runtime = ProviderRuntime::start().expect("threads");
        runtime.handle().spawn(std::future::pending::<()>());
        drop(runtime);
    }
}
