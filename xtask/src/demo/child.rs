//! Processes that the demo starts: each ends, by its id, when its owner drops it; and the wish of a person to stop.
//!
//! Called by everything in the demo that starts or waits for a process. Nobody waits here without looking for that wish.

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a waiting loop sleeps between two looks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The exit status of a program that Ctrl-C ended, as shells count it.
const INTERRUPTED: i32 = 130;

/// Whether somebody wants the demo to stop.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches SIGINT, SIGTERM and SIGHUP from now on; a second one ends the demo on the spot.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn catch() -> Result<Self> {
        let wanted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // In this order: the first signal finds the flag unset, and sets it.
            flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&wanted)).context("catch signals")?;
            flag::register(signal, Arc::clone(&wanted)).context("catch signals")?;
        }
        Ok(Self(wanted))
    }

    /// Goes on unless somebody wants to stop.
    ///
    /// # Errors
    /// Somebody does.
    pub(crate) fn check(&self) -> Result<()> {
        // The flag orders nothing but itself.
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Sleeps for `time`.
    ///
    /// # Errors
    /// Somebody wants to stop.
    pub(crate) fn sleep(&self, time: Duration) -> Result<()> {
        let mut left = time;
        while !left.is_zero() {
            self.check()?;
            let nap = left.min(LOOK_EVERY);
            std::thread::sleep(nap);
            left -= nap;
        }
        self.check()
    }
}

/// A running process; killed when this drops.
pub(crate) struct Child {
    process: std::process::Child,
}

impl Child {
    /// Starts `command`, called `name` where it does not start.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(command: &mut Command, name: &str) -> Result<Self> {
        Ok(Self { process: command.spawn().with_context(|| format!("start {name}"))? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns what the process writes to its standard error, where that is a pipe; once.
    pub(crate) fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.process.stderr.take()
    }

    /// Returns how the process ended, `None` while it runs.
    ///
    /// # Errors
    /// The system does not say.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.try_wait().context("ask how a process ended")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended already is no longer there to be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
