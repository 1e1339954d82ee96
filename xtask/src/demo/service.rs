//! The demo's service as a process: started, listened to, killed or waited for.

use super::Bins;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A bad request, as the service itself says: the ground truth.
#[derive(Clone)]
pub(crate) struct Report {
    /// `slow` or `error`.
    pub(crate) what: String,
    /// The trace's id.
    pub(crate) trace: String,
}

/// A running service.
pub(crate) struct Service {
    process: Mutex<Child>,
    reports: Arc<Mutex<Vec<Report>>>,
    listener: std::thread::JoinHandle<()>,
}

impl Service {
    /// Starts a service that records to the agent behind `socket`.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(bins: &Bins, socket: &Path, seconds: u64, seed: u64) -> Result<Self> {
        let mut command = bins.command("checkout");
        command.env("BACKSIGHT_SOCKET", socket).args(["--seconds", &seconds.to_string(), "--seed", &seed.to_string()]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start the service")?;
        let lines = BufReader::new(process.stdout.take().context("the service has no output")?).lines();
        let reports = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&reports);
        let listener = std::thread::spawn(move || {
            for line in lines.map_while(std::result::Result::ok) {
                if let Some((what @ ("slow" | "error"), trace)) = line.split_once(' ') {
                    held(&heard).push(Report { what: what.to_owned(), trace: trace.to_owned() });
                }
            }
        });
        Ok(Self { process: Mutex::new(process), reports, listener })
    }

    /// Returns what the service has reported so far.
    pub(crate) fn reports(&self) -> Vec<Report> {
        held(&self.reports).clone()
    }

    /// Kills the service without warning.
    ///
    /// # Errors
    /// It has ended already.
    pub(crate) fn kill(&self) -> Result<()> {
        let mut process = held(&self.process);
        ensure!(process.try_wait()?.is_none(), "the service ended before it was killed");
        process.kill().context("kill the service")?;
        process.wait().context("wait for the killed service")?;
        Ok(())
    }

    /// Waits until the service has served, and returns all that it reported.
    ///
    /// # Errors
    /// It ended with an error.
    pub(crate) fn finish(self) -> Result<Vec<Report>> {
        let status = held(&self.process).wait().context("wait for the service")?;
        ensure!(status.success(), "the service ended with {status}");
        let _ = self.listener.join();
        Ok(held(&self.reports).clone())
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
