//! What an agent leaves to its successor beside the regions: since when it knows everything, and which traces were triggered lately.
//!
//! Private shared memory that only the agents of one host have, one after the other. Each word is stored when it becomes true, so that an
//! agent may be killed between any two instructions; entries of the ring carry a number that is stored last.

use crate::triggers::{Event, Origin, Triggered};
use backsight_core::ids::{AgentId, TraceId, TriggerId};
use backsight_core::sync::Ordering::{Acquire, Release};
use backsight_core::units::{Bytes, Nanos};
use backsight_ringbuf::shm::{Mapping, ShmError};
use backsight_ringbuf::storage::Storage;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Its size.
pub const BYTES: Bytes = Bytes::mib(1);
/// Its first word; the last digit is the layout's number.
const MAGIC: u64 = u64::from_le_bytes(*b"bksjrnl1");
/// Where the entries begin, and the bytes of each.
const ENTRIES_OFFSET: u64 = 4096;
const ENTRY_BYTES: u64 = 64;
/// Traces that are remembered; the oldest goes first.
pub const ENTRIES_MAX: u64 = (BYTES.0 - ENTRIES_OFFSET) / ENTRY_BYTES;

mod word {
    pub(super) const MAGIC: u64 = 0;
    pub(super) const AGENT: u64 = 8;
    pub(super) const BOOT: [u64; 2] = [16, 24];
    pub(super) const WHOLE_SINCE: u64 = 32;
    pub(super) const SEED: u64 = 40;
    pub(super) const SEED_EPOCH: u64 = 48;
    pub(super) const UNRECORDED: u64 = 56;
    pub(super) const N_ENTRIES: u64 = 64;
    pub(super) const LAST_ROUND: u64 = 72;
    pub(super) const UNHELD: u64 = 80;
}

/// How an entry says where its trigger came from.
mod origin {
    pub(super) const LOCAL: u64 = 1;
    pub(super) const ELSEWHERE: u64 = 2;
    pub(super) const REMOTE: u64 = 3;
}

/// What stands beside the triggered traces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Legacy {
    /// Everything that was recorded after these ticks is there, or was remembered as overwritten.
    pub whole_since: u64,
    /// The cluster's seed and its epoch.
    pub cluster_seed: (u64, u64),
    /// The threshold below which traces were not recorded, the highest of the last minutes.
    pub unrecorded: u64,
    /// Whether there are regions that nobody held for the successor.
    pub has_unheld: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Journal {
    mapping: Mapping,
    fd: OwnedFd,
    n_entries: u64,
}

impl Journal {
    /// Makes an empty one for `agent`, which knows everything since the ticks `whole_since`.
    ///
    /// # Errors
    /// No memfd or no address space.
    pub fn create(agent: AgentId, boot: [u64; 2], whole_since: u64) -> Result<Self, ShmError> {
        let (mapping, fd) = Mapping::create(BYTES.0)?;
        let journal = Self { mapping, fd, n_entries: 0 };
        journal.put(word::AGENT, agent.0.into());
        word::BOOT.into_iter().zip(boot).for_each(|(offset, half)| journal.put(offset, half));
        journal.put(word::WHOLE_SINCE, whole_since);
        journal.put(word::MAGIC, MAGIC);
        Ok(journal)
    }

    /// Takes over what an earlier agent left; `None` where it is of another host, boot or layout.
    pub fn adopt(fd: OwnedFd, agent: AgentId, boot: [u64; 2]) -> Option<Self> {
        let mapping = Mapping::from_fd(fd.as_fd()).ok().filter(|mapping| mapping.bytes() == BYTES.0)?;
        let mut journal = Self { mapping, fd, n_entries: 0 };
        let is_ours = journal.get(word::MAGIC) == MAGIC
            && journal.get(word::AGENT) == u64::from(agent.0)
            && word::BOOT.map(|offset| journal.get(offset)) == boot;
        journal.n_entries = journal.get(word::N_ENTRIES);
        is_ours.then_some(journal)
    }

    /// Returns the descriptor to be held for the successor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns what stands beside the triggered traces.
    pub fn legacy(&self) -> Legacy {
        Legacy {
            whole_since: self.get(word::WHOLE_SINCE),
            cluster_seed: (self.get(word::SEED), self.get(word::SEED_EPOCH)),
            unrecorded: self.get(word::UNRECORDED),
            has_unheld: self.get(word::UNHELD) != 0,
        }
    }

    /// Notes that data which ended at `last_ticks` is about to be overwritten.
    pub fn note_evicted(&self, last_ticks: u64) {
        if last_ticks > self.get(word::WHOLE_SINCE) {
            self.put(word::WHOLE_SINCE, last_ticks);
        }
    }

