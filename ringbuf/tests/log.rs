//! Claims about a thread's log: a reader finds exactly what the writer accepted, whatever chunks it was given, and nothing else.

#![cfg(not(any(loom, shuttle)))]

#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/log.rs"]
mod log;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/model.rs"]
mod model;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/region.rs"]
mod region;

use backsight_core::ids::{AgentId, SpanId, TraceId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::record::{Kind, Level, Record, Records, align8, flags, name_word, seg_flags};
use backsight_core::sync::Ordering::Relaxed;
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::abi::{Class, slot, slot_offset};
use backsight_ringbuf::head::Head;
use backsight_ringbuf::region::Shed;
use backsight_ringbuf::shm::Mapping;
use backsight_ringbuf::storage::Storage;
use backsight_ringbuf::writer::{Carried, SegmentStart, Writer};
use backsight_ringbuf::{region as shm_region, slot as thread_slot};
use log::{Item, Log, chain};
use model::Model;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use region::{Agent, Chunk, Chunks, read_to};

const TICKS_PER_SECOND: u64 = 1_000_000;
const PAYLOAD_MAX: usize = 1 << 20;

/// One call of the thread, or something that happens between two.
#[derive(Clone, Debug)]
enum Op {
    Begin { flags: u32 },
    Resume,
    End,
    Pause,
    GoOn,
    Record(Call),
    Advance(u64),
    Grant(Class, usize),
    Revoke,
    Drain,
    Recording(bool),
    Shed(Shed, u64),
    Check,
}

/// A call that records.
#[derive(Clone, Copy, Debug)]
struct Call {
    shape: u8,
    span: u8,
    level: u8,
    bytes: usize,
}

fn op() -> impl Strategy<Value = Op> {
    let bytes = prop_oneof![
        8 => 0_usize..64,
        4 => 64_usize..700,
        2 => 700_usize..9_000,
        1 => 9_000_usize..200_000,
        1 => Just(PAYLOAD_MAX),
        1 => Just(PAYLOAD_MAX + 1),
    ];
    let class = prop_oneof![Just(Class::Small), Just(Class::Medium), Just(Class::Large)];
    prop_oneof![
        4 => prop_oneof![Just(0), Just(4_u32)].prop_map(|flags| Op::Begin { flags }),
        1 => Just(Op::Resume),
        3 => Just(Op::End),
        3 => Just(Op::Pause),
        4 => Just(Op::GoOn),
        24 => (0_u8..6, 0_u8..3, 0_u8..4, bytes)
            .prop_map(|(shape, span, level, bytes)| Op::Record(Call { shape, span, level, bytes })),
        4 => prop_oneof![0_u64..1000, Just(1 << 33), Just(u64::from(u32::MAX)), 0_u64..5_000_000].prop_map(Op::Advance),
        6 => (class, 1_usize..20).prop_map(|(class, n)| Op::Grant(class, n)),
        1 => Just(Op::Revoke),
        4 => Just(Op::Drain),
        1 => any::<bool>().prop_map(Op::Recording),
        2 => (shed(), 0_u64..4).prop_map(|(shed, seed)| Op::Shed(shed, seed)),
        2 => Just(Op::Check),
    ]
}

/// Nothing, or any thresholds, nested or not.
fn shed() -> impl Strategy<Value = Shed> {
    let threshold = || prop_oneof![2 => Just(0), 1 => any::<u64>(), 1 => Just(u64::MAX)];
    let any = (threshold(), [threshold(), threshold(), threshold()]);
    prop_oneof![1 => Just(Shed::default()), 2 => any.prop_map(|(record, detail)| Shed { record, detail })]
}

/// A thread, its agent, and the model of both.
struct Run<S: Storage> {
    agent: Agent<S>,
    writer: Writer<S>,
    model: Model,
    log: Log,
    paused: SegmentStart,
    chunks: Vec<Chunk>,
    now: u64,
    n_records: u64,
    shed: Shed,
    seed: u64,
}

impl<S: Storage + Clone> Run<S> {
    fn new(store: S, chunks: Chunks) -> Self {
        let agent = Agent::new(store.clone(), chunks, TICKS_PER_SECOND);
        let slot = thread_slot::claim(&store, 42).expect("a slot is free");
        let writer = Writer::new(store, slot, 42);
        let (model, log) = (Model::default(), Log::default());
        let paused = SegmentStart::default();
        let (chunks, shed) = (Vec::new(), Shed::default());
        Self { agent, writer, model, log, paused, chunks, now: 1 << 40, n_records: 0, shed, seed: 0 }
    }

    fn step(&mut self, op: &Op) {
        let now = self.now;
        match *op {
            Op::Begin { flags } => {
                let start = self.next_start(flags);
                let begun = self.writer.begin(start, now);
                self.model.begin(start, now, begun);
                self.note_shed(self.is_below(Salt::RECORD, self.shed.record));
            }
            Op::Resume => {
                let start = self.next_start(0);
                self.writer.resume(start, now);
                self.model.resume(start, now);
            }
            Op::End => {
                self.writer.end(now);
                self.model.end(now);
            }
            Op::Pause => {
                self.paused = self.writer.pause(now);
                self.model.end(now);
            }
            Op::GoOn => {
                let SegmentStart { trace, span, carried, .. } = self.paused;
                let start = SegmentStart { trace, span, ..self.next_start(carried.flags & seg_flags::DETAIL) };
                self.writer.resume(start, now);
                if !trace.is_none() {
                    self.model.go_on(start, now);
                } else {
                    self.model.end(now);
                }
            }
            Op::Record(call) => self.record(call),
            Op::Advance(ticks) => self.now += ticks,
            Op::Grant(class, n) => {
                let _ = (0..n).map_while(|_| self.agent.grant(class)).count();
            }
            Op::Revoke => self.agent.revoke_all(),
            Op::Drain => self.drain(),
            Op::Recording(on) => shm_region::set_recording(&self.agent.store, on),
            Op::Shed(shed, seed) => {
                self.shed = shed;
                if !self.model.is_active() {
                    self.seed = seed; // a segment may keep the priority that its first record found
                }
                shm_region::set_shed(&self.agent.store, shed);
                shm_region::set_seed(&self.agent.store, self.seed, 1);
                assert_eq!(shm_region::shed(&self.agent.store), shed);
            }
            Op::Check => self.check(),
        }
        self.now += 512; // a call that fills many chunks counts a tick for each, less than the time that it takes
    }

    /// Each visit has its own parent span, by which the model knows it; traces repeat.
    fn next_start(&self, flags: u32) -> SegmentStart {
        let n = self.model.n_visits() as u64 + 1;
        let parent_span = SpanId(1000 + n);
        SegmentStart {
            trace: TraceId::new(n % 3, 9 + n % 3),
            parent_span,
            span: parent_span,
            carried: Carried { from_agent: AgentId(n as u32), flags, ..Carried::default() },
        }
    }

    /// Returns whether the active trace's priority is below `threshold`.
    fn is_below(&self, salt: Salt, threshold: u64) -> bool {
        Priority::of(self.writer.trace(), self.seed, salt).hash() < threshold
    }

    fn drops(&self, reason: DropReason) -> u64 {
        thread_slot::drops(&self.agent.store, self.writer.slot_number())[reason as usize]
    }

    /// Tells the model whether the active visit was shed by the last call, where it `may` have been.
    fn note_shed(&mut self, may: bool) {
        let is_noted = self.drops(DropReason::Priority) != self.model.n_shed;
        let may_stand = self.model.may_stand(); // then it is recorded already
        assert!(
            if is_noted { may } else { !may || may_stand },
            "a visit is shed by its trace's priority, and counted once"
        );
        if is_noted {
            self.model.shed();
        }
        assert_eq!(self.writer.is_shed(), self.model.is_shed());
    }

    fn record(&mut self, Call { shape, span, level, bytes }: Call) {
        self.n_records += 1;
        let level = if matches!(shape, 2 | 3) { Level::Always } else { Level::from_code(level) };
        let bits = level.flags();
        let mark = self.n_records as u8;
        let tail: Vec<u8> = (0..bytes).map(|i| (i as u8).wrapping_mul(7) ^ mark ^ (i >> 8) as u8).collect();
        let (now, writer, span) = (self.now, &mut self.writer, SpanId(u64::from(span)));
        let word = name_word(u32::from(mark) + 1, 0, 5);
        let (kind, words, accepted) = match shape {
            0 => (Kind::Raw, vec![], writer.record(now, Kind::Raw, bits, [], &tail)),
            1 => (Kind::Named, vec![word], writer.record(now, Kind::Named, bits, [word], &tail)),
            2 => {
                let words = [span.0, 7, word];
                let accepted = writer.record(now, Kind::SpanStart, 0, words, &tail);
                writer.note_span(span);
                (Kind::SpanStart, words.to_vec(), accepted)
            }
            3 => {
                let words = [1, 2, 3];
                let accepted = writer.record_of_span::<3, 4>(now, Kind::Link, 0, span, words, &[]);
                (Kind::Link, [&[span.0], &words[..]].concat(), accepted)
            }
            _ => {
                let accepted = writer.record_of_span::<1, 2>(now, Kind::Attr, bits, span, [word], &tail);
                (Kind::Attr, vec![span.0, word], accepted)
            }
        };
        let tail = if shape == 3 { &[] } else { tail.as_slice() };
        if self.is_left_out(level) {
            return assert!(!accepted, "what is left out is not accepted");
        }
        self.tell(kind, level, (&words, tail), accepted);
    }

    /// Returns whether the record of `level` that was just offered had to be left out, and tells the model so.
    fn is_left_out(&mut self, level: Level) -> bool {
        if !self.model.is_active() {
            return false;
        }
        self.note_shed(self.model.is_undecided() && self.is_below(Salt::RECORD, self.shed.record));
        if self.model.is_shed() {
            return true;
        }
        let own = (level as usize).checked_sub(1).map_or(0, |idx| self.shed.detail[idx]);
        let is_left_out = self.is_below(Salt::DETAIL, own);
        if is_left_out {
            let lost = self.drops(DropReason::NoChunk) != self.model.n_lost();
            self.model.leave_out(self.now, level, lost);
        }
        is_left_out
    }

    /// Tells the model of a record; one that is too long is accepted if its cut form was.
    fn tell(&mut self, kind: Kind, level: Level, (words, tail): (&[u64], &[u8]), accepted: bool) {
        let cut = &tail[..tail.len().min(PAYLOAD_MAX)];
        let body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).chain(cut.iter().copied()).collect();
        let stored = 8 + align8(body.len() as u64);
        let too_long = self.drops(DropReason::TooLong);
        let truncated = too_long != self.model.n_too_long;
        assert!(!truncated || (cut.len() != tail.len() && !accepted), "cut records are not accepted whole");
        self.model.n_too_long = too_long;
        let bits = if truncated { flags::TRUNCATED } else { 0 };
        let item = Item { ticks: self.now, kind: kind as u8, flags: level.flags() | bits, body };
        self.model.record(item, stored, accepted || truncated);
    }

    fn drain(&mut self) {
        let drained = self.agent.drain();
        for chunk in chain(drained, self.log.last_chunk()) {
            self.log.take(&chunk);
            self.chunks.push(chunk);
        }
    }

    /// Reads everything that stands in the region now and compares.
    fn check(&mut self) {
        self.drain();
        let mut log = self.log.clone();
        for chunk in chain(self.agent.open_chunks(), self.log.last_chunk()) {
            log.take(&chunk);
        }
        let number = self.writer.slot_number();
        let untold = self.agent.store.word(slot_offset(number) + slot::LOSS_RECORDS).load(Relaxed);
        self.model.check(&log, untold);
        let drops = thread_slot::drops(&self.agent.store, number);
        assert_eq!(drops[DropReason::NoChunk as usize], self.model.n_lost());
        assert_eq!(drops[DropReason::NoTrace as usize], self.model.n_no_trace);
        assert_eq!(drops[DropReason::Priority as usize], self.model.n_shed);
        let context = thread_slot::context(&self.agent.store, number).expect("nobody writes meanwhile");
        assert_eq!(context.trace, self.writer.trace());
        assert_eq!(context.trace.is_none(), !self.model.is_active());
    }

    /// Reads the open chunk as far as each of its publishing stores; all of them are beginnings of the calls so far.
    fn check_every_publish(&mut self) {
        self.drain();
        for open in self.agent.open_chunks() {
            let starts: Vec<u32> = open.segments.iter().map(|(info, _)| info.offset).collect();
            for committed in boundaries(&open) {
                let last_segment = starts.iter().rev().find(|start| **start < committed).copied().unwrap_or(0);
                let head = Head { committed, last_segment, sealed: false, ..open.info.head };
                let info = backsight_ringbuf::reader::ChunkInfo { head, ..open.info };
                let lease = self.agent.lease_of(open.id);
                let cut = read_to(&self.agent.store, lease, open.id.bit(), info).expect("a prefix reads");
                let mut log = self.log.clone();
                log.take(&cut);
                self.model.check_prefix(&log);
            }
        }
    }
}

