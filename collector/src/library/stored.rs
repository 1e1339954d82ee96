//! A stored trace: what agents reported of it, put together, and what the coordinator knew.
//!
//! Called by the library with entries as they were stored; pure. What comes twice counts once, and of two lengths of one segment the
//! longer: reports are sent again until they are acknowledged, and segments grow while their threads write.

use crate::certify::{Received, amount_of, certify, more};
use backsight_core::certificate::{Amount, Certificate};
use backsight_core::clock::CalibrationPoint;
use backsight_core::coordination::{FIRED_MAX, View};
use backsight_core::holding::Holding;
use backsight_core::ids::{AgentId, RegionId, StringId, TraceId, TriggerId};
use backsight_core::names::{TRIGGER_NAMES_MAX, TriggerNames};
use backsight_core::segment::{Process, Segment, SegmentKey, Slice};
use backsight_core::trace::{Trace, assemble};
use backsight_proto::v1;
use backsight_proto::wire::{Fired, Report, WireError, trace_bytes};
use backsight_store::OwnedEntry;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// The kind of a stored [`v1::StoredReport`].
pub const KIND_REPORT: u8 = 1;
/// The kind of a stored [`v1::StoredView`].
pub const KIND_VIEW: u8 = 2;
/// Names that are told with one trace and looked at: only those of triggers that fired for it are shown, [`TRIGGER_NAMES_MAX`] at most.
const NAMES_MAX: usize = 4096;

/// All that is stored of one trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stored {
    /// The trace.
    pub trace: TraceId,
    /// What agents reported: one slice a process, its segments ascending.
    pub slices: BTreeMap<AgentId, Vec<Slice>>,
    /// What each of them said with it, of the highest revision.
    pub holdings: BTreeMap<AgentId, Holding>,
    /// The most that each of them ever said to have, in any report and in what the coordinator knew last.
    pub announced: BTreeMap<AgentId, Amount>,
    /// What the coordinator knew last.
    pub view: Option<View>,
    /// Why it is stored, by time; at most [`FIRED_MAX`].
    pub fired: Vec<Fired>,
    /// Names of triggers, as far as anybody told them with the trace; at most 4096.
    pub names: TriggerNames,
}

/// An entry that cannot be read, though the disk gave what was written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EntryError {
    /// Not a message of its kind.
    #[error("an entry of kind {kind} is not its message")]
    Decode {
        /// The kind.
        kind: u8,
        /// Why.
        source: prost::DecodeError,
    },
    /// A message that says nothing.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl Stored {
    /// Puts together what `entries` say of `trace`, as they were stored.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn of_entries(trace: TraceId, entries: &[OwnedEntry]) -> Result<Self, EntryError> {
        let mut collecting = Collecting::new(trace);
        entries.iter().try_for_each(|entry| collecting.add(entry))?;
        Ok(collecting.finish())
    }

    /// Returns what has arrived of each agent, and of those that only ever said to have something, that.
    pub fn received(&self) -> BTreeMap<AgentId, Received> {
        let mut received: BTreeMap<AgentId, Received> = BTreeMap::new();
        for (agent, announced) in &self.announced {
            received.entry(*agent).or_default().announced = *announced;
        }
        for (agent, holding) in &self.holdings {
            received.entry(*agent).or_default().holding = Some(holding.clone());
        }
        for (agent, slices) in &self.slices {
            let segments = || slices.iter().flat_map(|slice| &slice.segments);
            received.entry(*agent).or_default().amount = Amount {
                n_segments: segments().count() as u64,
                bytes: segments().map(|segment| segment.bytes.len() as u64).sum(),
            };
        }
        received
    }

    /// Assembles the trace, and says whether it is complete.
    ///
    /// # Cost
    /// That of [`assemble`].
    pub fn examine(&self) -> (Trace, Certificate) {
        let slices: Vec<Slice> = self.slices.values().flatten().cloned().collect();
        let mut trace = assemble(self.trace, &slices);
        trace.names = self.names_for(&trace);
        let certificate = certify(self.view.as_ref(), &trace, &self.received());
        (trace, certificate)
    }

    /// Returns the names of the triggers for which the trace is stored, then of those that its records tell of.
    fn names_for(&self, trace: &Trace) -> TriggerNames {
        let stored_for = self.fired.iter().map(|fired| fired.trigger);
        let fired = stored_for.chain(trace.fired.iter().map(|firing| firing.trigger));
        let mut names = TriggerNames::new();
        for name in fired.filter_map(|trigger| self.names.name(trigger)) {
            names.add(name.clone(), TRIGGER_NAMES_MAX);
        }
        names
    }

    /// Returns the trace as the wire has it.
    pub fn to_reply(&self) -> v1::GetReply {
        let (trace, certificate) = self.examine();
        let hosts = self
            .slices
            .iter()
            .map(|(agent, slices)| v1::HostSlices { agent: agent.0, slices: slices.iter().map(Into::into).collect() });
        v1::GetReply {
            trace: trace_bytes(self.trace),
            hosts: hosts.collect(),
            certificate: Some((&certificate).into()),
            fired: self.fired.iter().map(Into::into).collect(),
            trigger_names: trace.names.iter().map(|name| name.text().to_owned()).collect(),
        }
    }
}

