//! Three hosts with a service each, writers that fill their pools, and the collector that the agents report to.

use super::Case;
use crate::harness::{
    agent::{Agent, AgentOptions},
    collector::Collector,
};
use crate::hop::{Act, Hop, Request};
use crate::writer::{Pace, Writer};
use anyhow::{Context as _, Result, ensure};
use backsight_core::ids::TraceId;
use backsight_proto::admin::{FireRequest, route};
use backsight_proto::wire::StoredTrace;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

/// Hosts that each request goes over.
pub const N_HOSTS: usize = 3;
/// How fast each host's writer writes, as a share of what gives the horizon that is aimed at. The last one looks back longer than the others,
/// so that beyond their horizon something of a request is left that must be certified.
const PACES: [f64; N_HOSTS] = [1.0, 1.0, 0.4];
/// Detail must not be left out for a longer horizon: here the horizon is what is measured.
const CONFIG: &str = "[horizon]\ntarget_ms = 1\n";
/// What a writer's visit takes in the pool, about, and the share of a pool that holds data.
const VISIT_BYTES: f64 = 700.0;
const DATA_SHARE: f64 = 0.85;
/// The left half of all traces.
const TRACE_HI: u64 = 0xde1a;

/// How far back hosts look, the least of them, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Horizon {
    /// How old what is written now will get.
    pub predicted_ms: f64,
    /// How old the newest data is that was overwritten.
    pub measured_ms: f64,
}

/// Agents with all that is around them.
#[derive(Debug)]
pub struct Hosts {
    // End before the agents, and these before the collector.
    hops: Vec<Hop>,
    writers: Vec<Writer>,
    agents: Vec<Agent>,
    collector: Collector,
    n_traces: Cell<u64>,
}

impl Hosts {
    /// Starts all of it; writers write for as long as the case lasts.
    ///
    /// # Errors
    /// Something cannot be started.
    pub fn start(case: &Case) -> Result<Self> {
        let collector = Collector::start()?;
        let url = collector.url();
        let options = AgentOptions {
            budget_bytes: case.budget.0,
            collector: Some(&url),
            config: CONFIG,
            ..AgentOptions::default()
        };
        let agents: Vec<Agent> = (0..N_HOSTS).map(|_| Agent::start(options)).collect::<Result<_>>()?;
        let visits_per_s = case.budget.0 as f64 * DATA_SHARE / VISIT_BYTES / case.horizon_s;
        // A horizon longer than was aimed at must not outlast its writers.
        let duration = case.total() * 2 + Duration::from_secs(60);
        let start_writer = |(agent, pace): (&Agent, f64)| {
            Writer::start(&agent.socket(), Pace { visits_per_s: pace * visits_per_s, duration })
        };
        let writers = agents.iter().zip(PACES).map(start_writer).collect::<Result<_>>()?;
        let start_hop = |(idx, agent): (usize, &Agent)| Hop::start_with(&agent.socket(), &service(idx), case.threads);
        let hops = (0..).zip(&agents).map(start_hop).collect::<Result<_>>()?;
        Ok(Self { hops, writers, agents, collector, n_traces: Cell::new(0) })
    }

    /// Sends a request over all hosts and waits for its answer; returns its trace.
    ///
    /// # Errors
    /// It is not answered.
    pub fn send(&self) -> Result<TraceId> {
        self.n_traces.set(self.n_traces.get() + 1);
        let trace = TraceId::new(TRACE_HI, self.n_traces.get());
        Request::new(trace, self.hops.iter().map(|hop| hop.does(Act::Serve)).collect()).send()?;
        Ok(trace)
    }

    /// Fires a trigger for `trace` on the host whose turn it is.
    ///
    /// # Errors
    /// The agent refuses.
    pub fn fire(&self, trace: TraceId, turn: usize) -> Result<()> {
        let request = FireRequest { trace, trigger: "cli".to_owned(), laterals: Vec::new() };
        let body = serde_json::to_value(&request).context("write a request")?;
        self.agents[turn % N_HOSTS].api().post(route::FIRE, &body)?;
        Ok(())
    }

    /// Returns the horizon that agents predict and the one that they measure, the least of them.
    ///
    /// # Errors
    /// One does not answer, or predicts nothing.
    pub fn horizon(&self) -> Result<Horizon> {
        let horizons = |name: &'static str| self.agents.iter().map(move |agent| agent.api().metric(name));
        let mut predicted = horizons("backsight_agent_horizon_predicted_ms");
        let predicted_ms = predicted.try_fold(f64::INFINITY, |least, ms| anyhow::Ok(least.min(ms?)))?;
        ensure!(predicted_ms > 0.0, "an agent predicts no horizon: {predicted_ms} ms");
        // A host that has overwritten nothing yet has none.
        let measured = horizons("backsight_agent_horizon_ms").flatten();
        Ok(Horizon { predicted_ms, measured_ms: measured.fold(f64::INFINITY, f64::min) })
    }

    /// Checks that all writers still write: without them data would get older than was predicted.
    ///
    /// # Errors
    /// One has ended.
    pub fn check_writers(&mut self) -> Result<()> {
        self.writers.iter_mut().try_for_each(Writer::check)
    }

    /// Returns what the collector has of `traces`.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn stored(&self, traces: &[TraceId]) -> Result<BTreeMap<TraceId, StoredTrace>> {
        Ok(self.collector.get_stored(traces)?.into_iter().map(|stored| (stored.trace, stored)).collect())
    }
}

/// Returns the name of a host's service.
#[must_use]
pub fn service(idx: usize) -> String {
    format!("service-{idx}")
}
