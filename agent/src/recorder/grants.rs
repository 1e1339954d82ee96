//! Granting chunks ahead of need, and evicting the oldest data where the budget is used up.

use super::{Member, Now, Recorder};
use crate::demand::{PerClass, ReserveLimits, bytes_of, idx, max_min_level};
use crate::region::Free;
use crate::retention::Sealed;
use backsight_core::units::{Bytes, Nanos};
use backsight_ringbuf::abi::{ChunkId, Class};
use backsight_ringbuf::{lease, region};

/// Chunks evicted for one grant at most: a large chunk takes the place of sixteen small ones.
const EVICTIONS_PER_GRANT: u32 = 64;
/// Chunks evicted in one round at most to make place for kept data and the index.
const EVICTIONS_PER_TRIM: u32 = 4096;
/// Bytes granted to one process in one round at most: their pages are zeroed, and the round should stay short.
const GRANTS_PER_ROUND: Bytes = Bytes::mib(8);
/// How long the reserve stays shared as it is, while it is used up.
const SHARED_FOR: Nanos = Nanos::from_ms(20);

/// What became of an attempt to evict a chunk so that a process gets one.
enum Evicted {
    /// This chunk of its own is free now, and has its pages.
    Ready(ChunkId),
    /// Another one is free.
    Other,
    /// Nothing may go for it: what it has, beyond its share, is not sealed yet.
    Nothing,
}

impl Recorder {
    /// Brings what a process has granted ahead to what it needs.
    pub(super) fn grant_ahead(&mut self, position: u32, now: Now) {
        let Some(member) = self.member(position) else { return };
        region::set_class_floor(member.region.store(), member.class_floor());
        let target = self.target(member, now);
        let is_idle = !member.demand.is_active(now.time);
        let ahead = member.region.n_ahead();
        if is_idle && Class::ALL.into_iter().any(|class| ahead[idx(class)] > target[idx(class)]) {
            self.revoke_beyond(position, target);
        }
        let mut granted = Bytes(0);
        for goal in stages(target) {
            granted.0 += self.grant_up_to(position, goal, now).0;
        }
        if granted.0 > 0
            && let Some(member) = self.member(position)
        {
            lease::announce_grants(member.region.store());
        }
    }

    /// Returns how many chunks of each class a process should have ahead.
    fn target(&self, member: &Member, now: Now) -> PerClass {
        let (lasts, n_threads) = (self.settings.reserve_lasts, member.n_threads);
        member.demand.target(now.time, ReserveLimits { lasts, n_threads, class_floor: member.class_floor() })
    }

    const fn reserve_max(&self) -> u64 {
        (self.settings.budget.0 as f64 * self.settings.reserve_share) as u64
    }

    /// Shares the reserve among the processes: those that want little have it, the others as much as each other.
    pub(super) fn share_reserve(&mut self, now: Now) {
        let wanted = self.live().map(|(_, member)| bytes_of(self.target(member, now)).0).collect();
        self.reserve_level = max_min_level(wanted, self.reserve_max());
        self.shared = now.time;
    }

    /// Grants until `goal` chunks of each class are ahead, or the process has its part of the reserve; returns the bytes.
    fn grant_up_to(&mut self, position: u32, goal: PerClass, now: Now) -> Bytes {
        let mut granted = Bytes(0);
        let Some(mut ahead) = self.member(position).map(|member| member.region.n_ahead()) else { return granted };
        for class in Class::ALL.into_iter().rev() {
            while ahead[idx(class)] < goal[idx(class)] && granted < GRANTS_PER_ROUND {
                // The first small chunks are everybody's, however much the others have ahead.
                let is_first = class == Class::Small && ahead[idx(class)] < crate::demand::IDLE_CHUNKS;
                let may_have =
                    is_first || self.has_reserve_for(position, bytes_of(ahead).0 + class.bytes(), class, now);
                if !may_have || !self.grant_one(position, class, now) {
                    break;
                }
                ahead[idx(class)] += 1;
                granted.0 += class.bytes();
            }
        }
        granted
    }

    /// Returns whether a process may have `own` bytes ahead, with one more chunk of `class`; makes room for it where others have too much.
    fn has_reserve_for(&mut self, position: u32, own: u64, class: Class, now: Now) -> bool {
        let is_full = self.ahead_bytes + class.bytes() > self.reserve_max();
        if is_full && now.time.0.saturating_sub(self.shared.0) >= SHARED_FOR.0 {
            self.share_reserve(now);
        }
        own <= self.reserve_level && (!is_full || self.take_excess(position, class))
    }