/// A trace that is being put together, entry by entry.
#[derive(Debug, Default)]
pub(super) struct Collecting {
    processes: BTreeMap<(AgentId, RegionId), CollectedProcess>,
    stored: Stored,
    fired: BTreeSet<Fired>,
}

#[derive(Debug, Default)]
struct CollectedProcess {
    process: Process,
    strings: BTreeMap<StringId, String>,
    clock: BTreeMap<u64, CalibrationPoint>,
    segments: BTreeMap<SegmentKey, Segment>,
}

impl Collecting {
    pub(super) fn new(trace: TraceId) -> Self {
        Self { stored: Stored { trace, ..Stored::default() }, ..Self::default() }
    }

    /// Adds an entry; kinds of a later version are passed over.
    pub(super) fn add(&mut self, entry: &OwnedEntry) -> Result<(), EntryError> {
        let decode = |source| EntryError::Decode { kind: entry.kind, source };
        let missing = |field| WireError::Missing { field };
        match entry.kind {
            KIND_REPORT => {
                let stored = v1::StoredReport::decode(entry.payload.as_slice()).map_err(decode)?;
                let agent = AgentId(stored.agent);
                let report = stored.report.ok_or(missing("stored_report.report"))?;
                self.add_report(agent, report.into_report(agent)?);
            }
            KIND_VIEW => {
                let stored = v1::StoredView::decode(entry.payload.as_slice()).map_err(decode)?;
                let view: View = stored.view.ok_or(missing("stored_view.view"))?.try_into()?;
                let said = view.agents.iter().filter_map(|of| Some((of.agent, of.holding.as_ref()?)));
                said.for_each(|(agent, holding)| self.note_announced(agent, holding));
                self.note_names(&view.names);
                self.stored.view = Some(view);
            }
            _ => {}
        }
        Ok(())
    }

    fn add_report(&mut self, agent: AgentId, report: Report) {
        let fired = Fired { trigger: report.trigger, agent, fired_ns: report.fired_ns, base: report.base };
        if fired.trigger != TriggerId::default() {
            self.fired.insert(fired);
        }
        self.note_names(&report.names);
        self.note_announced(agent, &report.holding);
        let holding = self.stored.holdings.entry(agent).or_default();
        if report.holding.revision >= holding.revision {
            *holding = report.holding;
        }
        for slice in report.slices {
            self.processes.entry((agent, slice.process.region)).or_default().add(slice);
        }
    }

    fn note_names(&mut self, told: &TriggerNames) {
        for name in told.iter() {
            self.stored.names.add(name.clone(), NAMES_MAX);
        }
    }

    fn note_announced(&mut self, agent: AgentId, holding: &Holding) {
        let most = self.stored.announced.entry(agent).or_default();
        *most = more(*most, amount_of(holding));
    }

    pub(super) fn finish(self) -> Stored {
        let mut stored = self.stored;
        for ((agent, _), process) in self.processes {
            stored.slices.entry(agent).or_default().push(process.finish());
        }
        let told = stored.view.iter().flat_map(|view| view.fired.iter().copied());
        let mut fired: BTreeSet<Fired> = self.fired.into_iter().chain(told).collect();
        // A host that only heard of it knows less than the one where it fired.
        if fired.iter().any(|fired| fired.trigger != TriggerId::ELSEWHERE) {
            fired.retain(|fired| fired.trigger != TriggerId::ELSEWHERE);
        }
        stored.fired = fired.into_iter().collect();
        stored.fired.sort_by_key(|fired| (fired.fired_ns, *fired));
        stored.fired.truncate(FIRED_MAX);
        stored
    }
}

impl CollectedProcess {
    fn add(&mut self, slice: Slice) {
        let mut process = slice.process;
        self.strings.extend(std::mem::take(&mut process.strings));
        self.clock.extend(std::mem::take(&mut process.clock).into_iter().map(|point| (point.ticks, point)));
        for segment in slice.segments {
            match self.segments.get(&segment.key) {
                Some(longer) if longer.bytes.len() >= segment.bytes.len() => {}
                _ => drop(self.segments.insert(segment.key, segment)),
            }
        }
        // A later report knows more: a name that was said late, a death.
        if process.death.is_none() {
            process.death = self.process.death.take();
        }
        if process.service.is_empty() {
            process.service = std::mem::take(&mut self.process.service);
        }
        self.process = process;
    }

    fn finish(self) -> Slice {
        let mut process = self.process;
        process.strings = self.strings.into_iter().collect();
        process.clock = self.clock.into_values().collect();
        Slice { process, segments: self.segments.into_values().collect() }
    }
}
