//! The recorder of the demo: a collector and one agent for each host, and what they say of themselves.
//!
//! Called by the acts of the demo. Sockets lie in the stage's short temporary folder, logs and what is stored below `target/demo`.

use super::admin::Admin;
use super::child::{Child, LOOK_EVERY};
use super::hosts::{N_HOSTS, NAMES, Place};
use super::{BUDGET_BYTES, Stage};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How long a process may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A collector and the agents that report to it; all end when this drops.
pub(crate) struct Recorder {
    // In this order: agents that lose their collector would say so in their logs.
    agents: Vec<Agent>,
    collector: Child,
    /// The collector's address.
    pub(crate) url: String,
}

struct Agent {
    child: Child,
    socket: PathBuf,
    admin: Admin,
}

impl Recorder {
    /// Starts a collector and an agent for each host, and waits until every agent reports; `act` is in the names of their files.
    ///
    /// # Errors
    /// One of them does not start, ends, or stays silent.
    pub(crate) fn start(stage: &Stage, act: &str) -> Result<Self> {
        let folder = stage.folder.join(act);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let (collector, url) = start_collector(stage, &folder)?;
        let agents = (0..N_HOSTS).map(|idx| Agent::start(stage, act, &folder, idx, &url)).collect::<Result<_>>()?;
        let recorder = Self { agents, collector, url };
        let deadline = Instant::now() + START_TIMEOUT;
        while !recorder.status()?.iter().all(Status::is_reporting) {
            ensure!(Instant::now() < deadline, "the agents do not reach the collector; see {}", folder.display());
            stage.interrupt.sleep(LOOK_EVERY)?;
        }
        Ok(recorder)
    }

    /// Returns the sockets at which services find their agents, by host.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Path> {
        self.agents.iter().map(|agent| agent.socket.as_path())
    }

    /// Returns the ids of agents and collector.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.agent_pids().chain([self.collector.pid()]).collect()
    }

    /// Returns the ids of the agents, by host.
    pub(crate) fn agent_pids(&self) -> impl Iterator<Item = u32> {
        self.agents.iter().map(|agent| agent.child.pid())
    }

    /// Returns what each agent says of itself, by host.
    ///
    /// # Errors
    /// One does not answer.
    pub(crate) fn status(&self) -> Result<Vec<Status>> {
        let ask = |(agent, name): (&Agent, &str)| {
            let json = agent.admin.json("/v1/status").with_context(|| format!("ask the agent of host {name}"))?;
            serde_json::from_value(json).with_context(|| format!("read the status of the agent of host {name}"))
        };
        self.agents.iter().zip(NAMES).map(ask).collect()
    }
}

impl Agent {
    fn start(stage: &Stage, act: &str, folder: &Path, idx: usize, collector: &str) -> Result<Self> {
        let name = NAMES[idx];
        let (socket, admin_socket) =
            (stage.sockets.join(format!("{act}-{name}.sock")), stage.sockets.join(format!("{act}-{name}-admin.sock")));
        let log = folder.join(format!("agent-{name}.log"));
        let mut command = stage.hosts.command(Place::Host(idx), &stage.bin("backsight-agent"));
        command.arg("--socket").arg(&socket).arg("--admin-socket").arg(&admin_socket).arg("--keep-s").arg("0");
        command.arg("--state-dir").arg(folder.join(format!("agent-{name}"))).args(["--collector", collector]);
        command.args(["--budget-bytes", &BUDGET_BYTES.to_string()]);
        command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(create(&log)?);
        let mut child = Child::start(&mut command, &format!("the agent of host {name}"))?;
        let admin = Admin::new(admin_socket);
        let deadline = Instant::now() + START_TIMEOUT;
        while admin.get("/healthz").is_err() {
            ensure!(child.ended()?.is_none(), "the agent of host {name} ended; see {}", log.display());
            ensure!(Instant::now() < deadline, "the agent of host {name} does not answer; see {}", log.display());
            stage.interrupt.sleep(LOOK_EVERY)?;
        }
        Ok(Self { child, socket, admin })
    }
}

/// Starts a collector that stores below `folder`, and returns it with the address that it says it has.
fn start_collector(stage: &Stage, folder: &Path) -> Result<(Child, String)> {
    let log = folder.join("collector.log");
    let mut command = stage.hosts.command(Place::Hub, &stage.bin("backsight-collector"));
    command.args(["--listen", &stage.hosts.collector_listens()]).arg("--data-dir").arg(folder.join("collector"));
    command.arg("--insecure"); // its address may be one of the namespaces, which nobody else reaches
    command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(create(&log)?);
    let mut child = Child::start(&mut command, "the collector")?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        if let Some(address) = address_in(&said) {
            return Ok((child, format!("http://{address}")));
        }
        ensure!(child.ended()?.is_none(), "the collector ended; see {}", log.display());
        ensure!(Instant::now() < deadline, "the collector does not listen; see {}", log.display());
        stage.interrupt.sleep(LOOK_EVERY)?;
    }
}

/// Returns the address in the line of its log with which a collector says that it has started.
fn address_in(log: &str) -> Option<&str> {
    let line = log.lines().find(|line| line.contains("collector started"))?;
    line.split("address=").nth(1)?.split_whitespace().next()
}

pub(crate) fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("create {}", path.display()))
}

/// What an agent says of itself, as far as the demo shows it.
#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
pub(crate) struct Status {
    pool: Pool,
    pub(crate) horizon: Horizon,
    sessions: Vec<Session>,
    uplinks: Vec<Uplink>,
}

impl Status {
    fn is_reporting(&self) -> bool {
        !self.uplinks.is_empty() && self.uplinks.iter().all(|uplink| uplink.is_connected && uplink.is_reporting)
    }
}

#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
struct Pool {
    kept_bytes: u64,
}

/// How far back an agent can look.
#[derive(Deserialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
#[serde(default)]
pub(crate) struct Horizon {
    /// The age of the newest data that was overwritten; nothing until anything was.
    pub(crate) horizon_ms: Option<u64>,
    /// The age that data will reach at the present rate of writing.
    pub(crate) predicted_ms: Option<u64>,
}

#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
struct Session {
    region: u64,
    bytes_written: u64,
}

#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
struct Uplink {
    is_connected: bool,
    is_reporting: bool,
    bytes_total: u64,
}

/// What the agents have recorded and sent so far, all hosts together.
#[derive(Clone, Default, Debug)]
pub(crate) struct Watch {
    /// Bytes that each region's process wrote: an agent forgets regions whose data has left its horizon.
    written: BTreeMap<(usize, u64), u64>,
    /// Bytes of what triggers asked for.
    pub(crate) kept_bytes: u64,
    /// Bytes of the batches sent to the collector.
    pub(crate) sent_bytes: u64,
    /// By host.
    pub(crate) horizons: Vec<Horizon>,
}

impl Watch {
    /// Takes in what the agents say now.
    pub(crate) fn look(&mut self, hosts: &[Status]) {
        for (idx, host) in hosts.iter().enumerate() {
            for session in &host.sessions {
                let written = self.written.entry((idx, session.region)).or_default();
                *written = session.bytes_written.max(*written);
            }
        }
        self.kept_bytes = hosts.iter().map(|host| host.pool.kept_bytes).sum();
        self.sent_bytes = hosts.iter().flat_map(|host| &host.uplinks).map(|uplink| uplink.bytes_total).sum();
        self.horizons = hosts.iter().map(|host| host.horizon).collect();
    }

    /// Returns the bytes that all processes have written.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written.values().sum()
    }
}

#[cfg(test)]
mod tests;
