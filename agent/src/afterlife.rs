//! The afterlife: which traces had segments here that are gone, and where these had come from and went on to.
//!
//! Called by the recorder at each eviction. Pure. A trigger that comes too late finds the trace's other hosts by it, and nobody takes for
//! complete what was overwritten. It holds a small share of the pool; what is older than it remembers, it says so.

use crate::chains::{BLOCK_ENTRIES, Chains, Note};
use backsight_core::ids::{AgentId, TraceId};
use backsight_core::units::Bytes;
use std::collections::{BTreeSet, VecDeque};

/// Crumbs that one entry holds.
const CRUMBS: usize = 3;
/// Crumbs that are remembered of one segment; a request that calls more hosts within one leads to the rest by theirs.
const CRUMBS_OF_SEGMENT_MAX: usize = 4 * CRUMBS;
/// Entries of one trace that are read: one that is written all the time must not make every question about it long.
const ENTRIES_READ_MAX: usize = 256;

/// Up to three agents to ask next.
#[derive(Clone, Copy, Debug)]
struct Gone(Note);

impl From<Note> for Gone {
    fn from(note: Note) -> Self {
        Self(note)
    }
}

impl From<Gone> for Note {
    fn from(gone: Gone) -> Self {
        gone.0
    }
}

/// What is remembered of a trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Remembered {
    /// Segments of it that are gone, at least.
    pub n_segments: u64,
    /// Agents that they name.
    pub agents: BTreeSet<AgentId>,
}

/// See the module.
#[derive(Debug)]
pub struct Afterlife {
    gone: Chains<Gone>,
    /// By block of entries, the ticks at which the newest of its segments ended.
    newest: VecDeque<u64>,
    /// What ended before or then may be forgotten.
    forgotten_ticks: Option<u64>,
    n_forgotten: u64,
}

impl Afterlife {
    /// Returns an afterlife of at most `budget` bytes.
    pub fn new(budget: Bytes) -> Self {
        Self { gone: Chains::new(budget), newest: VecDeque::new(), forgotten_ticks: None, n_forgotten: 0 }
    }

    /// Returns the memory in use.
    pub fn bytes(&self) -> Bytes {
        self.gone.bytes()
    }

    /// Returns until when what ended may be forgotten, in ticks; `None` where nothing is.
    pub const fn forgotten_ticks(&self) -> Option<u64> {
        self.forgotten_ticks
    }

    /// Returns how many entries were forgotten for want of room.
    pub const fn n_forgotten(&self) -> u64 {
        self.n_forgotten
    }

    /// Remembers a segment of `trace` that ended at `last_ticks` and named these agents, those that are unknown left out.
    pub fn add(&mut self, trace: TraceId, last_ticks: u64, agents: &[AgentId]) {
        let known = agents.iter().filter(|agent| !agent.is_none()).map(|agent| agent.0);
        let known: Vec<u32> = known.take(CRUMBS_OF_SEGMENT_MAX).collect();
        let (first, more) = known.split_at(known.len().min(CRUMBS));
        self.push(trace, last_ticks, first);
        more.chunks(CRUMBS).for_each(|crumbs| self.push(trace, last_ticks, crumbs));
    }

    /// Returns what is remembered of `trace`, `None` where nothing is.
    pub fn find(&self, trace: TraceId) -> Option<Remembered> {
        let mut remembered = Remembered::default();
        for Gone(note) in self.gone.find(trace).take(ENTRIES_READ_MAX) {
            remembered.n_segments += 1;
            remembered.agents.extend(note.into_iter().filter(|agent| *agent != 0).map(AgentId));
        }
        (remembered.n_segments > 0).then_some(remembered)
    }

    fn push(&mut self, trace: TraceId, last_ticks: u64, crumbs: &[u32]) {
        while self.gone.is_full() && self.gone.n_entries() > 0 {
            self.n_forgotten += self.gone.forget_block();
            self.forgotten_ticks = self.forgotten_ticks.max(self.newest.pop_front());
        }
        if self.newest.is_empty() || self.gone.head().is_multiple_of(BLOCK_ENTRIES as u64) {
            self.newest.push_back(0);
        }
        if let Some(newest) = self.newest.back_mut() {
            *newest = last_ticks.max(*newest);
        }
        let mut note = [0; CRUMBS];
        note.iter_mut().zip(crumbs).for_each(|(place, crumb)| *place = *crumb);
        self.gone.push(trace, Gone(note));
    }
}

#[cfg(test)]
mod tests {
    use super::{Afterlife, CRUMBS_OF_SEGMENT_MAX};
    use backsight_core::ids::{AgentId, TraceId};
    use backsight_core::units::Bytes;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        /// For every sequence of evictions: what is younger than the afterlife forgets is found, with all its crumbs, and nothing else is.
        #[test]
        fn what_is_not_forgotten_is_found(steps in prop::collection::vec((0_u64..40, prop::collection::vec(any::<u32>(), 0..5)), 1..4000)) {
            let mut afterlife = Afterlife::new(Bytes::kib(64));
            let mut model: BTreeMap<u64, (u64, BTreeSet<AgentId>)> = BTreeMap::new();
            for (ticks, (trace, agents)) in (1_u64..).zip(steps) {
                // Each trace lives for a while, and never comes back.
                let trace = trace + ticks / 200 * 100;
                let agents: Vec<AgentId> = agents.into_iter().map(AgentId).collect();
                afterlife.add(TraceId::new(1, trace), ticks, &agents);
                let (last, known) = model.entry(trace).or_default();
                *last = ticks;
                known.extend(agents.into_iter().filter(|agent| !agent.is_none()));
            }
            prop_assert!(afterlife.bytes() <= Bytes::kib(64));
            for (trace, (_, agents)) in model.into_iter().filter(|(trace, _)| trace / 100 * 200 > afterlife.forgotten_ticks().unwrap_or(0)) {
                let found = afterlife.find(TraceId::new(1, trace));
                prop_assert_eq!(found.map(|found| found.agents), Some(agents));
            }
            prop_assert_eq!(afterlife.find(TraceId::new(2, 1)), None);
        }
    }

    #[test]
    fn the_afterlife_says_since_when_it_remembers() {
        let mut afterlife = Afterlife::new(Bytes::kib(64));
        (1..1_000).for_each(|ticks| afterlife.add(TraceId::new(1, ticks), ticks, &[]));
        assert_eq!((afterlife.forgotten_ticks(), afterlife.n_forgotten()), (None, 0));
        (1_000..10_000).for_each(|ticks| afterlife.add(TraceId::new(1, ticks), ticks, &[]));
        let forgotten = afterlife.forgotten_ticks().unwrap_or(0);
        assert_eq!(afterlife.n_forgotten(), forgotten);
        assert_eq!(afterlife.find(TraceId::new(1, forgotten)), None);
        assert!(afterlife.find(TraceId::new(1, forgotten + 1)).is_some());
    }

    #[test]
    fn one_segment_takes_a_bounded_number_of_entries() {
        let mut afterlife = Afterlife::new(Bytes::kib(64));
        afterlife.add(TraceId::new(1, 1), 5, &[AgentId(9); 100]);
        let many: Vec<AgentId> = (1..100).map(AgentId).collect();
        afterlife.add(TraceId::new(1, 2), 5, &many);
        assert_eq!(afterlife.find(TraceId::new(1, 2)).map(|found| found.agents.len()), Some(CRUMBS_OF_SEGMENT_MAX));
    }
}
