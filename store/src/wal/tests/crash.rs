//! Claims about crashes, on a simulated disk: the process dies, or the power fails, in any call that the log makes, many times in a row, while
//! files fill, are freed and are used again, and calls fail in between.
//!
//! A model knows of each record whether it was written, is durable, or is in doubt, and of each append that failed what may be left of it.

use super::sim::{Call, Chance, Sim};
use super::{found, known, options, payload};
use crate::wal::{Kind, Options, Recovery, Seq, Wal, WalError};
use proptest::prelude::{any, proptest};
use std::collections::BTreeMap;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Written,
    Durable,
    /// Written, and the sync after it failed.
    InDoubt,
}

/// An append that failed, of which something may be left.
#[derive(Clone, Copy, Debug)]
struct Refused {
    seq: u64,
    stamp: u64,
    undone: Undone,
}

/// Whether the log could undo what the disk had done of a refused append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Undone {
    /// Yes, and durably with the next sync.
    Yes,
    /// Yes, but that sync failed: a power failure may bring it back, also in place of the record that got its number then.
    InDoubt,
    /// No: it may come back until the next record takes its number.
    No,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The process dies.
    Kill,
    PowerLoss,
}

struct World {
    disk: Sim,
    chance: Chance,
    records: BTreeMap<u64, (u64, State)>,
    refused: Vec<Refused>,
    /// The first record that is needed.
    low: u64,
    n_stamps: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let (disk, chance) = (Sim::new(seed), Chance(seed));
        Self { disk, chance, records: BTreeMap::new(), refused: Vec::new(), low: 1, n_stamps: 0 }
    }

    fn options(&self) -> Options {
        Options { known: known(self.low), ..options() }
    }

    /// Lives one life of a process, until it dies or has done `n_steps`.
    fn live(&mut self, wal: &mut Wal<Sim>, n_steps: u64) {
        for _ in 0..n_steps {
            match self.chance.below(20) {
                0..=12 => self.append(wal),
                13..=15 => self.sync(wal),
                16..=17 => self.free(wal),
                18 => drop(found(wal, self.low)),
                _ => {
                    let calls = [Call::Create, Call::Write, Call::Sync, Call::Rename, Call::Remove, Call::SyncNames];
                    let call = calls[self.chance.below(6) as usize];
                    self.disk.fail(call, 1 + self.chance.below(2) as u32);
                }
            }
            let usage = wal.usage();
            assert!(usage.live_bytes + usage.spare_bytes <= usage.limit_bytes, "{usage:?}");
        }
    }

    fn append(&mut self, wal: &mut Wal<Sim>) {
        self.n_stamps += 1;
        let (stamp, seq) = (self.n_stamps, wal.next_seq().0);
        let len = if self.chance.below(30) == 0 { 5000 } else { self.chance.below(900) } as usize;
        let kind = Kind::ALL[self.chance.below(6) as usize];
        match wal.append(kind, stamp, &payload(stamp, len)) {
            Ok(appended) => {
                assert_eq!(appended.0, seq, "numbers have no gaps");
                self.records.insert(seq, (stamp, State::Written));
                self.refused.retain(|refused| refused.undone != Undone::No); // that stands in an earlier file
            }
            Err(WalError::Full { oldest, .. }) => assert!(oldest.0 <= seq),
            Err(_) => {
                // A second call that is bound to fail is the one that would undo.
                let is_undone = !self.disk.is_dead() && !self.disk.has_failed_twice();
                let undone = if is_undone { Undone::Yes } else { Undone::No };
                self.refused.push(Refused { seq, stamp, undone });
            }
        }
        assert_eq!(wal.next_seq().0, seq + u64::from(self.records.get(&seq).is_some_and(|record| record.0 == stamp)));
    }

    fn sync(&mut self, wal: &mut Wal<Sim>) {
        match wal.sync() {
            Ok(last) => {
                assert_eq!(last.next(), wal.next_seq());
                self.refused.retain(|refused| refused.undone != Undone::Yes);
                let written = self.records.values_mut().filter(|record| record.1 == State::Written);
                written.for_each(|record| record.1 = State::Durable);
            }
            Err(doubt) => self.doubt(&doubt),
        }
    }

    /// Notes what the log says to be in doubt.
    fn doubt(&mut self, doubt: &WalError) {
        let WalError::InDoubt { first, end, .. } = doubt else { panic!("{doubt}") };
        let doubted = self.records.range_mut(first.0..end.0).filter(|(_, record)| record.1 != State::Durable);
        doubted.for_each(|(_, record)| record.1 = State::InDoubt);
        let doubted = self.refused.iter_mut().filter(|refused| refused.undone == Undone::Yes);
        doubted.for_each(|refused| refused.undone = Undone::InDoubt);
    }

    fn free(&mut self, wal: &mut Wal<Sim>) {
        self.low += self.chance.below(wal.next_seq().0 - self.low + 1);
        let _ = wal.free_before(Seq(self.low));
    }

    /// Ends the process as `end` says.
    fn end(&mut self, wal: Wal<Sim>, end: End) -> Wal<Sim> {
        // A sync that failed and that nobody was told of yet: what is in doubt stays so.
        if let Some(doubt) = &wal.doubt {
            self.doubt(doubt);
        }
        drop(wal);
        self.reopen(end)
    }

    /// Opens the log after `end`, and checks what is there.
    fn reopen(&mut self, end: End) -> Wal<Sim> {
        match end {
            End::Kill => self.disk.restart(),
            End::PowerLoss => self.disk.lose_power(&mut self.chance),
        }
        let (wal, recovery) = Wal::open_on(self.disk.clone(), self.options()).unwrap();
        let found = found(&wal, self.low);
        self.check(end, &found, &recovery);
        let in_doubt =
            |seq: u64| end == End::Kill && self.records.get(&seq).is_some_and(|record| record.1 == State::InDoubt);
        let state = |seq| if in_doubt(seq) { State::InDoubt } else { State::Durable };
        self.records = found.iter().map(|(seq, stamp)| (*seq, (*stamp, state(*seq)))).collect();
        self.refused.retain(|refused| end == End::Kill && refused.undone != Undone::Yes);
        self.refused.iter_mut().for_each(|refused| refused.undone = Undone::InDoubt);
        wal
    }

    fn check(&self, end: End, found: &[(u64, u64)], recovery: &Recovery) {
        for (seq, stamp) in found {
            let was_written = self.records.get(seq).is_some_and(|record| record.0 == *stamp);
            let was_refused = |refused: &Refused| {
                (refused.seq, refused.stamp) == (*seq, *stamp)
                    && (end == End::PowerLoss || refused.undone == Undone::No)
            };
            assert!(
                was_written || self.refused.iter().any(was_refused),
                "record {seq} was never written, or is gone: {:?}, {end:?}, {recovery:?}",
                self.refused
            );
        }
        let is_found = |seq: u64| found.binary_search_by_key(&seq, |found| found.0).is_ok();
        for (seq, (_, state)) in self.records.range(self.low..) {
            let must_be = end == End::Kill || *state == State::Durable;
            assert!(!must_be || is_found(*seq), "record {seq} is lost, which was {state:?}, by {end:?}: {recovery:?}");
        }
        for loss in &recovery.losses {
            assert!(!(loss.missing.start.0..loss.missing.end.0).any(is_found), "{loss:?} is found");
        }
        assert!(recovery.next.0 >= self.low && found.last().is_none_or(|last| last.0 < recovery.next.0));
    }
}