    /// Takes back for a chunk of `class` what another process has ahead beyond its part of the reserve. Returns whether there is room now.
    fn take_excess(&mut self, position: u32, class: Class) -> bool {
        let ahead = |member: &Member| bytes_of(member.region.n_ahead()).0;
        let others = self.live().filter(|(other, _)| *other != position);
        let Some((largest, member)) = others.max_by_key(|(_, member)| ahead(member)) else { return false };
        if ahead(member) < self.reserve_level.saturating_add(class.bytes()) {
            return false;
        }
        let mut taken = 0;
        let mut chunks = member.region.ahead_chunks();
        chunks.sort_by_key(|id| std::cmp::Reverse(member.region.class_of(*id)));
        for id in chunks {
            if taken >= class.bytes() {
                break;
            }
            taken += self.take_back(largest, id).map_or(0, Class::bytes);
        }
        taken >= class.bytes()
    }

    /// Takes back a chunk that was granted ahead; returns its class, `None` where a thread was faster.
    fn take_back(&mut self, position: u32, id: ChunkId) -> Option<Class> {
        let member = self.member_mut(position)?;
        let class = member.region.class_of(id)?;
        if !member.region.revoke(id) {
            return None;
        }
        self.ahead_bytes -= class.bytes();
        self.totals.revoked_chunks += 1;
        self.punch(position, id);
        Some(class)
    }

    /// Grants one chunk, evicting what must go for it.
    fn grant_one(&mut self, position: u32, class: Class, now: Now) -> bool {
        if self.hoards(position) {
            return false;
        }
        for _ in 0..EVICTIONS_PER_GRANT {
            let has_room = self.used().0 + class.bytes() <= self.settings.budget.0;
            let Some(member) = self.members.get_mut(position as usize).and_then(Option::as_mut) else { return false };
            let id = match member.region.find_free(class) {
                Free::Populated(id) => {
                    self.n_spare = self.n_spare.saturating_sub(1);
                    id
                }
                Free::Bare(id) if has_room => {
                    let populated = self.with_pages(position, |member| member.region.populate(id));
                    if populated.is_none_or(|populated| populated.is_err()) {
                        return false; // the host is out of memory; asked again in the next round
                    }
                    id
                }
                Free::Bare(_) if self.n_spare > 0 => {
                    self.punch_spare();
                    continue;
                }
                Free::Bare(_) if self.retention.oldest().is_some() => match self.evict_for(position, class, now) {
                    Evicted::Ready(id) => id,
                    Evicted::Other => continue,
                    Evicted::Nothing => return false,
                },
                Free::Bare(_) | Free::None => return false,
            };
            if let Some(member) = self.member_mut(position) {
                member.region.grant(id);
                self.ahead_bytes += class.bytes();
            }
            return true;
        }
        false
    }

    /// Evicts one chunk. One of the process and class that asked is granted again as it is; the pages of others go.
    fn evict_for(&mut self, position: u32, class: Class, now: Now) -> Evicted {
        let Some(evicted) = self.pop_for(position, now) else { return Evicted::Nothing };
        self.totals.evicted_chunks += 1;
        self.note_gone(&evicted, now);
        if evicted.region == position && evicted.class == class {
            return Evicted::Ready(evicted.chunk);
        }
        self.punch(evicted.region, evicted.chunk);
        Evicted::Other
    }

    /// Returns a duration in ticks.
    pub(super) fn ticks_of(&self, duration: Nanos) -> u64 {
        let ticks = u128::from(duration.0) * u128::from(self.settings.ticks_per_second);
        u64::try_from(ticks / 1_000_000_000).unwrap_or(u64::MAX)
    }

    /// Frees an evicted chunk and forgets the index entries before the oldest that is left.
    pub(super) fn note_gone(&mut self, evicted: &Sealed, now: Now) {
        self.note_lost_segments(evicted, now);
        if let Some(member) = self.member_mut(evicted.region) {
            let is_it = member.region.is_retained(evicted.chunk, evicted.generation);
            debug_assert!(is_it, "what is evicted is retained: {evicted:?}");
            if is_it {
                member.region.free(evicted.chunk);
            }
        }
        let tail = self.retention.oldest().map_or(self.index.head(), |sealed| sealed.first_entry);
        self.index.forget_before(tail);
    }

