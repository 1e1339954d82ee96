//! Claims about what the disk refuses, one call at a time: what the log says then, and that it goes on.

use super::sim::{Call, Chance, Sim};
use super::{FILE_BYTES, found, known, options, payload};
use crate::wal::{Freed, Fsync, Kind, Known, Options, Seq, Wal, WalError};
use backsight_core::units::Nanos;

fn open(disk: &Sim) -> Wal<Sim> {
    Wal::open_on(disk.clone(), options()).unwrap().0
}

/// Appends records with these stamps, of `len` bytes each.
fn append(wal: &mut Wal<Sim>, stamps: std::ops::Range<u64>, len: usize) -> Result<(), WalError> {
    stamps.into_iter().try_for_each(|stamp| wal.append(Kind::Otlp, stamp, &payload(stamp, len)).map(drop))
}

fn stamps(wal: &Wal<Sim>) -> Vec<u64> {
    found(wal, 0).into_iter().map(|(_, stamp)| stamp).collect()
}

#[test]
fn a_refused_append_leaves_the_log_as_before() {
    for seed in 0..50 {
        let disk = Sim::new(seed);
        let mut wal = open(&disk);
        append(&mut wal, 1..4, 100).unwrap();
        disk.fail(Call::Write, 1);
        let error = append(&mut wal, 4..5, 100).unwrap_err();
        assert!(matches!(&error, WalError::Io { what: "append to", .. }), "{error}");
        assert_eq!((wal.next_seq(), stamps(&wal)), (Seq(4), vec![1, 2, 3]));
        drop(wal);
        let mut wal = open(&disk);
        assert_eq!(stamps(&wal), [1, 2, 3]);
        append(&mut wal, 5..6, 300).unwrap();
        assert_eq!(stamps(&wal), [1, 2, 3, 5]);
    }
}

#[test]
fn what_cannot_be_undone_is_superseded_by_the_next_record() {
    for seed in 0..50 {
        let disk = Sim::new(seed);
        let mut wal = open(&disk);
        append(&mut wal, 1..4, 100).unwrap();
        disk.fail(Call::Write, 2);
        append(&mut wal, 4..5, 100).unwrap_err();
        append(&mut wal, 5..7, 100).unwrap();
        assert_eq!((wal.next_seq(), stamps(&wal)), (Seq(6), vec![1, 2, 3, 5, 6]));
        drop(wal);
        assert_eq!(stamps(&open(&disk)), [1, 2, 3, 5, 6]);
    }
}

#[test]
fn a_failed_sync_names_what_is_in_doubt_once_and_what_follows_is_durable() {
    for seed in 0..50 {
        let disk = Sim::new(seed);
        let mut wal = open(&disk);
        append(&mut wal, 1..3, 100).unwrap();
        wal.sync().unwrap();
        append(&mut wal, 3..5, 100).unwrap();
        disk.fail(Call::Sync, 1);
        let error = wal.sync().unwrap_err();
        assert!(matches!(&error, WalError::InDoubt { first: Seq(3), end: Seq(5), .. }), "{error}");
        assert!(
            error.to_string().ends_with("0000000000000001.wal: records 3 to before 5 may be lost if the power fails")
        );
        append(&mut wal, 5..7, 100).unwrap();
        assert_eq!(wal.sync().unwrap(), Seq(6));
        assert_eq!(wal.usage().live_bytes, 2 * FILE_BYTES, "what follows is in another file");
        assert_eq!(stamps(&wal), [1, 2, 3, 4, 5, 6], "while the machine runs");
        drop(wal);
        disk.lose_power(&mut Chance(seed));
        let left = stamps(&open(&disk));
        let is_durable = |stamp: &u64| !(3..5).contains(stamp);
        assert_eq!(left.iter().copied().filter(is_durable).collect::<Vec<_>>(), [1, 2, 5, 6]);
    }
}

#[test]
fn a_sync_that_fails_within_an_append_is_told_by_the_next_sync() {
    let disk = Sim::new(1);
    let mut wal = open(&disk);
    append(&mut wal, 1..2, 3000).unwrap();
    disk.fail(Call::Sync, 1);
    append(&mut wal, 2..3, 3000).unwrap(); // it is not this record's failure
    assert!(matches!(wal.sync(), Err(WalError::InDoubt { first: Seq(1), end: Seq(2), .. })));
    assert_eq!(wal.sync().unwrap(), Seq(2));
}

#[test]
fn a_file_that_cannot_be_named_takes_no_record_from_the_one_that_follows() {
    for seed in 0..20 {
        let disk = Sim::new(seed);
        let mut wal = open(&disk);
        append(&mut wal, 1..2, 3000).unwrap();
        disk.fail(Call::SyncNames, 2); // before the file is prepared, and when it has its name
        disk.fail(Call::Remove, 5);
        append(&mut wal, 2..3, 3000).unwrap_err();
        append(&mut wal, 2..3, 3000).unwrap_err();
        append(&mut wal, 3..4, 100).unwrap(); // it would fit the first file
        wal.sync().unwrap();
        drop(wal);
        disk.lose_power(&mut Chance(seed));
        assert_eq!(stamps(&open(&disk)), [1, 3]);
    }
}

#[test]
fn without_room_on_the_disk_short_records_go_on_in_the_file_that_is_there() {
    let disk = Sim::new(1);
    let mut wal = open(&disk);
    append(&mut wal, 1..2, 3000).unwrap();
    disk.fail(Call::Create, 1);
    append(&mut wal, 2..3, 3000).unwrap_err();
    append(&mut wal, 3..4, 100).unwrap();
    assert_eq!((stamps(&wal), wal.usage().live_bytes), (vec![1, 3], FILE_BYTES));
}

