//! A collector: the real coordinator, and a disk that keeps what was synced and loses what was not.

use backsight_agent::uplink::link::Outgoing;
use backsight_collector::coordinator::{Action, Coordinator, Event, Limits};
use backsight_collector::library::{KIND_REPORT, KIND_VIEW, Stored};
use backsight_core::coordination::{Greeting, View};
use backsight_core::holding::Holding;
use backsight_core::ids::{AgentId, TraceId};
use backsight_core::units::Nanos;
use backsight_proto::v1;
use backsight_proto::wire::trace_id;
use backsight_store::OwnedEntry;
use prost::Message as _;
use std::collections::BTreeMap;

/// A batch that waits for the disk.
#[derive(Debug)]
pub struct Waiting {
    /// Whose.
    pub agent: AgentId,
    /// On which stream of that agent.
    pub reports_epoch: u64,
    /// Its number.
    pub number: u64,
    holdings: Vec<Holding>,
}

/// See the module.
#[derive(Debug)]
pub struct Collector {
    idx: u64,
    coordinator: Option<Coordinator>,
    n_starts: u64,
    durable: BTreeMap<TraceId, Vec<OwnedEntry>>,
    unsynced: Vec<OwnedEntry>,
    waiting: Vec<Waiting>,
}

impl Collector {
    /// Returns the collector at position `idx`, which has started.
    #[must_use]
    pub fn new(idx: usize) -> Self {
        let mut collector = Self {
            idx: idx as u64,
            coordinator: None,
            n_starts: 0,
            durable: BTreeMap::new(),
            unsynced: Vec::new(),
            waiting: Vec::new(),
        };
        collector.start();
        collector
    }

    /// Starts it, with what is on its disk, unless it runs.
    pub fn start(&mut self) {
        if self.coordinator.is_some() {
            return;
        }
        self.n_starts += 1;
        let greeting = Greeting { instance: self.idx << 16 | self.n_starts, shard_epoch: 1, ..Greeting::default() };
        self.coordinator = Some(Coordinator::new(Limits::default(), greeting));
    }

    /// Kills it: what was not synced is lost, and so is all that the coordinator knew.
    pub fn kill(&mut self) {
        self.coordinator = None;
        self.unsynced.clear();
        self.waiting.clear();
    }

    /// Returns what it says first; `None` while it is dead.
    #[must_use]
    pub fn greeting(&self) -> Option<Greeting> {
        self.coordinator.as_ref().map(Coordinator::greeting)
    }

    /// Returns how many groups are followed.
    #[must_use]
    pub fn n_groups(&self) -> usize {
        self.coordinator.as_ref().map_or(0, Coordinator::n_groups)
    }

    /// Returns what the coordinator counted.
    #[must_use]
    pub fn counts(&self) -> Option<backsight_collector::coordinator::Counts> {
        self.coordinator.as_ref().map(Coordinator::counts)
    }

    /// Steps the coordinator; what is to be stored waits for the disk, the rest is returned.
    pub fn step(&mut self, now: Nanos, event: Event) -> Vec<Action> {
        let Some(coordinator) = &mut self.coordinator else { return Vec::new() };
        let (views, others): (Vec<_>, Vec<_>) =
            coordinator.step(now, event).into_iter().partition(|action| matches!(action, Action::Publish(_)));
        for view in views {
            if let Action::Publish(view) = view {
                self.publish(&view);
            }
        }
        others
    }

    fn publish(&mut self, view: &View) {
        let payload = v1::StoredView { view: Some(view.into()) }.encode_to_vec();
        self.unsynced.push(OwnedEntry { trace: view.trace, kind: KIND_VIEW, payload });
    }

    /// Takes a batch; it is acknowledged once it is synced.
    pub fn report(&mut self, agent: AgentId, reports_epoch: u64, batch: Outgoing) {
        if self.coordinator.is_none() {
            return;
        }
        let mut holdings = Vec::new();
        for report in batch.traces.traces {
            let Some(holding) = report.holding.clone() else { continue };
            let Ok(trace) = trace_id("holding.trace", &holding.trace) else { continue };
            holdings.extend(Holding::try_from(holding));
            let payload = v1::StoredReport { agent: agent.0, report: Some(report) }.encode_to_vec();
            self.unsynced.push(OwnedEntry { trace, kind: KIND_REPORT, payload });
        }
        self.waiting.push(Waiting { agent, reports_epoch, number: batch.number, holdings });
    }

    /// Makes durable what waits; returns the batches to acknowledge and what the coordinator says to their holdings.
    pub fn sync(&mut self, now: Nanos) -> (Vec<Waiting>, Vec<Action>) {
        for entry in std::mem::take(&mut self.unsynced) {
            self.durable.entry(entry.trace).or_default().push(entry);
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut actions = Vec::new();
        for batch in &mut waiting {
            let agent = batch.agent;
            for holding in std::mem::take(&mut batch.holdings) {
                actions.extend(self.step(now, Event::Reported { agent, holding }));
            }
        }
        (waiting, actions)
    }

    /// Returns all traces of which something is on the disk.
    pub fn traces(&self) -> impl Iterator<Item = TraceId> + '_ {
        self.durable.keys().copied()
    }

    /// Returns whether anything of `trace` is on the disk.
    #[must_use]
    pub fn has(&self, trace: TraceId) -> bool {
        self.durable.contains_key(&trace)
    }

    /// Returns what is on the disk of `trace`.
    ///
    /// # Errors
    /// An entry that cannot be read, in words.
    pub fn stored(&self, trace: TraceId) -> Result<Stored, String> {
        let entries = self.durable.get(&trace).map_or(&[][..], Vec::as_slice);
        Stored::of_entries(trace, entries).map_err(|error| error.to_string())
    }
}
