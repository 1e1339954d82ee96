//! What a page asks of aggregates: the labels of its trace, in some hours, of one population.
//!
//! Called by `context`, and by whoever reads files of aggregates for it.

use super::contention::MS_OF_SECOND;
use super::labels::LabelRef;
use super::row::{AggRow, Fact};
use super::slot::{AHEAD_NS, HOUR_NS, Hour, PAST_NS, Population, Slot};
use super::tables::Tables;
use crate::part::PartId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};

/// The longest range of milliseconds for which one process is counted.
pub const RANGE_MAX_MS: i64 = 1 << 20;

const NS_OF_MS: i64 = 1_000_000;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Window<'a> {
    hours: RangeInclusive<Hour>,
    population: Population,
    labels: BTreeSet<LabelRef<'a>>,
    root: Option<LabelRef<'a>>,
    processes: BTreeMap<&'a str, Range<i64>>,
}

impl<'a> Window<'a> {
    /// Asks for nothing yet, of the hours from that of `from_ns` to that of `to_ns`.
    pub const fn new(population: Population, from_ns: i64, to_ns: i64) -> Self {
        let hours = RangeInclusive::new(Hour::of(from_ns), Hour::of(to_ns));
        Self { hours, population, labels: BTreeSet::new(), root: None, processes: BTreeMap::new() }
    }

    /// Asks for nothing yet, of what has no hour that is near its arrival.
    pub const fn far(population: Population) -> Self {
        let hours = RangeInclusive::new(Hour::Far, Hour::Far);
        Self { hours, population, labels: BTreeSet::new(), root: None, processes: BTreeMap::new() }
    }

    /// Asks for spans of a label, their events, and what is under them.
    pub fn with_label(mut self, label: LabelRef<'a>) -> Self {
        self.labels.insert(label);
        self
    }

    /// Asks for the paths of a root.
    pub fn with_root(mut self, root: LabelRef<'a>) -> Self {
        self.root = Some(root);
        self
    }

    /// Asks how busy a process is in these milliseconds, counted from 1970, of which the first [`RANGE_MAX_MS`] are told of. Several ranges of one process
    /// are one from the first to the last.
    pub fn with_process(mut self, process: &'a str, range_ms: Range<i64>) -> Self {
        let range = self.processes.entry(process).or_insert_with(|| range_ms.clone());
        let (start, end) = (range.start.min(range_ms.start), range.end.max(range_ms.end));
        *range = start..end.min(start.saturating_add(RANGE_MAX_MS)).max(start);
        self
    }

    /// Returns the labels that are asked for.
    pub fn labels(&self) -> impl Iterator<Item = LabelRef<'a>> + '_ {
        self.labels.iter().copied()
    }

    /// Returns the root that is asked for.
    pub const fn root(&self) -> Option<LabelRef<'a>> {
        self.root
    }

    /// Returns the processes and milliseconds that are asked for.
    pub fn processes(&self) -> impl Iterator<Item = (&'a str, Range<i64>)> + '_ {
        self.processes.iter().map(|(process, range)| (*process, range.clone()))
    }

    /// Returns whether rows of the window may be in a part with this id, by when it was written: false is certain where spans were cut within `delay_ms` of
    /// their arrival.
    pub fn may_be_in(&self, part: PartId, delay_ms: u64) -> bool {
        let (Hour::At(from), Hour::At(to)) = (*self.hours.start(), *self.hours.end()) else { return true };
        let written_ms = i64::try_from(part.time_ms()).unwrap_or(i64::MAX);
        let first_ms = from.saturating_mul(HOUR_NS / NS_OF_MS).saturating_sub(AHEAD_NS / NS_OF_MS);
        let last_ms = (to.saturating_add(1)).saturating_mul(HOUR_NS / NS_OF_MS).saturating_add(PAST_NS / NS_OF_MS);
        (first_ms..=last_ms.saturating_add_unsigned(delay_ms)).contains(&written_ms)
    }

    /// Returns whether rows of a slot are asked for.
    pub(super) fn has_slot(&self, slot: Slot) -> bool {
        slot.population == self.population && self.hours.contains(&slot.hour)
    }

    /// Returns whether a row is asked for. What is other is, as it says what is not known.
    pub fn wants(&self, row: &AggRow<'_>) -> bool {
        let is_root = |label: &LabelRef<'_>| self.root.as_ref() == Some(label);
        self.has_slot(row.slot)
            && match &row.fact {
                Fact::Op(Some(label), _) => self.labels.contains(label) || is_root(label),
                Fact::Event(Some(event), _) => self.labels.contains(&event.label),
                Fact::Edge(Some(edge), _) => self.labels.contains(&edge.parent),
                Fact::Root(Some(label), _) => is_root(label),
                Fact::Path(labels, _) => labels.first().is_some_and(is_root),
                Fact::Process(Some(process), _) => self.processes.contains_key(process),
                Fact::Second(process, second, _) => {
                    self.processes.get(process).is_some_and(|range| seconds(range).contains(second))
                }
                _ => true,
            }
    }

    /// Returns whether rows may be asked for whose hours begin between two times, `None` where there are no such rows, and of which some are far.
    pub(crate) fn may_have_hours(&self, between_ns: Option<(i64, i64)>, has_far: bool) -> bool {
        match (*self.hours.start(), *self.hours.end()) {
            (Hour::At(from), Hour::At(to)) => between_ns.is_some_and(|(first, last)| {
                first <= to.saturating_mul(HOUR_NS) && last >= from.saturating_mul(HOUR_NS)
            }),
            _ => has_far,
        }
    }

    /// Returns whether a service of the labels that are asked for lies between two texts, or is one of them.
    pub(crate) fn has_service_between(&self, least: &[u8], greatest: &[u8]) -> bool {
        let is_between = |label: &LabelRef<'_>| (least..=greatest).contains(&label.service.as_bytes());
        self.labels.iter().chain(&self.root).any(is_between)
    }

    /// Returns whether a process that is asked for does.
    pub(crate) fn has_process_between(&self, least: &[u8], greatest: &[u8]) -> bool {
        self.processes.keys().any(|process| (least..=greatest).contains(&process.as_bytes()))
    }

    /// Returns for each label of `tables` whether it is asked for.
    pub(super) fn labels_of(&self, tables: &Tables) -> Vec<bool> {
        let mut wanted = vec![false; tables.labels.len()];
        let found = self.labels.iter().filter_map(|label| tables.labels.find(*label));
        found.for_each(|label| wanted[label as usize] = true);
        wanted
    }

    /// Returns the number of the root in `tables`.
    pub(super) fn root_of(&self, tables: &Tables) -> Option<u32> {
        self.root.and_then(|root| tables.labels.find(root))
    }

    /// Returns the numbers of the processes in `tables`, with their seconds.
    pub(super) fn processes_of(&self, tables: &Tables) -> BTreeMap<u32, RangeInclusive<i64>> {
        let found = |(process, range): (&&str, &Range<i64>)| Some((tables.contention.find(process)?, seconds(range)));
        self.processes.iter().filter_map(found).collect()
    }
}

/// Returns the seconds that a range of milliseconds touches.
fn seconds(range_ms: &Range<i64>) -> RangeInclusive<i64> {
    range_ms.start.div_euclid(MS_OF_SECOND)..=range_ms.end.saturating_sub(1).div_euclid(MS_OF_SECOND)
}
