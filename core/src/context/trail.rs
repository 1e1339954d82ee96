//! The trail of a request: the agents of the hosts that it came through, and what fired on the way.
//!
//! It is the value of the `tracestate` member `bks`:
//! `1<flags>:<crumb>(.<crumb>)*[:<trigger>(.<trigger>)]`, as in `13:0k3m9zq.17h2c4t:2v8r1xa`.

use crate::ids::{AgentId, TriggerId, base32, parse_base32_digits};

/// Crumbs that a trail carries at most, newest first.
pub const CRUMBS_MAX: usize = 5;
/// Triggers that a trail carries at most.
pub const TRIGGERS_MAX: usize = 2;
/// Bytes of the longest trail: version and flags, five crumbs, two triggers.
pub const TRAIL_BYTES_MAX: usize = 2 + 8 * CRUMBS_MAX + 8 * TRIGGERS_MAX;

/// Bytes of a crumb or trigger with the separator before it.
const ITEM_BYTES: usize = 8;

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
    /// Returns the trail of `crumbs`, newest first, and `triggers`, each up to the first that names nothing or that there is no room for.
    #[inline]
    pub fn new(flags: TrailFlags, crumbs: &[AgentId], triggers: &[TriggerId]) -> Self {
        let mut trail = Self { flags, ..Self::default() };
        for (place, crumb) in trail.crumbs.iter_mut().zip(crumbs.iter().take_while(|crumb| !crumb.is_none())) {
            *place = *crumb;
            trail.n_crumbs += 1;
        }
        for (place, trigger) in trail.triggers.iter_mut().zip(triggers.iter().take_while(|trigger| trigger.0 != 0)) {
            *place = *trigger;
            trail.n_triggers += 1;
        }
        trail
    }

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
            let [first, second, third, fourth, _] = self.crumbs;
            self.crumbs = [agent, first, second, third, fourth];
            self.n_crumbs += 1;
        }
        self.n_crumbs = self.n_crumbs.min(path_len as u8);
        for (idx, crumb) in self.crumbs.iter_mut().enumerate() {
            if idx >= usize::from(self.n_crumbs) {
                *crumb = AgentId::NONE; // equal trails are equal in all their places
            }
        }
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
        Self::parse_start(value).filter(|(_, len)| *len == value.len()).map(|(trail, _)| trail)
    }

    /// Reads the trail that `value` starts with; returns also its length. What follows is the caller's to judge.
    #[inline]
    pub(super) fn parse_start(value: &[u8]) -> Option<(Self, usize)> {
        let (head, ids) = value.split_first_chunk::<2>()?;
        let flags = match head {
            [b'1', digit @ b'0'..=b'7'] => digit - b'0',
            _ => return None,
        };
        let mut trail = Self { flags: TrailFlags(flags), ..Self::default() };
        let mut len = head.len();
        let mut all_good = true;
        let mut n_lists = 0;
        for item in ids.as_chunks::<ITEM_BYTES>().0 {
            match item[0] {
                b':' => n_lists += 1,
                b'.' if n_lists > 0 => {}
                _ => break,
            }
            let [_, digits @ ..] = item;
            let id = parse_base32_digits(digits);
            all_good &= id.is_some_and(|id| id != 0);
            let id = id.unwrap_or_default();
            match n_lists {
                1 => {
                    *trail.crumbs.get_mut(usize::from(trail.n_crumbs))? = AgentId(id);
                    trail.n_crumbs += 1;
                }
                2 => {
                    *trail.triggers.get_mut(usize::from(trail.n_triggers))? = TriggerId(id);
                    trail.n_triggers += 1;
                }
                _ => return None,
            }
            len += ITEM_BYTES;
        }
        (all_good && trail.n_crumbs > 0).then_some((trail, len))
    }

    /// Writes the value of the member to `out` and returns its length; a trail without crumbs writes nothing.
    #[inline]
    pub fn format(&self, out: &mut [u8; TRAIL_BYTES_MAX]) -> usize {
        if self.n_crumbs == 0 {
            return 0;
        }
        let Some((head, items)) = out.split_first_chunk_mut::<2>() else { return 0 };
        *head = [b'1', b'0' + self.flags.0];
        let ids = self.crumbs().iter().map(|crumb| crumb.0).chain(self.triggers().iter().map(|trigger| trigger.0));
        let mut n_items = 0;
        for (idx, (item, id)) in items.as_chunks_mut::<ITEM_BYTES>().0.iter_mut().zip(ids).enumerate() {
            let [separator, digits @ ..] = item;
            *separator = if idx == 0 || idx == usize::from(self.n_crumbs) { b':' } else { b'.' };
            *digits = base32(id);
            n_items = idx + 1;
        }
        head.len() + ITEM_BYTES * n_items
    }
}
