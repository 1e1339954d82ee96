//! Claims about taking in: what was answered is stored once, whatever is cut, refused, closed and opened between.

use super::{Answer, Ingest, Input, Meaning, Options, PutError, Refused};
use crate::batch::{Batch, BatchFull};
use crate::objects::Objects;
use crate::objects::testing::{After, Fault, Memory};
use crate::part::read::{File, Spans};
use crate::retain::Limits;
use crate::rows::{ReportRow, SpanRow, flag, source};
use crate::schema::Table;
use crate::wal::{Kind, Record};
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::units::Nanos;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

/// What payloads of these tests say: pairs of a trace and a span, and a byte that none may be. As a report, each pair is one of the trace.
#[derive(Default)]
struct Pairs {
    taken: Mutex<Vec<u64>>,
}

const MALFORMED: u8 = 0xff;
const N_REPORTS: i16 = 7;

fn trace(n: u8) -> TraceId {
    TraceId::new(1, u64::from(n) + 1)
}

fn span(batch: &mut Batch, trace: TraceId, id: u64, source: i8) -> SpanRow<'static> {
    let resource = match batch.n_spans() {
        0 => batch.push_resource(&[]).unwrap(),
        _ => Default::default(),
    };
    let (service, operation) = ("s".into(), "o".into());
    SpanRow { trace, id: SpanId(id), source, service, operation, resource, start_ns: 5, ..SpanRow::default() }
}

impl Meaning for Pairs {
    type Receipt = u64;
    type Refusal = &'static str;
    type Assembled = (TraceId, usize);

