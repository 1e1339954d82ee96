//! Conditions: what decides about a request, alone or composed of others; one sample decides.
//!
//! Called by `set`, which fires. Knows no ids and no agent, reads no clock.

use super::AutotriggerError;
use super::burn::{BurnRate, Burning};
use super::category::Shares;
use super::percentile::Histogram;
use super::rate::EventRate;
use super::window::{Outcome, Spans};

/// The most conditions of a composition, those within others and the compositions themselves included.
pub const CONDITIONS_MAX: usize = 16;

/// What one request shows. Each condition looks at its part; what no condition looks at may be left as it is by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sample<'a> {
    /// Its latency, queue length or size: what percentiles are about.
    pub value: u64,
    /// Its API, status or region: what categories are about.
    pub label: &'a str,
    /// How it ended: what burn rates are about.
    pub outcome: Outcome,
}

/// What decides about a request.
///
/// # Shape
/// All memory is allocated when it is made: 150 KiB for each percentile, 40 KiB for each category, 3 KiB for each burn rate and rate.
#[derive(Debug)]
pub struct Condition {
    kind: Kind,
    n_conditions: usize,
    reads_time: bool,
}

#[derive(Debug)]
enum Kind {
    Percentile(Histogram),
    Category(Shares),
    Burn(BurnRate),
    Rate(EventRate),
    Bad,
    AllOf(Box<[Condition]>),
    AnyOf(Box<[Condition]>),
}

impl Condition {
    /// Holds for values in the top `1 - p` of what was seen lately: see [`Histogram`].
    ///
    /// # Errors
    /// See [`Histogram::new`].
    pub fn percentile(p: f64) -> Result<Self, AutotriggerError> {
        Ok(Self::one(Kind::Percentile(Histogram::new(p)?)))
    }

    /// Holds for labels whose share of what was seen lately is at most `share`: see [`Shares`].
    ///
    /// # Errors
    /// See [`Shares::new`].
    pub fn category(share: f64) -> Result<Self, AutotriggerError> {
        Ok(Self::one(Kind::Category(Shares::new(share)?)))
    }

    /// Holds while the error budget burns too fast, for good requests as for bad ones: see [`BurnRate`].
    ///
    /// # Errors
    /// See [`BurnRate::new`].
    pub fn burn(burning: Burning) -> Result<Self, AutotriggerError> {
        Ok(Self::one(Kind::Burn(BurnRate::new(burning)?)))
    }

    /// Holds while requests come more often than `per_s` times a second: see [`EventRate`].
    ///
    /// # Errors
    /// See [`EventRate::new`].
    pub fn rate(per_s: f64, spans: Spans) -> Result<Self, AutotriggerError> {
        Ok(Self::one(Kind::Rate(EventRate::new(per_s, spans)?)))
    }

    /// Holds for bad requests.
    pub fn bad() -> Self {
        Self::one(Kind::Bad)
    }

    /// Holds where each of `members` does.
    ///
    /// # Errors
    /// No member, or more than [`CONDITIONS_MAX`] conditions.
    pub fn all_of(members: impl IntoIterator<Item = Self>) -> Result<Self, AutotriggerError> {
        Self::composed(members, Kind::AllOf)
    }

    /// Holds where at least one of `members` does.
    ///
    /// # Errors
    /// No member, or more than [`CONDITIONS_MAX`] conditions.
    pub fn any_of(members: impl IntoIterator<Item = Self>) -> Result<Self, AutotriggerError> {
        Self::composed(members, Kind::AnyOf)
    }

    /// Counts a request in shard `shard` (taken modulo 16) at `now_ns`, on a clock that all callers share, and returns whether the condition
    /// holds for it. Every member counts it, also where others have decided: each is about all requests.
    ///
    /// # Cost
    /// The sum of its members'; each costs what its own `sample` does.
    pub fn test(&self, sample: &Sample<'_>, shard: usize, now_ns: u64) -> bool {
        let test = |member: &Self| member.test(sample, shard, now_ns);
        match &self.kind {
            Kind::Percentile(histogram) => histogram.sample(sample.value, shard),
            Kind::Category(shares) => shares.sample(sample.label, shard),
            Kind::Burn(rate) => rate.sample(sample.outcome, shard, now_ns),
            Kind::Rate(rate) => rate.sample(shard, now_ns),
            Kind::Bad => sample.outcome == Outcome::Bad,
            Kind::AllOf(members) => members.iter().fold(true, |holds, member| holds & test(member)),
            Kind::AnyOf(members) => members.iter().fold(false, |holds, member| holds | test(member)),
        }
    }

    /// Returns whether [`Condition::test`] looks at the time; where it does not, any will do.
    pub fn reads_time(&self) -> bool {
        self.reads_time
    }

    fn one(kind: Kind) -> Self {
        let reads_time = matches!(kind, Kind::Burn(_) | Kind::Rate(_));
        Self { kind, n_conditions: 1, reads_time }
    }

    fn composed(
        members: impl IntoIterator<Item = Self>,
        kind: fn(Box<[Self]>) -> Kind,
    ) -> Result<Self, AutotriggerError> {
        let members: Box<[Self]> = members.into_iter().collect();
        let n_conditions = 1 + members.iter().map(|member| member.n_conditions).sum::<usize>();
        if members.is_empty() || n_conditions > CONDITIONS_MAX {
            let expected = "2 to 16, compositions included";
            let value = n_conditions as f64;
            return Err(AutotriggerError::OutOfRange { what: "number of conditions", value, expected });
        }
        let reads_time = members.iter().any(|member| member.reads_time);
        Ok(Self { kind: kind(members), n_conditions, reads_time })
    }
}

#[cfg(test)]
mod tests;
