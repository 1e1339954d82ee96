//! An expression at work: what it has learnt of durations, and when the last spans matched.
//!
//! Called once for each finished span, by the agent as spans come and again when somebody tries an expression on what is retained. Pure: the
//! same spans in the same order give the same verdicts.

use super::{Expr, Quantiles, SpanView, Test};
use crate::units::Nanos;
use std::collections::VecDeque;

/// What an expression says of a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is not what is asked for.
    NoMatch,
    /// It is, but such spans do not come often enough.
    BelowRate,
    /// It is.
    Match,
}

/// See the module.
#[derive(Debug)]
pub struct Matcher {
    expr: Expr,
    quantiles: Quantiles,
    /// When the newest matching spans ended, ascending; at most as many as the rate needs.
    ends: VecDeque<Nanos>,
}

impl Matcher {
    /// Returns a matcher that has seen nothing.
    pub fn new(expr: Expr) -> Self {
        let mut percentiles = Vec::new();
        expr.condition.for_each_test(&mut |test| {
            if let Test::Percentile(_, percentile) = test {
                percentiles.push(*percentile);
            }
        });
        Self { expr, quantiles: Quantiles::new(percentiles), ends: VecDeque::new() }
    }

    /// Returns the expression.
    pub const fn expr(&self) -> &Expr {
        &self.expr
    }

    /// Takes a span that ended at `end`. It is held against the percentiles of the spans before it, and then counted among them.
    ///
    /// # Cost
    /// That of [`super::Condition::holds`]; with a percentile, of [`Quantiles::learn`].
    pub fn take(&mut self, span: &SpanView<'_>, end: Nanos) -> Verdict {
        let quantile = |percentile| self.quantiles.get(span.service, span.name, percentile);
        let holds = self.expr.condition.holds(span, &quantile);
        self.quantiles.learn(span.service, span.name, span.duration);
        match self.expr.rate {
            _ if !holds => Verdict::NoMatch,
            None => Verdict::Match,
            Some(rate) => {
                let n_needed = rate.n as usize + usize::from(!rate.is_inclusive);
                let since = end.0.checked_sub(rate.per.length().0);
                if self.count(end, since, n_needed) >= n_needed { Verdict::Match } else { Verdict::BelowRate }
            }
        }
    }

    /// Returns how many spans came under names of which nothing is learnt, as there are too many.
    pub const fn n_unlearnt(&self) -> u64 {
        self.quantiles.n_unlearnt()
    }

    /// Counts a match at `end` among the newest `n_max`; returns how many lie after `since` and not after it. Spans come nearly in order.
    fn count(&mut self, end: Nanos, since: Option<u64>, n_max: usize) -> usize {
        let place = self.ends.iter().rposition(|before| *before <= end).map_or(0, |place| place + 1);
        self.ends.insert(place, end);
        let is_within = |before: &&Nanos| **before <= end && since.is_none_or(|since| before.0 > since);
        let n_within = self.ends.iter().filter(is_within).count();
        if self.ends.len() > n_max {
            self.ends.pop_front();
        }
        n_within
    }
}
