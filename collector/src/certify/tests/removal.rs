//! No false promise: whatever is taken away of a complete trace, segments, ends of segments, whole reports or what the coordinator knew, it is
//! not certified complete while a record is missing.

use crate::certify::certify;
use crate::library::Stored;
use backsight_core::certificate::{Contact, Verdict};
use backsight_core::clock::CalibrationPoint;
use backsight_core::coordination::{AgentView, View};
use backsight_core::holding::{Holding, HoldingState};
use backsight_core::ids::{AgentId, RegionId, TraceId};
use backsight_core::record::{CrumbDirection, Header, Kind, SpanKind, align8, name_word, seg_flags};
use backsight_core::segment::{LastWords, Process, Segment, SegmentKey, Slice};
use backsight_core::trace::Trace;
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, prop_assert_ne, prop_oneof, proptest};
use proptest::sample::Index;
use std::collections::BTreeMap;
use std::sync::Arc;

const TRACE: TraceId = TraceId::new(1, 2);
const HOSTS_MAX: usize = 4;
/// When tick 0 was; a tick is a millisecond.
const EPOCH_NS: u64 = 1_000_000_000_000_000_000;
const TICK_NS: u64 = 1_000_000;

/// How a call ends, as its caller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Came,
    /// It never came; whether the caller had a lead to its callee.
    Never {
        has_lead: bool,
    },
}

/// A visit of the request, and the call that led to it.
#[derive(Clone, Debug)]
struct Visit {
    /// Which of the visits before made the call.
    caller: Index,
    host: usize,
    process: u64,
    answer: Answer,
    /// Whether the caller's thread goes on in another chunk before it calls, and before it takes the answer.
    new_chunk: [bool; 2],
}

/// Everything that was recorded: of each host what its threads wrote, with the time of each record.
#[derive(Debug, Default)]
struct World {
    threads: Vec<Thread>,
    now: u64,
}

#[derive(Debug)]
struct Thread {
    host: usize,
    process: u64,
    slot: u32,
    segments: Vec<Written>,
    ended: u64,
}

#[derive(Debug)]
struct Written {
    segment: Segment,
    base: u64,
    /// When each record was committed, and where it ends.
    commits: Vec<(u64, usize)>,
}

fn agent(host: usize) -> AgentId {
    AgentId(10 * (host as u32 + 1))
}

impl World {
    /// Lets the request visit all hosts, one call after another, each caller waiting for its callee.
    fn of(visits: &[Visit]) -> Self {
        let callers: Vec<Option<usize>> =
            visits.iter().enumerate().map(|(idx, visit)| (idx > 0).then(|| visit.caller.index(idx))).collect();
        let mut world = Self::default();
        world.visit(visits, &callers, 0);
        world
    }

    fn visit(&mut self, visits: &[Visit], callers: &[Option<usize>], idx: usize) {
        let (visit, thread_idx, span) = (&visits[idx], self.threads.len(), idx as u64 + 1);
        let (host, process) = (visit.host, visit.process);
        self.threads.push(Thread { host, process, slot: idx as u32, segments: Vec::new(), ended: u64::MAX });
        let caller = callers[idx];
        let (parent, from) =
            caller.map_or((0, AgentId::NONE), |caller| (caller as u64 + 1, agent(visits[caller].host)));
        self.begin(thread_idx, parent, from, false);
        self.record(thread_idx, Kind::SpanStart, &[span, parent, name_word(0, 1, SpanKind::Server as u8)], b"v");
        for callee in (0..visits.len()).filter(|callee| callers[*callee] == Some(idx)) {
            let to = &visits[callee];
            if to.new_chunk[0] {
                self.begin(thread_idx, parent, AgentId::NONE, true);
            }
            let lead = if to.answer == (Answer::Never { has_lead: true }) { agent(to.host) } else { AgentId::NONE };
            self.crumb(thread_idx, lead, CrumbDirection::Out, span);
            self.visit(visits, callers, callee);
            if to.new_chunk[1] {
                self.begin(thread_idx, parent, AgentId::NONE, true);
            }
            if to.answer == Answer::Came {
                self.crumb(thread_idx, agent(to.host), CrumbDirection::To, span);
            }
        }
        self.record(thread_idx, Kind::SpanEnd, &[span], b"");
        self.record(thread_idx, Kind::SegEnd, &[], b"");
        self.threads[thread_idx].ended = self.now;
    }

