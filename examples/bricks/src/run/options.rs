//! The command line of `bricks run`.

use crate::faults::Shares;
use crate::tracer::TracerKind;
use anyhow::{Result, ensure};
use clap::Args;
use serde::{Serialize, Serializer};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

/// The longest run.
const DAY: Duration = Duration::from_secs(86_400);
/// The most threads that a process serves with.
const THREADS_MAX: u16 = 64;

/// What to run, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// `two`, `ten`, `synthetic93`, or a file.
    #[arg(long)]
    pub(crate) topology: String,
    /// What the services record with.
    #[arg(long)]
    pub(crate) tracer: TracerKind,
    /// What each service runs under, such as `strace -fc`; words are parted by spaces.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) under: Option<String>,
    /// The socket of a host's agent; repeat it for more hosts. Processes are spread over the hosts in turn.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) agent: Vec<String>,
    /// The network namespace of a host; repeat it, once for each host.
    #[arg(long, value_name = "NAME")]
    pub(crate) netns: Vec<String>,
    /// Where the processes of a host listen, 127.0.0.1 by default; repeat it, once for each host.
    #[arg(long, value_name = "IP")]
    pub(crate) address: Vec<IpAddr>,
    /// Where OpenTelemetry's tracers send their spans.
    #[arg(long, value_name = "ADDR")]
    pub(crate) sink: Option<String>,
    /// Requests a second, or `max`: as many as the callers of `--concurrency` get answered.
    #[arg(long, value_name = "R|max")]
    pub(crate) rate: Rate,
    /// Callers of `--rate max`.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) concurrency: usize,
    /// How long to measure.
    #[arg(long, value_name = "S", required_unless_present = "requests")]
    seconds: Option<f64>,
    /// How long to load before that.
    #[arg(long, value_name = "W", default_value_t = 1.0)]
    warmup_seconds: f64,
    /// Ends after so many requests, however long they take, all of which count: no warm-up.
    #[arg(long, value_name = "N", conflicts_with_all = ["seconds", "warmup_seconds", "kill"], value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    /// Decides trace ids and faults.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Requests under way at the same time; more are refused.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) in_flight_max: u64,
    /// Threads that each process serves with.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) threads: u16,
    /// Share of requests with a slow visit.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    slow_share: f64,
    /// Share of requests with a visit that fails.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    error_share: f64,
    /// Share of requests with a visit that panics.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    panic_share: f64,
    /// How much longer a slow visit takes.
    #[arg(long, value_name = "MS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=4000))]
    pub(crate) slow_ms: u64,
    /// Kills the process of this service half-way, and starts it again.
    #[arg(long, value_name = "SERVICE", requires = "truth", requires = "park")]
    pub(crate) kill: Option<String>,
    /// Requests that are parked in the service when it is killed.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "kill")]
    pub(crate) park: u64,
    /// Where to write the ground truth; none is written otherwise.
    #[arg(long, value_name = "DIR")]
    pub(crate) truth: Option<PathBuf>,
    /// Where to write the report; else it goes to standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Says nothing while it runs.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// How many requests.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Rate {
    /// So many a second.
    PerSecond(f64),
    /// As many as get answered.
    Max,
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(Self::PerSecond(rate)),
            _ => Err("neither `max` nor a number above 0".to_owned()),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::PerSecond(rate) => serializer.serialize_f64(*rate),
            Self::Max => serializer.serialize_str("max"),
        }
    }
}

/// Where the processes of one host run, and how they start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Host {
    /// The words of a command that they run under; none mostly.
    pub(crate) under: Vec<String>,
    /// The socket of its agent.
    pub(crate) agent: Option<String>,
    /// Its network namespace.
    pub(crate) netns: Option<String>,
    /// Where its processes listen.
    pub(crate) address: IpAddr,
}

impl Options {
    /// Says whether the values go together.
    pub(crate) fn check(&self) -> Result<()> {
        let needs_agent = self.tracer == TracerKind::Backsight;
        ensure!(!needs_agent || !self.agent.is_empty(), "--tracer backsight needs the socket of an agent: --agent");
        let needs_sink = matches!(self.tracer, TracerKind::OtelHead | TracerKind::OtelTailModel);
        ensure!(!needs_sink || self.sink.is_some(), "OpenTelemetry's tracers need to know where to send: --sink");
        let n_hosts = self.n_hosts();
        for (name, n) in [("agent", self.agent.len()), ("netns", self.netns.len()), ("address", self.address.len())] {
            ensure!(n == 0 || n == n_hosts, "--{name} is given {n} times, for {n_hosts} hosts");
        }
        ensure!(self.shares().are_valid(), "the shares of faults are not from 0 to 1, together too");
        let is_time = |seconds: f64| (0.0..=DAY.as_secs_f64()).contains(&seconds);
        let seconds = self.seconds.unwrap_or(1.0); // where requests are counted, time is not
        ensure!(seconds > 0.0 && is_time(seconds), "--seconds {seconds} is not from 0 to a day");
        ensure!(is_time(self.warmup_seconds), "--warmup-seconds {} is not from 0 to a day", self.warmup_seconds);
        ensure!((1..=THREADS_MAX).contains(&self.threads), "--threads {} is not from 1 to {THREADS_MAX}", self.threads);
        ensure!(self.concurrency > 0 && self.in_flight_max > 0, "nothing would ever be sent");
        ensure!(self.kill.is_none() || self.park > 0, "--kill needs requests to be parked: --park");
        Ok(())
    }

    /// Returns the hosts: one at least.
    pub(crate) fn hosts(&self) -> Vec<Host> {
        let under: Vec<String> =
            self.under.iter().flat_map(|line| line.split_whitespace()).map(str::to_owned).collect();
        let host = |idx: usize| Host {
            under: under.clone(),
            agent: self.agent.get(idx).cloned(),
            netns: self.netns.get(idx).cloned(),
            address: self.address.get(idx).copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        };
        (0..self.n_hosts()).map(host).collect()
    }

    /// Returns how long to measure at most.
    pub(crate) fn seconds(&self) -> Duration {
        self.seconds.map_or(DAY, Duration::from_secs_f64)
    }

    /// Returns how long to load before that.
    pub(crate) fn warmup(&self) -> Duration {
        if self.requests.is_some() { Duration::ZERO } else { Duration::from_secs_f64(self.warmup_seconds) }
    }

    /// Returns the shares of faults.
    pub(crate) fn shares(&self) -> Shares {
        Shares { slow: self.slow_share, error: self.error_share, panic: self.panic_share }
    }

    fn n_hosts(&self) -> usize {
        self.agent.len().max(self.netns.len()).max(self.address.len()).max(1)
    }
}