    /// Notes the cluster's seed and its epoch.
    pub fn note_seed(&self, (seed, epoch): (u64, u64)) {
        self.put(word::SEED, seed);
        self.put(word::SEED_EPOCH, epoch);
    }

    /// Notes the threshold below which traces are not recorded, the highest of the last minutes.
    pub fn note_unrecorded(&self, threshold: u64) {
        self.put(word::UNRECORDED, threshold);
    }

    /// Notes that a region will not be there for the successor.
    pub fn note_unheld(&self) {
        self.put(word::UNHELD, 1);
    }

    /// Notes that everything which threads had sealed by `ticks` was seen.
    pub fn note_round(&self, ticks: u64) {
        self.put(word::LAST_ROUND, ticks);
    }

    /// Returns what [`Journal::note_round`] noted last.
    pub fn last_round(&self) -> u64 {
        self.get(word::LAST_ROUND)
    }

    /// Notes that a trace is triggered.
    pub fn note_triggered(&mut self, triggered: &Triggered, from: Origin) {
        let code = match from {
            Origin::Remote { .. } => origin::REMOTE,
            Origin::Elsewhere => origin::ELSEWHERE,
            _ => origin::LOCAL,
        };
        let at = ENTRIES_OFFSET + self.n_entries % ENTRIES_MAX * ENTRY_BYTES;
        self.put(at + 56, 0);
        let words = [
            triggered.trace.hi,
            triggered.trace.lo,
            triggered.base.hi,
            triggered.base.lo,
            u64::from(triggered.trigger.0) | code << 32,
            triggered.fired.0,
            triggered.fired_ns.unwrap_or(0),
        ];
        (at..).step_by(8).zip(words).for_each(|(offset, word)| self.put(offset, word));
        self.n_entries += 1;
        self.put(at + 56, self.n_entries);
        self.put(word::N_ENTRIES, self.n_entries);
    }

    /// Returns the firings since `since`, oldest first, each with its laterals.
    pub fn fired_since(&self, since: Nanos) -> Vec<Event> {
        let first = self.n_entries.saturating_sub(ENTRIES_MAX);
        let entries = (first..self.n_entries).filter_map(|number| self.entry(number));
        let mut groups: Vec<(Triggered, u64, Vec<TraceId>)> = Vec::new();
        for (entry, code) in entries.filter(|(entry, _)| entry.fired >= since) {
            let is_lateral = entry.trace != entry.base;
            let is_of = |(base, of, _): &&mut (Triggered, u64, Vec<TraceId>)| {
                (base.base, base.trigger, base.fired, *of) == (entry.base, entry.trigger, entry.fired, code)
            };
            match groups.last_mut().filter(|_| is_lateral).filter(is_of) {
                Some((.., laterals)) => laterals.push(entry.trace),
                // Of a trace that was triggered before, only what is new is here.
                None => {
                    let laterals = if is_lateral { vec![entry.trace] } else { Vec::new() };
                    groups.push((Triggered { trace: entry.base, ..entry }, code, laterals));
                }
            }
        }
        groups.into_iter().map(|(triggered, code, laterals)| event(&triggered, code, laterals)).collect()
    }

    fn entry(&self, number: u64) -> Option<(Triggered, u64)> {
        let at = ENTRIES_OFFSET + number % ENTRIES_MAX * ENTRY_BYTES;
        let get = |idx: u64| self.get(at + 8 * idx);
        if get(7) != number + 1 {
            return None; // its agent died while it wrote
        }
        let triggered = Triggered {
            trace: TraceId::new(get(0), get(1)),
            base: TraceId::new(get(2), get(3)),
            trigger: TriggerId(get(4) as u32),
            fired: Nanos(get(5)),
            fired_ns: Some(get(6)).filter(|fired_ns| *fired_ns != 0),
        };
        Some((triggered, get(4) >> 32))
    }

    fn put(&self, offset: u64, value: u64) {
        self.mapping.word(offset).store(value, Release); // after what was stored before: the successor reads a prefix
    }

    fn get(&self, offset: u64) -> u64 {
        self.mapping.word(offset).load(Acquire) // pairs with `put`
    }
}

/// Returns the event by which a successor takes up what had fired.
fn event(triggered: &Triggered, code: u64, laterals: Vec<TraceId>) -> Event {
    let origin = match code {
        origin::REMOTE => Origin::Remote { base: triggered.base, fired_ns: triggered.fired_ns.unwrap_or(0) },
        origin::ELSEWHERE => Origin::Elsewhere,
        _ => Origin::Admin,
    };
    Event::Fired { trigger: triggered.trigger, trace: triggered.trace, laterals, origin }
}

