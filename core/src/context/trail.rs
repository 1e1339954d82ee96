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
    /// Returns the trail of `crumbs`, newest first, and `triggers`, each up to the first that names nothing.
    #[inline(always)] // as `TraceState::parse`
    pub fn new(flags: TrailFlags, crumbs: [AgentId; CRUMBS_MAX], triggers: [TriggerId; TRIGGERS_MAX]) -> Self {
        let n_crumbs = crumbs.iter().take_while(|crumb| !crumb.is_none()).count();
        let n_triggers = triggers.iter().take_while(|trigger| trigger.0 != 0).count();
        let crumbs = std::array::from_fn(|idx| if idx < n_crumbs { crumbs[idx] } else { AgentId::NONE });
        let triggers = std::array::from_fn(|idx| if idx < n_triggers { triggers[idx] } else { TriggerId::default() });
        Self { flags, crumbs, n_crumbs: n_crumbs as u8, triggers, n_triggers: n_triggers as u8 }
    }

    /// Returns the places for crumbs, newest first; those that are not taken hold [`AgentId::NONE`].
    #[inline]
    pub const fn crumb_places(&self) -> [AgentId; CRUMBS_MAX] {
        self.crumbs
    }

    /// Returns the places for triggers; those that are not taken hold 0.
    #[inline]
    pub const fn trigger_places(&self) -> [TriggerId; TRIGGERS_MAX] {
        self.triggers
    }

    /// Returns the agents that the request came through, newest first.
    #[inline]
    pub fn crumbs(&self) -> &[AgentId] {
        &self.crumbs[..usize::from(self.n_crumbs)]
    }

    /// Returns the triggers that fired on the way.
    #[inline]
    pub fn triggers(&self) -> &[TriggerId] {
        &self.triggers[..usize::from(self.n_triggers)]
    }

    /// Puts `agent` in front, as the newest, and keeps the newest `path_len` (1 to [`CRUMBS_MAX`]).
    ///
    /// The newest crumb being `agent` already, nothing changes: a request that hops within a host leaves one crumb.
    #[inline(always)] // as `TraceState::parse`
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
    #[inline(always)] // as `TraceState::parse`
    pub(super) fn parse_start(value: &[u8]) -> Option<(Self, usize)> {
        let (head, ids) = value.split_first_chunk::<2>()?;
        let flags = match head {
            [b'1', digit @ b'0'..=b'7'] => digit - b'0',
            _ => return None,
        };
        let items = ids.as_chunks::<ITEM_BYTES>().0;
        let (n_crumbs, n_triggers) = n_items(items)?;
        // Each id by its own place, so that none goes through memory before it stands where it belongs.
        let mut all_good = true;
        let mut id = |idx: usize, is_there: bool| match items.get(idx) {
            Some([_, digits @ ..]) if is_there => {
                let id = parse_base32_digits(digits).unwrap_or(0);
                all_good &= id != 0;
                id
            }
            _ => 0,
        };
        let crumbs = [id(0, true), id(1, 1 < n_crumbs), id(2, 2 < n_crumbs), id(3, 3 < n_crumbs), id(4, 4 < n_crumbs)];
        let triggers = [id(n_crumbs, n_triggers > 0), id(n_crumbs + 1, n_triggers > 1)];
        let len = head.len() + ITEM_BYTES * (n_crumbs + n_triggers);
        let (n_crumbs, n_triggers) = (n_crumbs as u8, n_triggers as u8);
        let (crumbs, triggers) = (crumbs.map(AgentId), triggers.map(TriggerId));
        all_good.then_some((Self { flags: TrailFlags(flags), crumbs, n_crumbs, triggers, n_triggers }, len))
    }

    /// Writes the value of the member to `out` and returns its length; a trail without crumbs writes nothing.
    #[inline]
    pub fn format(&self, out: &mut [u8; TRAIL_BYTES_MAX]) -> usize {
        if self.n_crumbs == 0 {
            return 0;
        }
        let Some((head, items)) = out.split_first_chunk_mut::<2>() else { return 0 };
        *head = [b'1', b'0' + self.flags.0];
        let mut items = items.as_chunks_mut::<ITEM_BYTES>().0.iter_mut();
        let mut put = |id: u32, is_first: bool| {
            if let Some([separator, digits @ ..]) = items.next() {
                *separator = if is_first { b':' } else { b'.' };
                *digits = base32(id);
            }
        };
        for (idx, crumb) in self.crumbs().iter().enumerate() {
            put(crumb.0, idx == 0);
        }
        for (idx, trigger) in self.triggers().iter().enumerate() {
            put(trigger.0, idx == 0);
        }
        head.len() + ITEM_BYTES * (usize::from(self.n_crumbs) + usize::from(self.n_triggers))
    }
}

/// Returns how many crumbs and triggers `items` begins with, by their separators; `None` where these are not a trail's.
#[inline]
fn n_items(items: &[[u8; ITEM_BYTES]]) -> Option<(usize, usize)> {
    let list = |from: usize| {
        let rest = items.get(from..).unwrap_or_default();
        let begins = rest.first().is_some_and(|item| item[0] == b':');
        let n_more = rest.iter().skip(1).take_while(|item| item[0] == b'.').count();
        if begins { 1 + n_more } else { 0 }
    };
    let n_crumbs = list(0);
    let n_triggers = list(n_crumbs);
    ((1..=CRUMBS_MAX).contains(&n_crumbs) && n_triggers <= TRIGGERS_MAX).then_some((n_crumbs, n_triggers))
}
