//! Whose data goes first where there is no room: a process's, or a user's, that has more than its share, while another's would go too young.
//!
//! Called by what grants chunks and by the index. Where nobody is over a share, or all data is as old as it should get, the oldest goes,
//! whosever it is.

use super::{Member, Now, Recorder};
use crate::retention::{Owner, Sealed};
use std::collections::BTreeMap;

/// The pages of all regions, the fixed parts as last measured.
#[derive(Debug, Default)]
pub(super) struct Pages {
    total: u64,
    /// Users without pages have no entry.
    of_user: BTreeMap<u32, u64>,
}

/// An owner with more than its share.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Excess {
    pub(super) owner: Owner,
    /// The share.
    pub(super) share: f64,
}

impl Pages {
    /// Returns the bytes of all users.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Returns the user with the most bytes.
    fn heaviest(&self) -> Option<u32> {
        self.of_user.iter().max_by_key(|(_, bytes)| **bytes).map(|(uid, _)| *uid)
    }

    /// Notes that a region of user `uid` has `after` bytes now, where it had `before`.
    pub(super) fn change(&mut self, uid: u32, before: u64, after: u64) {
        self.total = self.total + after - before;
        let bytes = self.of_user.entry(uid).or_default();
        *bytes = *bytes + after - before;
        if *bytes == 0 {
            self.of_user.remove(&uid);
        }
    }
}

impl Recorder {
    /// Changes a region, and keeps account of its pages.
    pub(super) fn with_pages<R>(&mut self, position: u32, change: impl FnOnce(&mut Member) -> R) -> Option<R> {
        let member = self.members.get_mut(position as usize)?.as_mut()?;
        let before = member.bytes();
        let changed = change(member);
        self.pages.change(member.uid, before, member.bytes());
        Some(changed)
    }

    /// Returns what an owner has of the pool, as a share.
    pub(super) fn pool_share(&self, owner: Owner) -> f64 {
        self.bytes_of(owner) as f64 / self.settings.budget.0.max(1) as f64
    }

    fn bytes_of(&self, owner: Owner) -> u64 {
        match owner {
            Owner::Process(position) => self.member(position).map_or(0, Member::bytes),
            Owner::User(uid) => self.pages.of_user.get(&uid).copied().unwrap_or(0),
        }
    }

    /// Returns whether the process at `position`, or its user, holds its share of the pool in pages that nothing can be evicted from: fixed ones, and
    /// chunks that are granted and not sealed. With more of them, all that others retain would have to go.
    pub(super) fn hoards(&self, position: u32) -> bool {
        let Some(member) = self.member(position) else { return false };
        let owners = [
            (Owner::Process(position), self.settings.process_share),
            (Owner::User(member.uid), self.settings.user_share),
        ];
        owners.into_iter().any(|(owner, share)| {
            let most = (share * self.settings.budget.0 as f64) as u64;
            let held = self.bytes_of(owner).saturating_sub(self.retention.bytes_of(owner).0);
            // What is free and has its pages is there to be granted. It is looked for seldom, as that is a look at all leases.
            held > most && held.saturating_sub(self.spare_bytes_of(owner)) > most
        })
    }

    fn spare_bytes_of(&self, owner: Owner) -> u64 {
        let spare = |member: &Member| member.region.spare_bytes().0;
        match owner {
            Owner::Process(position) => self.member(position).map_or(0, spare),
            Owner::User(uid) => {
                self.live().filter(|(_, member)| member.uid == uid).map(|(_, member)| spare(member)).sum()
            }
        }
    }

    /// Returns who has more than its share, of the process at `position` and its user, where what would go else is another's and not as old
    /// as data should get. `held` says what an owner has, as a share.
    pub(super) fn excess_of(&self, position: u32, now: Now, held: impl Fn(Owner) -> f64) -> Option<Excess> {
        let oldest = self.retention.oldest()?;
        if now.ticks.saturating_sub(oldest.last_ticks) >= self.ticks_of(self.settings.horizon_target) {
            return None;
        }
        let uid = self.member(position)?.uid;
        let process = (oldest.region != position, Owner::Process(position), self.settings.process_share);
        let user = (oldest.uid != uid, Owner::User(uid), self.settings.user_share);
        let of = |(is_anothers, owner, share)| (is_anothers && held(owner) > share).then_some(Excess { owner, share });
        [process, user].into_iter().find_map(of)
    }