/// Returns the offsets at which records of `chunk` end: what its head said at one time.
fn boundaries(chunk: &Chunk) -> Vec<u32> {
    let parts = std::iter::once((64, &chunk.preamble)).chain(chunk.segments.iter().map(|(info, b)| (info.offset, b)));
    let ends = parts.flat_map(|(offset, bytes)| {
        let records = backsight_core::record::Records::new(bytes).map(|raw| raw.expect("decodes"));
        records
            .map(move |raw| offset + (raw.offset as u64 + align8(u64::from(raw.header.len))) as u32)
            .collect::<Vec<_>>()
    });
    ends.collect()
}

fn run<S: Storage + Clone>(store: S, chunks: Chunks, ops: &[Op]) {
    let mut run = Run::new(store, chunks);
    run.agent.grant(Class::Small);
    for op in ops {
        run.step(op);
    }
    run.check();
    run.check_every_publish();
    run.writer.exit(run.now);
    run.model.end(run.now);
    run.check();
    assert_eq!(run.agent.n_held_by_threads(), 0, "an exited thread holds nothing");
    thread_slot::release(&run.agent.store, run.writer.slot_number());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// For every sequence of calls, grants, revocations, drains, clock jumps, thresholds and switches: what is read is what was accepted, in
    /// order and whole; each loss is told of once, where it belongs; what is shed is what the thresholds say, and told; segments chain;
    /// spans resolve.
    #[test]
    fn reader_finds_exactly_what_was_accepted(ops in proptest::collection::vec(op(), 1..120)) {
        let chunks = Chunks { small: 6, medium: 4, large: 20 };
        run(std::sync::Arc::new(chunks.heap(1)), chunks, &ops);
    }

    /// The same, with too few chunks for any large record.
    #[test]
    fn reader_finds_exactly_what_was_accepted_in_a_tiny_pool(ops in proptest::collection::vec(op(), 1..200)) {
        let chunks = Chunks { small: 3, medium: 1, large: 0 };
        run(std::sync::Arc::new(chunks.heap(1)), chunks, &ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    /// The same over a real mapping.
    #[test]
    fn reader_finds_exactly_what_was_accepted_in_a_mapping(ops in proptest::collection::vec(op(), 1..120)) {
        let (mapping, _fd) = Mapping::create(Chunks::region_bytes()).unwrap();
        run(std::sync::Arc::new(mapping), Chunks { small: 6, medium: 4, large: 20 }, &ops);
    }
}

/// A counter that is behind the time base, as after a virtual machine was moved, gets a base of its own: no difference wraps around.
#[test]
fn clock_that_steps_back_is_told_by_a_new_base() {
    let chunks = Chunks { small: 2, medium: 0, large: 0 };
    let store = std::sync::Arc::new(chunks.heap(1));
    let mut agent = Agent::new(store.clone(), chunks, TICKS_PER_SECOND);
    agent.grant(Class::Small);
    let slot = thread_slot::claim(&store, 42).expect("a slot is free");
    let mut writer = Writer::new(store, slot, 42);
    let (before, after) = (1 << 40, 5_000);
    writer.begin(SegmentStart { trace: TraceId::new(1, 2), ..SegmentStart::default() }, before);
    assert!(writer.record(before + 7, Kind::Raw, 0, [1], &[]));
    assert!(writer.record(after, Kind::Raw, 0, [2], &[]));
    assert!(writer.record(after + 3, Kind::Raw, 0, [3], &[]));
    writer.end(after + 4);
    let chunk = agent.open_chunks().pop().unwrap();
    let mut base = before;
    let mut ticks = Vec::new();
    for raw in Records::new(&chunk.segments[0].1).map(Result::unwrap) {
        match Record::decode(raw.header, raw.body).unwrap() {
            Record::Time { tsc } => base = tsc,
            Record::Seg { base_tsc, .. } => base = base_tsc,
            _ => ticks.push(base + u64::from(raw.header.dt)),
        }
    }
    assert_eq!(ticks, [before + 7, after, after + 3, after + 4]);
}
