//! The priority of a trace: a seeded hash of its id, the same on every host, so that what is given up is given up everywhere.

use crate::ids::{TraceId, TriggerId};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Which decision a priority is for; decisions of different kinds do not correlate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Salt(u64);

impl Salt {
    /// The salt of `record`: which traces are recorded at all.
    pub const RECORD: Self = Self(0x5071_f2d4_17f9_1bab);
    /// The salt of `detail`: which traces are recorded in full.
    pub const DETAIL: Self = Self(0xaf76_9ff2_5164_4363);

    /// Returns the salt of the decision called `name`: a trigger's name, `record` or `detail`.
    pub fn from_name(name: &str) -> Self {
        Self(xxh3_64(name.as_bytes()))
    }

    /// Returns the salt of what `trigger` keeps: of its name where that is reserved, else of its id's text, the same on every host.
    pub fn of_trigger(trigger: TriggerId) -> Self {
        Self::from_name(&trigger.to_string())
    }
}

/// Returns the hash by which equal strings of a region's table are found.
pub fn text_hash(text: &str) -> u32 {
    xxh3_64(text.as_bytes()) as u32
}

/// Returns the hash by which labels of a category are told apart.
pub fn label_hash(label: &str) -> u64 {
    xxh3_64(label.as_bytes())
}

/// A rank among traces: larger is kept longer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Priority {
    hash: u64,
    tie: u64,
}

impl Priority {
    /// Returns the rank of `trace` under `cluster_seed` and `salt`.
    ///
    /// # Source
    /// `docs/spec/wire.md`: `xxh3_64(trace_lo as 8 little-endian bytes, seed = cluster_seed ^ salt)`; ties by the high half.
    pub fn of(trace: TraceId, cluster_seed: u64, salt: Salt) -> Self {
        let hash = xxh3_64_with_seed(&trace.lo.to_le_bytes(), cluster_seed ^ salt.0);
        Self { hash, tie: trace.hi }
    }

    /// Returns the hash alone: the value that thresholds compare with.
    pub const fn hash(self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::{Priority, Salt};
    use crate::ids::TraceId;

    #[test]
    fn salts_give_independent_orders_and_hosts_agree() {
        let (a, b) = (Salt::RECORD, Salt::DETAIL);
        assert_eq!((a, b), (Salt::from_name("record"), Salt::from_name("detail")));
        let above = |salt, lo| Priority::of(TraceId::new(7, lo), 42, salt).hash() >> 63;
        let agree = (0..10_000).filter(|lo| above(a, *lo) == above(b, *lo)).count();
        assert!((4_700..5_300).contains(&agree), "{agree} of 10000 agree");
        assert_eq!(Priority::of(TraceId::new(7, 9), 42, a), Priority::of(TraceId::new(7, 9), 42, a));
    }

    #[test]
    fn ties_are_broken_by_the_high_half() {
        let salt = Salt::from_name("record");
        assert!(Priority::of(TraceId::new(2, 9), 0, salt) > Priority::of(TraceId::new(1, 9), 0, salt));
    }
}
