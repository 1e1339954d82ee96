//! Faults: what may go wrong in a visit on purpose, and which requests it happens to.
//!
//! The load generator decides, by a hash of the seed and the request's number; the request carries the decision; the service that it names
//! carries it out.

use crate::hash;
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
    /// Returns what people call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Slow => "slow",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Park => "park",
        }
    }

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

/// How many requests get a fault, of all from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Shares {
    /// That are slow.
    pub(crate) slow: f64,
    /// That fail.
    pub(crate) error: f64,
    /// Whose handler panics.
    pub(crate) panic: f64,
}

/// Keeps the hashes of this file apart from others of the same request.
const KIND_SALT: u64 = 0x6b69_6e64;
const PLACE_SALT: u64 = 0x706c_6163;

impl Shares {
    /// Says whether these are shares, together too.
    pub(crate) fn are_valid(&self) -> bool {
        [self.slow, self.error, self.panic, self.slow + self.error + self.panic]
            .into_iter()
            .all(|share| (0.0..=1.0).contains(&share))
    }

    /// Returns what request `number` of the run with `seed` carries.
    pub(crate) fn decide(&self, seed: u64, number: u64) -> FaultKind {
        let drawn = hash::share(hash::join(hash::join(seed, KIND_SALT), number));
        if drawn < self.slow {
            FaultKind::Slow
        } else if drawn < self.slow + self.error {
            FaultKind::Error
        } else if drawn < self.slow + self.error + self.panic {
            FaultKind::Panic
        } else {
            FaultKind::None
        }
    }
}

/// Returns a fault of `kind` at one of the services that the request visits, so that it will act there; none where it visits nobody.
pub(crate) fn place(kind: FaultKind, seed: u64, number: u64, visited: &[u16]) -> Fault {
    let drawn = hash::share(hash::join(hash::join(seed, PLACE_SALT), number));
    match visited.get((drawn * visited.len() as f64) as usize) {
        Some(service_idx) if kind != FaultKind::None => Fault { kind, service_idx: *service_idx },
        _ => Fault::default(),
    }
}

#[cfg(test)]
mod tests;
