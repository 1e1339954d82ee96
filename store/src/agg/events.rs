//! Table `events`: what happened in spans of a label, by event.
//!
//! Called by `tables`. Of the events of one label those of the least ranks stay; where all are too many, those of labels behind others go.

use super::index::Index;
use super::labels::{GONE, Rank};
use super::mask::masked;
use super::sums::EventSums;
use crate::rows::{Event, Value};
use foldhash::fast::RandomState;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::hash::BuildHasher;

/// Attributes that hold the text of an event without a name.
const TEXT_KEYS: [&str; 3] = ["message", "event", "log.message"];

/// Returns the key by which an event counts: its name, or its text where it has none, with `#` for digits, hex and quoted parts.
pub fn event_key<'a>(event: &'a Event<'_>) -> Cow<'a, str> {
    if !event.name.is_empty() {
        return masked(&event.name);
    }
    let text = event.attributes.iter().find_map(|attribute| match &attribute.value {
        Value::Str(text) if TEXT_KEYS.contains(&&*attribute.key) => Some(&**text),
        _ => None,
    });
    masked(text.unwrap_or_default())
}

#[derive(Clone, Debug)]
struct Row {
    key: Box<str>,
    rank: Rank,
    sums: EventSums,
    /// The last span that had it.
    task: u64,
}

#[derive(Clone, Debug, Default)]
struct OfLabel {
    rows: Vec<Row>,
    index: Index,
    /// As of `labels`.
    worst: Option<Rank>,
}

impl OfLabel {
    /// Returns the place of a key; it is made where it is new and can stay.
    fn place(&mut self, key: &str, hasher: &RandomState) -> Option<u32> {
        let hash = hasher.hash_one(key);
        let found = self.index.find(hash, |row| *self.rows[row as usize].key == *key);
        if found.is_some() {
            return found;
        }
        let rank = Rank::of_text(key);
        if self.worst.is_some_and(|worst| rank > worst) {
            return None;
        }
        let idx = self.rows.len() as u32;
        self.rows.push(Row { key: key.into(), rank, sums: EventSums::default(), task: 0 });
        self.index.insert(hash, idx);
        Some(idx)
    }

    /// Keeps the `n_max` keys of the least ranks, and returns the sums of the others.
    fn shrink(&mut self, n_max: usize, hasher: &RandomState) -> EventSums {
        let mut gone = EventSums::default();
        if self.rows.len() <= n_max {
            return gone;
        }
        self.rows.sort_by(|a, b| a.rank.cmp(&b.rank).then_with(|| a.key.cmp(&b.key)));
        self.rows.drain(n_max..).for_each(|row| gone.merge(row.sums));
        self.worst = self.rows.last().map(|row| row.rank).or(self.worst);
        self.index = Index::default();
        for (idx, row) in (0_u32..).zip(&self.rows) {
            self.index.insert(hasher.hash_one(&*row.key), idx);
        }
        gone
    }
}

/// A place in the table: the label, and the row among its own.
pub(super) type EventPlace = (u32, u32);

/// The events of each label.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    of_labels: Vec<Option<Box<OfLabel>>>,
    hasher: RandomState,
    pub(super) other: EventSums,
    n_rows: usize,
    key_bytes: usize,
    /// Counts spans.
    task: u64,
    /// Keys of this span that have no row.
    others: BTreeSet<Rank>,
}

impl Events {
    pub(super) fn len(&self) -> usize {
        self.n_rows
    }