    fn begin(&mut self, thread_idx: usize, parent: u64, from: AgentId, is_continued: bool) {
        self.now += 1;
        let (now, thread) = (self.now, &mut self.threads[thread_idx]);
        let region = RegionId(100 * (thread.host as u64 + 1) + thread.process);
        let chunk = thread.slot << 6 | thread.segments.len() as u32;
        let prev_chunk = if is_continued { chunk - 1 } else { Segment::NO_CHUNK };
        let key = SegmentKey { region, chunk, generation: 1, offset: 64 };
        let segment = Segment { key, slot: thread.slot, tid: 100 + thread.slot, prev_chunk, bytes: Vec::new() };
        thread.segments.push(Written { segment, base: now, commits: Vec::new() });
        let flags = u64::from(if is_continued { seg_flags::CONTINUED } else { 0 });
        self.record(thread_idx, Kind::Seg, &[TRACE.hi, TRACE.lo, now, parent, u64::from(from.0) | flags << 32], b"");
    }

    fn crumb(&mut self, thread_idx: usize, agent: AgentId, direction: CrumbDirection, span: u64) {
        self.record(thread_idx, Kind::Crumb, &[u64::from(agent.0) | (direction as u64) << 32, span], b"");
    }

    fn record(&mut self, thread_idx: usize, kind: Kind, words: &[u64], tail: &[u8]) {
        self.now += u64::from(kind != Kind::Seg);
        let written = self.threads[thread_idx].segments.last_mut().unwrap();
        let body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).chain(tail.iter().copied()).collect();
        let dt = (self.now - written.base) as u32;
        let header = Header { len: (8 + body.len()) as u16, kind: kind as u8, flags: 0, dt };
        let bytes = &mut written.segment.bytes;
        bytes.extend(header.pack().to_le_bytes());
        bytes.extend(body);
        bytes.resize(align8(bytes.len() as u64) as usize, 0);
        written.commits.push((self.now, bytes.len()));
    }

    /// Returns what `host` had of the trace at a time: its slices, and what it said of them.
    fn seen(&self, host: usize, at: u64, is_newest: bool) -> (Vec<Slice>, Holding) {
        let mut slices: BTreeMap<RegionId, Slice> = BTreeMap::new();
        let threads = || self.threads.iter().filter(|thread| thread.host == host);
        for written in threads().flat_map(|thread| &thread.segments) {
            let Some((_, len)) = written.commits.iter().rev().find(|(when, _)| *when <= at) else { continue };
            let mut segment = written.segment.clone();
            segment.bytes.truncate(*len);
            let region = segment.key.region;
            slices.entry(region).or_insert_with(|| slice_of(host, region)).segments.push(segment);
        }
        let slices: Vec<Slice> = slices.into_values().collect();
        let segments = || slices.iter().flat_map(|slice| &slice.segments);
        let holding = Holding {
            trace: TRACE,
            state: if slices.is_empty() { HoldingState::NeverSeen } else { HoldingState::Kept },
            revision: if is_newest { 2 } else { 1 },
            n_segments: segments().count() as u64,
            bytes: segments().map(|segment| segment.bytes.len() as u64).sum(),
            n_open: threads().filter(|thread| thread.segments[0].base <= at && at < thread.ended).count() as u64,
            whole_since_ns: Some(1),
            looked_ns: EPOCH_NS + at * TICK_NS,
            ..Holding::default()
        };
        (slices, holding)
    }

    fn hosts(&self) -> Vec<usize> {
        (0..HOSTS_MAX).filter(|host| self.threads.iter().any(|thread| thread.host == *host)).collect()
    }
}

