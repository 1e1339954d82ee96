//! The five tables of one hour and one population.
//!
//! Called by `Aggregates` alone. Tables hold up to twice what may stay before they let go of what may not, so that a key that comes new costs little.

use super::Limits;
use super::contention::{Contention, ProcessSums};
use super::decided::{Decided, kind_of};
use super::edges::{EdgeKey, Edges};
use super::events::{EventPlace, Events};
use super::labels::{LabelRef, Labels, places_in};
use super::ops::Ops;
use super::paths::{Paths, Room};
use super::row::{AggRow, AggTable, EdgeOf, EventOf, Fact};
use super::slot::{Slot, Task};
use super::sums::{EdgeSums, EventSums, OpSums, RootSums};
use super::window::Window;
use crate::rows::SpanRow;
use std::borrow::Cow;

/// The tables.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) slot: Slot,
    limits: Limits,
    pub(super) labels: Labels,
    pub(super) ops: Ops,
    pub(super) events: Events,
    pub(super) edges: Edges,
    pub(super) paths: Paths,
    pub(super) contention: Contention,
    /// How often labels were given new numbers.
    n_renumbered: u64,
}

/// Where a row of [`Tables`] stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Op(Option<u32>),
    Event(Option<EventPlace>),
    Edge(Option<u32>),
    Root(Option<u32>),
    Path(u32),
    Process(Option<u32>),
    Second(u32),
}

impl Place {
    /// Returns the table that the row is of.
    pub(super) const fn table(self) -> AggTable {
        match self {
            Self::Op(_) => AggTable::Ops,
            Self::Event(_) => AggTable::Events,
            Self::Edge(_) => AggTable::Edges,
            Self::Root(_) => AggTable::Roots,
            Self::Path(_) => AggTable::Paths,
            Self::Process(_) => AggTable::Processes,
            Self::Second(_) => AggTable::Seconds,
        }
    }
}

impl Tables {
    pub(super) fn new(slot: Slot, limits: Limits) -> Self {
        Self {
            slot,
            limits,
            labels: Labels::default(),
            ops: Ops::default(),
            events: Events::default(),
            edges: Edges::default(),
            paths: Paths::default(),
            contention: Contention::default(),
            n_renumbered: 0,
        }
    }

    const fn room_for_paths(&self) -> Room {
        Room { of_root: self.limits.paths_of_root_max, of_all: self.limits.paths_max }
    }

    /// Counts what is known of a span by itself, but for its time.
    pub(super) fn add_span(&mut self, span: &SpanRow<'_>) {
        self.make_room(2);
        let label = self.label(LabelRef::new(&span.service, &span.operation, kind_of(span)));
        self.ops.add_span(label, span);
        if !span.events.is_empty() {
            self.events.add_span(label, &span.events, self.limits.events_of_op_max);
        }
    }

    /// Counts a span under other, all of it.
    pub(super) fn add_span_to_other(&mut self, span: &SpanRow<'_>) {
        self.ops.add_span(None, span);
        self.events.add_span(None, &span.events, self.limits.events_of_op_max);
        self.contention.merge_other(1);
    }

    /// Counts the milliseconds of this hour that a span takes.
    pub(super) fn add_task(&mut self, process: &str, task: Task) {
        self.contention.add_task(process, task, self.slot.hour);
    }

    /// Counts a trace; `labels` is the memory for its labels' numbers.
    pub(super) fn add_trace(&mut self, trace: Decided<'_>, labels: &mut Vec<Option<u32>>) {
        let label_of = |node: u32| trace.label(node);
        let n_nodes = trace.tree.len() as u32;
        let n_renumbered = self.n_renumbered;
        labels.clear();
        for node in 0..n_nodes {
            self.make_room(2);
            labels.push(self.label(label_of(node)));
        }
        if self.n_renumbered != n_renumbered {
            (0_u32..).zip(labels.iter_mut()).for_each(|(node, label)| *label = self.labels.find(label_of(node)));
        }
        self.add_labelled(trace, labels);
    }

    /// Counts a trace under other, all of it.
    pub(super) fn add_trace_to_other(&mut self, trace: Decided<'_>, labels: &mut Vec<Option<u32>>) {
        labels.clear();
        labels.resize(trace.tree.len(), None);
        self.add_labelled(trace, labels);
    }

