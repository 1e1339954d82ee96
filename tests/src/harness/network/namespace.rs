//! A network namespace without a name: it ends with the last process in it, however that ends, so that nothing is left of a test that was
//! killed, and tests at one time cannot meet.

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};

/// What holds a namespace: it says that it is there, and ends with its input, so at the latest with this process.
const HOLDER: &str = "echo; exec cat";

/// See the module.
#[derive(Debug)]
pub(super) struct Namespace {
    holder: Child,
    file: File,
}

impl Namespace {
    pub(super) fn make() -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", HOLDER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().context("run unshare")?;
        let mut ready = [0];
        let said = holder.stdout.as_mut().context("the holder has an output")?.read(&mut ready);
        let file = File::open(format!("/proc/{}/ns/net", holder.id()));
        if !matches!(said, Ok(1)) || file.is_err() {
            let _ = holder.kill();
        }
        let made = Self { holder, file: file.context("open a namespace")? };
        ensure!(matches!(said, Ok(1)), "unshare made no network namespace");
        Ok(made)
    }

    /// Runs `act` on a thread of its own that has entered the namespace.
    pub(super) fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> Result<T> {
        let enter = || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(self.file.as_fd(), network).context("enter a network namespace")?;
            Ok(act())
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("host".into()).spawn_scoped(scope, enter);
            thread.context("start a thread")?.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill(); // it has nothing to lose
        let _ = self.holder.wait();
    }
}
