//! One claim about everything together: whatever threads do with visits and spans, in whatever order, a reader finds what they did.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/agent.rs"]
mod agent;

use agent::{Agent, Options};
use backsight_client::{
    Context, Segment, Span, SpanId, StatusCode, TraceId, attach, attr, begin, detach, event, raw, status,
};
use backsight_core::trace::{AttributeValue, Malformed, Notes, Trace};
use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq};
use proptest::prop_oneof;
use proptest::test_runner::{TestCaseError, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::mpsc::{Sender, channel};

const THREADS: usize = 3;

/// What a thread does next; where it makes no sense at that point, nothing.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Begins with a request: of a trace of its own, or caused by the span that another visit is in.
    Begin {
        of_another: bool,
    },
    /// Goes on with a visit that waits; one of them.
    Resume(prop::sample::Index),
    /// Leaves its visit to whoever resumes it.
    Pause,
    /// Ends its visit, and its spans before, or leaves them open.
    Finish {
        ends_spans: bool,
    },
    Start,
    End,
    Attr {
        key: u8,
        value: i64,
    },
    Event,
    Status,
    Raw {
        bytes: u16,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any::<bool>().prop_map(|of_another| Step::Begin { of_another }),
        4 => any::<prop::sample::Index>().prop_map(Step::Resume),
        3 => prop::strategy::Just(Step::Pause),
        1 => any::<bool>().prop_map(|ends_spans| Step::Finish { ends_spans }),
        4 => prop::strategy::Just(Step::Start),
        3 => prop::strategy::Just(Step::End),
        3 => (0..4_u8, any::<i64>()).prop_map(|(key, value)| Step::Attr { key, value }),
        2 => prop::strategy::Just(Step::Event),
        1 => prop::strategy::Just(Step::Status),
        3 => (0..1500_u16).prop_map(|bytes| Step::Raw { bytes }),
    ]
}

/// What was said of a span or a visit.
#[derive(Clone, PartialEq, Debug, Default)]
struct Said {
    parent: SpanId,
    is_ended: bool,
    has_failed: bool,
    attributes: Vec<(String, i64)>,
    events: Vec<String>,
    payloads: Vec<usize>,
}

impl Said {
    fn under(parent: SpanId) -> Self {
        Self { parent, ..Self::default() }
    }

    fn set(&mut self, key: String, value: i64) {
        match self.attributes.iter_mut().find(|(known, _)| *known == key) {
            Some(attribute) => attribute.1 = value,
            None => self.attributes.push((key, value)),
        }
    }

    fn is_nothing(&self) -> bool {
        self.attributes.is_empty() && self.events.is_empty() && self.payloads.is_empty()
    }

    fn found(parent: SpanId, is_ended: bool, has_failed: bool, notes: &Notes) -> Self {
        let number = |value: &AttributeValue| if let AttributeValue::I64(value) = value { *value } else { i64::MIN };
        Self {
            parent,
            is_ended,
            has_failed,
            attributes: notes.attributes.iter().map(|found| (found.key.to_string(), number(&found.value))).collect(),
            events: notes.events.iter().map(|event| event.message.to_string()).collect(),
            payloads: notes.payloads.iter().map(|payload| payload.bytes.len()).collect(),
        }
    }
}

/// A visit as the program knows it.
struct Visit {
    context: Context,
    /// Whether a span of this process caused it.
    is_of_another: bool,
    /// Open ones, innermost last.
    spans: Vec<Span>,
    said: Said,
    has_span: bool,
}

/// The program, what its threads work for, and what a reader must find.
#[derive(Default)]
struct World {
    visits: Vec<Visit>,
    at: [Option<usize>; THREADS],
    waiting: Vec<usize>,
    spans: BTreeMap<SpanId, Said>,
    n_events: usize,
}

thread_local! {
    static SEGMENT: RefCell<Option<Segment>> = const { RefCell::new(None) };
}

type Work = Box<dyn FnOnce() + Send>;

/// A thread that does what it is told, one thing at a time.
struct Worker(Sender<Work>);

impl Worker {
    fn start() -> Self {
        let (send, receive) = channel::<Work>();
        std::thread::spawn(move || receive.into_iter().for_each(|work| work()));
        Self(send)
    }

    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, wait) = channel();
        self.0.send(Box::new(move || done.send(work()).unwrap())).unwrap();
        wait.recv().unwrap()
    }
}

impl World {
    fn take(&mut self, worker: &Worker, thread: usize, step: Step) {
        match (self.at[thread], step) {
            (None, Step::Begin { of_another }) => self.begin(worker, thread, of_another),
            (None, Step::Resume(which)) if !self.waiting.is_empty() => {
                let idx = self.waiting.remove(which.index(self.waiting.len()));
                let context = self.visits[idx].context;
                worker.run(move || SEGMENT.set(Some(attach(&context))));
                self.at[thread] = Some(idx);
            }
            // A reader takes one that waits under a span of its own process for that span's.
            (Some(idx), Step::Pause) if self.visits[idx].is_of_another && self.visits[idx].spans.is_empty() => {}
            (Some(idx), Step::Pause) => {
                self.visits[idx].context = worker.run(|| detach().inspect(|_| SEGMENT.set(None))).unwrap();
                self.waiting.push(idx);
                self.at[thread] = None;
            }
            (Some(idx), Step::Finish { ends_spans }) => {
                while ends_spans && !self.visits[idx].spans.is_empty() {
                    self.end(worker, idx);
                }
                self.visits[idx].spans.drain(..).for_each(std::mem::forget);
                worker.run(|| SEGMENT.set(None));
                self.at[thread] = None;
            }
            (Some(idx), step) => self.say(worker, idx, step),
            (None, _) => {}
        }
    }

