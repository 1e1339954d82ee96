//! All processes of a run together: started, told of each other, asked how they stand, and one of them killed.

use super::options::{Host, Options};
use super::process::Process;
use super::report::ProcessCpu;
use crate::plan::Plan;
use crate::protocol::{Order, Setup, Standing, Word};
use crate::topology::Topology;
use crate::tracer::Recorded;
use anyhow::{Context as _, Result, bail};
use std::net::SocketAddr;

/// The processes of a run.
#[derive(Debug)]
pub(crate) struct Fleet {
    members: Vec<Member>,
}

/// A process, what it was told, and what it used.
#[derive(Debug)]
struct Member {
    name: String,
    host: Host,
    setup: Setup,
    /// `None` between a kill and the next start.
    process: Option<Process>,
    pid: u32,
    peers: Vec<SocketAddr>,
    /// What it had used when the window began, or when it started later than that.
    base: Standing,
    /// What it used in the window before it was killed.
    before_kill_ns: u64,
    /// What its tracer had given up before it was killed.
    dropped_before_kill: u64,
}

/// What all services did in the window.
#[derive(Debug)]
pub(crate) struct Services {
    /// CPU time of each process.
    pub(crate) by_process: Vec<ProcessCpu>,
    /// What the tracers wrote, `None` where there are none.
    pub(crate) recorded: Option<Recorded>,
    /// Records of the ground truth that could not be written.
    pub(crate) truth_failed: u64,
}

impl Fleet {
    /// Starts the processes of `plan`, on the hosts in turn, and tells each of all others.
    pub(crate) async fn start(options: &Options, topology: &Topology, plan: &Plan) -> Result<Self> {
        let hosts = options.hosts();
        let mut members = Vec::new();
        for (process_idx, process) in plan.processes.iter().enumerate() {
            let host = hosts[process_idx % hosts.len()].clone();
            let setup = Setup {
                topology: topology.clone(),
                process_idx,
                address: SocketAddr::new(host.address, 0),
                threads: usize::from(options.threads),
                tracer: options.tracer,
                agent: host.agent.clone(),
                sink: options.sink.clone(),
                slow_ms: options.slow_ms,
                truth: options.truth.clone(),
            };
            members.push(Member::new(process.name.clone(), host, setup));
        }
        for member in &mut members {
            member.begin().await?;
        }
        let addresses: Vec<SocketAddr> = members.iter().map(|member| member.setup.address).collect();
        for member in &mut members {
            member.peers.clone_from(&addresses);
            member.meet().await?;
        }
        Ok(Self { members })
    }

    /// Returns where process `process_idx` listens.
    pub(crate) fn address(&self, process_idx: usize) -> SocketAddr {
        self.members[process_idx].setup.address
    }

    /// Says whether all run that should.
    ///
    /// # Errors
    /// One does not.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.members.iter_mut().filter_map(|member| member.process.as_mut()).try_for_each(Process::check)
    }

    /// CPU time counts from now on.
    pub(crate) async fn begin_window(&mut self) -> Result<()> {
        for member in &mut self.members {
            member.base = member.process()?.stand().await?;
        }
        Ok(())
    }

    /// Returns what was used since [`Self::begin_window`].
    pub(crate) async fn end_window(&mut self) -> Result<Services> {
        let mut services = Services { by_process: Vec::new(), recorded: None, truth_failed: 0 };
        for member in &mut self.members {
            let now = member.process()?.stand().await?;
            let used_ns = now.cpu_ns.saturating_sub(member.base.cpu_ns) + member.before_kill_ns;
            services.truth_failed += now.truth_failed;
            services.by_process.push(ProcessCpu {
                name: member.name.clone(),
                pid: member.pid,
                cpu_ms: used_ns as f64 / 1e6,
            });
            let Some(recorded) = now.recorded else { continue };
            let sum = services.recorded.get_or_insert_default();
            sum.dropped += recorded.dropped + member.dropped_before_kill;
            if let Some(bytes) = recorded.bytes_written {
                *sum.bytes_written.get_or_insert_default() += bytes;
            }
        }
        Ok(services)
    }

    /// Returns the number of visits that are parked in process `process_idx`.
    pub(crate) async fn parked(&mut self, process_idx: usize) -> Result<u64> {
        Ok(self.members[process_idx].process()?.stand().await?.parked)
    }

    /// Kills process `process_idx`; returns its name and id.
    pub(crate) async fn kill(&mut self, process_idx: usize) -> Result<(String, u32)> {
        let member = &mut self.members[process_idx];
        let last = member.process()?.stand().await?;
        member.before_kill_ns += last.cpu_ns.saturating_sub(member.base.cpu_ns);
        member.dropped_before_kill += last.recorded.map_or(0, |recorded| recorded.dropped);
        member.base = Standing::default();
        let process = member.process.take().context("it runs")?;
        process.kill().await?;
        Ok((member.name.clone(), member.pid))
    }

    /// Starts process `process_idx` again where it was.
    pub(crate) async fn start_again(&mut self, process_idx: usize) -> Result<()> {
        let member = &mut self.members[process_idx];
        member.begin().await?;
        member.meet().await
    }

    /// Stops all processes and waits for them.
    pub(crate) async fn stop(self) {
        let stopping = self.members.into_iter().filter_map(|member| member.process).map(Process::stop);
        futures_util::future::join_all(stopping).await;
    }
}

impl Member {
    fn new(name: String, host: Host, setup: Setup) -> Self {
        let (base, peers) = (Standing::default(), Vec::new());
        Self { name, host, setup, process: None, pid: 0, peers, base, before_kill_ns: 0, dropped_before_kill: 0 }
    }

    fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().with_context(|| format!("{} does not run", self.name))
    }

    /// Starts the process and learns where it listens.
    async fn begin(&mut self) -> Result<()> {
        let mut process = Process::start(&self.name, &self.host)?;
        match process.ask(&Order::Begin(Box::new(self.setup.clone()))).await? {
            Word::Listening(address) => self.setup.address = address,
            other => bail!("{} says {other:?}, and was asked where it listens", self.name),
        }
        self.pid = process.pid();
        self.process = Some(process);
        Ok(())
    }

    /// Tells the process of its peers, and lets it serve.
    async fn meet(&mut self) -> Result<()> {
        let order = Order::Peers(self.peers.clone());
        match self.process()?.ask(&order).await? {
            Word::Serving => Ok(()),
            other => bail!("{} says {other:?}, and was told of its peers", self.name),
        }
    }
}
