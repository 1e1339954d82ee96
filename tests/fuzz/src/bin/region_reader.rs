//! A chunk, its lease and the rings of its thread from bytes that nobody vouches for: the reader stays inside, moves backwards, and ends.
#![no_main]

use backsight_core::ids::StringId;
use backsight_core::record::{Kind, Record, Records};
use backsight_core::sync::Ordering::Relaxed;
use backsight_ringbuf::abi::{self, CHUNK_HEADER_BYTES, Class, LEASES_OFFSET, SPAN_OFFSET};
use backsight_ringbuf::head::Head;
use backsight_ringbuf::lease::{self, Lease};
use backsight_ringbuf::storage::{Heap, Storage};
use backsight_ringbuf::{reader, ring, slot, strings};
use libfuzzer_sys::fuzz_target;

const LEASE: Lease = Lease { number: 0, class: Class::Small, offset: SPAN_OFFSET };
/// Words of a lease entry, a slot, the string table, one chunk: filled from the input in this order, the chunk first.
const WINDOWS: [(u64, usize); 6] = [
    (SPAN_OFFSET, 512),
    (LEASES_OFFSET, 16),
    (abi::SLOTS_OFFSET, 512),
    (abi::header::SLOT_BITS, 64),
    (abi::STRINGS_OFFSET, 32),
    (abi::STRING_BYTES_OFFSET, (abi::STRING_BYTES / 8) as usize),
];

fuzz_target!(|bytes: &[u8]| {
    let store = Heap::new(SPAN_OFFSET + (16 << 20), &WINDOWS);
    let places = WINDOWS.iter().flat_map(|(at, n)| (0..*n as u64).map(move |word| at + 8 * word));
    for (place, piece) in places.zip(bytes.chunks_exact(8)) {
        store.word(place).store(piece.try_into().map_or(0, u64::from_le_bytes), Relaxed); // one thread
    }
    read_chunk(&store);
    if let Some(lease) = lease::read(&store, 0) {
        assert!(lease.offset >= SPAN_OFFSET && store.contains(lease.offset, lease.class.lease_bytes()));
    }
    let signals = std::iter::from_fn(|| ring::pop(&store, 0).transpose()).take(64).count() as u64;
    assert!(signals <= abi::RING_ENTRIES, "a ring gave more than it holds");
    assert_eq!(ring::pop(&store, 0), Ok(None), "an emptied ring is not empty");
    assert!(slot::last_words(&store, 0).is_none_or(|words| words.frames.len() <= abi::LAST_WORDS_FRAMES));
    let _ = (slot::state(&store, 0), slot::context(&store, 0), slot::taken(&store).count());
    let n_strings = store.word(abi::STRINGS_OFFSET + abi::strings::CURSOR_IDS);
    n_strings.store(n_strings.load(Relaxed).min(15), Relaxed); // as many descriptors as the window has
    for hash in 0..3 {
        let texts = strings::with_hash(&store, hash).take(8);
        assert!(texts.map(|text| text.len() as u64).all(|len| len <= abi::STRING_MAX_BYTES));
    }
    for id in 0..16 {
        let text = strings::get(&store, StringId(id));
        assert!(text.is_none_or(|text| text.len() as u64 <= abi::STRING_MAX_BYTES));
    }
});

/// Walks the chunk as an agent does, with the generation that its head claims.
fn read_chunk(store: &Heap) {
    let head = Head::unpack(store.word(SPAN_OFFSET + abi::chunk::HEAD).load(Relaxed)); // one thread
    let Ok(info) = reader::chunk_info(store, LEASE, 0, head.generation) else { return };
    assert_eq!(info.head, head);
    assert!(u64::from(head.committed) <= Class::Small.bytes());
    let mut end = head.committed;
    for segment in reader::segments(store, LEASE, 0, head) {
        let Ok(segment) = segment else { return };
        assert!(u64::from(segment.offset) >= CHUNK_HEADER_BYTES && segment.end == end, "segments touch");
        assert!(segment.offset < end, "links go backwards");
        end = segment.offset;
        let mut copied = Vec::new();
        reader::copy(store, LEASE, 0, segment.offset, segment.end, &mut copied);
        assert_eq!(copied.len() as u32, segment.end - segment.offset);
        let first = Records::new(&copied).next().expect("a segment has a first record").expect("which was checked");
        assert_eq!(first.header.kind, Kind::Seg as u8);
        let Ok(Record::Seg { trace, base_tsc, .. }) = Record::decode(first.header, first.body) else {
            panic!("the reader's SEG is not the decoder's");
        };
        assert_eq!((trace, base_tsc), (segment.trace, segment.base_ticks));
    }
}