    fn begin(&mut self, worker: &Worker, thread: usize, of_another: bool) {
        let other = self.visits.iter().find_map(|visit| Some((visit.context.trace, visit.spans.last()?.id())));
        let other = other.filter(|(_, span)| self.visits.iter().all(|visit| visit.said.parent != *span));
        let (context, is_of_another) = match other {
            Some((trace, span)) if of_another => (Context::of(trace, span), true),
            _ => (Context::of(Context::new_trace().trace, SpanId(if of_another { 77 } else { 0 })), false),
        };
        worker.run(move || SEGMENT.set(Some(begin(&context))));
        self.at[thread] = Some(self.visits.len());
        let said = Said::under(context.span);
        self.visits.push(Visit { context, is_of_another, spans: Vec::new(), said, has_span: false });
    }

    fn end(&mut self, worker: &Worker, idx: usize) {
        let Some(span) = self.visits[idx].spans.pop() else { return };
        self.spans.get_mut(&span.id()).unwrap().is_ended = true;
        worker.run(move || drop(span));
    }

    fn say(&mut self, worker: &Worker, idx: usize, step: Step) {
        let visit = &mut self.visits[idx];
        let innermost = visit.spans.last().map(Span::id);
        let said = innermost.and_then(|span| self.spans.get_mut(&span)).unwrap_or(&mut visit.said);
        match step {
            Step::Start => {
                let span = worker.run(|| backsight_client::span("work"));
                let parent = innermost.unwrap_or(visit.said.parent);
                self.spans.insert(span.id(), Said::under(parent));
                visit.spans.push(span);
                visit.has_span = true;
            }
            Step::End => self.end(worker, idx),
            Step::Attr { key, value } => {
                let key = format!("key {key}");
                said.set(key.clone(), value);
                worker.run(move || attr(&*key, value));
            }
            Step::Event => {
                self.n_events += 1;
                let message = self.n_events.to_string();
                said.events.push(message.clone());
                worker.run(move || event("happened", &message));
            }
            Step::Status if innermost.is_some() => {
                said.has_failed = true;
                worker.run(|| status(StatusCode::Error, "no funds"));
            }
            Step::Raw { bytes } => {
                said.payloads.push(usize::from(bytes));
                worker.run(move || raw(&vec![7; usize::from(bytes)]));
            }
            _ => {}
        }
    }

    /// Compares what was done with what the agent finds.
    fn check(&self, agent: &Agent) -> Result<(), TestCaseError> {
        let mut traces: BTreeMap<TraceId, Vec<&Visit>> = BTreeMap::new();
        self.visits.iter().for_each(|visit| traces.entry(visit.context.trace).or_default().push(visit));
        let mut spans = BTreeMap::new();
        for (id, visits) in traces {
            let trace: Trace = agent.trace(id);
            prop_assert_eq!(trace.malformed, Malformed::default());
            prop_assert!(trace.losses.is_empty(), "{:?}", trace.losses);
            for span in &trace.spans {
                let has_failed = span.status == StatusCode::Error;
                spans.insert(span.id, Said::found(span.parent, span.end_ns.is_some(), has_failed, &span.notes));
            }
            let wanted = visits.into_iter().filter(|visit| !visit.has_span || !visit.said.is_nothing());
            let wanted: BTreeMap<_, _> = wanted.map(|visit| (visit.said.parent, visit.said.clone())).collect();
            let found =
                trace.visits.iter().map(|visit| (visit.parent, Said::found(visit.parent, false, false, &visit.notes)));
            prop_assert_eq!(found.collect::<BTreeMap<_, _>>(), wanted);
        }
        prop_assert_eq!(spans, self.spans.clone());
        Ok(())
    }
}

#[test]
fn a_reader_finds_what_threads_did() {
    let agent = Agent::start_joined(Options { n_leases: 8, ..Options::default() });
    let workers: [Worker; THREADS] = std::array::from_fn(|_| Worker::start());
    let programs = prop::collection::vec((0..THREADS, step()), 0..200);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(192));
    let outcome = runner.run(&programs, |program| {
        let mut world = World::default();
        program.into_iter().for_each(|(thread, step)| world.take(&workers[thread], thread, step));
        for (thread, worker) in workers.iter().enumerate() {
            world.take(worker, thread, Step::Finish { ends_spans: true });
        }
        let checked = world.check(&agent);
        world.visits.into_iter().flat_map(|visit| visit.spans).for_each(std::mem::forget);
        checked
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
