//! An agent process in a folder of its own.

use super::{api::Api, binaries};
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long an agent may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running agent; killed when it drops.
#[derive(Debug)]
pub struct Agent {
    process: Child,
    folder: TempDir,
}

/// What differs from agent to agent.
#[derive(Clone, Copy, Debug)]
pub struct AgentOptions<'a> {
    /// The pool's budget, in bytes.
    pub budget_bytes: u64,
    /// The collector that it reports to.
    pub collector: Option<&'a str>,
    /// The rest of its configuration, as TOML; empty for none.
    pub config: &'a str,
}

impl Default for AgentOptions<'_> {
    fn default() -> Self {
        Self { budget_bytes: 256 << 20, collector: None, config: "" }
    }
}

impl Agent {
    /// Starts an agent and waits until it answers.
    ///
    /// # Errors
    /// The binary cannot be had, or the agent ends or stays silent.
    pub fn start(options: AgentOptions<'_>) -> Result<Self> {
        let binary = binaries::find("backsight-agent", "backsight-agent")?;
        let folder = tempfile::Builder::new().prefix("bks-").tempdir().context("make a folder for an agent")?;
        let log = std::fs::File::create(folder.path().join("agent.log")).context("create the agent's log")?;
        let mut command = Command::new(binary);
        command.arg("--socket").arg(folder.path().join("agent.sock"));
        command.arg("--admin-socket").arg(folder.path().join("admin.sock"));
        command.arg("--state-dir").arg(folder.path().join("state"));
        command.arg("--budget-bytes").arg(options.budget_bytes.to_string());
        if !options.config.is_empty() {
            let file = folder.path().join("agent.toml");
            std::fs::write(&file, options.config).context("write the agent's configuration")?;
            command.arg("--config").arg(file);
        }
        if let Some(collector) = options.collector {
            command.arg("--collector").arg(collector);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().with_context(|| format!("start {command:?}"))?;
        let mut agent = Self { process, folder };
        agent.wait_until_it_answers()?;
        Ok(agent)
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while self.api().get("/healthz").is_err() {
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

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
