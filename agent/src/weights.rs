//! How much of what triggers share each gets: of the kept heap, and of the bytes that are reported.
//!
//! Read by the queues of both. Pure. A trigger of weight 3 has three times the share of one of weight 1 where both want more than there is.

use backsight_core::ids::TriggerId;
use std::collections::BTreeMap;

/// The largest weight.
pub const WEIGHT_MAX: u64 = 1000;
/// Triggers that may have weights of their own.
pub const WEIGHTS_MAX: usize = 64;

/// The weights of triggers; of those that none was given to it is 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights(BTreeMap<TriggerId, u64>);

impl Weights {
    /// Returns the weights by which all triggers are alike.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Returns the weight of `trigger`, 1 to [`WEIGHT_MAX`].
    pub fn of(&self, trigger: TriggerId) -> u64 {
        self.0.get(&trigger).copied().unwrap_or(1)
    }
}

impl FromIterator<(TriggerId, u64)> for Weights {
    fn from_iter<T: IntoIterator<Item = (TriggerId, u64)>>(weights: T) -> Self {
        Self(weights.into_iter().map(|(trigger, weight)| (trigger, weight.clamp(1, WEIGHT_MAX))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{TriggerId, WEIGHT_MAX, Weights};

    #[test]
    fn triggers_weigh_1_unless_they_were_given_another_weight() {
        let weights = Weights::from_iter([(TriggerId(7), 3), (TriggerId(8), 0), (TriggerId(9), u64::MAX)]);
        assert_eq!([6, 7, 8, 9].map(|trigger| weights.of(TriggerId(trigger))), [1, 3, 1, WEIGHT_MAX]);
    }
}
