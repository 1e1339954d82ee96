//! Claims about decompression: what was compressed comes back, and nothing makes it take more than it may.

use super::{Encoding, inflate};
use crate::otlp::counts::Counts;
use crate::otlp::refusal::{Reason, Refusal};
use crate::otlp::room::{Room, Rooms};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 1).unwrap()
}

fn room(max_bytes: usize, counts: &Counts) -> Room {
    Rooms::new(max_bytes, counts.clone()).room()
}

fn of(encoding: Encoding, packed: &[u8], max: usize) -> Result<Option<Vec<u8>>, Refusal> {
    inflate(encoding, packed, max, &mut room(1 << 30, &Counts::default()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For all bytes, compressed once or in two members: they come back, and one byte less than they are is too little.
    #[test]
    fn what_was_compressed_comes_back(bytes in proptest::collection::vec(0..4_u8, 0..200_000), at in any::<proptest::sample::Index>()) {
        let at = at.index(bytes.len() + 1);
        let halves = [gzip(&bytes[..at]), gzip(&bytes[at..])].concat();
        for (encoding, packed) in [(Encoding::Gzip, gzip(&bytes)), (Encoding::Gzip, halves), (Encoding::Zstd, zstd(&bytes))] {
            prop_assert_eq!(of(encoding, &packed, bytes.len()).unwrap(), Some(bytes.clone()));
            if let Some(less) = bytes.len().checked_sub(1) {
                let error = of(encoding, &packed, less).unwrap_err();
                prop_assert!(matches!(error, Refusal::TooLarge { .. }), "{error}");
            }
        }
    }

    /// For any bytes: no panic.
    #[test]
    fn any_bytes_are_refused_or_decompressed(bytes in proptest::collection::vec(any::<u8>(), 0..100), at in 0..4_usize) {
        let head = [&[][..], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], &[0x28, 0xb5, 0x2f, 0xfd], &[0x1f, 0x8b]][at];
        let bytes = [head, &bytes].concat();
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            drop(of(encoding, &bytes, 1000));
        }
    }
}

#[test]
fn a_bomb_takes_no_more_memory_than_a_request_may_have() {
    let bomb = vec![0; 64 << 20];
    for (encoding, packed) in [(Encoding::Gzip, gzip(&bomb)), (Encoding::Zstd, zstd(&bomb))] {
        let counts = Counts::default();
        let mut room = room(100 << 20, &counts);
        let error = inflate(encoding, &packed, 8 << 20, &mut room).unwrap_err();
        assert_eq!(error.reason(), Reason::TooLarge, "{error}");
        let used_bytes = counts.in_flight_bytes().load(Relaxed);
        assert!(used_bytes <= (8 << 20) + 1 + packed.len(), "{used_bytes}");
    }
}

#[test]
fn where_memory_is_short_it_is_refused_for_now() {
    let mut room = room(1 << 20, &Counts::default());
    let error = inflate(Encoding::Gzip, &gzip(&vec![0; 8 << 20]), 64 << 20, &mut room).unwrap_err();
    assert_eq!((error.reason(), error.retry_after().is_some()), (Reason::Full, true));
}

#[test]
fn a_window_that_is_too_large_is_refused() {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.window_log(27).unwrap();
    // Longer than the window may be, so that it is not made smaller.
    encoder.write_all(&vec![7; 20 << 20]).unwrap();
    let error = of(Encoding::Zstd, &encoder.finish().unwrap(), 64 << 20).unwrap_err();
    assert_eq!(error.reason(), Reason::Malformed, "{error}");
}

#[test]
fn names_of_encodings_are_read_in_either_case() {
    assert_eq!(["", "identity", "GZIP", "x-gzip", " zstd"].map(Encoding::of).map(|of| of.is_some()), [true; 5]);
    assert_eq!(["br", "gzip, gzip", "deflate"].map(Encoding::of), [None; 3]);
}
