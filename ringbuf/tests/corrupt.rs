//! Claims about regions that somebody scribbled over: every reader answers with data or an error, ends, and never leaves the region;
//! the writer of such a region does not panic either.

#![cfg(not(any(loom, shuttle)))]

use backsight_core::ids::{AgentId, RegionId, SpanId, StringId, TraceId, TriggerId};
use backsight_core::record::{CrumbDirection, Header, Kind, Record, Records, SEG_BYTES};
use backsight_core::sync::Ordering::Relaxed;
use backsight_ringbuf::abi::{self, Class, SPAN_OFFSET, chunk, header, lease as lease_words, slot};
use backsight_ringbuf::lease::{self, Lease};
use backsight_ringbuf::region::{self, Identity};
use backsight_ringbuf::shm::Mapping;
use backsight_ringbuf::slot as thread_slot;
use backsight_ringbuf::storage::Storage;
use backsight_ringbuf::writer::{SegmentStart, Writer};
use backsight_ringbuf::{reader, ring, strings};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use std::sync::Arc;

const REGION: RegionId = RegionId(1);
const LEASE: Lease = Lease { number: 0, class: Class::Small, offset: SPAN_OFFSET };
const BYTES: u64 = SPAN_OFFSET + (1 << 20);

/// Values that lie at the edges of what is checked, and any others.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0_u64..200,
        Just(u64::MAX),
        (0_u64..64).prop_map(|shift| 1 << shift),
        (0_u64..64).prop_map(|back| u64::MAX - back),
        // Heads of the chunk's generation: lengths within it and beyond, links to any place.
        (0_u64..700, 0_u64..700).prop_map(|(a, b)| (a * 8) | ((b * 8) << 20) | (1 << 40)),
        (0_u64..BYTES / 8).prop_map(|word| word * 8),
    ]
}

/// Words of every structure: header, leases, first two slots with rings, string table, first two chunks.
fn place() -> impl Strategy<Value = u64> {
    let words = |at: u64, n: u64| (0..n).prop_map(move |word| at + 8 * word);
    prop_oneof![
        words(header::RECORD_THRESHOLD, 128),
        words(abi::LEASES_OFFSET, 48),
        words(abi::SLOTS_OFFSET, 512),
        words(abi::SLOTS_OFFSET + slot::RING_TAIL, 48),
        words(abi::slot_offset(1), 16),
        words(abi::STRINGS_OFFSET, 16),
        words(abi::STRING_BYTES_OFFSET, 8),
        words(SPAN_OFFSET, 80),
        Just(SPAN_OFFSET + chunk::HEAD),
        words(SPAN_OFFSET + Class::Small.bytes(), 16),
    ]
}

/// Makes a region in which one thread has written something of everything, with a chunk open and one granted.
fn written() -> (Arc<Mapping>, Writer<Arc<Mapping>>) {
    let (mapping, _fd) = Mapping::create(BYTES).expect("a fresh region has room");
    let identity = Identity {
        region: REGION,
        agent: AgentId(2),
        pid: 3,
        start_time: 4,
        boot: [5, 6],
        n_slots: 8,
        clock: Default::default(),
        ticks_per_second: 1000,
        crumbs: Default::default(),
    };
    region::initialise(&mapping, &identity);
    lease::install(&mapping, LEASE);
    for bit in 0..2 {
        lease::grant(&mapping, REGION, LEASE, abi::ChunkId::new(0, bit), 1);
    }
    let mapping = Arc::new(mapping);
    let number = thread_slot::claim(&mapping, 9).expect("a fresh region has room");
    let mut writer = Writer::new(mapping.clone(), number, 9);
    write(&mut writer, 10);
    strings::intern(&mapping, b"first", 1).expect("a fresh region has room");
    strings::intern(&mapping, b"second string", 2).expect("a fresh region has room");
    push(&mapping, number);
    (mapping, writer)
}

fn write<S: Storage>(writer: &mut Writer<S>, now: u64) {
    let start = SegmentStart { trace: TraceId::new(now, 2), ..SegmentStart::default() };
    writer.begin(start, now);
    writer.record(now, Kind::Named, 0, [1], b"payload");
    writer.record_of_span::<0, 1>(now + 1, Kind::SpanEnd, 0, SpanId(4), [], &[]);
    writer.mark(4);
    writer.end(now + 2);
    writer.begin(start, now + 3);
}