    /// Takes the chunk that has to go so that `position` gets one: the oldest of an owner over its share, `None` where that retains none; else the
    /// oldest of all.
    pub(super) fn pop_for(&mut self, position: u32, now: Now) -> Option<Sealed> {
        match self.excess_of(position, now, |owner| self.pool_share(owner)) {
            Some(excess) => self.pop_oldest_of(excess.owner),
            None => self.pop_oldest(),
        }
    }

    /// Returns the process that holds most, and that of the user who does.
    ///
    /// # Cost
    /// A look at each process.
    pub(super) fn heaviest(&self) -> [Option<u32>; 2] {
        let uid = self.pages.heaviest();
        let members = || (0_u32..).zip(&self.members).filter_map(|(at, member)| Some((at, member.as_ref()?)));
        let of_user = members().filter(|(_, member)| Some(member.uid) == uid);
        let of_all = members().max_by_key(|(_, member)| member.bytes());
        [of_all, of_user.max_by_key(|(_, member)| member.bytes())].map(|found| found.map(|(position, _)| position))
    }

    /// Takes the chunk that goes first where the pool has grown over its budget: that of whoever of the `heaviest` is over a share, if it has one,
    /// else the oldest.
    pub(super) fn pop_for_all(&mut self, heaviest: [Option<u32>; 2], now: Now) -> Option<Sealed> {
        let excess_of = |position| self.excess_of(position, now, |owner| self.pool_share(owner));
        let excess = heaviest.into_iter().flatten().find_map(excess_of);
        excess.and_then(|excess| self.pop_oldest_of(excess.owner)).or_else(|| self.pop_oldest())
    }

    /// Takes the oldest chunk of an owner that is over its share.
    pub(super) fn pop_oldest_of(&mut self, owner: Owner) -> Option<Sealed> {
        let own = self.retention.pop_oldest_of(owner)?;
        self.horizon_over_share.note_evicted(own.last_ticks);
        self.leave_evicted(own.last_ticks);
        Some(own)
    }

    /// Takes the oldest chunk of the host.
    pub(super) fn pop_oldest(&mut self) -> Option<Sealed> {
        let oldest = self.retention.pop_oldest()?;
        self.horizon.note_evicted(oldest.last_ticks);
        self.leave_evicted(oldest.last_ticks);
        Some(oldest)
    }

    /// Leaves to a successor that something is gone, before it is.
    pub(super) fn leave_evicted(&self, last_ticks: u64) {
        if let Some(journal) = &self.journal {
            journal.note_evicted(last_ticks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pages;
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};
    use std::collections::BTreeMap;

    proptest! {
        /// For every course of regions that grow and shrink, each user has the sum of its regions, and all have the sum of the users.
        #[test]
        fn a_user_has_the_sum_of_its_regions(steps in prop::collection::vec((0_u32..8, any::<u16>()), 1..200)) {
            let (mut pages, mut regions) = (Pages::default(), BTreeMap::<u32, u64>::new());
            for (region, bytes) in steps {
                let before = regions.insert(region, u64::from(bytes)).unwrap_or(0);
                pages.change(region % 3, before, u64::from(bytes));
            }
            for uid in 0..3 {
                let sum: u64 = regions.iter().filter(|(region, _)| *region % 3 == uid).map(|(_, bytes)| bytes).sum();
                prop_assert_eq!(pages.of_user.get(&uid).copied().unwrap_or(0), sum);
            }
            prop_assert_eq!(pages.total(), regions.values().sum::<u64>());
            let most = pages.of_user.values().max().copied();
            prop_assert_eq!(pages.heaviest().map(|uid| pages.of_user[&uid]), most);
        }
    }
}