    fn put(&self, record: &Record<'_>, batch: &mut Batch) -> Result<u64, PutError<&'static str>> {
        for pair in record.payload.chunks(2) {
            let [of, id] = pair else { return Err(PutError::Malformed("half a pair")) };
            if *id == MALFORMED {
                return Err(PutError::Malformed("a bad span"));
            }
            if record.kind == Kind::Report {
                let payload = Cow::Borrowed(std::slice::from_ref(id));
                batch.push_report(&ReportRow { trace: trace(*of), kind: N_REPORTS, ingest_ns: 3, payload })?;
            } else {
                let span = span(batch, trace(*of), u64::from(*id) + 1, source::OTLP);
                batch.push_span(&span)?;
            }
        }
        Ok(record.seq.0)
    }

    fn taken(&self, receipt: &u64) {
        self.taken.lock().unwrap().push(*receipt);
    }

    fn assemble(&self, trace: TraceId, reports: &[ReportRow<'_>]) -> Option<(TraceId, usize)> {
        assert!(reports.iter().all(|report| report.trace == trace && report.kind == N_REPORTS));
        let payloads: BTreeSet<_> = reports.iter().map(|report| &report.payload).collect();
        (!reports.is_empty()).then_some((trace, payloads.len()))
    }

    /// One span, which lasts as long as there are reports that differ.
    fn push(&self, (trace, n): &(TraceId, usize), is_late: bool, batch: &mut Batch) -> Result<(), BatchFull> {
        let span = span(batch, *trace, 1 << 32, source::RECORDER);
        let flags = if is_late { flag::LATE } else { 0 };
        batch.push_span(&SpanRow { duration_ns: *n as i64, flags, ..span })
    }
}

fn options(folder: &Path) -> Options {
    let (cut_every, cut_few_every) = (Nanos::from_ms(3_600_000), Nanos::from_ms(3_600_000));
    Options {
        wal_bytes: 4 << 20,
        wal_file_bytes: 1 << 20,
        cut_every,
        cut_few_every,
        compact_core_share: 0.0, // what a part holds is what was cut
        retain: Limits { age_ns: i64::MAX, ..Limits::default() }, // all came in 1970
        ..Options::new(folder.join("wal"))
    }
}

fn open(folder: &Path, objects: &Arc<dyn Objects>) -> Ingest<Pairs> {
    Ingest::open(options(folder), objects.clone(), Arc::new(Pairs::default())).unwrap().0
}

fn add(ingest: &Ingest<Pairs>, kind: Kind, payload: &[u8]) -> Answer<Pairs> {
    let (done, wait) = mpsc::channel();
    let payload = Bytes::copy_from_slice(payload);
    let done = Box::new(move |answer| done.send(answer).unwrap());
    ingest.offer(Input { kind, ingest_ns: 3, payload, is_durable: false, done });
    wait.recv().unwrap()
}

/// Returns how often each span stands in parts, and all recorded ones.
fn in_parts(ingest: &Ingest<Pairs>) -> (BTreeMap<(TraceId, u64), u32>, Vec<SpanRow<'static>>) {
    let (mut spans, mut recorded) = (BTreeMap::new(), Vec::new());
    for part in ingest.view().manifest.parts.values() {
        let Some(entry) = part.file(Table::Spans) else { continue };
        let file = Spans::new(File::open(&**ingest.objects(), entry).unwrap()).unwrap();
        for row in file.read(0..file.file().n_rows()).unwrap() {
            if row.source == source::RECORDER {
                recorded.push(row);
            } else {
                *spans.entry((row.trace, row.id.0 - 1)).or_insert(0) += 1;
            }
        }
    }
    (spans, recorded)
}

/// Cuts, and returns how often each span stands in parts, and of recorded ones the last duration.
fn stored(ingest: &Ingest<Pairs>) -> (BTreeMap<(TraceId, u64), u32>, BTreeMap<TraceId, i64>) {
    ingest.cut();
    assert!(ingest.view().batches.iter().all(|batch| batch.read().unwrap().is_empty()), "all was cut");
    let (spans, recorded) = in_parts(ingest);
    let mut lasts = BTreeMap::new();
    for row in recorded {
        let before = lasts.insert(row.trace, row.duration_ns);
        assert_eq!(before.is_some(), row.flags & flag::LATE != 0, "late is what was there before");
    }
    (spans, lasts)
}

#[derive(Clone, Debug)]
enum Step {
    Spans(Vec<(u8, u8)>),
    Reports(Vec<(u8, u8)>),
    Malformed(Vec<(u8, u8)>),
    Assemble(u8),
    Cut,
    Reopen,
}

fn any_step() -> impl Strategy<Value = Step> {
    let pairs = || vec((0..4_u8, 0..MALFORMED), 1..5);
    prop_oneof![
        4 => pairs().prop_map(Step::Spans),
        4 => pairs().prop_map(Step::Reports),
        2 => pairs().prop_map(Step::Malformed),
        2 => (0..4_u8).prop_map(Step::Assemble),
        1 => Just(Step::Cut),
        1 => Just(Step::Reopen),
    ]
}

fn flat(pairs: &[(u8, u8)]) -> Vec<u8> {
    pairs.iter().flat_map(|(of, id)| [*of, *id]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// For every course of inputs, cuts and restarts, whether parts are joined meanwhile or not: each span that was answered stands in parts once,
    /// and a trace with reports ends as all of them say.
    #[test]
    fn what_was_answered_is_stored_once(steps in vec(any_step(), 1..40), is_joining: bool) {
        let folder = tempfile::tempdir().unwrap();
        let objects: Arc<dyn Objects> = Arc::new(Memory::default());
        let share = if is_joining { 1.0 } else { 0.0 };
        let open = || {
            let retain_every = Nanos::from_ms(2);
            let options = Options { compact_core_share: share, retain_every, ..options(folder.path()) };
            Ingest::open(options, objects.clone(), Arc::new(Pairs::default())).unwrap().0
        };
        let mut ingest = open();
        let mut spans: BTreeMap<(TraceId, u64), u32> = BTreeMap::new();
        let mut reports: BTreeMap<TraceId, BTreeSet<u8>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Spans(pairs) => {
                    prop_assert!(add(&ingest, Kind::Otlp, &flat(&pairs)).is_ok());
                    pairs.iter().for_each(|(of, id)| *spans.entry((trace(*of), u64::from(*id))).or_insert(0) += 1);
                }
                Step::Reports(pairs) => {
                    prop_assert!(add(&ingest, Kind::Report, &flat(&pairs)).is_ok());
                    pairs.iter().for_each(|(of, id)| reports.entry(trace(*of)).or_default().extend([*id]));
                }
                Step::Malformed(pairs) => {
                    let payload = [flat(&pairs), vec![1, MALFORMED]].concat();
                    prop_assert!(matches!(add(&ingest, Kind::Otlp, &payload), Err(Refused::Malformed("a bad span"))));
                }
                Step::Assemble(of) => prop_assert!(ingest.assemble(trace(of), 0).is_ok()),
                Step::Cut => ingest.cut(),
                Step::Reopen => {
                    ingest.close();
                    ingest = open();
                }
            }
        }
        let reports: BTreeMap<_, _> = reports.into_iter().map(|(trace, ids)| (trace, ids.len() as i64)).collect();
        if is_joining {
            // What came twice is one where its parts were joined.
            ingest.cut();
            let (found, recorded) = in_parts(&ingest);
            prop_assert!(found.keys().eq(spans.keys()) && found.iter().all(|(span, n)| (1..=spans[span]).contains(n)));
            let lasts: BTreeMap<_, _> = recorded.iter().map(|row| (row.trace, row.duration_ns)).collect();
            prop_assert_eq!(lasts, reports);
            prop_assert_eq!(ingest.stats().n_upkeep_failures, 0);
        } else {
            prop_assert_eq!(stored(&ingest), (spans, reports));
        }
    }
}

#[test]
fn a_cut_that_fails_is_made_up_for_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Arc::new(Memory::default());
    let objects: Arc<dyn Objects> = memory.clone();
    let ingest = open(folder.path(), &objects);
    add(&ingest, Kind::Otlp, &[1, 2]).unwrap();
    let mut expected = BTreeMap::from([((trace(1), 2), 1)]);
    // A cut writes spans, traces and a version of the manifest.
    for (n, fault) in (0..3).flat_map(|step| [(step, Fault::Refused), (step, Fault::AnswerLost)]) {
        memory.fail_at(n, fault, After::Well);
        let failures = ingest.stats().n_cut_failures;
        assert_eq!(stored(&ingest).0, expected, "step {n}, {fault:?}");
        assert!(ingest.stats().n_cut_failures > failures, "step {n}, {fault:?}");
        assert_eq!(ingest.trouble(), None, "it is over");
        let id = 10 * n as u8 + u8::from(fault == Fault::Refused);
        add(&ingest, Kind::Otlp, &[1, id]).unwrap();
        *expected.entry((trace(1), id.into())).or_insert(0) += 1;
    }
}

