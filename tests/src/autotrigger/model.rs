//! A model of the published autotriggers: an order-statistics window, a map of all labels, a set around the window.
//!
//! Called by [`super::cost`]. It is a model, written anew after the description in the paper (L. Zhang and others, "The Benefit of Hindsight:
//! Tracing Edge-Cases in Distributed Systems", NSDI 2023), not the authors' code. As theirs it is not thread-safe.

use std::collections::{BTreeSet, HashMap, VecDeque};

use backsight::TraceId;

/// The window's length, in samples that one of `1 - p` is: as long as the half-life of ours.
const WINDOW_TAILS: f64 = 10.0;

/// A percentile by an order-statistics window: the last values, the largest of them apart from the others. A sample takes O(log n).
#[derive(Debug)]
pub struct Window {
    /// All values of the window, oldest first; each with its number, as values may come twice.
    values: VecDeque<(u64, u64)>,
    top: BTreeSet<(u64, u64)>,
    others: BTreeSet<(u64, u64)>,
    n_values_max: usize,
    tail_share: f64,
    next: u64,
}

impl Window {
    /// Returns the window for percentile `p`, as a share.
    #[must_use]
    pub fn new(p: f64) -> Self {
        let tail_share = 1.0 - p;
        Self {
            values: VecDeque::new(),
            top: BTreeSet::new(),
            others: BTreeSet::new(),
            n_values_max: (WINDOW_TAILS / tail_share) as usize,
            tail_share,
            next: 0,
        }
    }

    /// Takes `value` into the window, and returns whether it is in the top `1 - p`.
    pub fn sample(&mut self, value: u64) -> bool {
        let entry = (value, self.next);
        self.next += 1;
        let is_warm = self.values.len() as f64 >= 1.0 / self.tail_share;
        let fires = is_warm && self.top.first().is_some_and(|least| value >= least.0);
        self.values.push_back(entry);
        self.others.insert(entry);
        if self.values.len() > self.n_values_max
            && let Some(oldest) = self.values.pop_front()
            && !self.top.remove(&oldest)
        {
            self.others.remove(&oldest);
        }
        self.settle();
        fires
    }

    /// Moves values until the largest `1 - p` of them are at the top.
    fn settle(&mut self) {
        let n_top = (self.values.len() as f64 * self.tail_share).round() as usize;
        if self.others.last() > self.top.first() && !self.top.is_empty() {
            let (up, down) = (self.others.pop_last(), self.top.pop_first());
            self.top.extend(up);
            self.others.extend(down);
        }
        while self.top.len() < n_top {
            self.top.extend(self.others.pop_last());
        }
        while self.top.len() > n_top {
            self.others.extend(self.top.pop_first());
        }
    }
}

/// A category by a count of each label that ever came.
#[derive(Debug)]
pub struct LabelMap {
    share: f64,
    n_samples: u64,
    counts: HashMap<String, u64>,
}

impl LabelMap {
    /// Returns an empty map for labels with a share of at most `share`.
    #[must_use]
    pub fn new(share: f64) -> Self {
        Self { share, n_samples: 0, counts: HashMap::new() }
    }

    /// Counts `label`, and returns whether it is rare.
    pub fn sample(&mut self, label: &str) -> bool {
        self.n_samples += 1;
        let count = match self.counts.get_mut(label) {
            Some(count) => {
                *count += 1;
                *count
            }
            None => *self.counts.entry(label.to_owned()).or_insert(1),
        };
        count as f64 <= self.share * self.n_samples as f64
    }
}

/// A trigger set: a percentile, and the traces that it was tested for last.
#[derive(Debug)]
pub struct TriggerSet {
    window: Window,
    recent: VecDeque<TraceId>,
    n_laterals: usize,
}

impl TriggerSet {
    /// Returns the set for percentile `p`, as a share, with `n_laterals` traces.
    #[must_use]
    pub fn new(p: f64, n_laterals: usize) -> Self {
        Self { window: Window::new(p), recent: VecDeque::with_capacity(n_laterals + 1), n_laterals }
    }

    /// Tests `trace` by `value`; returns the traces that are its laterals where that fires.
    pub fn sample(&mut self, trace: TraceId, value: u64) -> Option<Vec<TraceId>> {
        let laterals = self.window.sample(value).then(|| self.recent.iter().copied().collect());
        self.recent.push_back(trace);
        if self.recent.len() > self.n_laterals {
            self.recent.pop_front();
        }
        laterals
    }
}

#[cfg(test)]
mod tests;