fn slice_of(host: usize, region: RegionId) -> Slice {
    let point = |s: u64| CalibrationPoint { ticks: s, realtime_ns: EPOCH_NS + s * TICK_NS, monotonic_ns: s * TICK_NS };
    let clock = vec![point(0), point(1_000_000)];
    let process = Process { agent: agent(host), region, pid: 7, clock, ..Process::default() };
    Slice { process, segments: Vec::new() }
}

/// What is done to that which a host reported.
#[derive(Clone, Debug)]
enum Loss {
    Nothing,
    /// Some segments are gone, or all but their first record.
    Segments {
        gone: Vec<bool>,
        is_cut: bool,
    },
    /// A process is gone.
    Process(Index),
    /// Nothing ever came.
    Report,
    /// Only what there was at a time came, and was said.
    Later(Index),
}

/// What is done to that which the coordinator knew of a host.
#[derive(Clone, Copy, Debug)]
enum Forgotten {
    Nothing,
    /// All that the host said; this is what is known of it.
    Answer(Contact),
    /// That there is such a host.
    Host,
    /// What it said last: what it had reported, or nothing.
    Update,
}

fn any_loss() -> impl Strategy<Value = (Loss, Forgotten)> {
    let gone = prop::collection::vec(any::<bool>(), 12);
    let loss = prop_oneof![
        3 => any::<bool>().prop_map(|_| Loss::Nothing),
        2 => (gone, any::<bool>()).prop_map(|(gone, is_cut)| Loss::Segments { gone, is_cut }),
        1 => any::<Index>().prop_map(Loss::Process),
        2 => any::<bool>().prop_map(|_| Loss::Report),
        3 => any::<Index>().prop_map(Loss::Later),
    ];
    let forgotten = prop::sample::select(vec![
        Forgotten::Nothing,
        Forgotten::Answer(Contact::Asked),
        Forgotten::Answer(Contact::Unreachable),
        Forgotten::Answer(Contact::Unknown),
        Forgotten::Host,
        Forgotten::Update,
    ]);
    (loss, forgotten)
}

fn any_visits() -> impl Strategy<Value = Vec<Visit>> {
    let answer = prop_oneof![
        2 => any::<bool>().prop_map(|_| Answer::Came),
        1 => any::<bool>().prop_map(|has_lead| Answer::Never { has_lead }),
    ];
    let visit = (any::<Index>(), 0..HOSTS_MAX, 0..2_u64, answer, any::<[bool; 2]>())
        .prop_map(|(caller, host, process, answer, new_chunk)| Visit { caller, host, process, answer, new_chunk });
    prop::collection::vec(visit, 1..8)
}

/// Returns what a collector has of the world after these losses, by host.
fn stored(world: &World, losses: &[(Loss, Forgotten)], is_view_stored: bool) -> Stored {
    let mut stored = Stored { trace: TRACE, ..Stored::default() };
    let mut view = View { trace: TRACE, ..View::default() };
    for host in world.hosts() {
        let (loss, forgotten) = &losses[host];
        let (mut slices, newest) = world.seen(host, world.now, true);
        let mut reported = Some(newest.clone());
        match loss {
            Loss::Nothing => {}
            Loss::Segments { gone, is_cut } => {
                let mut gone = gone.iter().cycle();
                slices.iter_mut().for_each(|slice| take_away(slice, &mut gone, *is_cut));
            }
            Loss::Process(process) => drop(slices.remove(process.index(slices.len()))),
            Loss::Report => (slices, reported) = (Vec::new(), None),
            Loss::Later(at) => {
                let (then, holding) = world.seen(host, at.index(world.now as usize + 1) as u64, false);
                reported = (!then.is_empty()).then_some(holding);
                slices = then;
            }
        }
        slices.retain(|slice| !slice.segments.is_empty());
        let (contact, said) = match forgotten {
            Forgotten::Nothing => (Contact::Answered, Some(newest)),
            Forgotten::Update if reported.is_some() => (Contact::Answered, reported.clone()),
            Forgotten::Update => (Contact::Asked, None),
            Forgotten::Answer(contact) => (*contact, None),
            Forgotten::Host => (Contact::Unknown, None),
        };
        if !matches!(forgotten, Forgotten::Host) {
            view.agents.push(AgentView { agent: agent(host), contact, holding: said.map(Arc::new) });
        }
        stored.holdings.extend(reported.map(|holding| (agent(host), holding)));
        if !slices.is_empty() {
            stored.slices.insert(agent(host), slices);
        }
    }
    stored.view = is_view_stored.then_some(view);
    stored
}

