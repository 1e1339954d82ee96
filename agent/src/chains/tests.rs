//! Claims about chains, made with the index: it finds what a naive model finds, and its memory stays within its budget.
use super::BLOCK_ENTRIES;
use crate::index::{ChunkRef, Index, Place};
use backsight_core::ids::TraceId;
use backsight_core::units::Bytes;
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

fn place(n: u32) -> Place {
    Place { chunk: ChunkRef::new(n >> 15, n & 0x7fff), generation: n ^ 5, offset: 8 * n }
}

/// The naive index: all live entries in one list.
#[derive(Default)]
struct Model {
    entries: Vec<(u64, TraceId, Place)>,
}

impl Model {
    fn find(&self, trace: TraceId) -> Vec<Place> {
        self.entries.iter().rev().filter(|(_, t, _)| *t == trace).map(|(.., place)| *place).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push { trace: u8, times: u16 },
    Forget { share: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let push = (any::<u8>(), 1_u16..700).prop_map(|(trace, times)| Step::Push { trace, times });
    let forget = any::<u8>().prop_map(|share| Step::Forget { share });
    prop::collection::vec(prop_oneof![3 => push, 1 => forget], 1..60)
}

proptest! {
    /// For every sequence of appends and evictions, the index finds exactly the live entries of a trace, newest first.
    #[test]
    fn index_agrees_with_a_list(steps in steps(), asked in any::<u8>()) {
        let (mut index, mut model, mut n) = (Index::new(Bytes::kib(64)), Model::default(), 0);
        for step in steps {
            match step {
                Step::Push { trace, times } => for _ in 0..times {
                    let trace = TraceId::new(u64::from(trace) % 3, u64::from(trace) % 7);
                    model.entries.push((index.head(), trace, place(n)));
                    index.push(trace, place(n));
                    n += 1;
                },
                Step::Forget { share } => {
                    let tail = index.head() - index.n_entries() * (255 - u64::from(share)) / 255;
                    index.forget_before(tail);
                    model.entries.retain(|(position, ..)| *position >= tail);
                }
            }
            prop_assert_eq!(index.n_entries(), model.entries.len() as u64);
            let trace = TraceId::new(u64::from(asked) % 3, u64::from(asked) % 7);
            prop_assert_eq!(index.find(trace).collect::<Vec<_>>(), model.find(trace));
        }
    }
}

#[test]
fn memory_stays_under_the_budget_and_under_40_bytes_a_segment_when_old_entries_go_first() {
    let budget = Bytes::mib(1);
    let mut index = Index::new(budget);
    for n in 0..200_000 {
        while index.is_full() {
            index.forget_before(index.head() - index.n_entries() + 1);
        }
        index.push(TraceId::new(1, u64::from(n)), place(n));
        assert!(index.bytes() <= budget, "{} of {budget}", index.bytes());
    }
    assert!(index.bytes().0 <= 40 * index.n_entries() + 40 * BLOCK_ENTRIES as u64);
    assert_eq!(index.find(TraceId::new(1, 199_999)).count(), 1);
    assert_eq!(index.find(TraceId::new(1, 3)).count(), 0);
}

#[test]
fn an_empty_index_finds_nothing_and_takes_no_blocks() {
    let mut index = Index::new(Bytes::mib(1));
    assert_eq!(index.find(TraceId::new(0, 1)).count(), 0);
    index.forget_before(99);
    assert_eq!((index.n_entries(), index.blocks.len()), (0, 0));
}

#[test]
fn the_entries_of_a_chunk_are_a_run() {
    let mut index = Index::new(Bytes::mib(1));
    (0..3000).for_each(|n| index.push(TraceId::new(1, u64::from(n)), place(n)));
    let run: Vec<_> = index.run(1500, 3).collect();
    assert_eq!(run, [1499, 1500, 1501].map(|n| (TraceId::new(1, u64::from(n)), place(n))));
    index.forget_before(1501);
    assert_eq!(index.run(1500, 3).count(), 2);
    assert_eq!(index.run(3000, 9).count(), 1);
}