fn push<S: Storage>(store: &S, number: u32) {
    let laterals = [TraceId::new(1, 2); 4];
    ring::push_trigger(store, number, TriggerId(300), TraceId::new(1, 2), 3, &laterals);
    ring::push_crumb(store, number, TraceId::new(1, 2), AgentId(4), CrumbDirection::From, SpanId(5), 6);
}

/// Reads everything that an agent ever reads; counts keep it from running forever.
fn read_all<S: Storage>(store: &S) {
    let _ = region::open(store).map_err(|error| error.to_string());
    let _ =
        (region::is_recording(store), region::class_floor(store), region::calibration(store), region::heartbeat(store));
    for number in (0..4).chain([abi::LEASES_MAX, u32::MAX]) {
        if let Some(lease) = lease::read(store, number) {
            assert!(store.contains(lease.offset, lease.class.lease_bytes()), "a lease outside the region");
        }
        let _ = lease::unclaimed(store, number) | lease::drain(store, number);
    }
    for bit in 0..2 {
        read_chunk(store, bit);
    }
    assert!(thread_slot::taken(store).count() <= abi::SLOTS_MAX as usize);
    for number in 0..2 {
        let _ =
            (thread_slot::state(store, number), thread_slot::context(store, number), thread_slot::drops(store, number));
        assert!(
            thread_slot::last_words(store, number).is_none_or(|words| words.frames.len() <= abi::LAST_WORDS_FRAMES)
        );
        let n_popped = std::iter::from_fn(|| ring::pop(store, number).transpose()).take(100).count();
        assert!(n_popped <= abi::RING_ENTRIES as usize, "a ring gave {n_popped} signals");
        assert_eq!(ring::pop(store, number), Ok(None), "a ring that was emptied is empty");
    }
    for id in (0..8).chain([abi::STRINGS_MAX, u32::MAX]) {
        let text = strings::get(store, StringId(id));
        assert!(text.is_none_or(|text| text.len() as u64 <= abi::STRING_MAX_BYTES));
    }
    for hash in 0..4 {
        let found = strings::with_hash(store, hash);
        let lens = found.map(|text| text.len() as u64).collect::<Vec<_>>();
        assert!(lens.len() < abi::STRINGS_MAX as usize && lens.iter().all(|len| *len <= abi::STRING_MAX_BYTES));
    }
}

