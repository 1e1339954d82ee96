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

/// Returns whom `trace` belongs to of the members that `is_here` names by their position in the list; `None` where there are none.
///
/// While a member is not here another stands in for it, for each of its traces the one that attracts that most; nothing else moves.
///
/// # Cost
/// One hash a member.
pub fn owner(trace: TraceId, members: &[Member], is_here: impl Fn(usize) -> bool) -> Option<usize> {
    let here = members.iter().enumerate().filter(|(idx, _)| is_here(*idx));
    here.max_by_key(|(_, member)| (member.attraction(trace), **member)).map(|(idx, _)| idx)
}

#[cfg(test)]
mod tests {
    use super::{Member, owner};
    use crate::ids::TraceId;

    fn members(n: usize) -> Vec<Member> {
        (0..n).map(|idx| Member::from_name(&format!("http://collector-{idx}:4390"))).collect()
    }

    #[test]
    fn a_member_that_leaves_moves_only_its_own_traces_to_all_others_as_if_it_had_never_been_there() {
        let (five, four) = (members(5), members(4));
        let mut n_moved = [0; 4];
        for lo in 0..10_000 {
            let trace = TraceId::new(1, lo);
            let (before, without) =
                (owner(trace, &five, |_| true).unwrap(), owner(trace, &five, |idx| idx != 4).unwrap());
            assert_eq!(Some(without), owner(trace, &four, |_| true));
            if before == 4 {
                n_moved[without] += 1;
            } else {
                assert_eq!(before, without);
            }
        }
        assert!(n_moved.iter().all(|n| (400..600).contains(n)), "{n_moved:?} of 10000 were the fifth's");
    }

    #[test]
    fn owners_do_not_depend_on_the_order_of_members() {
        let forward = members(7);
        let backward: Vec<_> = forward.iter().rev().copied().collect();
        for lo in 0..100 {
            let of = |members: &[Member]| owner(TraceId::new(9, lo), members, |_| true).map(|idx| members[idx]);
            assert_eq!(of(&forward), of(&backward));
        }
        assert_eq!(owner(TraceId::new(9, 9), &[], |_| true), None);
        assert_eq!(owner(TraceId::new(9, 9), &forward, |_| false), None);
        assert_eq!(owner(TraceId::new(9, 9), &forward[..1], |_| true), Some(0));
    }
}
