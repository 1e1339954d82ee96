//! An agent process in a folder of its own.

use super::network::{self, Host};
use super::{api::Api, binaries, manager::Manager};
use anyhow::{Context as _, Result, bail};
use backsight_proto::admin::route;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long an agent may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long it may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A running agent; killed when it drops.
#[derive(Debug)]
pub struct Agent {
    binary: PathBuf,
    arguments: Vec<OsString>,
    process: Child,
    folder: TempDir,
    keep_s: u64,
    host: Option<Host>,
}

/// What differs from agent to agent.
#[derive(Clone, Copy, Debug)]
pub struct AgentOptions<'a> {
    /// The service manager that runs it; none.
    pub manager: Option<&'a Manager>,
    /// The pool's budget, in bytes.
    pub budget_bytes: u64,
    /// The collector that it reports to.
    pub collector: Option<&'a str>,
    /// The rest of its configuration, as TOML; empty for none.
    pub config: &'a str,
    /// The host that it runs on; none for this machine.
    pub host: Option<&'a Host>,
    /// How long a keeper holds for the next agent what it recorded, in seconds; 0 for no keeper.
    pub keep_s: u64,
}

impl Default for AgentOptions<'_> {
    fn default() -> Self {
        Self { budget_bytes: 256 << 20, collector: None, config: "", host: None, keep_s: 0, manager: None }
    }
}

impl Agent {
    /// Starts an agent and waits until it answers.
    ///
    /// # Errors
    /// The binary cannot be had, or the agent ends or stays silent.
    pub fn start(options: AgentOptions<'_>) -> Result<Self> {
        let binary = binaries::find("backsight-agent")?;
        let folder = tempfile::Builder::new().prefix("bks-").tempdir().context("make a folder for an agent")?;
        let mut arguments = Vec::<OsString>::new();
        let mut set = |flag: &str, value: OsString| arguments.extend([flag.into(), value]);
        set("--socket", folder.path().join("agent.sock").into());
        set("--admin-socket", folder.path().join("admin.sock").into());
        set("--state-dir", folder.path().join("state").into());
        set("--budget-bytes", options.budget_bytes.to_string().into());
        set("--keep-s", options.keep_s.to_string().into());
        if !options.config.is_empty() {
            let file = folder.path().join("agent.toml");
            std::fs::write(&file, options.config).context("write the agent's configuration")?;
            set("--config", file.into());
        }
        if let Some(collector) = options.collector {
            set("--collector", collector.into());
        }
        let process = spawn(&binary, &arguments, folder.path(), options.manager, options.host)?;
        let host = options.host.cloned();
        let mut agent = Self { binary, arguments, process, folder, keep_s: options.keep_s, host };
        agent.wait_until_it_answers()?;
        Ok(agent)
    }

    /// Kills the agent, as the kernel does where memory is short.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        let _ = self.process.kill(); // it may have ended by itself
        self.process.wait().context("wait for the agent's end")?;
        Ok(())
    }

    /// Starts the agent again, in its folder, and waits until it answers.
    ///
    /// # Errors
    /// The agent ends or stays silent.
    pub fn start_again(&mut self, manager: Option<&Manager>) -> Result<()> {
        self.process = spawn(&self.binary, &self.arguments, self.folder.path(), manager, self.host.as_ref())?;
        self.wait_until_it_answers()
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while self.api().get(route::STATUS).is_err() {
            if let Some(status) = self.process.try_wait().context("ask for the agent's status")? {
                bail!("the agent ended with {status}: {}", self.log());
            }
            if Instant::now() > deadline {
                bail!("the agent did not answer within {START_TIMEOUT:?}: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Has the agent end for good, as an interrupt at a terminal does, and waits a moment for that.
    fn interrupt(&mut self) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let sent = pid.is_some_and(|pid| kill_process(pid, Signal::INT).is_ok());
        let deadline = Instant::now() + END_TIMEOUT;
        while sent && matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Returns the producer socket's path.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    /// Returns the folder that the agent has for itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a client of the admin socket.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::new(self.folder.path().join("admin.sock"))
    }

    /// Returns the agent's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns what the agent logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("agent.log")).unwrap_or_default()
    }
}

/// Starts an agent whose log is in `folder`.
fn spawn(
    binary: &Path,
    arguments: &[OsString],
    folder: &Path,
    manager: Option<&Manager>,
    host: Option<&Host>,
) -> Result<Child> {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("agent.log"));
    let log = log.context("open the agent's log")?;
    let mut command = manager.map_or_else(|| Ok(Command::new(binary)), |manager| manager.command(binary))?;
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    network::spawn(host, &mut command)
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.keep_s > 0 {
            self.interrupt(); // which ends its keeper, too
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
