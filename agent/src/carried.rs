//! Segments that outlive their chunks: their traces go on, and a trigger may still ask for the whole of them.
//!
//! Called by the recorder at evictions and when triggers ask. Pure. Under its cap, the one that was carried over first goes first.

use crate::kept::{Copied, cost_of};
use backsight_core::ids::TraceId;
use backsight_core::units::Bytes;
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug)]
pub struct Carried {
    cap: Bytes,
    bytes: u64,
    next: u64,
    /// By the number of their coming.
    segments: BTreeMap<u64, (TraceId, Copied)>,
    by_trace: BTreeMap<TraceId, Vec<u64>>,
}

impl Carried {
    /// Returns an empty store that holds at most `cap`.
    pub const fn new(cap: Bytes) -> Self {
        Self { cap, bytes: 0, next: 0, segments: BTreeMap::new(), by_trace: BTreeMap::new() }
    }

    /// Returns the memory in use.
    pub const fn bytes(&self) -> Bytes {
        Bytes(self.bytes)
    }

    /// Carries a segment over; returns those that had to go for it.
    pub fn add(&mut self, trace: TraceId, copied: Copied) -> Vec<(TraceId, Copied)> {
        self.bytes += cost_of(&copied);
        self.by_trace.entry(trace).or_default().push(self.next);
        self.segments.insert(self.next, (trace, copied));
        self.next += 1;
        let mut gone = Vec::new();
        while self.bytes > self.cap.0 {
            gone.extend(self.pop_oldest());
        }
        gone
    }

    /// Takes the segment that was carried over first.
    pub fn pop_oldest(&mut self) -> Option<(TraceId, Copied)> {
        let (number, (trace, copied)) = self.segments.pop_first()?;
        self.bytes -= cost_of(&copied);
        if let Some(numbers) = self.by_trace.get_mut(&trace) {
            numbers.retain(|known| *known != number);
            if numbers.is_empty() {
                self.by_trace.remove(&trace);
            }
        }
        Some((trace, copied))
    }

    /// Returns what is carried over of `trace`, oldest first.
    pub fn of(&self, trace: TraceId) -> impl Iterator<Item = &Copied> {
        let numbers = self.by_trace.get(&trace).into_iter().flatten();
        numbers.filter_map(|number| self.segments.get(number).map(|(_, copied)| copied))
    }

    /// Takes what is carried over of `trace`, oldest first.
    pub fn take(&mut self, trace: TraceId) -> Vec<Copied> {
        let numbers = self.by_trace.remove(&trace).unwrap_or_default();
        let taken: Vec<Copied> =
            numbers.into_iter().filter_map(|number| self.segments.remove(&number)).map(|(_, copied)| copied).collect();
        self.bytes -= taken.iter().map(cost_of).sum::<u64>();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::Carried;
    use crate::kept::Copied;
    use backsight_core::ids::{RegionId, TraceId};
    use backsight_core::segment::{Process, Segment, SegmentKey};
    use backsight_core::units::Bytes;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    fn copied(n: u32, len: usize) -> Copied {
        let key = SegmentKey { region: RegionId(1), chunk: n, generation: 1, offset: 64 };
        Copied {
            process: Process::default(),
            segment: Segment { key, slot: 0, tid: 1, prev_chunk: Segment::NO_CHUNK, bytes: vec![0; len] },
            strings: Vec::new(),
            interval: (1, 2),
            is_open: false,
            is_live: true,
        }
    }

    proptest! {
        /// For every sequence of coming and asking: what came is there until it is taken or is the oldest under the cap, and nothing is lost.
        #[test]
        fn carried_agrees_with_a_list(steps in prop::collection::vec((0_u64..6, any::<bool>(), 0_usize..900), 1..200)) {
            let (mut carried, mut model) = (Carried::new(Bytes::kib(8)), Vec::<(TraceId, Copied)>::new());
            for (n, (trace, is_taken, len)) in (0_u32..).zip(steps) {
                let trace = TraceId::new(1, trace);
                if is_taken {
                    let expected: Vec<Copied> = model.iter().filter(|(of, _)| *of == trace).map(|(_, one)| one.clone()).collect();
                    prop_assert_eq!(carried.of(trace).cloned().collect::<Vec<_>>(), expected.clone());
                    prop_assert_eq!(carried.take(trace), expected);
                    model.retain(|(of, _)| *of != trace);
                } else {
                    model.push((trace, copied(n, len)));
                    let gone = carried.add(trace, copied(n, len));
                    prop_assert_eq!(&gone[..], &model[..gone.len()]);
                    model.drain(..gone.len());
                }
                prop_assert!(carried.bytes() <= Bytes::kib(8));
                prop_assert_eq!(carried.segments.len(), model.len());
            }
        }
    }
}