#[cfg(test)]
mod tests {
    use super::{ENTRIES_MAX, Journal, Legacy};
    use crate::triggers::{Event, Origin, Triggered};
    use backsight_core::ids::{AgentId, TraceId, TriggerId};
    use backsight_core::units::Nanos;

    const AGENT: AgentId = AgentId(7);
    const BOOT: [u64; 2] = [1, 2];

    fn triggered(trace: u64, base: u64, ms: u64) -> Triggered {
        let (trace, base) = (TraceId::new(0, trace), TraceId::new(0, base));
        Triggered { trace, base, trigger: TriggerId(300), fired: Nanos::from_ms(ms), fired_ns: Some(ms) }
    }

    fn successor(journal: Journal) -> Journal {
        Journal::adopt(journal.fd, AGENT, BOOT).unwrap()
    }

    #[test]
    fn the_successor_knows_what_stood_in_it() {
        let journal = Journal::create(AGENT, BOOT, 40).unwrap();
        journal.note_seed((5, 6));
        journal.note_unrecorded(9);
        journal.note_evicted(30);
        assert_eq!(journal.legacy().whole_since, 40, "what was there before the start was never known");
        journal.note_evicted(50);
        journal.note_unheld();
        let legacy = Legacy { whole_since: 50, cluster_seed: (5, 6), unrecorded: 9, has_unheld: true };
        assert_eq!(successor(journal).legacy(), legacy);
    }

    #[test]
    fn firings_come_back_with_their_laterals_and_whose_they_were() {
        let mut journal = Journal::create(AGENT, BOOT, 0).unwrap();
        journal.note_triggered(&triggered(1, 1, 10), Origin::Signal);
        for (trace, from) in [(2, Origin::Death), (3, Origin::Death), (4, Origin::Death)] {
            journal.note_triggered(&triggered(trace, 2, 20), from);
        }
        let remote = Origin::Remote { base: TraceId::new(0, 5), fired_ns: 20 };
        journal.note_triggered(&triggered(5, 5, 20), remote);
        let mut journal = successor(journal);
        journal.note_triggered(&triggered(6, 6, 30), Origin::Elsewhere);
        let fired = |trace: u64, laterals: &[u64], origin| Event::Fired {
            trigger: TriggerId(300),
            trace: TraceId::new(0, trace),
            laterals: laterals.iter().map(|trace| TraceId::new(0, *trace)).collect(),
            origin,
        };
        let after = [fired(2, &[3, 4], Origin::Admin), fired(5, &[], remote), fired(6, &[], Origin::Elsewhere)];
        assert_eq!(journal.fired_since(Nanos::from_ms(20)), after);
        assert_eq!(journal.fired_since(Nanos(0)).len(), 4);
    }

    #[test]
    fn a_lateral_comes_back_whose_base_had_fired_before() {
        let mut journal = Journal::create(AGENT, BOOT, 0).unwrap();
        journal.note_triggered(&triggered(1, 1, 10), Origin::Signal);
        journal.note_triggered(&triggered(2, 1, 20), Origin::Signal);
        journal.note_triggered(&triggered(3, 1, 20), Origin::Signal);
        let laterals = |event: &Event| match event {
            Event::Fired { laterals, .. } => laterals.iter().map(|trace| trace.lo).collect(),
            _ => Vec::new(),
        };
        let fired = successor(journal).fired_since(Nanos(0));
        assert_eq!(fired.iter().map(laterals).collect::<Vec<_>>(), [vec![], vec![2, 3]]);
    }

    #[test]
    fn of_more_than_it_takes_the_newest_are_there() {
        let mut journal = Journal::create(AGENT, BOOT, 0).unwrap();
        for n in 0..ENTRIES_MAX + 10 {
            journal.note_triggered(&triggered(n, n, n), Origin::Signal);
        }
        let fired = successor(journal).fired_since(Nanos(0));
        assert_eq!(fired.len() as u64, ENTRIES_MAX);
        assert!(matches!(fired[0], Event::Fired { trace, .. } if trace.lo == 10));
    }

    #[test]
    fn one_of_another_host_boot_or_kind_is_nobodys() {
        let journal = || Journal::create(AGENT, BOOT, 0).unwrap();
        assert!(Journal::adopt(journal().fd, AgentId(8), BOOT).is_none());
        assert!(Journal::adopt(journal().fd, AGENT, [1, 3]).is_none());
        let (_, other) = backsight_ringbuf::shm::Mapping::create(4096).unwrap();
        assert!(Journal::adopt(other, AGENT, BOOT).is_none());
        let (unlabelled, fd) = backsight_ringbuf::shm::Mapping::create(super::BYTES.0).unwrap();
        assert!(Journal::adopt(fd, AGENT, BOOT).is_none());
        drop(unlabelled);
    }
}
