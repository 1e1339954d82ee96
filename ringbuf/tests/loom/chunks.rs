//! Chunks between agent and threads: grant, claim, revoke, seal, drain, the head word, and drop mode.

use crate::Order;
use backsight_core::ids::{AgentId, RegionId, TraceId};
use backsight_core::record::{Header, Kind, Records};
use backsight_core::sync::Ordering::{Acquire, Relaxed};
use backsight_ringbuf::abi::{ChunkId, Class, LEASES_OFFSET, SPAN_OFFSET, chunk, header, slot, slot_offset};
use backsight_ringbuf::lease::{self, Lease};
use backsight_ringbuf::reader;
use backsight_ringbuf::storage::{Heap, Storage};
use backsight_ringbuf::writer::{Carried, SegmentStart, Writer};
use loom::sync::Arc;
use loom::thread;

const REGION: RegionId = RegionId(9);
const SMALL: Lease = Lease { number: 0, class: Class::Small, offset: SPAN_OFFSET };

/// Returns a region with the header words that claiming and beginning read, one lease entry, and `n_words` words of its first `n` chunks.
fn heap(n: u64, n_words: usize) -> Heap {
    let mut windows =
        vec![(header::TICKS_PER_SECOND, 1), (header::RECORDING, 6), (header::N_LEASES, 3), (LEASES_OFFSET, 9)];
    windows.extend((0..n).map(|bit| (SMALL.offset + bit * Class::Small.bytes(), n_words)));
    windows.extend([(slot_offset(0), 10), (slot_offset(0) + slot::DROPS, 2), (slot_offset(0) + slot::LOSS_RECORDS, 4)]);
    let store = Heap::new(SPAN_OFFSET + (16 << 20), &windows);
    store.word(header::RECORDING).store(1, Relaxed);
    store
}

fn id(bit: u32) -> ChunkId {
    ChunkId::new(0, bit)
}

fn start() -> SegmentStart {
    let carried = Carried { from_agent: AgentId(6), ..Carried::default() };
    SegmentStart { trace: TraceId::new(1, 2), carried, ..SegmentStart::default() }
}

/// Two threads claim while the agent grants two chunks and takes one back: each chunk has one owner, and none is lost.
#[test]
fn granted_chunk_has_one_owner() {
    loom::model(|| {
        let store = Arc::new(heap(2, 8));
        lease::install(&store, SMALL);
        lease::grant(&store, REGION, SMALL, id(0), 1);
        let claimers: Vec<_> = (0..2)
            .map(|_| {
                let store = store.clone();
                thread::spawn(move || lease::claim(&store, Class::Small, 0))
            })
            .collect();
        lease::grant(&store, REGION, SMALL, id(1), 7);
        let revoked = lease::revoke(&store, id(0));
        let mut owners: Vec<u32> =
            claimers.into_iter().filter_map(|thread| thread.join().unwrap()).map(|c| c.id.bit()).collect();
        owners.extend(revoked.then_some(0));
        let left = lease::unclaimed(&store, 0);
        owners.extend((0..2).filter(|bit| left >> bit & 1 == 1));
        owners.sort_unstable();
        assert_eq!(owners, [0, 1]);
    });
}

/// A claim sees everything that the agent wrote for the grant that it won.
#[test]
fn claim_sees_its_grant() {
    loom::model(|| {
        let store = Arc::new(heap(1, 8));
        let order = Order::new();
        let agent = {
            let store = store.clone();
            order.spawn(move || {
                lease::install(&store, SMALL);
                lease::grant(&store, REGION, SMALL, id(0), 5);
            })
        };
        order.looks();
        if let Some(claimed) = lease::claim(&store, Class::Small, 0) {
            assert_eq!((claimed.offset, claimed.generation), (SMALL.offset, 5));
            assert_eq!(store.word(claimed.offset + chunk::REGION).load(Relaxed), REGION.0);
        }
        agent.join().unwrap();
    });
}

/// A lease entry that the agent gives to another place, once it has every chunk of it back, is never claimed at its old place.
#[test]
fn claim_sees_the_lease_under_which_the_chunk_was_granted() {
    loom::model(|| {
        let store = Arc::new(heap(2, 8));
        let moved = Lease { offset: SMALL.offset + Class::Small.bytes(), ..SMALL };
        lease::install(&store, SMALL);
        lease::grant(&store, REGION, SMALL, id(0), 1);
        let order = Order::new();
        let agent = {
            let store = store.clone();
            order.spawn(move || {
                let revoked = lease::revoke(&store, id(0));
                if revoked {
                    lease::install(&store, moved);
                    lease::grant(&store, REGION, moved, id(0), 2);
                }
                revoked
            })
        };
        order.looks();
        let claimed = lease::claim(&store, Class::Small, 0);
        let wanted = if agent.join().unwrap() { moved } else { SMALL };
        assert!(claimed.is_none_or(|claimed| claimed.offset == wanted.offset));
    });
}

