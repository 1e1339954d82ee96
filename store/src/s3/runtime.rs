//! The runtime of requests to a store: one thread, for callers that wait.
//!
//! Called by `s3`. Callers are threads that may block, never those of another runtime.

use std::future::Future;
use std::io;
use tokio::runtime::{Builder, Runtime};

/// A runtime that may be dropped anywhere.
#[derive(Debug)]
pub(super) struct Background(Option<Runtime>);

impl Background {
    /// Starts the thread, which is called `bks-s3`.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("bks-s3").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    /// Waits for `work`.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.as_ref().expect("a runtime is taken out only when it is dropped").block_on(work)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Not waited for: it may be dropped where waiting is forbidden.
            runtime.shutdown_background();
        }
    }
}
