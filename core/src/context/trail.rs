//! The trail of a request: the agents of the hosts that it came through, and what fired on the way.
//!
//! It is the value of the `tracestate` member `bks`:
//! `1<flags>:<crumb>(.<crumb>)*[:<trigger>(.<trigger>)]`, as in `13:0k3m9zq.17h2c4t:2v8r1xa`.

use crate::ids::{AgentId, TriggerId, base32, parse_base32};

/// Crumbs that a trail carries at most, newest first.
pub const CRUMBS_MAX: usize = 5;
/// Triggers that a trail carries at most.
pub const TRIGGERS_MAX: usize = 2;
/// Bytes of the longest trail: version and flags, five crumbs, two triggers.
pub const TRAIL_BYTES_MAX: usize = 2 + 8 * CRUMBS_MAX + 8 * TRIGGERS_MAX;

/// Digits of a crumb or trigger.
const ID_BYTES: usize = 7;

/// What travels beside the crumbs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TrailFlags(u8);

impl TrailFlags {
    /// A trigger has fired for the trace.
    pub const FIRED: Self = Self(1);
    /// The trace is recorded.
    pub const RECORDED: Self = Self(2);
    /// The trace is kept from its first hop on.
    pub const HEAD_KEPT: Self = Self(4);

    /// Returns whether all of `flags` are set.
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Returns these flags and `flags`.
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }
}

/// The trail of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trail {
    /// What travels beside the crumbs.
    pub flags: TrailFlags,
    crumbs: [AgentId; CRUMBS_MAX],
    n_crumbs: u8,
    triggers: [TriggerId; TRIGGERS_MAX],
    n_triggers: u8,
}

impl Trail {
    /// Returns the agents that the request came through, newest first.
    pub fn crumbs(&self) -> &[AgentId] {
        &self.crumbs[..usize::from(self.n_crumbs)]
    }

    /// Returns the triggers that fired on the way.
    pub fn triggers(&self) -> &[TriggerId] {
        &self.triggers[..usize::from(self.n_triggers)]
    }

    /// Puts `agent` in front, as the newest, and keeps the newest `path_len` (1 to [`CRUMBS_MAX`]).
    ///
    /// The newest crumb being `agent` already, nothing changes: a request that hops within a host leaves one crumb.
    pub fn leave(&mut self, agent: AgentId, path_len: usize) {
        let path_len = path_len.clamp(1, CRUMBS_MAX);
        if self.crumbs().first() != Some(&agent) {
            self.crumbs.copy_within(..CRUMBS_MAX - 1, 1);
            self.crumbs[0] = agent;
            self.n_crumbs += 1;
        }
        self.n_crumbs = self.n_crumbs.min(path_len as u8);
        self.crumbs[usize::from(self.n_crumbs)..].fill(AgentId::NONE); // equal trails are equal in all their places
    }

    /// Notes that `trigger` fired; beyond [`TRIGGERS_MAX`] only the flag says so.
    pub fn fire(&mut self, trigger: TriggerId) {
        self.flags = self.flags.with(TrailFlags::FIRED);
        if self.triggers().contains(&trigger) {
            return;
        }
        if let Some(free) = self.triggers.get_mut(usize::from(self.n_triggers)) {
            *free = trigger;
            self.n_triggers += 1;
        }
    }

    /// Reads the value of the member; `None` where it is malformed, or of another version.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, mut rest) = value.split_first_chunk::<2>()?;
        let flags = match head {
            [b'1', digit @ b'0'..=b'7'] => digit - b'0',
            _ => return None,
        };
        let mut trail = Self { flags: TrailFlags(flags), ..Self::default() };
        let mut crumbs = Ids { rest: &mut rest, first: b':' };
        while let Some(id) = crumbs.next()? {
            *trail.crumbs.get_mut(usize::from(trail.n_crumbs))? = AgentId(id);
            trail.n_crumbs += 1;
        }
        let mut triggers = Ids { rest: &mut rest, first: b':' };
        while let Some(id) = triggers.next()? {
            *trail.triggers.get_mut(usize::from(trail.n_triggers))? = TriggerId(id);
            trail.n_triggers += 1;
        }
        (rest.is_empty() && trail.n_crumbs > 0).then_some(trail)
    }

    /// Writes the value of the member to `out` and returns its length; a trail without crumbs writes nothing.
    pub fn format(&self, out: &mut [u8; TRAIL_BYTES_MAX]) -> usize {
        if self.n_crumbs == 0 {
            return 0;
        }
        out[0] = b'1';
        out[1] = b'0' + self.flags.0;
        let mut len = 2;
        let mut put = |separator, id| {
            out[len] = separator;
            out[len + 1..len + 1 + ID_BYTES].copy_from_slice(&base32(id));
            len += 1 + ID_BYTES;
        };
        for (i, crumb) in self.crumbs().iter().enumerate() {
            put(if i == 0 { b':' } else { b'.' }, crumb.0);
        }
        for (i, trigger) in self.triggers().iter().enumerate() {
            put(if i == 0 { b':' } else { b'.' }, trigger.0);
        }
        len
    }
}

/// A list of ids: a `:`, an id, and as many times a `.` and an id.
struct Ids<'r, 'a> {
    rest: &'r mut &'a [u8],
    first: u8,
}

impl Ids<'_, '_> {
    /// Returns the next id, `Some(None)` at the end of the list, and `None` where what follows the separator is no id.
    #[expect(clippy::option_option, reason = "the end of the list is no error, and the other is")]
    fn next(&mut self) -> Option<Option<u32>> {
        if self.rest.first() != Some(&self.first) {
            return Some(None);
        }
        let (id, rest) = self.rest[1..].split_at_checked(ID_BYTES)?;
        *self.rest = rest;
        self.first = b'.';
        parse_base32(id).map(Some)
    }
}