    fn add_labelled(&mut self, trace: Decided<'_>, labels: &[Option<u32>]) {
        let Decided { tree, critical, .. } = trace;
        let nodes = (0_u32..).zip(labels).zip(&critical.self_ns);
        for ((_, label), self_ns) in nodes.filter(|((node, _), _)| !tree.is_synthetic(*node)) {
            self.ops.add_self(*label, *self_ns);
        }
        self.edges.add_trace(tree, labels, |node| trace.label(node));
        self.paths.add_trace(tree, critical, labels, &self.labels);
    }

    #[inline]
    fn label(&mut self, label: LabelRef<'_>) -> Option<u32> {
        let number = self.labels.number(label);
        self.ops.reach(self.labels.len());
        number
    }

    /// Lets go of what may not stay, where a table holds more than `times` as much as may.
    pub(super) fn make_room(&mut self, times: usize) {
        let limits = self.limits;
        if self.labels.len() > times * limits.ops_max.max(1) {
            let numbers = self.labels.shrink(limits.ops_max);
            self.ops.renumber(&numbers);
            self.events.renumber(&numbers);
            self.edges.renumber(&numbers);
            self.paths.renumber(&numbers);
            self.n_renumbered += 1;
        }
        let paths = self.room_for_paths();
        let is_settling = times == 1;
        if is_settling || self.events.len() > times * limits.events_max {
            let places = self.labels.places_by_rank();
            self.events.shrink(limits.events_of_op_max, limits.events_max, &places);
        }
        if self.edges.len() > times * limits.edges_max {
            self.edges.shrink(limits.edges_max, &self.labels.places_by_rank());
        }
        if is_settling || self.paths.is_crowded(paths) {
            self.paths.shrink(paths, &self.labels.places_by_rank());
        }
        if is_settling || self.contention.n_processes() > times * limits.processes_max {
            self.contention.shrink(limits.processes_max);
        }
    }

    /// Adds the sums of a row.
    pub(super) fn merge(&mut self, fact: &Fact<'_>) {
        self.make_room(2);
        let of_label_max = self.limits.events_of_op_max;
        match fact {
            Fact::Op(label, sums) => {
                let label = label.and_then(|label| self.label(label));
                self.ops.merge(label, sums);
            }
            Fact::Event(event, sums) => {
                let label = event.as_ref().and_then(|event| self.label(event.label));
                let key = event.as_ref().map_or("", |event| &*event.key);
                self.events.merge(label, key, *sums, of_label_max);
            }
            Fact::Edge(edge, sums) => {
                let key = edge.and_then(|edge| {
                    let (parent, child) = (self.label(edge.parent), self.label(edge.child));
                    Some(EdgeKey { parent: parent?, child: child?, is_sync: edge.is_sync })
                });
                self.edges.merge(key, *sums);
            }
            Fact::Root(label, sums) => {
                let label = label.and_then(|label| self.label(label));
                self.paths.merge_root(label, *sums);
            }
            Fact::Path(labels, sums) => {
                let numbers: Vec<Option<u32>> = labels.iter().map(|label| self.label(*label)).collect();
                self.paths.merge(numbers.into_iter(), sums, &self.labels);
            }
            Fact::Process(Some(name), sums) => self.contention.merge_process(name, sums),
            Fact::Process(None, sums) => self.contention.merge_other(sums.n_tasks),
            Fact::Second(name, second, sums) => self.contention.merge_second(name, *second, sums),
        }
    }

