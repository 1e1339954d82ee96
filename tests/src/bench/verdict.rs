//! Thresholds as the specs write them (`ratio<=1.6`, `value==0`), and the verdict of a row.
//!
//! Pure; called by [`super::report`]. The rules are those of DESIGN section 4.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// What a threshold speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Ours over the peer's.
    Ratio,
    /// Ours, in the row's unit.
    Value,
}

/// How a threshold compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `<=`
    AtMost,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
}

/// A parsed threshold, such as `ratio<=1.6`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    quantity: Quantity,
    relation: Relation,
    bound: f64,
}

/// Why a text is no threshold.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("`{text}` is no threshold: want `ratio` or `value`, then `<=`, `>=` or `==`, then a number")]
pub struct ThresholdError {
    text: String,
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let refused = || ThresholdError { text: text.to_owned() };
        let (quantity, rest) = [("ratio", Quantity::Ratio), ("value", Quantity::Value)]
            .into_iter()
            .find_map(|(word, quantity)| Some((quantity, text.strip_prefix(word)?)))
            .ok_or_else(refused)?;
        let (relation, bound) = [("<=", Relation::AtMost), (">=", Relation::AtLeast), ("==", Relation::Equal)]
            .into_iter()
            .find_map(|(sign, relation)| Some((relation, rest.strip_prefix(sign)?)))
            .ok_or_else(refused)?;
        let bound: f64 = bound.parse().map_err(|_| refused())?;
        if bound.is_finite() { Ok(Self { quantity, relation, bound }) } else { Err(refused()) }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantity = match self.quantity {
            Quantity::Ratio => "ratio",
            Quantity::Value => "value",
        };
        let relation = match self.relation {
            Relation::AtMost => "<=",
            Relation::AtLeast => ">=",
            Relation::Equal => "==",
        };
        write!(f, "{quantity}{relation}{}", self.bound)
    }
}

impl Serialize for Threshold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Threshold {
    /// Returns whether `numbers` reach this threshold, or `None` when it speaks of a ratio and there is none.
    #[must_use]
    pub fn reached(&self, numbers: Numbers) -> Option<bool> {
        let number = self.subject(numbers)?;
        Some(match self.relation {
            Relation::AtMost => number <= self.bound,
            Relation::AtLeast => number >= self.bound,
            Relation::Equal => number == self.bound,
        })
    }

    /// Returns whether this is an upper bound on the value itself that is nearer to it than two modes of the machine, `modes_share` apart,
    /// are to each other. A ratio to a peer needs no such excuse: both sides see the same mode.
    #[must_use]
    pub fn is_within_modes(&self, numbers: Numbers, modes_share: f64) -> bool {
        let is_bound = self.quantity == Quantity::Value && self.relation == Relation::AtMost;
        is_bound && self.distance_share(numbers).is_some_and(|distance_share| modes_share > distance_share)
    }

    /// Returns how far `numbers` are from the bound, as a share of the bound.
    fn distance_share(&self, numbers: Numbers) -> Option<f64> {
        Some((self.subject(numbers)? - self.bound).abs() / self.bound.abs())
    }

    fn subject(&self, numbers: Numbers) -> Option<f64> {
        match self.quantity {
            Quantity::Ratio => numbers.ratio,
            Quantity::Value => Some(numbers.value),
        }
    }
}

/// How a value was measured; it decides whether noise may excuse a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// CPU time of the measured threads: never inconclusive.
    Cpu,
    /// Wall clock: inconclusive where the A/A spread exceeds the distance to the threshold.
    Wall,
    /// Something counted, not timed: never inconclusive.
    Count,
}

/// The numbers of a row that decide its verdict.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Ours, the median.
    pub value: f64,
    /// Ours over the peer's.
    pub ratio: Option<f64>,
    /// A second measurement of the same set-up over the first; where its interval is known, the end that is farther from 1.
    pub aa_ratio: Option<f64>,
}

/// What a row says about its `must`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The threshold is reached; a row that asks for nothing passes.
    Pass,
    /// The threshold is not reached.
    Miss,
    /// The machine is too noisy to tell.
    Inconclusive,
    /// The peer to compare with is absent on this host.
    NoPeer,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Miss => "miss",
            Self::Inconclusive => "inconclusive",
            Self::NoPeer => "no-peer",
        })
    }
}

/// Judges `numbers` by `must`.
///
/// # Shape
/// Both the A/A spread (how far its ratio is from 1) and the distance to the threshold are shares, so a row near its bound on a noisy
/// machine is inconclusive whether it lies above or below.
#[must_use]
pub fn judge(must: Option<&Threshold>, numbers: Numbers, clock: Clock) -> Verdict {
    let Some(must) = must else { return Verdict::Pass };
    let (Some(reached), Some(distance_share)) = (must.reached(numbers), must.distance_share(numbers)) else {
        return Verdict::NoPeer;
    };
    let spread_share = numbers.aa_ratio.map_or(0.0, |aa_ratio| (aa_ratio - 1.0).abs());
    match (clock, reached) {
        (Clock::Wall, _) if spread_share > distance_share => Verdict::Inconclusive,
        (_, true) => Verdict::Pass,
        (_, false) => Verdict::Miss,
    }
}

#[cfg(test)]
mod tests;
