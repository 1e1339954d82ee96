//! How fast the coordinator follows a trace's crumbs over the agents, and whether it gets past one that is gone (`rec-traverse`).
//!
//! Called by the bench of that name. The collector is the real process; the agents are stand-ins within this one, which speak its protocol over
//! connections of their own and answer at once, so that what is timed is the coordinator, the network stack, and no recorder.

use self::agents::Agents;
use self::path::{Path, Shape};
use self::traversals::Traversals;
use crate::bench::stats::{SplitMix, quantile};
use crate::harness::{
    collector::{Collector, CollectorOptions},
    cpu::CpuMeter,
    network::{Network, links::Link},
};
use anyhow::{Context as _, Result, ensure};
use std::time::{Duration, Instant};

pub mod agents;
pub mod path;
pub mod rows;
pub mod traversals;

/// How long nothing may be asked before what has not ended is taken to have stopped: far longer than any step, shorter than the coordinator
/// waits for an answer.
const QUIET: Duration = Duration::from_millis(800);
/// How often that is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(10);
/// The longest that triggers may take to be followed once all have fired.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// The agent that is not connected, where one is not. Requests begin on all hosts alike, so it stands anywhere in their chains.
const DEAD: usize = 0;

/// Triggers at a steady rate, each for a trace of its own, on agents at random.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Load {
    /// How many agents there are; each trace has been on all of them.
    pub n_agents: usize,
    /// How the requests went.
    pub shape: Shape,
    /// Triggers a second of all agents together.
    pub triggers_per_s: f64,
    /// For how long they fire.
    pub duration: Duration,
    /// How the hosts are linked, where each is one of its own; `None` where all are this machine.
    pub link: Option<Link>,
}

/// A trigger that is going to fire.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Planned {
    /// When, after the start.
    pub due: Duration,
    /// On which agent, by its index.
    pub agent: usize,
    /// How the request had gone.
    pub path: Path,
}

/// What one load showed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// From when a trigger was due until the last agent of its trace had its Collect, in milliseconds: the median.
    pub p50_ms: f64,
    /// The 99th percentile of that. What did not end counts with how long it was watched.
    pub p99_ms: f64,
    /// Traversals that did not end.
    pub n_unfinished: f64,
    /// Traversals that ended, a second, from the first trigger to the last Collect.
    pub reached_per_s: f64,
    /// CPU time of the collector for each Collect, in microseconds; 0 where there was none.
    pub collector_us_per_collect: f64,
    /// The median of what the network's delay alone would take of these traversals, in milliseconds: every question goes one way, and what it
    /// is asked on comes the other.
    pub delay_p50_ms: f64,
}

/// Of the agents behind the dead one, as seen from the host that fired, the shares that were asked.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PastDead {
    /// Where the trigger fired on a host that the request reached after the dead one.
    pub fired_after: f64,
    /// Where it fired on a host before it.
    pub fired_before: f64,
}

impl Load {
    /// Returns what fires on the agents but `dead`; the same for the same seed.
    #[must_use]
    pub fn plan(&self, seed: u64, dead: Option<usize>) -> Vec<Planned> {
        let mut random = SplitMix(seed);
        let n_triggers = (self.triggers_per_s * self.duration.as_secs_f64()).ceil().max(1.0) as usize;
        let live: Vec<usize> = (0..self.n_agents).filter(|agent| Some(*agent) != dead).collect();
        let planned = |idx| Planned {
            due: Duration::from_secs_f64(idx as f64 / self.triggers_per_s),
            agent: live[random.below(live.len())],
            path: Path { shape: self.shape, n_hosts: self.n_agents, first: random.below(self.n_agents) },
        };
        (0..n_triggers).map(planned).collect()
    }

    /// Returns the median of what the network's delay takes of what is planned, in milliseconds.
    fn delay_p50_ms(&self, plan: &[Planned]) -> Option<f64> {
        let delay_ms = self.link.map_or(0.0, |link| link.delay.as_secs_f64() * 1e3);
        let of = |planned: &Planned| 2.0 * delay_ms * planned.path.n_questions_from(planned.agent) as f64;
        quantile(&sorted(plan.iter().map(of)), 0.5)
    }
}

