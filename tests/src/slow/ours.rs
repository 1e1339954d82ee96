//! The slow request with Backsight: its trigger fires, its trace travels, the collector has it.

use super::load::{TRACE_HI, payload};
use super::{Load, MEMORY_BYTES, Sample, Symptom};
use crate::harness::{
    agent::{Agent, AgentOptions},
    binaries,
    collector::Collector,
    dialogue::Dialogue,
    relay::Relay,
};
use anyhow::{Context as _, Result, bail};
use backsight::TraceId;
use backsight_core::certificate::Verdict;
use backsight_proto::wire::StoredTrace;
use std::process::Command;
use std::time::{Duration, Instant};

/// The memory holds seconds of the load, and detail must not be left out for a longer horizon: LTTng leaves out nothing either.
const CONFIG: &str = "[horizon]\ntarget_ms = 500\n";
const TIMEOUT: Duration = Duration::from_secs(20);
const POLL_PERIOD: Duration = Duration::from_millis(2);
/// What comes after a trace is complete was moved for it, too.
const LATE: Duration = Duration::from_millis(300);

/// A host with its load, and the collector that it reports to.
#[derive(Debug)]
pub struct Ours {
    // Ends before the agent, and that before the collector.
    program: Dialogue,
    _agent: Agent,
    relay: Relay,
    collector: Collector,
    load: Load,
}

impl Ours {
    /// Starts all of it.
    ///
    /// # Errors
    /// A binary cannot be had, or does not start.
    pub fn start(load: Load) -> Result<Self> {
        let collector = Collector::start()?;
        let relay = Relay::start(collector.address())?;
        let url = relay.url();
        let options = AgentOptions {
            budget_bytes: MEMORY_BYTES,
            collector: Some(&url),
            config: CONFIG,
            ..AgentOptions::default()
        };
        let agent = Agent::start(options)?;
        let mut command = Command::new(binaries::find("bks-requests")?);
        command.arg("--socket").arg(agent.socket());
        command.arg("--threads").arg(load.n_threads.to_string());
        command.arg("--requests-per-s").arg(load.requests_per_s.to_string());
        command.arg("--events").arg(load.n_events.to_string()).arg("--slow-ms").arg(load.slow_ms.to_string());
        Ok(Self { program: Dialogue::start(&mut command)?, _agent: agent, relay, collector, load })
    }

    /// Has one request be slow, and reads it from the collector.
    ///
    /// # Errors
    /// It is not complete in time, or some of it is missing.
    pub fn find(&mut self) -> Result<Sample> {
        let before = self.relay.sent_bytes();
        let symptom: Symptom = self.program.ask("slow")?;
        self.read(TraceId::new(TRACE_HI, symptom.id))?;
        let found_ms = symptom.elapsed_ms();
        std::thread::sleep(LATE);
        Ok(Sample { bytes: self.relay.sent_bytes() - before, found_ms, is_found: true })
    }

    /// Waits until the collector has all of the trace.
    fn read(&self, trace: TraceId) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let stored = self.collector.get(trace)?;
            if stored.as_ref().is_some_and(|stored| self.is_whole(trace, stored)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let said = stored.map(|stored| format!("{:?}", stored.certificate));
                bail!("{trace} is not whole after {TIMEOUT:?}: {}", said.context("nothing of it is stored")?);
            }
            std::thread::sleep(POLL_PERIOD);
        }
    }

    fn is_whole(&self, trace: TraceId, stored: &StoredTrace) -> bool {
        let assembled = stored.assemble();
        let payloads = assembled.visits.iter().flat_map(|visit| &visit.notes.payloads);
        let expected = (0..self.load.n_events).map(|event| payload(trace.lo, event));
        stored.certificate.verdict == Verdict::Complete && payloads.map(|payload| &*payload.bytes).eq(expected)
    }
}