fn read_chunk<S: Storage>(store: &S, bit: u32) {
    let info = match reader::chunk_info(store, LEASE, bit, 1) {
        Ok(info) => info,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let mut end = info.head.committed;
    assert!(u64::from(end) <= Class::Small.bytes());
    for segment in reader::segments(store, LEASE, bit, info.head) {
        let Ok(segment) = segment else { break };
        assert!(segment.end <= end && segment.offset < segment.end, "segments strictly decrease");
        end = segment.offset;
        let mut bytes = Vec::new();
        reader::copy(store, LEASE, bit, segment.offset, segment.end, &mut bytes);
        for raw in Records::new(&bytes).flatten() {
            let _ = Record::decode(raw.header, raw.body);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    /// For any words written anywhere: every reader ends with data or an error.
    #[test]
    fn scribbled_region_is_read_without_a_panic(scribbles in proptest::collection::vec((place(), value()), 1..12)) {
        let (mapping, _writer) = written();
        for (place, value) in scribbles {
            mapping.word(place).store(value, Relaxed); // one thread
        }
        read_all(&mapping);
    }

    /// For any words written anywhere: the application's threads go on, and exit.
    #[test]
    fn scribbled_region_is_written_without_a_panic(scribbles in proptest::collection::vec((place(), value()), 1..12)) {
        let (mapping, mut writer) = written();
        for (place, value) in scribbles {
            mapping.word(place).store(value, Relaxed); // one thread
        }
        for now in 20..60 {
            write(&mut writer, now);
        }
        push(&mapping, writer.slot_number());
        let _ = strings::intern(&mapping, b"third", 3).map(|id| strings::get(&mapping, id));
        let _ = thread_slot::claim(&mapping, 10);
        lease::announce_grants(&mapping);
        write(&mut writer, 100);
        let (copy, _fd) = Mapping::create(SPAN_OFFSET).unwrap();
        strings::copy_table(&mapping, &copy);
        writer.exit(200);
        thread_slot::release(&mapping, writer.slot_number());
        read_all(&mapping);
    }
}

/// Strings are found by the hash that their writers gave, and no others are.
#[test]
fn strings_are_found_by_their_hash() {
    let (mapping, _writer) = written();
    let found = |hash| strings::with_hash(&mapping, hash).collect::<Vec<_>>();
    assert_eq!(found(2), [b"second string"]);
    assert_eq!(found(3), [b""; 0]);
    strings::intern(&mapping, b"other", 2).expect("a fresh region has room");
    assert_eq!(found(2), [&b"second string"[..], b"other"], "two texts may have one hash");
}

/// A lease entry that leads outside the span, or is not aligned, is none.
#[test]
fn lease_outside_the_span_is_none() {
    let (mapping, _writer) = written();
    let offset = mapping.word(abi::lease_offset(0) + lease_words::OFFSET);
    for wrong in [0, 8, SPAN_OFFSET - 4096, SPAN_OFFSET + 1, BYTES, BYTES - 4096, u64::MAX, u64::MAX - 4095] {
        offset.store(wrong, Relaxed); // one thread
        assert_eq!(lease::read(&mapping, 0), None, "{wrong:#x}");
        assert_eq!(lease::claim(&mapping, Class::Small, 0), None, "{wrong:#x}");
    }
}

/// For links to nowhere, to themselves, forwards and in between: the walk ends with an error, after fewer segments than fit a chunk.
#[test]
fn links_that_lead_nowhere_or_round_end_the_walk() {
    let (mapping, _writer) = written();
    let info = reader::chunk_info(&mapping, LEASE, 0, 1).unwrap();
    let walk = || reader::segments(&mapping, LEASE, 0, info.head).take(100_000).collect::<Vec<_>>();
    let offsets: Vec<u32> = walk().into_iter().map(|segment| segment.unwrap().offset).collect();
    let [newest, oldest] = offsets[..] else { panic!("two segments were written: {offsets:?}") };
    let record = mapping.word(SPAN_OFFSET + u64::from(newest));
    let header = Header::unpack(record.load(Relaxed));
    for link in [newest, newest - 8, newest - 40, newest + 8, info.head.committed, u32::MAX, 8, oldest + 4, oldest - 8]
    {
        record.store(Header { dt: link, ..header }.pack(), Relaxed); // one thread
        let walked = walk();
        assert!(walked.len() as u64 <= Class::Small.bytes() / SEG_BYTES, "{} segments by {link}", walked.len());
        assert!(walked.last().is_some_and(Result::is_err), "{link}: {walked:?}");
    }
}

/// A tail that is further ahead than the ring is long, by one or by all there is, is none that a thread wrote.
#[test]
fn ring_whose_tail_is_too_far_is_corrupt_and_skipped() {
    let (mapping, writer) = written();
    let number = writer.slot_number();
    while ring::pop(&mapping, number).unwrap().is_some() {}
    let crumb =
        || ring::push_crumb(&mapping, number, TraceId::new(1, 2), AgentId(4), CrumbDirection::From, SpanId(5), 6);
    assert_eq!((0..40).filter(|_| crumb()).count() as u64, abi::RING_ENTRIES, "it is full");
    let tail = mapping.word(abi::slot_offset(number) + slot::RING_TAIL);
    for ahead in [1, 1 << 20, u64::MAX / 2] {
        tail.store(tail.load(Relaxed).wrapping_add(ahead), Relaxed); // one thread
        assert!(ring::pop(&mapping, number).is_err(), "{ahead}");
        assert_eq!(ring::pop(&mapping, number), Ok(None), "{ahead}");
        (0..abi::RING_ENTRIES).for_each(|_| assert!(crumb()));
    }
}
