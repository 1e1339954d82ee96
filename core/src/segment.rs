//! Segments as an agent copies them out of a region: the unit that is kept, reported and assembled into a trace.

use crate::clock::CalibrationPoint;
use crate::ids::{AgentId, RegionId, StringId, TraceId};

/// Where a segment was written: names it once and for all, so that duplicates are recognised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SegmentKey {
    /// The region.
    pub region: RegionId,
    /// The chunk within the region: `lease << 6 | bit`.
    pub chunk: u32,
    /// How often the chunk had been granted.
    pub generation: u32,
    /// Where its SEG record stands in the chunk, in bytes.
    pub offset: u32,
}

/// One segment, whole or as far as it was committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Its place.
    pub key: SegmentKey,
    /// The thread slot that wrote it.
    pub slot: u32,
    /// The thread, as its process numbers it.
    pub tid: u32,
    /// The chunk that the same thread filled before this one, [`Segment::NO_CHUNK`] for none.
    pub prev_chunk: u32,
    /// Its records back to back, the SEG record first.
    pub bytes: Vec<u8>,
}

impl Segment {
    /// The value of [`Segment::prev_chunk`] in a thread's first chunk.
    pub const NO_CHUNK: u32 = u32::MAX;
}

/// How a process ended, as far as its agent knows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LastWords {
    /// The fatal signal's number, 0 where the process left no words (SIGKILL).
    pub signal: u32,
    /// The faulting address, where the signal has one.
    pub address: u64,
    /// The instruction.
    pub instruction: u64,
    /// The trace that the dying thread worked for.
    pub trace: TraceId,
    /// Ticks when it was written.
    pub ticks: u64,
    /// Return addresses, innermost first.
    pub frames: Vec<u64>,
}

/// The process behind segments: what is needed to read them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Process {
    /// Its agent.
    pub agent: AgentId,
    /// Its region.
    pub region: RegionId,
    /// Its id on its host.
    pub pid: u32,
    /// The service that it said it is.
    pub service: String,
    /// Whether it has ended, and how.
    pub death: Option<LastWords>,
    /// The interned strings that the segments name, by id, ascending.
    pub strings: Vec<(StringId, String)>,
    /// The calibration points around the segments.
    pub clock: Vec<CalibrationPoint>,
}

/// What one process wrote for one trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Slice {
    /// The process.
    pub process: Process,
    /// Its segments, in no order.
    pub segments: Vec<Segment>,
}
