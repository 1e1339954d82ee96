//! Which collector owns a trace: rendezvous hashing, so that a member that comes or goes moves only its own traces.
//!
//! Called by agents, which send there, and by collectors, which know by it what is theirs. The formula stands in `docs/spec/wire.md`.

use crate::ids::TraceId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A member of the cluster, by the hash of its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Member(u64);

impl Member {
    /// Returns the member called `name`: the address under which agents reach it.
    pub fn from_name(name: &str) -> Self {
        Self(xxh3_64(name.as_bytes()))
    }

    /// Returns how strongly this member attracts `trace`.
    fn attraction(self, trace: TraceId) -> u64 {
        xxh3_64_with_seed(&trace.lo.to_le_bytes(), self.0)
    }
}

/// The two members that a trace belongs to, as positions in the list of members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owners {
    /// Who owns it.
    pub primary: usize,
    /// Who stands in while the primary cannot be reached; `None` in a cluster of one.
    pub stand_in: Option<usize>,
}

/// Returns the owners of the group whose base is `trace`, `None` where there are no members.
///
/// # Cost
/// One hash a member.
pub fn owners(trace: TraceId, members: &[Member]) -> Option<Owners> {
    let mut ranked: Vec<_> =
        members.iter().enumerate().map(|(idx, member)| (member.attraction(trace), *member, idx)).collect();
    ranked.sort_unstable_by_key(|rank| std::cmp::Reverse(*rank));
    let (_, _, primary) = *ranked.first()?;
    Some(Owners { primary, stand_in: ranked.get(1).map(|(.., idx)| *idx) })
}

#[cfg(test)]
mod tests {
    use super::{Member, Owners, owners};
    use crate::ids::TraceId;

    fn members(n: usize) -> Vec<Member> {
        (0..n).map(|idx| Member::from_name(&format!("http://collector-{idx}:4390"))).collect()
    }

    #[test]
    fn a_member_that_leaves_moves_only_its_own_traces_and_they_go_to_their_stand_in() {
        let (five, four) = (members(5), members(4));
        let mut n_moved = 0;
        for lo in 0..10_000 {
            let trace = TraceId::new(1, lo);
            let (before, after) = (owners(trace, &five).unwrap(), owners(trace, &four).unwrap());
            if before.primary == 4 {
                n_moved += 1;
                assert_eq!(Some(after.primary), before.stand_in);
            } else {
                assert_eq!(before.primary, after.primary);
            }
        }
        assert!((1_800..2_200).contains(&n_moved), "{n_moved} of 10000 were the fifth's");
    }

    #[test]
    fn owners_do_not_depend_on_the_order_of_members() {
        let forward = members(7);
        let backward: Vec<_> = forward.iter().rev().copied().collect();
        for lo in 0..100 {
            let of = |members: &[Member]| owners(TraceId::new(9, lo), members).map(|owners| members[owners.primary]);
            assert_eq!(of(&forward), of(&backward));
        }
        assert_eq!(owners(TraceId::new(9, 9), &[]), None);
        assert_eq!(owners(TraceId::new(9, 9), &forward[..1]), Some(Owners { primary: 0, stand_in: None }));
    }
}
