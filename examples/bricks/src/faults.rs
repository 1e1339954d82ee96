//! Faults: what may go wrong in a visit on purpose, and which requests it happens to.
//!
//! The load generator decides, by a hash of the seed and the request's number; the request carries the decision; the service that it names
//! carries it out.

use crate::rpc;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub(crate) enum FaultKind {
    /// Nothing.
    #[default]
    None = 0,
    /// The visit takes longer.
    Slow = 1,
    /// The visit ends in an error.
    Error = 2,
    /// The handler panics.
    Panic = 3,
    /// The visit stays until its process is killed, at most some seconds.
    Park = 4,
}

/// A fault and the service where it acts, on the request's first visit there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Fault {
    /// What goes wrong.
    pub(crate) kind: FaultKind,
    /// The service's position in the topology.
    pub(crate) service_idx: u16,
}

impl FaultKind {
    /// Returns the kind of a byte, `None` for one that no kind has.
    pub(crate) fn from_u8(byte: u8) -> Option<Self> {
        [Self::None, Self::Slow, Self::Error, Self::Panic, Self::Park].into_iter().find(|kind| *kind as u8 == byte)
    }
}

impl From<rpc::FaultKind> for FaultKind {
    fn from(kind: rpc::FaultKind) -> Self {
        match kind {
            rpc::FaultKind::None => Self::None,
            rpc::FaultKind::Slow => Self::Slow,
            rpc::FaultKind::Error => Self::Error,
            rpc::FaultKind::Panic => Self::Panic,
            rpc::FaultKind::Park => Self::Park,
        }
    }
}

impl From<FaultKind> for rpc::FaultKind {
    fn from(kind: FaultKind) -> Self {
        match kind {
            FaultKind::None => Self::None,
            FaultKind::Slow => Self::Slow,
            FaultKind::Error => Self::Error,
            FaultKind::Panic => Self::Panic,
            FaultKind::Park => Self::Park,
        }
    }
}
