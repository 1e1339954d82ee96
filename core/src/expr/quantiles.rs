//! Percentiles of durations, learnt for each service and name of span: as the client's autotrigger learns one, in log-linear buckets that
//! forget with a half-life.
//!
//! Called by [`super::Matcher`] once for each finished span. Pure: the same durations in the same order give the same percentiles.

use super::Percentile;
use crate::loglinear::{bucket_of, value_below_tail};
use crate::units::Nanos;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names of spans that are learnt at a time: those that come first. For later ones no percentile is ever known.
pub const QUANTILE_NAMES_MAX: usize = 512;
/// The shortest half-life, in spans.
const HALF_LIFE_MIN: f64 = 1000.0;
/// Spans before any percentile is known; the tail must hold one besides.
const WARM_UP_MIN: f64 = 100.0;
/// Spans of one name between two looks at its buckets.
const FOLD_SPANS: u32 = 32;

/// What was learnt.
#[derive(Debug)]
pub struct Quantiles {
    /// Those that are asked for, ascending.
    percentiles: Vec<Percentile>,
    /// Spans after which half of what was seen is forgotten.
    half_life: f64,
    /// By service, then by name.
    learnt: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Learnt>>,
    n_names: usize,
    n_unlearnt: u64,
}

/// What was learnt of one name.
#[derive(Debug, Default)]
struct Learnt {
    weights: BTreeMap<u16, f64>,
    total: f64,
    since_fold: u32,
    /// By the position of the percentile.
    bounds: Vec<Option<Nanos>>,
}

impl Quantiles {
    /// Returns what knows nothing yet and will learn `percentiles`.
    pub fn new(percentiles: impl IntoIterator<Item = Percentile>) -> Self {
        let mut percentiles: Vec<_> = percentiles.into_iter().collect();
        percentiles.sort_unstable();
        percentiles.dedup();
        let least_tail = percentiles.last().map_or(1.0, |highest| highest.tail_share());
        Self {
            percentiles,
            half_life: HALF_LIFE_MIN.max(10.0 / least_tail),
            learnt: BTreeMap::new(),
            n_names: 0,
            n_unlearnt: 0,
        }
    }

    /// Returns the duration at `percentile` for the spans called `name` of `service`; `None` while it is not known.
    pub fn get(&self, service: &str, name: &str, percentile: Percentile) -> Option<Nanos> {
        let idx = self.percentiles.binary_search(&percentile).ok()?;
        *self.learnt.get(service)?.get(name)?.bounds.get(idx)?
    }

    /// Counts a span.
    ///
    /// # Cost
    /// One lookup; every 32nd of a name looks at its buckets, of which durations of one name fill some dozens, 1920 at most.
    pub fn learn(&mut self, service: &str, name: &str, duration: Nanos) {
        if self.percentiles.is_empty() {
            return;
        }
        let is_known = self.learnt.get(service).is_some_and(|of_service| of_service.contains_key(name));
        if !is_known {
            if self.n_names >= QUANTILE_NAMES_MAX {
                self.n_unlearnt += 1;
                return;
            }
            self.n_names += 1;
            self.learnt.entry(service.into()).or_default().insert(name.into(), Learnt::default());
        }
        let Self { percentiles, half_life, learnt, .. } = self;
        let Some(learnt) = learnt.get_mut(service).and_then(|of_service| of_service.get_mut(name)) else { return };
        *learnt.weights.entry(bucket_of(duration.0) as u16).or_default() += 1.0;
        learnt.total += 1.0;
        learnt.since_fold += 1;
        if learnt.since_fold >= FOLD_SPANS {
            learnt.fold(percentiles, *half_life);
        }
    }

    /// Returns how many spans came under names beyond [`QUANTILE_NAMES_MAX`].
    pub const fn n_unlearnt(&self) -> u64 {
        self.n_unlearnt
    }
}

impl Learnt {
    fn fold(&mut self, percentiles: &[Percentile], half_life: f64) {
        self.since_fold = 0;
        let bound = |percentile: &Percentile| {
            let tail_share = percentile.tail_share();
            let is_warm = self.total >= WARM_UP_MIN.max(1.0 / tail_share);
            let highest_first = self.weights.iter().rev().map(|(idx, weight)| (usize::from(*idx), *weight));
            let bound = || value_below_tail(highest_first, self.total * tail_share).map(Nanos);
            is_warm.then(bound).flatten()
        };
        self.bounds = percentiles.iter().map(bound).collect();
        // What was seen fades by steps: each fold takes what its share of a half-life takes.
        let kept = (-f64::from(FOLD_SPANS) / half_life).exp2();
        if self.total > half_life {
            self.weights.values_mut().for_each(|weight| *weight *= kept);
            self.weights.retain(|_, weight| *weight > 1e-3);
            self.total = self.weights.values().sum();
        }
    }
}