#[test]
fn another_store_of_this_name_ends_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let objects: Arc<dyn Objects> = Arc::new(Memory::default());
    let first = open(folder.path(), &objects);
    add(&first, Kind::Otlp, &[1, 2]).unwrap();
    let second = open(other.path(), &objects);
    first.cut();
    assert!(matches!(add(&first, Kind::Otlp, &[1, 3]), Err(Refused::Over(Some(_)))));
    add(&second, Kind::Otlp, &[1, 4]).unwrap();
    assert_eq!(stored(&second).0, BTreeMap::from([((trace(1), 4), 1)]));
}

#[test]
fn a_store_whose_parts_cannot_be_written_refuses_what_it_has_no_room_for_and_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Arc::new(Memory::default());
    let objects: Arc<dyn Objects> = memory.clone();
    let small = Options { rows_max: 10, ..options(folder.path()) };
    let (ingest, _) = Ingest::open(small, objects, Arc::new(Pairs::default())).unwrap();
    memory.fail_at(0, Fault::Refused, After::Dead);
    let mut n_taken = 0;
    let refused = (0..100).find_map(|_| match add(&ingest, Kind::Otlp, &[1, 2, 1, 3]) {
        Ok(_) => {
            n_taken += 1;
            None
        }
        Err(refused) => Some(refused),
    });
    assert!(matches!(refused, Some(Refused::Busy)), "after {n_taken}");
    while ingest.trouble().is_none() {
        std::thread::yield_now(); // the cutter is about to find out
    }
    memory.heal();
    let (spans, _) = stored(&ingest);
    assert_eq!(spans.values().sum::<u32>(), 2 * n_taken, "nothing that was answered is lost");
    assert!(add(&ingest, Kind::Otlp, &[1, 2]).is_ok());
}

