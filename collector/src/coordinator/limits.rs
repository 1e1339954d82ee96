//! What bounds the coordinator, what it counts, and why it refuses.
//!
//! Read by the coordinator's parts; the shell exports the counts and sends the refusals. Nothing here decides.

use backsight_core::units::Nanos;

/// Groups that are followed at a time; beyond, those of lowest priority are refused.
pub const GROUPS_MAX: usize = 100_000;
/// Agents of one trace; beyond, its view is overfull.
pub const AGENTS_PER_TRACE_MAX: usize = 1024;
/// Collects that wait for one agent; beyond, those of lowest priority are given up.
pub const COLLECTS_QUEUED_MAX: usize = 10_000;
/// Collects that one agent has and has not answered: what is sent to an agent before it says anything is bounded by this.
pub const COLLECTS_IN_FLIGHT_MAX: usize = 1024;
/// Groups that one trace may belong to: a base beyond is refused, a lateral is left out.
pub const GROUPS_PER_TRACE_MAX: usize = 64;
/// Agents that are remembered without being connected.
pub const AGENTS_MAX: usize = 65_536;
/// Agents over all traces, the bound on memory: some 200 bytes each and 100 more a crumb. Beyond, views are overfull.
pub const PARTS_MAX: usize = 2_000_000;
/// An agent that has not answered after this is unreachable; its answer still counts when it comes.
pub const ANSWER_TIMEOUT: Nanos = Nanos::from_ms(5_000);
/// How long after a process's death the agents of its traces are asked once more: a call of its last moment, two clocks that differ by a second,
/// and the second by which certificates allow for that.
pub const ASK_AGAIN: Nanos = Nanos::from_ms(2_500);
/// A group ends when this long nothing new was heard of it.
pub const GROUP_LIFE: Nanos = Nanos::from_ms(60_000);

/// The bounds of a coordinator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// See [`GROUPS_MAX`].
    pub groups_max: usize,
    /// See [`AGENTS_PER_TRACE_MAX`].
    pub agents_per_trace_max: usize,
    /// See [`COLLECTS_QUEUED_MAX`].
    pub collects_queued_max: usize,
    /// See [`COLLECTS_IN_FLIGHT_MAX`].
    pub collects_in_flight_max: usize,
    /// See [`GROUPS_PER_TRACE_MAX`].
    pub groups_per_trace_max: usize,
    /// See [`AGENTS_MAX`].
    pub agents_max: usize,
    /// See [`PARTS_MAX`].
    pub parts_max: usize,
    /// See [`ANSWER_TIMEOUT`].
    pub answer_timeout: Nanos,
    /// See [`ASK_AGAIN`].
    pub ask_again: Nanos,
    /// See [`GROUP_LIFE`].
    pub group_life: Nanos,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            groups_max: GROUPS_MAX,
            agents_per_trace_max: AGENTS_PER_TRACE_MAX,
            collects_queued_max: COLLECTS_QUEUED_MAX,
            collects_in_flight_max: COLLECTS_IN_FLIGHT_MAX,
            groups_per_trace_max: GROUPS_PER_TRACE_MAX,
            agents_max: AGENTS_MAX,
            parts_max: PARTS_MAX,
            answer_timeout: ANSWER_TIMEOUT,
            ask_again: ASK_AGAIN,
            group_life: GROUP_LIFE,
        }
    }
}

/// Why an announcement is not followed. The agent need not repeat it: it would be refused again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum Refusal {
    /// It names no trace.
    #[error("the announcement names no trace")]
    NoTrace,
    /// As many groups as there may be are followed, and all have a higher priority.
    #[error("too many groups are followed, all of higher priority")]
    GroupsFull,
    /// The symptomatic trace belongs to as many groups as it may.
    #[error("too many triggers fired for this trace")]
    TraceBusy,
}

macro_rules! counts {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// What happened since the start.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Counts {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Counts {
            /// Returns every count with the name under which it is exported.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counts! {
    /// Announcements that came, repeated and refused ones included.
    announcements,
    /// Groups that were begun.
    groups_started,
    /// Groups that ended because nothing new was heard of them.
    groups_ended,
    /// Collects that were sent, repeated ones included.
    collects_sent,
    /// Times that an agent was told what to do with its part of a trace, by what others do with theirs.
    advice,
    /// Collects that were sent again because the agent had been away.
    collects_resent,
    /// Agents that were asked once more because a process had died.
    collects_again,
    /// Times that an agent was asked and did not answer in time.
    timeouts,
    /// Refused: announcements without a trace.
    refused_no_trace,
    /// Refused: groups of lower priority than all of the many that are followed.
    refused_groups_full,
    /// Refused: groups that were followed, and gave way to one of higher priority.
    refused_displaced,
    /// Refused: groups whose base trace belongs to too many others.
    refused_trace_busy,
    /// Refused: laterals beyond what one group, or one trace, may have.
    refused_laterals,
    /// Refused: agents beyond what one trace, or all together, may have.
    refused_agents,
    /// Refused: Collects of the lowest priority for an agent for which too many wait.
    refused_collects,
    /// Refused: agents that would have to be remembered, beyond the bound.
    refused_remembered,
    /// Passed over: holdings that are older than what is known.
    holdings_stale,
    /// Passed over: holdings of traces that no group follows.
    holdings_unfollowed,
    /// Answers to groups that have ended, or that the agent was not asked for; their holdings count.
    answers_unasked,
}
