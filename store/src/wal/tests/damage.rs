//! Claims about damage at rest: whatever bits flip, what was not hit is found, and nothing else.

use super::sim::{Chance, Sim};
use super::{found, known, options, payload};
use crate::wal::file::{HEADER_BYTES, Name};
use crate::wal::record::record_bytes;
use crate::wal::scan::{Extent, Found, Headers, scan};
use crate::wal::{Cause, Kind, Options, Seq, Wal};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use std::ops::Range;

/// A record and the bytes that it stands in.
struct Placed {
    name: String,
    bytes: Range<usize>,
    record: (u64, u64),
}

/// Returns a log whose files have been used before, and the first record that is needed.
fn used_log(seed: u64) -> (Sim, u64) {
    let disk = Sim::new(seed);
    let mut chance = Chance(seed);
    let (mut wal, _) = Wal::open_on(disk.clone(), options()).unwrap();
    let mut low = 1;
    for stamp in 1..=90 {
        let appended = wal.append(Kind::Decision, stamp, &payload(stamp, chance.below(400) as usize)).unwrap();
        if stamp % 20 == 0 {
            low = appended.0 - chance.below(10);
            wal.free_before(Seq(low)).unwrap();
        }
    }
    wal.close().unwrap();
    (disk, low)
}

fn live_names(disk: &Sim) -> Vec<String> {
    disk.names().into_iter().filter(|name| matches!(Name::parse(name), Some(Name::Live(_)))).collect()
}

/// Returns where each record stands.
fn placed(disk: &Sim) -> Vec<Placed> {
    let mut placed = Vec::new();
    for name in live_names(disk) {
        let bytes = disk.bytes(&name);
        let headers = Headers::read(&bytes[..], bytes.len() as u64).unwrap();
        let extent = Extent { header: headers.header().unwrap(), end: headers.records_end(), limit: Seq(u64::MAX) };
        let scanned = scan(&bytes[..], &extent, &mut |found| {
            if let Found::Record { offset, header, payload } = found {
                let start = offset as usize;
                let bytes = start..start + 32 + payload.len();
                placed.push(Placed { name: name.clone(), bytes, record: (header.seq.0, header.ingest_ns) });
            }
            Ok(())
        });
        scanned.unwrap();
    }
    placed
}

fn header_copies(bytes: &[u8]) -> [Range<usize>; 2] {
    let len = HEADER_BYTES as usize;
    [0..len, bytes.len() - len..bytes.len()]
}

