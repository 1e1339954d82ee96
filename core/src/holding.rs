//! What one host says that it has of one trace: the unit of answers to a collector, and the ground of every certificate.
//!
//! Made by agents, carried by `proto`, judged by the collector.

use crate::ids::{AgentId, SpanId, TraceId};
use crate::record::CrumbDirection;
use crate::telemetry::DropReason;

/// Crumbs that one holding names at most; what is beyond is in the segments themselves.
pub const CRUMBS_MAX: usize = 256;
/// Intervals of loss that one holding names at most; beyond, they are merged.
pub const LOSSES_MAX: usize = 16;

/// The detail of a holding where the host did not record such traces at all, for a time at least.
pub const DETAIL_UNRECORDED: u8 = 4;

/// Deaths that one holding names at most: the newest.
pub const DEATHS_MAX: usize = 16;

/// How far a trace has come on a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum HoldingState {
    /// Nothing of it was ever seen there, as far as the agent can look back.
    #[default]
    NeverSeen = 1,
    /// Its segments are copied out, and are or will be reported.
    Kept = 2,
    /// It was there, and had left the horizon.
    Evicted = 3,
    /// The trigger's limit refused it.
    Refused = 4,
    /// It was given up again for traces of higher priority.
    Abandoned = 5,
}

impl HoldingState {
    /// Every state, in the order of the codes.
    pub const ALL: [Self; 5] = [Self::NeverSeen, Self::Kept, Self::Evicted, Self::Refused, Self::Abandoned];

    /// Returns the state with code `code`.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u8 == code)
    }

    /// Returns the name that people read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NeverSeen => "never_seen",
            Self::Kept => "kept",
            Self::Evicted => "evicted",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A crumb that a host found in a trace, as it points away from there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CrumbTo {
    /// The agent to ask next, never the unknown one.
    pub agent: AgentId,
    /// Which way the request went.
    pub direction: CrumbDirection,
    /// The span that made the call, 0 for none.
    pub span: SpanId,
}

/// Records that were given up on a host, by any of its threads, while a trace may have been active there; or, as `corrupt`, that cannot be read,
/// of a process in which the trace may have been.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LossInterval {
    /// The first, in nanoseconds since 1970.
    pub first_ns: u64,
    /// The last, never before the first.
    pub last_ns: u64,
    /// Why; `None` where the reason is of a later version.
    pub reason: Option<DropReason>,
    /// How many.
    pub n_records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What one host has of one trace, at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Holding {
    /// The trace.
    pub trace: TraceId,
    /// How far it has come.
    pub state: HoldingState,
    /// Grows with every change on that agent, across its restarts too; a holding with a lower one is out of date.
    pub revision: u64,
    /// Whether it waits behind others for an uplink that does not keep up: nothing of it has been reported, and it may be given up before it is.
    pub waits: bool,
    /// Segments that are copied out.
    pub n_segments: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Segments that their threads may still write to.
    pub n_open: u64,
    /// Segments that were left out because the trace was larger than one trace may be.
    pub n_left_out: u64,
    /// Segments that were overwritten before anybody asked for them, at least.
    pub n_evicted: u64,
    /// Since when the host remembered of which traces it overwrote segments, in nanoseconds since 1970, when it first looked for this one: of
    /// what ended before it cannot say whether there was any.
    pub remembers_since_ns: u64,
    /// What was left out: 0 for nothing, 1 to 3 for the lowest detail level of which records were, [`DETAIL_UNRECORDED`].
    pub detail: u8,
    /// How far back the agent could look then, in milliseconds; `None` until anything was overwritten.
    pub horizon_ms: Option<u64>,
    /// Where to ask next, ascending, at most [`CRUMBS_MAX`].
    pub crumbs: Vec<CrumbTo>,
    /// What was lost on the host near the trace, or since where its process damaged it; ascending, at most [`LOSSES_MAX`].
    pub losses: Vec<LossInterval>,
    /// Since when the host has missed nothing, in nanoseconds since 1970: whatever it recorded later for the trace was there when it looked.
    /// What is older may have been overwritten by then, lost for want of room, or recorded before its agent started. `None` where that is
    /// not known.
    pub whole_since_ns: Option<u64>,
    /// When the agent last looked through everything that is retained for the trace, in nanoseconds since 1970, 0 for never: what is recorded later
    /// it finds by and by, and tells, if it lives.
    pub looked_ns: u64,
    /// When processes of the host died lately, whether they wrote for the trace or not, in nanoseconds since 1970, ascending, at most
    /// [`DEATHS_MAX`].
    pub deaths_ns: Vec<u64>,
}