    /// Takes the pages of a chunk that was evicted for the index and that its process did not need again.
    fn punch_spare(&mut self) {
        let of = |member: &Option<Member>| member.as_ref().and_then(|member| member.region.spare());
        let spare = (0_u32..).zip(&self.members).find_map(|(position, member)| Some((position, of(member)?)));
        match spare {
            Some((position, id)) => {
                self.n_spare -= 1;
                self.punch(position, id);
            }
            None => self.n_spare = 0, // the dead left them, and theirs are punched at once
        }
    }

    /// Makes chunks give way where kept data, the index and the fixed parts of regions have grown over the budget.
    pub(super) fn trim(&mut self, now: Now) {
        if self.used() <= self.settings.budget {
            return;
        }
        let heaviest = self.heaviest();
        for _ in 0..EVICTIONS_PER_TRIM {
            if self.used() <= self.settings.budget {
                return;
            }
            let Some(evicted) = self.pop_for_all(heaviest, now) else { return self.make_do(now) };
            self.totals.evicted_chunks += 1;
            self.note_gone(&evicted, now);
            self.punch(evicted.region, evicted.chunk);
        }
    }

    /// Keeps within the budget where no chunk can be evicted, as threads hold all of them: what was carried over goes, then what is granted
    /// ahead, then what is kept, as far as it must.
    fn make_do(&mut self, now: Now) {
        while self.used() > self.settings.budget
            && let Some((trace, gone)) = self.carried.pop_oldest()
        {
            self.remember_copy(trace, &gone);
        }
        // Small ones are what threads begin with.
        let is_larger = |member: &Member, id| member.region.class_of(id).is_some_and(|class| class > Class::Small);
        let ahead = |(position, member): (u32, &Member)| {
            let chunks = member.region.ahead_chunks().into_iter().filter(|id| is_larger(member, *id));
            chunks.map(|id| (position, id)).collect::<Vec<_>>()
        };
        for (position, id) in self.live().flat_map(ahead).collect::<Vec<_>>() {
            if self.used() <= self.settings.budget {
                return;
            }
            self.take_back(position, id);
        }
        let excess = self.used().0.saturating_sub(self.settings.budget.0);
        let cap = Bytes(self.kept.bytes().0.saturating_sub(excess));
        let Self { kept, triggers, .. } = self;
        let keeping = kept.shrink(cap, &|trace| triggers.triggered(trace).is_some());
        self.note_made_room(keeping, now);
    }

    /// Gives the pages of a free chunk back.
    pub(super) fn punch(&mut self, position: u32, id: ChunkId) {
        self.with_pages(position, |member| member.region.punch(id));
    }

    /// Takes back what an idle process has granted beyond `target`.
    fn revoke_beyond(&mut self, position: u32, target: PerClass) {
        let Some(member) = self.member(position) else { return };
        let mut excess = member.region.n_ahead();
        excess.iter_mut().zip(target).for_each(|(n, target)| *n = n.saturating_sub(target));
        for id in member.region.ahead_chunks() {
            let class = self.member(position).and_then(|member| member.region.class_of(id));
            let Some(class) = class.filter(|class| excess[idx(*class)] > 0) else { continue };
            excess[idx(class)] -= u32::from(self.take_back(position, id).is_some());
        }
    }

    /// Returns all memory in use.
    pub(super) fn used(&self) -> Bytes {
        Bytes(self.pages.total() + self.heap_bytes().0)
    }

    /// Returns what is in use beside the pages of regions.
    pub(super) fn heap_bytes(&self) -> Bytes {
        let Self { kept, carried, index, afterlife, .. } = self;
        Bytes(kept.bytes().0 + carried.bytes().0 + index.bytes().0 + afterlife.bytes().0)
    }

    /// Notes that chunks granted ahead were taken.
    pub(super) fn note_taken(&mut self, taken: PerClass) {
        self.ahead_bytes -= bytes_of(taken).0;
    }
}

/// Returns what to grant first and then: a little of every class, then all of it.
fn stages(target: PerClass) -> [PerClass; 2] {
    [target.map(|n| n.min(8)), target]
}