proptest! {
    /// For all logs and all flips of bits in files: opening and replaying end without a panic; every record of which no bit was hit is
    /// found, unless both headers of its file were; nothing else is found; the records that are lost are counted; the log goes on.
    #[test]
    fn flipped_bits_lose_only_the_records_they_hit(
        seed in 0..1000_u64, flips in vec((any::<proptest::sample::Index>(), any::<proptest::sample::Index>(), 0..8_u32), 1..8),
        headers_too in any::<bool>(),
    ) {
        let (disk, low) = used_log(seed);
        let placed = placed(&disk);
        let names = live_names(&disk);
        let mut hits: Vec<(String, usize)> = Vec::new();
        for (file, at, bit) in flips {
            let name = file.get(&names);
            let mut bytes = disk.bytes(name);
            let at = at.index(bytes.len());
            let is_header = header_copies(&bytes).iter().any(|copy| copy.contains(&at));
            // The same bit twice would be no hit.
            if (is_header && !headers_too) || hits.contains(&(name.clone(), at)) {
                continue;
            }
            bytes[at] ^= 1 << bit;
            disk.put(name, bytes);
            hits.push((name.clone(), at));
        }
        let is_unreadable = |name: &str| {
            let is_hit = |copy: &Range<usize>| hits.iter().any(|(file, at)| file == name && copy.contains(at));
            header_copies(&disk.bytes(name)).iter().all(is_hit)
        };
        let is_hit = |placed: &Placed| hits.iter().any(|(name, at)| *name == placed.name && placed.bytes.contains(at));
        let is_lost = |placed: &Placed| is_unreadable(&placed.name) || is_hit(placed);
        let expected: Vec<_> = placed.iter().filter(|placed| !is_lost(placed) && placed.record.0 >= low).map(|placed| placed.record).collect();

        let (mut wal, recovery) = Wal::open_on(disk.clone(), Options { known: known(low), ..options() }).unwrap();
        prop_assert_eq!(&found(&wal, low), &expected);
        if !names.iter().any(|name| is_unreadable(name)) {
            let is_torn = |placed: &&Placed| is_lost(placed) && Some(&placed.name) == names.last();
            let n_torn = placed.iter().rev().take_while(is_torn).count();
            let needed = |placed: &&Placed| is_lost(placed) && placed.record.0 >= low;
            let n_lost = placed[..placed.len() - n_torn].iter().filter(needed).count() as u64;
            prop_assert!(recovery.lost_records >= n_lost, "{recovery:?}");
            prop_assert!(n_lost > 0 || recovery.losses.is_empty(), "{recovery:?}");
        }
        let next = wal.append(Kind::Commit, 7_000, &payload(7_000, 100)).unwrap();
        wal.close().unwrap();
        let (wal, _) = Wal::open_on(disk, Options { known: known(low), ..options() }).unwrap();
        prop_assert_eq!(found(&wal, low), [expected, vec![(next.0, 7_000)]].concat());
    }

    /// For all bytes in place of a file: no panic, and none of them are taken for records.
    #[test]
    fn any_bytes_in_place_of_a_file_are_no_records(seed in 0..50_u64, bytes in vec(any::<u8>(), 0..5000)) {
        let (disk, low) = used_log(seed);
        let name = live_names(&disk).remove(0);
        let lost: Vec<_> = placed(&disk).into_iter().filter(|placed| placed.name == name).map(|placed| placed.record).collect();
        let kept: Vec<_> = placed(&disk).into_iter().map(|placed| placed.record).filter(|record| !lost.contains(record)).collect();
        disk.put(&name, bytes);
        let (wal, _) = Wal::open_on(disk, Options { known: known(low), ..options() }).unwrap();
        let kept: Vec<_> = kept.into_iter().filter(|record| record.0 >= low).collect();
        prop_assert_eq!(found(&wal, low), kept);
    }
}

#[test]
fn a_hole_is_told_with_its_file_offset_bytes_and_records() {
    let (disk, low) = used_log(1);
    let placed = placed(&disk);
    let is_inside =
        |three: &&[Placed]| three[0].record.0 >= low && three.iter().all(|placed| placed.name == three[0].name);
    let [first, second, _] = placed.windows(3).find(is_inside).unwrap() else { unreachable!() };
    let mut bytes = disk.bytes(&first.name);
    for hit in [first.bytes.start, second.bytes.start + 20] {
        bytes[hit] ^= 0x10;
    }
    disk.put(&first.name, bytes);
    let (_, recovery) = Wal::open_on(disk, Options { known: known(low), ..options() }).unwrap();
    let bytes = record_bytes(first.bytes.len() as u32 - 32) + record_bytes(second.bytes.len() as u32 - 32);
    let loss = &recovery.losses[0];
    assert!(loss.path.ends_with(&first.name));
    assert_eq!((loss.cause, loss.offset, loss.bytes), (Cause::Damaged, first.bytes.start as u64, bytes));
    assert_eq!(loss.missing, Seq(first.record.0)..Seq(second.record.0 + 1));
    assert_eq!((recovery.n_losses, recovery.lost_bytes, recovery.lost_records), (1, bytes, 2));
}

#[test]
fn a_torn_end_is_counted_once_and_cut_for_good() {
    let (disk, low) = used_log(2);
    let last = placed(&disk).pop().unwrap();
    let mut bytes = disk.bytes(&last.name);
    bytes[last.bytes.end - 1] ^= 1;
    disk.put(&last.name, bytes);
    let options = Options { known: known(low), ..options() };
    let (wal, recovery) = Wal::open_on(disk.clone(), options).unwrap();
    let torn = recovery.torn.unwrap();
    assert_eq!((torn.offset, torn.bytes), (last.bytes.start as u64, record_bytes(last.bytes.len() as u32 - 32)));
    assert_eq!((recovery.n_losses, recovery.next), (0, Seq(last.record.0)));
    drop(wal);
    assert_eq!(Wal::open_on(disk, options).unwrap().1.torn, None);
}
