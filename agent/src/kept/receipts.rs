//! What is remembered of traces that a collector has all of and that made room, while more of them may still come.
//!
//! Called by the heap. Pure. A receipt says the same of a trace as the trace did, for a tenth of its memory. Should more of it come, that is
//! kept with the receipt, and told of as one with what the collector has.

use super::Amounts;
use super::trace::KeptTrace;
use backsight_core::ids::TraceId;
use backsight_core::segment::SegmentKey;
use backsight_core::units::Nanos;
use std::collections::{BTreeMap, BTreeSet};

/// Segments of a trace of which a receipt is made; one of more stays as it is.
pub(super) const SEGMENTS_MAX: usize = 32;
/// What a receipt costs beside its segments.
const OVERHEAD: u64 = 192;
/// What each of its segments costs.
const SEGMENT_BYTES: u64 = 32;

/// What a collector has of one trace.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    fired: Nanos,
    /// How much that is.
    pub(super) amounts: Amounts,
    /// Its segments with their lengths, ascending.
    pub(super) segments: Vec<(SegmentKey, u32)>,
}

impl Receipt {
    fn of(kept: &KeptTrace) -> Self {
        let mut segments: Vec<_> = kept.lengths().collect();
        segments.sort_unstable();
        Self { fired: kept.fired(), amounts: kept.amounts(), segments }
    }

    /// Returns the memory that it takes.
    pub(super) const fn cost(&self) -> u64 {
        OVERHEAD + SEGMENT_BYTES * self.segments.len() as u64
    }

    fn find(&self, key: &SegmentKey) -> Option<usize> {
        self.segments.binary_search_by_key(key, |(key, _)| *key).ok()
    }

    /// Returns how much the collector has of a segment, `None` where it has nothing of it.
    pub(super) fn known(&self, key: &SegmentKey) -> Option<usize> {
        Some(self.segments.get(self.find(key)?)?.1 as usize)
    }

    /// Notes that a segment is kept again, as it has grown.
    pub(super) fn forget(&mut self, key: &SegmentKey) {
        let Some(idx) = self.find(key) else { return };
        let (_, len) = self.segments.remove(idx);
        self.amounts.n_segments -= 1;
        self.amounts.record_bytes -= u64::from(len);
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Receipts {
    by_trace: BTreeMap<TraceId, Receipt>,
    oldest: BTreeSet<(Nanos, TraceId)>,
    bytes: u64,
}

impl Receipts {
    pub(super) const fn new() -> Self {
        Self { by_trace: BTreeMap::new(), oldest: BTreeSet::new(), bytes: 0 }
    }

    /// Returns the memory in use.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Remembers a trace; forgets the oldest beyond `bytes_max`, and beyond `idle_max` while nothing more is awaited of the oldest.
    pub(super) fn add(
        &mut self,
        trace: TraceId,
        kept: &KeptTrace,
        [bytes_max, idle_max]: [u64; 2],
        lingers: &dyn Fn(TraceId) -> bool,
    ) {
        let receipt = Receipt::of(kept);
        self.bytes += receipt.cost();
        self.oldest.insert((receipt.fired, trace));
        self.by_trace.insert(trace, receipt);
        while let Some((_, oldest)) = self.oldest.first().copied()
            && (self.bytes > bytes_max || (self.bytes > idle_max && !lingers(oldest)))
        {
            self.take(oldest);
        }
    }

    /// Takes the receipt of a trace out.
    pub(super) fn take(&mut self, trace: TraceId) -> Option<Receipt> {
        let receipt = self.by_trace.remove(&trace)?;
        self.bytes -= receipt.cost();
        self.oldest.remove(&(receipt.fired, trace));
        Some(receipt)
    }

    /// Returns the receipt of a trace.
    pub(super) fn get(&self, trace: TraceId) -> Option<&Receipt> {
        self.by_trace.get(&trace)
    }
}