/// Fires `load` on agents and a collector of its own.
///
/// # Errors
/// The collector or an agent's connection fails.
pub fn timed(load: &Load, seed: u64) -> Result<Sample> {
    let plan = load.plan(seed, None);
    let (traversals, collector_ns) = follow(load, &plan, None)?;
    let times_ms = sorted(traversals.times().map(|time| time.as_secs_f64() * 1e3));
    let quantile = |share| quantile(&times_ms, share).context("no trigger fired");
    let n_unfinished = traversals.n_unfinished();
    let n_ended = (plan.len() - n_unfinished) as f64;
    let n_collects = traversals.n_collects();
    Ok(Sample {
        p50_ms: quantile(0.5)?,
        p99_ms: quantile(0.99)?,
        n_unfinished: n_unfinished as f64,
        reached_per_s: n_ended / traversals.last_end().as_secs_f64().max(load.duration.as_secs_f64()),
        collector_us_per_collect: if n_collects > 0 { collector_ns as f64 / 1e3 / n_collects as f64 } else { 0.0 },
        delay_p50_ms: load.delay_p50_ms(&plan).context("no trigger fired")?,
    })
}

/// Returns values, ascending.
pub(crate) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Fires `load` on agents of which one is not connected.
///
/// # Errors
/// As [`timed`], or no trigger fired on one side of the dead agent.
pub fn past_dead(load: &Load, seed: u64) -> Result<PastDead> {
    let plan = load.plan(seed, Some(DEAD));
    let (traversals, _) = follow(load, &plan, Some(DEAD))?;
    let share = |is_after: bool| {
        let (mut n_behind, mut n_reached) = (0, 0);
        for (idx, planned) in plan.iter().enumerate() {
            let (dead, fired) = (planned.path.position_of(DEAD), planned.path.position_of(planned.agent));
            if (fired > dead) != is_after {
                continue;
            }
            let behind = if is_after { 0..dead } else { dead + 1..load.n_agents };
            n_behind += behind.len();
            n_reached += behind.filter(|at| traversals.has_reached(idx, planned.path.agent_at(*at))).count();
        }
        ensure!(n_behind > 0, "no agent stood behind the dead one in any of {} chains", plan.len());
        Ok(n_reached as f64 / n_behind as f64)
    };
    Ok(PastDead { fired_after: share(true)?, fired_before: share(false)? })
}

/// Fires what is planned and waits until all is followed, or nobody is asked any more; returns that, and the CPU time of the collector
/// meanwhile in nanoseconds.
fn follow(load: &Load, plan: &[Planned], dead: Option<usize>) -> Result<(Traversals, u64)> {
    let network = load.link.map(|link| apart(load.n_agents + 1, link)).transpose()?;
    let (of_collector, of_agents) = network.as_ref().and_then(|network| network.hosts().split_last()).unzip();
    let collector = Collector::start_with(CollectorOptions { host: of_collector, tls: None })?;
    let agents = Agents::connect(&collector.url(), load.n_agents, plan, dead, of_agents.unwrap_or_default())?;
    let mut meter = CpuMeter::new(collector.pid());
    let cpu_before_ns = meter.cpu_ns()?;
    let start = agents.fire()?;
    let deadline = Instant::now() + DRAIN_MAX;
    loop {
        agents.check().with_context(|| format!("the collector logged:\n{}", collector.log()))?;
        let traversals = agents.traversals();
        let is_quiet = start.elapsed() > traversals.last_news() + QUIET;
        if traversals.n_unfinished() == 0 || is_quiet || Instant::now() > deadline {
            break;
        }
        drop(traversals);
        std::thread::sleep(LOOK_PERIOD);
    }
    let cpu_ns = meter.cpu_ns()? - cpu_before_ns;
    Ok((agents.finish(start.elapsed())?, cpu_ns))
}

/// Returns so many hosts with these links between them.
fn apart(n_hosts: usize, link: Link) -> Result<Network> {
    let network = Network::start(n_hosts, 1)?;
    network.link_all(link);
    Ok(network)
}