/// Whoever drains a sealed bit sees the chunk's last record, its seal and its header; the chunk may be granted again at once.
#[test]
fn drained_chunk_is_whole() {
    loom::model(|| {
        let store = Arc::new(heap(1, 24));
        lease::install(&store, SMALL);
        lease::grant(&store, REGION, SMALL, id(0), 1);
        let order = Order::new();
        let writer = {
            let store = store.clone();
            order.spawn(move || {
                let mut writer = Writer::new(store, 0, 3);
                assert!(writer.begin(start(), 100));
                writer.end(101);
                writer.exit(102);
            })
        };
        order.looks();
        let drain = || {
            let sealed = lease::drain(&store, 0);
            if sealed == 0 {
                return false;
            }
            let info = reader::chunk_info(&store, SMALL, 0, 1).unwrap();
            assert!(info.head.sealed && (info.first_ticks, info.last_ticks, info.tid) == (100, 102, 3));
            assert_eq!(info.head.committed, 64 + 48 + 8);
            lease::grant(&store, REGION, SMALL, id(0), 2);
            true
        };
        let early = drain();
        writer.join().unwrap();
        assert!(early || drain(), "a sealed chunk is drained once");
        assert!(!drain());
    });
}

/// A reader of an open chunk sees whole records, those that were written, and never fewer than before.
#[test]
fn reader_of_an_open_chunk_sees_whole_records() {
    loom::model(|| {
        let store = Arc::new(heap(1, 24));
        lease::install(&store, SMALL);
        lease::grant(&store, REGION, SMALL, id(0), 1);
        let order = Order::new();
        let writer = {
            let store = store.clone();
            order.spawn(move || {
                let mut writer = Writer::new(store, 0, 3);
                assert!(writer.begin(start(), 100));
                assert!(writer.record(101, Kind::Named, 0, [55], b"payload1"));
            })
        };
        order.looks();
        let first = read_open(&store);
        let second = read_open(&store);
        assert!(second >= first);
        writer.join().unwrap();
        assert_eq!(read_open(&store), 2);
    });
}

/// Reads the open chunk, checks what stands there, and returns the number of records.
fn read_open(store: &Heap) -> usize {
    let info = reader::chunk_info(&store, SMALL, 0, 1).expect("the header is sound");
    let Some(segment) = reader::segments(&store, SMALL, 0, info.head).next() else { return 0 };
    let segment = segment.expect("links are sound");
    assert_eq!((segment.offset, segment.trace, segment.base_ticks, info.tid), (64, TraceId::new(1, 2), 100, 3));
    let mut bytes = Vec::new();
    reader::copy(&store, SMALL, 0, segment.offset, segment.end, &mut bytes);
    let records: Vec<_> = Records::new(&bytes).map(|raw| raw.expect("records decode")).collect();
    if let Some(record) = records.get(1) {
        assert_eq!(record.header, Header { len: 24, kind: Kind::Named as u8, flags: 0, dt: 1 });
        assert_eq!(record.body, [&55_u64.to_le_bytes()[..], b"payload1"].concat());
    }
    records.len()
}

/// A bit that a writer sets in its segment's flags never disturbs the record, whenever it is read.
#[test]
fn marked_segment_is_whole() {
    loom::model(|| {
        let store = Arc::new(heap(1, 24));
        lease::install(&store, SMALL);
        lease::grant(&store, REGION, SMALL, id(0), 1);
        let order = Order::new();
        let writer = {
            let store = store.clone();
            order.spawn(move || {
                let mut writer = Writer::new(store, 0, 3);
                assert!(writer.begin(start(), 100));
                writer.mark(4);
            })
        };
        order.looks();
        let flags = |store: &Heap| {
            let info = reader::chunk_info(&store, SMALL, 0, 1).unwrap();
            let segment = reader::segments(&store, SMALL, 0, info.head).next()?.unwrap();
            assert_eq!(segment.from_agent, AgentId(6));
            Some(segment.flags)
        };
        assert!([None, Some(0), Some(4)].contains(&flags(&store)));
        writer.join().unwrap();
        assert_eq!(flags(&store), Some(4));
    });
}

/// A thread in drop mode finds a chunk by its first record after the grant's announcement, however the two interleave.
#[test]
fn grant_is_never_missed_forever() {
    loom::model(|| {
        let store = Arc::new(heap(1, 24));
        lease::install(&store, SMALL);
        let order = Order::new();
        let writer = {
            let store = store.clone();
            order.spawn(move || {
                let mut writer = Writer::new(store, 0, 3);
                (writer.begin(start(), 100), writer)
            })
        };
        order.looks();
        lease::grant(&store, REGION, SMALL, id(0), 1);
        lease::announce_grants(&store);
        let (begun, mut writer) = writer.join().unwrap();
        // Joining orders this thread behind both; the writer looks again because the announcement moved.
        assert_eq!(begun, !writer.is_dropping());
        assert!(writer.record(101, Kind::Raw, 0, [], b"x"), "the grant is seen now at the latest");
    });
}

/// A thread in drop mode that sees the announcement finds the chunk.
#[test]
fn announced_grant_is_there() {
    loom::model(|| {
        let store = Arc::new(heap(1, 8));
        lease::install(&store, SMALL);
        let order = Order::new();
        let agent = {
            let store = store.clone();
            order.spawn(move || {
                lease::grant(&store, REGION, SMALL, id(0), 1);
                lease::announce_grants(&store);
            })
        };
        order.looks();
        if store.word(header::GRANT_SEQ).load(Acquire) != 0 {
            assert!(lease::claim(&store, Class::Small, 0).is_some());
        }
        agent.join().unwrap();
    });
}
