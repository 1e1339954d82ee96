//! Claims about the index: whatever comes and goes, its parts agree with each other and with what is on disk.

use super::{Admission, EntryRef, Index, Rest};
use crate::library::line;
use crate::library::stored::Stored;
use backsight_core::ids::TraceId;
use backsight_store::Place;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use std::collections::{BTreeMap, BTreeSet};

const TRACES_MAX: usize = 6;

#[derive(Clone, Debug)]
enum Step {
    Report { lo: u64, digest: u64 },
    View { lo: u64, digest: u64 },
    NextFile,
    Retire,
    Settle { after_ms: u64, n_max: usize, with_late_report: bool },
    AllIsOld,
}

fn step() -> impl Strategy<Value = Step> {
    let settle = (0..3000_u64, 1..4_usize, proptest::bool::ANY);
    prop_oneof![
        8 => (1..9_u64, 0..6_u64).prop_map(|(lo, digest)| Step::Report { lo, digest }),
        3 => (1..9_u64, 0..3_u64).prop_map(|(lo, digest)| Step::View { lo, digest }),
        2 => Just(Step::NextFile),
        1 => Just(Step::Retire),
        4 => settle.prop_map(|(after_ms, n_max, with_late_report)| Step::Settle { after_ms, n_max, with_late_report }),
        1 => Just(Step::AllIsOld),
    ]
}

struct Driven {
    index: Index,
    file: u64,
    oldest_file: u64,
    offset: u32,
    now_ns: u64,
}

impl Driven {
    fn entry(&mut self, digest: u64) -> EntryRef {
        self.offset += 8;
        EntryRef { place: Place { file: self.file, offset: self.offset, len: 8 }, digest }
    }

    fn report(&mut self, lo: u64, digest: u64) {
        let trace = TraceId::new(0, lo);
        if self.index.admit_report(trace, digest) == Admission::New {
            let entry = self.entry(digest);
            self.index.add_report(trace, entry);
            assert_eq!(self.index.admit_report(trace, digest), Admission::Duplicate);
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Report { lo, digest } => self.report(lo, digest),
            Step::View { lo, digest } => {
                let entry = self.entry(digest);
                self.index.add_view(TraceId::new(0, lo), entry);
                assert!(self.index.has_view(TraceId::new(0, lo), digest));
            }
            Step::NextFile => self.file += 1,
            Step::Retire if self.oldest_file < self.file => {
                self.index.retire(self.oldest_file);
                self.oldest_file += 1;
            }
            Step::Retire => {}
            Step::Settle { after_ms, n_max, with_late_report } => {
                self.now_ns += after_ms * 1_000_000;
                for work in self.index.take_due(self.now_ns, n_max, u64::MAX) {
                    assert!(!work.places.is_empty());
                    if with_late_report {
                        self.report(work.trace.lo, self.offset.into());
                    }
                    let stored = Stored { trace: work.trace, ..Stored::default() };
                    let (trace, certificate) = stored.examine();
                    let mut line = line::line(&stored, &trace, &certificate);
                    line.summary.start_ns = self.now_ns;
                    let news = self.index.settle(&work, line);
                    assert!(!(with_late_report && news.is_some()), "told before it is quiet");
                }
            }
            Step::AllIsOld => self.index.all_is_old(),
        }
    }

    /// Checks that all parts agree.
    fn check(&self) {
        let index = &self.index;
        let known: BTreeMap<_, _> = index.traces.iter().collect();
        let n_entries: usize =
            known.values().map(|known| known.reports.len() + usize::from(known.view.is_some())).sum();
        assert_eq!(index.n_entries, n_entries as u64);
        let arrivals: BTreeMap<_, _> = known.iter().map(|(trace, known)| (known.arrival, **trace)).collect();
        assert_eq!(index.arrivals, arrivals);
        let starts: BTreeSet<_> =
            known.iter().filter_map(|(trace, known)| Some((known.line.as_ref()?.summary.start_ns, **trace))).collect();
        assert_eq!(index.by_start, starts);
        for (trace, known) in &known {
            assert!(!known.reports.is_empty() || known.view.is_some(), "a trace without entries");
            assert!(known.line.is_none() || !known.reports.is_empty(), "a line of nothing");
            for entry in known.reports.iter().chain(&known.view) {
                assert!(entry.place.file >= self.oldest_file, "a place in a file that is gone");
                assert!(index.by_file[&entry.place.file].contains(trace));
            }
        }
        let rest =
            |is: fn(Rest) -> bool| known.iter().filter(move |(_, known)| is(known.rest)).map(|(trace, _)| **trace);
        assert_eq!(index.touched, rest(|rest| matches!(rest, Rest::Touched { .. })).collect());
        let due: BTreeSet<_> = index.due.iter().map(|(_, trace)| *trace).collect();
        assert_eq!(due, rest(|rest| matches!(rest, Rest::Due { .. })).collect());
        let backlog: BTreeSet<_> = index.backlog.iter().map(|(_, trace)| *trace).collect();
        assert_eq!(backlog, rest(|rest| rest == Rest::Backlog).collect());
        assert_eq!((due.len(), backlog.len()), (index.due.len(), index.backlog.len()));
    }
}

proptest! {
    /// For all sequences of steps: the parts agree, the bound holds, and once nothing comes any more every trace has its line.
    #[test]
    fn parts_agree_whatever_comes_and_goes(steps in vec(step(), 0..120)) {
        let mut driven = Driven { index: Index::new(TRACES_MAX), file: 1, oldest_file: 1, offset: 0, now_ns: 0 };
        for step in &steps {
            driven.step(step);
            driven.check();
            prop_assert!(driven.index.n_traces() <= TRACES_MAX);
        }
        for _ in 0..4 {
            driven.step(&Step::Settle { after_ms: 20_000, n_max: 100, with_late_report: false });
        }
        driven.check();
        prop_assert_eq!(driven.index.n_waiting(), 0);
        let has_line = |known: &super::Known| known.line.is_some() || known.reports.is_empty();
        prop_assert!(driven.index.traces.values().all(has_line));
    }
}