/// Waits until upkeep, which has a thread of its own, has come so far.
fn wait(ingest: &Ingest<Pairs>, is_done: impl Fn(&super::Stats) -> bool) {
    while !is_done(&ingest.stats()) {
        std::thread::yield_now();
    }
}

#[test]
fn small_parts_become_one_while_more_comes_and_readers_find_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let objects: Arc<dyn Objects> = Arc::new(Memory::default());
    let joining = Options { compact_core_share: 1.0, ..options(folder.path()) };
    let (ingest, _) = Ingest::open(joining, objects, Arc::new(Pairs::default())).unwrap();
    let before = ingest.view();
    let mut want = BTreeMap::new();
    // Two hours at most, so that four are of one.
    for n in 0..7 {
        add(&ingest, Kind::Otlp, &[n % 3, n]).unwrap();
        add(&ingest, Kind::Report, &[5, n]).unwrap();
        want.insert((trace(n % 3), u64::from(n)), 1);
        ingest.cut();
    }
    wait(&ingest, |stats| stats.n_parts_joined >= 4);
    assert_eq!((before.manifest.parts.len(), ingest.stats().n_upkeep_failures), (0, 0));
    let (spans, recorded) = in_parts(&ingest);
    assert_eq!(spans, want);
    let lasts: Vec<_> = recorded.iter().filter(|row| row.trace == trace(5)).map(|row| row.duration_ns).collect();
    assert_eq!(lasts.last(), Some(&7), "{lasts:?}");
    assert!(lasts.len() <= 4, "{lasts:?}");
    let reports = ingest.reports(trace(5), 0).reports;
    assert_eq!(reports.iter().map(|report| report.payload[0]).collect::<Vec<_>>(), (0..7).collect::<Vec<_>>());
    add(&ingest, Kind::Report, &[5, 7]).unwrap();
    ingest.cut();
    assert_eq!(in_parts(&ingest).1.last().map(|row| row.duration_ns), Some(8), "made of all reports");
}

#[test]
fn what_is_too_much_goes_and_whoever_looked_before_reads_on() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Arc::new(Memory::default());
    let objects: Arc<dyn Objects> = memory.clone();
    let retain = Limits { bytes: 1, age_ns: i64::MAX, ..Limits::default() };
    let few = Options { retain, retain_every: Nanos::from_ms(1), ..options(folder.path()) };
    let (ingest, _) = Ingest::open(few, objects, Arc::new(Pairs::default())).unwrap();
    for n in 0..5 {
        add(&ingest, Kind::Otlp, &[1, n]).unwrap();
        ingest.cut();
    }
    wait(&ingest, |stats| stats.n_parts_retired == 5 && stats.n_parts == 0);
    assert!(ingest.view().manifest.parts.is_empty());
    assert_eq!(ingest.stats().n_files_deleted, 0, "files stay for ten minutes");
    assert_eq!(memory.paths().iter().filter(|path| path.ends_with("spans.parquet")).count(), 5);
    add(&ingest, Kind::Otlp, &[1, 9]).unwrap();
    assert_eq!(ingest.stats().recent_spans, 1, "what is in no part does not go");
}