    /// Counts the events of a span. Those of one label may come to twice `of_label_max` before some go.
    pub(super) fn add_span(&mut self, label: Option<u32>, events: &[Event<'_>], of_label_max: usize) {
        self.task += 1;
        self.others.clear();
        for event in events {
            let key = event_key(event);
            let task = self.task;
            match self.row(label, &key) {
                Some(row) => {
                    let is_first = std::mem::replace(&mut row.task, task) != task;
                    row.sums.merge(EventSums { n_tasks: is_first.into(), n: 1 });
                }
                None => {
                    let is_first = self.others.insert(Rank::of_text(&key));
                    self.other.merge(EventSums { n_tasks: is_first.into(), n: 1 });
                }
            }
        }
        self.shrink_label(label, 2 * of_label_max, of_label_max);
    }

    /// Adds sums of a key.
    pub(super) fn merge(&mut self, label: Option<u32>, key: &str, sums: EventSums, of_label_max: usize) {
        match self.row(label, key) {
            Some(row) => row.sums.merge(sums),
            None => self.other.merge(sums),
        }
        self.shrink_label(label, 2 * of_label_max, of_label_max);
    }

    fn row(&mut self, label: Option<u32>, key: &str) -> Option<&mut Row> {
        let label = label? as usize;
        if self.of_labels.len() <= label {
            self.of_labels.resize_with(label + 1, || None);
        }
        let of_label = self.of_labels[label].get_or_insert_default();
        let n_before = of_label.rows.len();
        let place = of_label.place(key, &self.hasher)?;
        let n_new = of_label.rows.len() - n_before;
        self.n_rows += n_new;
        self.key_bytes += n_new * key.len();
        of_label.rows.get_mut(place as usize)
    }

    fn shrink_label(&mut self, label: Option<u32>, n_from: usize, n_max: usize) {
        let of_label = label.and_then(|label| self.of_labels.get_mut(label as usize)?.as_mut());
        let Some(of_label) = of_label.filter(|of_label| of_label.rows.len() > n_from) else { return };
        self.other.merge(of_label.shrink(n_max, &self.hasher));
        self.count();
    }

    /// Keeps `of_label_max` keys of each label, and `n_max` of all: those of the labels that come first by `places`.
    pub(super) fn shrink(&mut self, of_label_max: usize, n_max: usize, places: &[u32]) {
        let mut labels: Vec<usize> = (0..self.of_labels.len()).collect();
        labels.sort_unstable_by_key(|label| places[*label]);
        let mut n_left = n_max;
        for label in labels {
            let Some(of_label) = self.of_labels[label].as_mut() else { continue };
            self.other.merge(of_label.shrink(of_label_max.min(n_left), &self.hasher));
            n_left -= of_label.rows.len();
        }
        self.count();
    }

    /// Takes the new numbers of labels.
    pub(super) fn renumber(&mut self, labels: &[u32]) {
        let mut kept = Vec::new();
        for (of_label, label) in std::mem::take(&mut self.of_labels).into_iter().zip(labels) {
            let Some(of_label) = of_label else { continue };
            if *label == GONE {
                of_label.rows.iter().for_each(|row| self.other.merge(row.sums));
                continue;
            }
            if kept.len() <= *label as usize {
                kept.resize_with(*label as usize + 1, || None);
            }
            kept[*label as usize] = Some(of_label);
        }
        self.of_labels = kept;
        self.count();
    }

    fn count(&mut self) {
        let rows = || self.of_labels.iter().flatten().flat_map(|of_label| &of_label.rows);
        (self.n_rows, self.key_bytes) = (rows().count(), rows().map(|row| row.key.len()).sum());
    }

    /// Returns the places of the events of a label, by their keys.
    pub(super) fn places(&self, label: u32) -> Vec<EventPlace> {
        let Some(Some(of_label)) = self.of_labels.get(label as usize) else { return Vec::new() };
        let mut places: Vec<EventPlace> = (0..of_label.rows.len() as u32).map(|row| (label, row)).collect();
        places.sort_unstable_by_key(|(_, row)| &of_label.rows[*row as usize].key);
        places
    }

    /// Returns the key and the sums at a place.
    pub(super) fn get(&self, (label, row): EventPlace) -> Option<(&str, EventSums)> {
        let row = self.of_labels.get(label as usize)?.as_ref()?.rows.get(row as usize)?;
        Some((&row.key, row.sums))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // A row, its key, and two places of the index.
        size_of_val(self.of_labels.as_slice()) + self.n_rows * (size_of::<Row>() + 32) + self.key_bytes
    }
}