    /// Returns the places of all rows in the order of a file, or of those that `window` asks for in that of their numbers: sorting names would take
    /// longer than finding them.
    pub(super) fn places(&self, window: Option<&Window<'_>>) -> Vec<Place> {
        let by_number = |n: usize| (0..n as u32).collect::<Vec<u32>>();
        let (by_name, processes_by_name) = match window {
            None => (self.labels.places_by_name(), self.contention.processes_by_name()),
            Some(_) => (by_number(self.labels.len()), by_number(self.contention.n_processes())),
        };
        let mut labels: Vec<u32> = (0..self.labels.len() as u32).collect();
        labels.sort_unstable_by_key(|label| by_name[*label as usize]);
        let wanted = window.map(|window| window.labels_of(self));
        let is_wanted = |label: u32| wanted.as_ref().is_none_or(|wanted| wanted[label as usize]);
        let root = window.map(|window| window.root_of(self));
        let is_root = |label: u32| root.is_none_or(|root| root == Some(label));
        labels.retain(|label| is_wanted(*label) || root == Some(Some(*label)));
        let mut places: Vec<Place> = labels.iter().map(|label| Place::Op(Some(*label))).collect();
        places.push(Place::Op(None));
        let wanted_labels = || labels.iter().copied().filter(|label| is_wanted(*label));
        places
            .extend(wanted_labels().flat_map(|label| self.events.places(label)).map(|place| Place::Event(Some(place))));
        places.push(Place::Event(None));
        places.extend(self.edges.places(is_wanted, &by_name).into_iter().map(|place| Place::Edge(Some(place))));
        places.push(Place::Edge(None));
        let roots = labels.iter().copied().filter(|label| is_root(*label) && self.paths.root_sums(*label).is_some());
        places.extend(roots.map(|label| Place::Root(Some(label))));
        places.push(Place::Root(None));
        places.extend(self.paths.places(is_root, &by_name).into_iter().map(Place::Path));
        let processes = window.map(|window| window.processes_of(self));
        let seconds_of = |process: u32| processes.as_ref().and_then(|processes| processes.get(&process));
        let is_process = |process: &u32| processes.is_none() || seconds_of(*process).is_some();
        let wanted_processes = processes_by_name.iter().copied().filter(is_process);
        places.extend(wanted_processes.map(|process| Place::Process(Some(process))));
        places.push(Place::Process(None));
        let is_second = |process: u32, second: i64| {
            processes.is_none() || seconds_of(process).is_some_and(|seconds| seconds.contains(&second))
        };
        let by_process = places_in(&processes_by_name);
        places.extend(self.contention.seconds(is_second, &by_process).into_iter().map(Place::Second));
        places.retain(|place| !self.is_empty_other(*place));
        places
    }

    /// Returns whether nothing is other at a place.
    fn is_empty_other(&self, place: Place) -> bool {
        match place {
            Place::Op(None) => self.ops.other == OpSums::default(),
            Place::Event(None) => self.events.other == EventSums::default(),
            Place::Edge(None) => self.edges.other == EdgeSums::default(),
            Place::Root(None) => self.paths.other == RootSums::default(),
            Place::Process(None) => self.contention.n_tasks_other == 0,
            _ => false,
        }
    }

    /// Returns the row at a place, `None` where there is none.
    pub(super) fn row(&self, place: Place) -> Option<AggRow<'_>> {
        let label = |label: u32| self.labels.get(label);
        let fact = match place {
            Place::Op(Some(idx)) => Fact::Op(Some(label(idx)), Cow::Borrowed(self.ops.get(idx))),
            Place::Op(None) => Fact::Op(None, Cow::Borrowed(&self.ops.other)),
            Place::Event(Some(at)) => {
                let (key, sums) = self.events.get(at)?;
                Fact::Event(Some(EventOf { label: label(at.0), key: Cow::Borrowed(key) }), sums)
            }
            Place::Event(None) => Fact::Event(None, self.events.other),
            Place::Edge(Some(at)) => {
                let (EdgeKey { parent, child, is_sync }, sums) = self.edges.get(at)?;
                Fact::Edge(Some(EdgeOf { parent: label(parent), child: label(child), is_sync }), sums)
            }
            Place::Edge(None) => Fact::Edge(None, self.edges.other),
            Place::Root(Some(idx)) => Fact::Root(Some(label(idx)), self.paths.root_sums(idx)?),
            Place::Root(None) => Fact::Root(None, self.paths.other),
            Place::Path(at) => {
                let labels = self.paths.labels(at).into_iter().map(label).collect();
                Fact::Path(Cow::Owned(labels), Cow::Borrowed(self.paths.get(at)?))
            }
            Place::Process(Some(at)) => {
                let (name, sums) = self.contention.process_sums(at)?;
                Fact::Process(Some(name), Cow::Owned(sums))
            }
            Place::Process(None) => {
                let n_tasks = self.contention.n_tasks_other;
                Fact::Process(None, Cow::Owned(ProcessSums { n_tasks, ..ProcessSums::default() }))
            }
            Place::Second(at) => {
                let (name, second, sums) = self.contention.second_sums(at)?;
                Fact::Second(name, second, Cow::Owned(sums))
            }
        };
        Some(AggRow { slot: self.slot, fact })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.labels.memory_bytes()
            + self.ops.memory_bytes()
            + self.events.memory_bytes()
            + self.edges.memory_bytes()
            + self.paths.memory_bytes()
            + self.contention.memory_bytes()
    }
}
