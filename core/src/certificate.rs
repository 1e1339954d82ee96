//! The completeness certificate: what a stored trace says about itself, and why.
//!
//! Computed by the collector from what agents answered and what arrived; shown to people beside every trace.

use crate::holding::{HoldingState, LossInterval};
use crate::ids::AgentId;

/// The version of the rules below. A certificate of a later version is shown as it is, never believed to be complete.
pub const CERTIFICATE_VERSION: u32 = 1;

/// Whether a trace is complete.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Verdict {
    /// Somebody who was asked has not answered yet, or nobody was asked.
    #[default]
    Unknown = 1,
    /// Something is missing, and it is known what.
    Partial = 2,
    /// Everything that was recorded, anywhere, is here.
    Complete = 3,
}

impl Verdict {
    /// Returns the verdict with code `code`.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Unknown),
            2 => Some(Self::Partial),
            3 => Some(Self::Complete),
            _ => None,
        }
    }

    /// Returns the name that people read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Partial => "partial",
            Self::Complete => "complete",
        }
    }
}

/// Declares the reasons once: code, name and what it means.
macro_rules! gaps {
    ($($(#[doc = $doc:literal])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// Why a trace is not complete.
        ///
        /// # Shape
        /// Codes stand on the wire and never change.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum GapKind {
            $($(#[doc = $doc])* $variant = $code,)*
        }

        impl GapKind {
            /// Every kind, in the order of the codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the kind with code `code`.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// Returns the name that people read.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

gaps! {
    /// An agent that a crumb named has not answered, and was asked a moment ago.
    Unanswered = 1, "unanswered";
    /// An agent that a crumb named did not answer in time; its answer still counts when it comes.
    Unreachable = 2, "unreachable";
    /// An agent announced segments that have not arrived.
    SegmentsMissing = 3, "segments_missing";
    /// Less than full detail was recorded.
    Detail = 4, "detail";
    /// Records were lost on a host while the trace was active there.
    Loss = 5, "loss";
    /// The trace had left the horizon of a host.
    Evicted = 6, "evicted";
    /// A limit refused the trace on a host.
    Refused = 7, "refused";
    /// A host gave the trace up for others of higher priority.
    Abandoned = 8, "abandoned";
    /// The trace was larger than one trace may be.
    TooLarge = 9, "too_large";
    /// A call went out, no answer came, and no callee was found.
    NoAnswer = 10, "no_answer";
    /// A crumb points to a host that knows nothing of it.
    OneEnded = 11, "one_ended";
    /// Some of what arrived cannot be read.
    Malformed = 12, "malformed";
    /// Threads still work for the trace.
    InProgress = 13, "in_progress";
    /// More agents, or more crumbs, than are followed for one trace.
    TooMany = 14, "too_many";
    /// Nobody has anything of the trace, or nobody was asked.
    NothingFound = 15, "nothing_found";
}

/// One reason why a trace is not complete, on one host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Gap {
    /// What.
    pub kind: GapKind,
    /// Where, [`AgentId::NONE`] where no one agent is meant.
    pub agent: AgentId,
    /// How many segments, records, calls or crumbs, by the kind; 0 where it cannot be counted.
    pub n: u64,
}

/// Whether an agent that was asked has answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Contact {
    /// It was asked a moment ago.
    #[default]
    Asked = 1,
    /// It has answered, or came by itself.
    Answered = 2,
    /// It is known and did not answer in time.
    Unreachable = 3,
    /// No agent of that id has been here.
    Unknown = 4,
}

impl Contact {
    /// Returns the contact with code `code`.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Asked),
            2 => Some(Self::Answered),
            3 => Some(Self::Unreachable),
            4 => Some(Self::Unknown),
            _ => None,
        }
    }

    /// Returns the name that people read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Answered => "answered",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }
}

/// Segments and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Amount {
    /// How many segments.
    pub n_segments: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

/// The part of one agent in a trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AgentPart {
    /// The agent.
    pub agent: AgentId,
    /// Whether it answered.
    pub contact: Contact,
    /// What it said, `None` until it answered.
    pub state: Option<HoldingState>,
    /// What it said it has.
    pub announced: Amount,
    /// What arrived.
    pub received: Amount,
    /// How far back it could look, in milliseconds.
    pub horizon_ms: Option<u64>,
    /// What was lost on its host near the trace.
    pub losses: Vec<LossInterval>,
}

/// What a trace says about its own completeness.
///
/// # Shape
/// `gaps` is empty if and only if the verdict is complete; `agents` and `gaps` ascend.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Certificate {
    /// The rules that it follows.
    pub version: u32,
    /// Whether the trace is complete.
    pub verdict: Verdict,
    /// Why not.
    pub gaps: Vec<Gap>,
    /// Every agent that was reached or named.
    pub agents: Vec<AgentPart>,
    /// The epoch of the cluster's seed by which hosts agreed on what to keep.
    pub seed_epoch: u64,
}