#[test]
fn a_full_log_refuses_input_takes_its_own_books_and_goes_on_when_freed() {
    let disk = Sim::new(1);
    let mut wal = open(&disk);
    append(&mut wal, 1..6, 3900).unwrap(); // one file each; the sixth is in reserve
    let error = append(&mut wal, 6..7, 3900).unwrap_err();
    let text = "the write-ahead log holds 20 KiB of 24 KiB, from record 1 on; commit what is in it so that it is freed, or raise its limit";
    assert_eq!(error.to_string(), text);
    wal.append(Kind::Commit, 6, &payload(6, 3900)).unwrap();
    assert!(matches!(wal.append(Kind::Commit, 7, &payload(7, 3900)), Err(WalError::Full { oldest: Seq(1), .. })));
    append(&mut wal, 8..9, 100).unwrap_err();
    assert_eq!(wal.free_before(Seq(5)).unwrap(), Freed { n_recycled: 2, n_removed: 2 });
    append(&mut wal, 8..9, 3900).unwrap();
    assert_eq!(stamps(&wal), [5, 6, 8]);
    assert_eq!((wal.usage().live_bytes, wal.usage().spare_bytes), (3 * FILE_BYTES, FILE_BYTES));
}

#[test]
fn a_record_longer_than_a_file_gets_one_of_its_own_which_is_not_used_again() {
    let disk = Sim::new(1);
    let mut wal = open(&disk);
    append(&mut wal, 1..2, 5000).unwrap();
    append(&mut wal, 2..3, 5000).unwrap();
    drop(wal);
    let mut wal = open(&disk);
    append(&mut wal, 3..4, 100).unwrap();
    assert_eq!(stamps(&wal), [1, 2, 3]);
    assert_eq!(wal.free_before(Seq(3)).unwrap(), Freed { n_recycled: 0, n_removed: 2 });
    let long = vec![0; (64 << 20) + 1];
    let error = wal.append(Kind::Otlp, 1, &long).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a payload of 67108865 bytes is longer than 67108864; refuse or split what it came with"
    );
    let small = Options { wal_bytes: 2 * FILE_BYTES, ..options() };
    let error = Wal::open_on(Sim::new(1), small).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a write-ahead log of 8 KiB is too small for files of 4 KiB; give it room for 3 of them"
    );
}

#[test]
fn a_tick_syncs_what_is_older_than_the_interval_and_no_more_often() {
    let disk = Sim::new(1);
    let mut wal = open(&disk);
    let synced = |wal: &mut Wal<Sim>, now_ms| {
        let before = disk.n_syncs();
        wal.tick(Nanos::from_ms(now_ms)).unwrap();
        disk.n_syncs() > before
    };
    append(&mut wal, 1..2, 10).unwrap();
    assert!(synced(&mut wal, 1000) && !synced(&mut wal, 1200), "nothing is appended");
    append(&mut wal, 2..3, 10).unwrap();
    assert!(!synced(&mut wal, 1250) && synced(&mut wal, 1300));
    append(&mut wal, 3..4, 10).unwrap();
    assert!(synced(&mut wal, 200), "a clock that was set back delays nothing");
    for (fsync, expected) in [(Fsync::Always, true), (Fsync::Os, false)] {
        let (mut wal, _) = Wal::open_on(disk.clone(), Options { fsync, ..options() }).unwrap();
        append(&mut wal, 9..10, 10).unwrap();
        assert_eq!(synced(&mut wal, 0), expected);
    }
}

#[test]
fn numbers_and_epochs_that_stand_elsewhere_are_not_given_again() {
    let disk = Sim::new(1);
    let mut wal = open(&disk);
    append(&mut wal, 1..4, 100).unwrap();
    wal.close().unwrap();
    let known = Known { wal_low: Seq(2), last_seq: Seq(9), epoch: 40 };
    let (mut wal, recovery) = Wal::open_on(disk.clone(), Options { known, ..options() }).unwrap();
    assert_eq!((recovery.epoch, wal.epoch(), recovery.next), (41, 41, Seq(10)));
    assert_eq!(
        (recovery.losses[0].missing.clone(), recovery.lost_records),
        (Seq(4)..Seq(10), 6),
        "and that they are missing is told"
    );
    assert_eq!(wal.append(Kind::Otlp, 10, &payload(10, 5)).unwrap(), Seq(10));
    drop(wal);
    let (wal, recovery) = Wal::open_on(disk, Options { known: super::known(10), ..options() }).unwrap();
    assert_eq!((recovery.epoch, recovery.n_losses), (42, 0));
    assert_eq!(stamps(&wal), [1, 2, 3, 10]);
}

#[test]
fn an_earlier_use_of_a_file_never_shows() {
    let disk = Sim::new(7);
    let mut wal = open(&disk);
    for round in 0..20 {
        let low = wal.next_seq().0;
        append(&mut wal, low..low + 12, 700).unwrap(); // records of one length: what is behind the end lies where records would
        assert_eq!(found(&wal, low), (low..low + 12).map(|seq| (seq, seq)).collect::<Vec<_>>());
        wal.sync().unwrap();
        disk.lose_power(&mut Chance(round));
        let (reopened, recovery) = Wal::open_on(disk.clone(), Options { known: known(low), ..options() }).unwrap();
        assert_eq!((recovery.torn, recovery.n_losses), (None, 0));
        assert_eq!(found(&reopened, low), (low..low + 12).map(|seq| (seq, seq)).collect::<Vec<_>>());
        wal = reopened;
        let freed = wal.free_before(wal.next_seq()).unwrap();
        assert!(freed.n_recycled > 0);
    }
}
