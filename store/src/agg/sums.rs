//! What is counted under one key of each table. All of it adds up, in any order.
//!
//! Filled by the tables of `agg`, lent by their rows. Numbers that reach the end of what a column holds stay there: adding is associative still.

use crate::batch::STATUS_ERROR;
use crate::rows::{ENERGY_COMPONENTS, Joules, SpanRow};
use backsight_core::sketch::Sketch;

/// What a count may reach: an `i64` column holds it.
pub const COUNT_MAX: u64 = i64::MAX as u64;
/// What a sum of nanoseconds may reach: 38 decimal digits hold it.
pub const SUM_MAX: u128 = 10_u128.pow(38) - 1;
/// Roughly what an octave of a sketch takes, in bytes.
pub(super) const OCTAVE_BYTES: usize = 272;

#[inline]
pub(super) fn add(count: &mut u64, n: u64) {
    *count = count.saturating_add(n).min(COUNT_MAX);
}

#[inline]
pub(super) fn add_sum(sum: &mut u128, n: u128) {
    *sum = sum.saturating_add(n).min(SUM_MAX);
}

/// Sums of energy by component, in the order of [`ENERGY_COMPONENTS`]; they wrap, which they have no cause to.
pub type EnergySums = [Joules; ENERGY_COMPONENTS.len()];

/// The spans of a label.
///
/// # Shape
/// The sketch of durations holds `n` values. That of time on the critical path holds those of spans whose traces were decided; it counts in the hour of the
/// trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OpSums {
    /// Spans.
    pub n: u64,
    /// Those of them with an error.
    pub n_errors: u64,
    /// The sum of their durations.
    pub sum_ns: u128,
    /// Their durations, in nanoseconds.
    pub durations: Sketch,
    /// Their time on the critical path, in nanoseconds.
    pub selfs: Sketch,
    /// Their energy, where any has one.
    pub energy: Option<Box<EnergySums>>,
}

impl OpSums {
    #[inline]
    pub(super) fn add_span(&mut self, span: &SpanRow<'_>) {
        let duration_ns = span.duration_ns.max(0).cast_unsigned();
        add(&mut self.n, 1);
        add(&mut self.n_errors, u64::from(span.status == STATUS_ERROR));
        add_sum(&mut self.sum_ns, duration_ns.into());
        self.durations.add(duration_ns);
        if let Some(energy) = &span.energy {
            self.add_energy(&energy.components);
        }
    }

    fn add_energy(&mut self, components: &EnergySums) {
        let sums = self.energy.get_or_insert_with(Box::default);
        for (sum, joules) in sums.iter_mut().zip(components) {
            sum.nj = sum.nj.wrapping_add(joules.nj);
            sum.low = sum.low.wrapping_add(joules.low);
            sum.high = sum.high.wrapping_add(joules.high);
        }
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        add(&mut self.n, other.n);
        add(&mut self.n_errors, other.n_errors);
        add_sum(&mut self.sum_ns, other.sum_ns);
        self.durations.merge(&other.durations);
        self.selfs.merge(&other.selfs);
        if let Some(energy) = &other.energy {
            self.add_energy(energy);
        }
    }

    /// Returns whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.n == 0 && self.selfs.is_empty()
    }

    pub(super) fn n_octaves(&self) -> usize {
        self.durations.n_octaves() + self.selfs.n_octaves()
    }
}

/// An event in spans of a label.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EventSums {
    /// Spans that have it.
    pub n_tasks: u64,
    /// How often it came.
    pub n: u64,
}

impl EventSums {
    pub(super) fn merge(&mut self, other: Self) {
        add(&mut self.n_tasks, other.n_tasks);
        add(&mut self.n, other.n);
    }
}

/// Spans of one label under spans of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EdgeSums {
    /// Spans above that have such a child.
    pub n_parents: u64,
    /// Such children.
    pub n: u64,
}

impl EdgeSums {
    pub(super) fn merge(&mut self, other: Self) {
        add(&mut self.n_parents, other.n_parents);
        add(&mut self.n, other.n);
    }
}

/// All traces whose root has a label, whatever paths are kept of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RootSums {
    /// Traces.
    pub n_traces: u64,
    /// Their spans.
    pub n_spans: u64,
    /// The sum of their durations: of all contributions to their critical paths.
    pub sum_ns: u128,
}

impl RootSums {
    pub(super) fn merge(&mut self, other: Self) {
        add(&mut self.n_traces, other.n_traces);
        add(&mut self.n_spans, other.n_spans);
        add_sum(&mut self.sum_ns, other.sum_ns);
    }
}

/// The spans of a label path.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PathSums {
    /// Traces that have one.
    pub n_traces: u64,
    /// Spans.
    pub n_spans: u64,
    /// The sum of what they contribute to critical paths.
    pub sum_ns: u128,
    /// What each contributes, in nanoseconds.
    pub selfs: Sketch,
}

impl PathSums {
    #[inline]
    pub(super) fn add_span(&mut self, self_ns: u64) {
        add(&mut self.n_spans, 1);
        add_sum(&mut self.sum_ns, self_ns.into());
        self.selfs.add(self_ns);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        add(&mut self.n_traces, other.n_traces);
        add(&mut self.n_spans, other.n_spans);
        add_sum(&mut self.sum_ns, other.sum_ns);
        self.selfs.merge(&other.selfs);
    }
}