proptest! {
    /// For all histories of appends, syncs, frees, failures, deaths and power failures at any call: a record that was acknowledged after a
    /// sync is found; where only the process died every record that was appended is found; nothing is found that was not appended, that an
    /// earlier recovery had not found, or twice.
    #[test]
    fn what_was_acknowledged_is_found_and_nothing_else(seed in any::<u64>()) {
        let mut world = World::new(seed);
        let mut wal = world.reopen(End::Kill);
        for _ in 0..8 {
            let dies = world.chance.below(3) > 0;
            world.disk.die_after(Some(1 + world.chance.below(60)).filter(|_| dies));
            let n_steps = world.chance.below(60);
            world.live(&mut wal, n_steps);
            let end = if world.chance.below(2) == 0 { End::Kill } else { End::PowerLoss };
            wal = world.end(wal, end);
        }
    }

    /// For all deaths and power failures while a log is opened: what was durable is still found by the next one that opens it.
    #[test]
    fn opening_may_be_interrupted(seed in any::<u64>()) {
        let mut world = World::new(seed);
        let mut wal = world.reopen(End::Kill);
        for _ in 0..6 {
            world.live(&mut wal, 30);
            drop(wal);
            world.disk.lose_power(&mut world.chance);
            for n_calls in 1..4 {
                world.disk.die_after(Some(n_calls));
                drop(Wal::open_on(world.disk.clone(), world.options()));
                if world.chance.below(2) == 0 {
                    world.disk.lose_power(&mut world.chance);
                }
            }
            wal = world.reopen(End::PowerLoss);
        }
    }
}
