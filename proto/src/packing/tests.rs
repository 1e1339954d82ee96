//! What is packed comes out again, batch by batch; nothing else does, and nothing can make it large.

use super::{Packer, PackingError, Unpacker};
use crate::v1;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use prost::Message;

const MAX: usize = 1 << 20;

fn traces(records: &[Vec<u8>]) -> v1::Traces {
    let segment = |records: &Vec<u8>| v1::Segment { records: records.clone(), ..v1::Segment::default() };
    let strings = vec![v1::InternedString { id: 7, text: "catalogue/list".to_owned() }];
    let process = v1::Process { region: 1 << 50, service: "catalogue".to_owned(), strings, ..v1::Process::default() };
    let slice = v1::Slice { process: Some(process), segments: records.iter().map(segment).collect() };
    v1::Traces { traces: vec![v1::TraceReport { slices: vec![slice], ..v1::TraceReport::default() }] }
}

/// Bytes that no compressor makes shorter.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(next).collect()
}

#[test]
fn what_was_said_before_costs_little() {
    let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
    let lens: Vec<usize> = (0..3)
        .map(|_| {
            let said = traces(&[noise(1000)]);
            let batch = packer.pack(1, &said).unwrap();
            assert_eq!(unpacker.unpack(&batch, MAX).unwrap(), said);
            batch.packed.len()
        })
        .collect();
    assert!(lens[0] > 1000 && lens[1] < 60 && lens[2] < 60, "{lens:?}");
}

#[test]
fn what_is_larger_than_the_buffers_comes_through() {
    let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
    for len in [0, 1, 4095, 4096, 4097, 100_000, 900_000] {
        let said = traces(&[noise(len), vec![0; len / 10]]);
        assert_eq!(unpacker.unpack(&packer.pack(1, &said).unwrap(), MAX).unwrap(), said);
    }
}

/// Packs what is no list of traces as somebody would who means harm.
fn packed(plain: &[u8]) -> v1::Batch {
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    let mut packed = Vec::with_capacity(plain.len() + 1024);
    compress.compress_vec(plain, &mut packed, flate2::FlushCompress::Sync).unwrap();
    v1::Batch { number: 1, packed, unpacked_len: plain.len() as u64 }
}

#[test]
fn a_batch_of_next_to_nothing_many_times_over_is_refused() {
    let slices = v1::TraceReport { slices: vec![v1::Slice::default(); MAX / 4], ..v1::TraceReport::default() };
    let strings = vec![v1::InternedString::default(); MAX / 4];
    let process = v1::Process { strings, ..v1::Process::default() };
    let slice = v1::Slice { process: Some(process), ..v1::Slice::default() };
    let strings = v1::TraceReport { slices: vec![slice], ..v1::TraceReport::default() };
    for traces in [vec![v1::TraceReport::default(); MAX / 4], vec![slices], vec![strings]] {
        let batch = packed(&v1::Traces { traces }.encode_to_vec());
        let refused = Unpacker::default().unpack(&batch, MAX);
        assert!(matches!(refused, Err(PackingError::Inflated { .. })), "{refused:?}");
    }
    let group = packed(&[0x0b, 0x0c]);
    assert!(matches!(Unpacker::default().unpack(&group, MAX), Err(PackingError::Fields)));
    let cut = packed(&[0x0a, 0x05, 0x00]);
    assert!(matches!(Unpacker::default().unpack(&cut, MAX), Err(PackingError::Fields)));
}

#[test]
fn a_batch_that_grows_beyond_the_limit_is_refused() {
    let bomb = Packer::default().pack(1, &traces(&[vec![0; 64 << 20]])).unwrap();
    assert!(bomb.packed.len() < MAX, "it is small on the wire: {}", bomb.packed.len());
    let refused = Unpacker::default().unpack(&bomb, MAX);
    assert!(matches!(refused, Err(PackingError::TooLong { max: MAX, .. })), "{refused:?}");
    let liar = v1::Batch { unpacked_len: 1000, ..bomb };
    let refused = Unpacker::default().unpack(&liar, MAX);
    assert!(matches!(refused, Err(PackingError::Length { found: 1001, .. })), "{refused:?}");
}

#[test]
fn what_is_cut_or_of_another_length_is_refused() {
    let batch = Packer::default().pack(1, &traces(&[noise(500)])).unwrap();
    let with = |packed: &[u8], unpacked_len| v1::Batch { number: 1, packed: packed.to_vec(), unpacked_len };
    let refused = |batch: &v1::Batch| Unpacker::default().unpack(batch, MAX).is_err();
    for len in 0..batch.packed.len() - 5 {
        assert!(refused(&with(&batch.packed[..len], batch.unpacked_len)), "{len} of {} bytes", batch.packed.len());
    }
    assert!(refused(&with(&batch.packed, batch.unpacked_len - 1)));
    assert!(refused(&with(&batch.packed, batch.unpacked_len + 1)));
    assert!(refused(&with(&[3, 0, 7], 0)), "the deflate stream has ended before its last byte");
    assert!(!refused(&batch));
}

proptest! {
    #[test]
    fn batches_of_any_sizes_come_through_in_order(
        batches in prop::collection::vec(prop::collection::vec(prop::collection::vec(0_u8..4, 0..3000), 0..4), 1..20),
    ) {
        let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
        for records in batches {
            let said = traces(&records);
            prop_assert_eq!(unpacker.unpack(&packer.pack(1, &said).unwrap(), MAX).unwrap(), said);
        }
    }

    #[test]
    fn no_bytes_do_harm(batches in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), 0_u64..300), 1..4)) {
        let mut unpacker = Unpacker::default();
        for (packed, unpacked_len) in batches {
            if let Ok(traces) = unpacker.unpack(&v1::Batch { number: 1, packed, unpacked_len }, MAX) {
                prop_assert!(traces.encoded_len() <= MAX);
            }
        }
    }
}
