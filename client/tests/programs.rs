//! One claim about everything together: whatever threads do with visits and spans, in whatever order, a reader finds what they did.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/agent.rs"]
mod agent;

use agent::{Agent, Options};
use backsight_client::{
    Context, Segment, SegmentExt, Span, SpanId, StatusCode, TraceId, attach, attr, begin, detach, event, raw, status,
};
use backsight_core::trace::{AttributeValue, Malformed, Notes, Trace};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq};
use proptest::prop_oneof;
use proptest::test_runner::{TestCaseError, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

const THREADS: usize = 3;

/// What a thread does next; where it makes no sense at that point, nothing.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Begins with a request: of a trace of its own, or caused by the span that another visit is in.
    Begin { of_another: bool },
    /// Goes on with a visit that waits; one of them.
    Resume(prop::sample::Index),
    /// Leaves its visit to whoever resumes it.
    Pause,
    /// Ends its visit, and its spans before, or leaves them open.
    Finish { ends_spans: bool },
    /// Says something in its visit.
    Say(Saying),
    /// Spawns a task for a request, and polls it for the first time.
    Spawn { has_cause: bool },
    /// Polls one of the tasks, which says this; whatever the thread works for waits meanwhile.
    Poll(prop::sample::Index, Saying),
}

/// What may be said in a visit.
#[derive(Clone, Copy, Debug)]
enum Saying {
    Start,
    End,
    Attr(u8, i64),
    Event,
    Status,
    Raw(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any::<bool>().prop_map(|of_another| Step::Begin { of_another }),
        4 => any::<prop::sample::Index>().prop_map(Step::Resume),
        3 => Just(Step::Pause),
        1 => any::<bool>().prop_map(|ends_spans| Step::Finish { ends_spans }),
        12 => saying().prop_map(Step::Say),
        1 => any::<bool>().prop_map(|has_cause| Step::Spawn { has_cause }),
        8 => (any::<prop::sample::Index>(), saying()).prop_map(|(which, saying)| Step::Poll(which, saying)),
    ]
}