fn take_away<'a>(slice: &mut Slice, gone: &mut impl Iterator<Item = &'a bool>, is_cut: bool) {
    let seg_len = |segment: &Segment| usize::from(u16::from_le_bytes([segment.bytes[0], segment.bytes[1]]));
    let mut kept = Vec::new();
    for mut segment in slice.segments.drain(..) {
        let is_gone = gone.next().is_some_and(|is_gone| *is_gone);
        if is_gone && is_cut {
            segment.bytes.truncate(seg_len(&segment));
        }
        if !is_gone || is_cut {
            kept.push(segment);
        }
    }
    slice.segments = kept;
}

/// Returns the records of a trace, as bytes of segments by key.
fn records(stored: &Stored) -> BTreeMap<SegmentKey, usize> {
    let segments = stored.slices.values().flatten().flat_map(|slice| &slice.segments);
    segments.map(|segment| (segment.key, segment.bytes.len())).collect()
}

fn whole(world: &World) -> Stored {
    stored(world, &vec![(Loss::Nothing, Forgotten::Nothing); HOSTS_MAX], true)
}

proptest! {
    /// Where everything came and everybody answered, the trace is complete; that nobody keeps views takes nothing from it.
    #[test]
    fn a_trace_of_which_everything_came_is_complete(visits in any_visits()) {
        let world = World::of(&visits);
        for is_view_stored in [true, false] {
            let whole = Stored { view: whole(&world).view.filter(|_| is_view_stored), ..whole(&world) };
            let (trace, certificate) = whole.examine();
            prop_assert_eq!(trace.spans.len(), visits.len());
            prop_assert_eq!(certificate.verdict, Verdict::Complete, "{:?}", certificate.gaps);
        }
    }

    /// Whatever is taken away on however many hosts at once, a trace with a record missing is not complete.
    #[test]
    fn a_trace_of_which_anything_is_missing_is_never_complete(
        visits in any_visits(),
        losses in prop::collection::vec(any_loss(), HOSTS_MAX),
        is_view_stored in any::<bool>(),
    ) {
        let world = World::of(&visits);
        let left = stored(&world, &losses, is_view_stored);
        if records(&left) != records(&whole(&world)) {
            let (_, certificate) = left.examine();
            prop_assert_ne!(certificate.verdict, Verdict::Complete, "{:?} {:#?}", losses, left);
        }
    }

    /// The same where one thing alone is missing.
    #[test]
    fn a_trace_without_one_of_its_segments_is_never_complete(visits in any_visits(), at in any::<Index>(), deaths in any::<bool>()) {
        let world = World::of(&visits);
        let mut left = whole(&world);
        let keys: Vec<SegmentKey> = records(&left).into_keys().collect();
        let lost = keys[at.index(keys.len())];
        for slice in left.slices.values_mut().flatten() {
            slice.segments.retain(|segment| segment.key != lost);
            // Deaths explain calls without an answer, never segments that were said to be there.
            slice.process.death = deaths.then(LastWords::default);
        }
        prop_assert_ne!(left.examine().1.verdict, Verdict::Complete);
    }
}

/// Of what nobody said anything, nothing is promised.
#[test]
fn a_trace_of_which_nothing_is_known_is_not_complete() {
    let nothing = Trace { id: TRACE, ..Trace::default() };
    for view in [None, Some(View { trace: TRACE, ..View::default() })] {
        assert_eq!(certify(view.as_ref(), &nothing, &BTreeMap::new()).verdict, Verdict::Unknown);
    }
}
