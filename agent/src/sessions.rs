//! The sessions of processes with this agent: who is connected, since when, and what bounds their number.
//!
//! Called by the daemon's loop. Holds descriptors, knows no shared memory.

pub mod expelled;
pub mod peer;
pub mod socket;

use backsight_core::units::Nanos;
use peer::Peer;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// How long a connection may stay silent before it is closed.
pub const HELLO_WITHIN: Nanos = Nanos::from_ms(5_000);

/// A connected process.
#[derive(Debug)]
pub struct Session {
    /// Its socket; gone once the process closed it, though the process may run and write on.
    pub socket: Option<OwnedFd>,
    /// Who it is.
    pub peer: Peer,
    /// Rung by the process while the agent sleeps; made with the region.
    pub doorbell: Option<OwnedFd>,
    /// Its position in the recorder, once it has a region.
    pub member: Option<u32>,
    /// Whether it said goodbye.
    pub said_goodbye: bool,
    /// Descriptors that were sent to it.
    pub n_attached: u32,
    /// When it connected.
    pub connected: Nanos,
}

/// How many sessions there may be.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// In all.
    pub sessions_max: u32,
    /// Of one user.
    pub sessions_per_uid: u32,
}

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// All sessions are taken.
    #[error("all {limit} sessions of this agent are taken (pool.sessions_max)")]
    Full {
        /// The bound.
        limit: u32,
    },
    /// The user has all that one user may have.
    #[error("user {uid} has all {limit} sessions that one user may have (pool.sessions_per_uid)")]
    UserFull {
        /// The user.
        uid: u32,
        /// The bound.
        limit: u32,
    },
    /// The client was built for another layout.
    #[error(
        "the agent has shared-memory ABI {}.{}, the program {}.{}: rebuild the program or update the agent",
        .agent >> 16, .agent & 0xffff, .client >> 16, .client & 0xffff
    )]
    Abi {
        /// The agent's version.
        agent: u32,
        /// The client's.
        client: u32,
    },
}

/// Why a connection ended on which no hello came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unheard {
    /// It was closed by the agent after [`HELLO_WITHIN`].
    TooLate,
    /// The client closed it, or died.
    Left,
}

impl Unheard {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::TooLate, Self::Left];

    /// Returns the name under which it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLate => "too_late",
            Self::Left => "left",
        }
    }
}

/// The sessions of an agent, by number; numbers are used again.
#[derive(Debug)]
pub struct Sessions {
    limits: SessionLimits,
    table: Vec<Option<Session>>,
    n_sessions: u32,
    per_uid: BTreeMap<u32, u32>,
    n_unheard: [u64; Unheard::ALL.len()],
}

impl Sessions {
    /// Returns an empty table.
    pub const fn new(limits: SessionLimits) -> Self {
        Self { limits, table: Vec::new(), n_sessions: 0, per_uid: BTreeMap::new(), n_unheard: [0; Unheard::ALL.len()] }
    }

    /// Adds a session; returns its number.
    ///
    /// # Errors
    /// All sessions are taken, or all of that user.
    pub fn add(&mut self, session: Session) -> Result<u32, (Session, Refusal)> {
        let uid = session.peer.uid;
        if self.n_sessions >= self.limits.sessions_max {
            return Err((session, Refusal::Full { limit: self.limits.sessions_max }));
        }
        let of_uid = self.per_uid.entry(uid).or_default();
        if *of_uid >= self.limits.sessions_per_uid {
            return Err((session, Refusal::UserFull { uid, limit: self.limits.sessions_per_uid }));
        }
        *of_uid += 1;
        self.n_sessions += 1;
        let number = self.table.iter().position(Option::is_none).unwrap_or(self.table.len());
        match self.table.get_mut(number) {
            Some(place) => *place = Some(session),
            None => self.table.push(Some(session)),
        }
        Ok(number as u32)
    }

    /// Removes a session; its descriptors close when it is dropped.
    pub fn remove(&mut self, number: u32) -> Option<Session> {
        let session = self.table.get_mut(number as usize)?.take()?;
        self.n_sessions -= 1;
        if let Some(of_uid) = self.per_uid.get_mut(&session.peer.uid) {
            *of_uid -= 1;
            if *of_uid == 0 {
                self.per_uid.remove(&session.peer.uid);
            }
        }
        Some(session)
    }

    /// Removes a session, whose end is `why` if no hello came on it.
    pub fn end(&mut self, number: u32, why: Unheard) -> Option<Session> {
        let session = self.remove(number)?;
        self.n_unheard[why as usize] += u64::from(session.member.is_none());
        Some(session)
    }

    /// Returns how many connections ended on which no hello came, by the names of the reasons.
    pub fn unheard(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Unheard::ALL.into_iter().map(|why| (why.name(), self.n_unheard[why as usize]))
    }

    /// Returns a session.
    pub fn get(&self, number: u32) -> Option<&Session> {
        self.table.get(number as usize)?.as_ref()
    }

    /// Returns a session.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Session> {
        self.table.get_mut(number as usize)?.as_mut()
    }

    /// Returns the session of a member of the recorder.
    pub fn of_member(&self, member: u32) -> Option<(u32, &Session)> {
        self.iter().find(|(_, session)| session.member == Some(member))
    }

    /// Returns the sessions that connected and never said hello.
    pub fn silent(&self, now: Nanos) -> Vec<u32> {
        let is_silent =
            |session: &Session| session.member.is_none() && now.0.saturating_sub(session.connected.0) > HELLO_WITHIN.0;
        self.iter().filter(|(_, session)| is_silent(session)).map(|(number, _)| number).collect()
    }

    /// Returns sessions whose process closed its socket and may write on, at most `n_max` from number `start` on.
    pub fn detached(&self, start: u32, n_max: usize) -> Vec<u32> {
        let is_detached = |session: &Session| session.socket.is_none();
        let from_start = self.iter().filter(|(number, session)| *number >= start && is_detached(session));
        from_start.map(|(number, _)| number).take(n_max).collect()
    }

    /// Returns all sessions with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Session)> {
        (0_u32..).zip(&self.table).filter_map(|(number, session)| Some((number, session.as_ref()?)))
    }
}