fn saying() -> impl Strategy<Value = Saying> {
    prop_oneof![
        4 => Just(Saying::Start),
        3 => Just(Saying::End),
        3 => (0..4_u8, any::<i64>()).prop_map(|(key, value)| Saying::Attr(key, value)),
        2 => Just(Saying::Event),
        1 => Just(Saying::Status),
        3 => (0..1500_u16).prop_map(Saying::Raw),
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

thread_local! {
    static SEGMENT: RefCell<Option<Segment>> = const { RefCell::new(None) };
}

/// A future that does at each poll what is put there for it.
struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    work: Arc<Mutex<Option<Work>>>,
}

impl Task {
    fn new(context: Context) -> Self {
        let work: Arc<Mutex<Option<Work>>> = Arc::default();
        let takes = Arc::clone(&work);
        let future = std::future::poll_fn(move |_| {
            let work = takes.lock().unwrap().take();
            work.into_iter().for_each(|work| work());
            Poll::<()>::Pending
        });
        Self { future: Box::pin(future.in_segment(context)), work }
    }

    fn poll(&mut self, work: Work) {
        *self.work.lock().unwrap() = Some(work);
        let mut context = std::task::Context::from_waker(Waker::noop());
        assert!(self.future.as_mut().poll(&mut context).is_pending());
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
    /// Where a task works for it.
    task: Option<Task>,
}

impl Visit {
    fn new(context: Context, is_of_another: bool) -> Self {
        let said = Said::under(context.span);
        Self { context, is_of_another, spans: Vec::new(), said, has_span: false, task: None }
    }

    /// Has a thread do something that belongs to it.
    fn run<T: Send + 'static>(&mut self, worker: &Worker, work: impl FnOnce() -> T + Send + 'static) -> T {
        let Some(mut task) = self.task.take() else { return worker.run(work) };
        let (task, done) = worker.run(move || {
            let (done, wait) = channel();
            task.poll(Box::new(move || done.send(work()).unwrap()));
            (task, wait.recv().unwrap())
        });
        self.task = Some(task);
        done
    }
}

/// The program, what its threads work for, and what a reader must find.
#[derive(Default)]
struct World {
    visits: Vec<Visit>,
    at: [Option<usize>; THREADS],
    waiting: Vec<usize>,
    tasks: Vec<usize>,
    spans: BTreeMap<SpanId, Said>,
    n_events: usize,
}

impl World {
    fn take(&mut self, worker: &Worker, thread: usize, step: Step) {
        // A reader takes a visit that waits under a span of its own process for that span's.
        let must_not_wait = |visit: &Visit| visit.is_of_another && visit.spans.is_empty();
        let is_stuck = self.at[thread].is_some_and(|idx| must_not_wait(&self.visits[idx]));
        match (self.at[thread], step) {
            (None, Step::Begin { of_another }) => self.begin(worker, thread, of_another),
            (None, Step::Resume(which)) if !self.waiting.is_empty() => {
                let idx = self.waiting.remove(which.index(self.waiting.len()));
                let context = self.visits[idx].context;
                worker.run(move || SEGMENT.set(Some(attach(&context))));
                self.at[thread] = Some(idx);
            }
            (Some(idx), Step::Pause) if !is_stuck => {
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
            (Some(idx), Step::Say(saying)) => self.say(worker, idx, saying),
            (_, Step::Spawn { has_cause }) if !is_stuck => self.spawn(worker, has_cause),
            (_, Step::Poll(which, saying)) if !is_stuck && !self.tasks.is_empty() => {
                self.say(worker, self.tasks[which.index(self.tasks.len())], saying);
            }
            _ => {}
        }
    }

    fn begin(&mut self, worker: &Worker, thread: usize, of_another: bool) {
        let other = self.visits.iter().find_map(|visit| Some((visit.context.trace, visit.spans.last()?.id())));
        let other = other.filter(|(_, span)| self.visits.iter().all(|visit| visit.said.parent != *span));
        let (context, is_of_another) = match other {
            Some((trace, span)) if of_another => (Context::of(trace, span), true),
            _ => (alone(of_another), false),
        };
        worker.run(move || SEGMENT.set(Some(begin(&context))));
        self.at[thread] = Some(self.visits.len());
        self.visits.push(Visit::new(context, is_of_another));
    }

    fn spawn(&mut self, worker: &Worker, has_cause: bool) {
        let context = alone(has_cause);
        let mut visit = Visit { task: Some(Task::new(context)), ..Visit::new(context, false) };
        visit.run(worker, || {});
        self.tasks.push(self.visits.len());
        self.visits.push(visit);
    }

    fn end(&mut self, worker: &Worker, idx: usize) {
        let visit = &mut self.visits[idx];
        let Some(span) = visit.spans.pop() else { return };
        self.spans.get_mut(&span.id()).unwrap().is_ended = true;
        visit.run(worker, move || drop(span));
    }

    fn say(&mut self, worker: &Worker, idx: usize, saying: Saying) {
        let visit = &mut self.visits[idx];
        let innermost = visit.spans.last().map(Span::id);
        let said = innermost.and_then(|span| self.spans.get_mut(&span)).unwrap_or(&mut visit.said);
        match saying {
            Saying::Start => {
                let parent = innermost.unwrap_or(visit.said.parent);
                let span = visit.run(worker, || backsight_client::span("work"));
                self.spans.insert(span.id(), Said::under(parent));
                visit.spans.push(span);
                visit.has_span = true;
            }
            Saying::End => self.end(worker, idx),
            Saying::Attr(key, value) => {
                let key = format!("key {key}");
                said.set(key.clone(), value);
                visit.run(worker, move || attr(&*key, value));
            }
            Saying::Event => {
                self.n_events += 1;
                let message = self.n_events.to_string();
                said.events.push(message.clone());
                visit.run(worker, move || event("happened", &message));
            }
            Saying::Status if innermost.is_some() => {
                said.has_failed = true;
                visit.run(worker, || status(StatusCode::Error, "no funds"));
            }
            Saying::Status => {}
            Saying::Raw(bytes) => {
                said.payloads.push(usize::from(bytes));
                visit.run(worker, move || raw(&vec![7; usize::from(bytes)]));
            }
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
            let found = |visit: &backsight_core::trace::Visit| Said::found(visit.parent, false, false, &visit.notes);
            let found = trace.visits.iter().map(|visit| (visit.parent, found(visit)));
            prop_assert_eq!(found.collect::<BTreeMap<_, _>>(), wanted);
        }
        prop_assert_eq!(spans, self.spans.clone());
        Ok(())
    }

    /// Leaves open what is open: no thread works for it any more.
    fn leave(self) {
        self.visits.into_iter().flat_map(|visit| visit.spans).for_each(std::mem::forget);
    }
}

/// Returns the context of a trace that nobody else works for, caused by nobody or elsewhere.
fn alone(has_cause: bool) -> Context {
    Context::of(Context::new_trace().trace, SpanId(if has_cause { 77 } else { 0 }))
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
        world.leave();
        checked
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
