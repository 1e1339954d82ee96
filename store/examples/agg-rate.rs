//! Prints what aggregates cost a span: as it comes, and as its trace is decided on.
//!
//! Run by people: `cargo run --release -p backsight-store --example agg-rate [spans]`. CPU time is the thread's own, from
//! `/proc/thread-self/schedstat`. Traces of 5 to 35 spans of 20 services with 6 operations each, in 60 processes; every
//! tenth span has an event. First traces of 200 shapes, then such that no two are alike. The generator is seeded, and its time is not counted.

use backsight_core::columns::{Labels, Tree};
use backsight_core::critical::CriticalPath;
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::SpanKind;
use backsight_store::agg::{Aggregates, Arrival, Decided, LabelRef, Population, View, Window, columns_of};
use backsight_store::rows::{Event, SpanRow};
use std::hint::black_box;
use std::time::Duration;

const RUNS: usize = 3;
const CONTEXTS: usize = 100;
const START_NS: i64 = 1_782_864_000_000_000_000;

type Failure = Box<dyn std::error::Error>;

/// A seeded generator: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// How traces are made.
#[derive(Clone, Copy)]
enum Shapes {
    /// After 200 templates, of which each span that has no children is left out one time in ten.
    Few,
    /// Each trace after one of its own: every table overflows.
    Random,
}

/// A span of a template: its label, its process, and the position of its parent.
struct Node {
    service: usize,
    operation: usize,
    process: usize,
    parent: Option<usize>,
}

fn template(random: &mut Random) -> Vec<Node> {
    let n_nodes = 5 + random.below(31) as usize;
    let node = |idx: usize| {
        let service = random.below(20) as usize;
        let operation = 20 + service * 6 + random.below(6) as usize;
        let parent = idx.checked_sub(1).map(|_| random.below(idx as u64) as usize);
        Node { service, operation, process: 180 + service * 3 + random.below(3) as usize, parent }
    };
    (0..n_nodes).map(node).collect()
}

/// Returns traces, their texts lent by `words` as a decoder lends those of a request.
fn traces(n_spans: usize, words: &[String], shapes: Shapes) -> Vec<Vec<SpanRow<'_>>> {
    let mut random = Random(7);
    let templates: Vec<Vec<Node>> = (0..200).map(|_| template(&mut random)).collect();
    let mut traces = Vec::new();
    let (mut n, mut now_ns) = (0, START_NS);
    while n < n_spans {
        now_ns += random.below(400_000) as i64;
        let spans = match shapes {
            Shapes::Few => spans(&templates[random.below(200) as usize], words, now_ns, &mut random),
            Shapes::Random => spans(&template(&mut random), words, now_ns, &mut random),
        };
        n += spans.len();
        traces.push(spans);
    }
    traces
}

fn spans<'a>(template: &[Node], words: &'a [String], start_ns: i64, random: &mut Random) -> Vec<SpanRow<'a>> {
    let trace = TraceId::new(random.next(), random.next());
    let base = random.next();
    let id = |idx: usize| SpanId(base.wrapping_add(idx as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut spans = Vec::new();
    for (idx, node) in template.iter().enumerate() {
        let is_leaf = idx > 0 && template.iter().all(|other| other.parent != Some(idx));
        if is_leaf && random.below(10) == 0 {
            continue;
        }
        let event = Event { name: words[140 + node.service].as_str().into(), ..Event::default() };
        spans.push(SpanRow {
            trace,
            id: id(idx),
            parent: node.parent.map(id),
            start_ns: start_ns + 10_000 * idx as i64,
            duration_ns: duration_ns(node.operation, random),
            service: words[node.service].as_str().into(),
            operation: words[node.operation].as_str().into(),
            host: words[160 + node.service].as_str().into(),
            process: words[node.process].as_str().into(),
            kind: 2,
            status: if random.below(50) == 0 { 2 } else { 0 },
            events: if random.below(10) == 0 { vec![event].into() } else { Vec::new().into() },
            ..SpanRow::default()
        });
    }
    spans
}

/// Durations of an operation lie within two octaves, but for one in fifty, which takes up to 32 times as long.
fn duration_ns(operation: usize, random: &mut Random) -> i64 {
    let least_ns = 2000_i64 << (operation % 9);
    let slow = if random.below(50) == 0 { 1 << random.below(6) } else { 1 };
    slow * (least_ns + random.below(3 * least_ns as u64) as i64)
}

fn words() -> Vec<String> {
    let words = |n: u32, word: &str| (0..n).map(|n| format!("{word}{n}")).collect::<Vec<_>>();
    let parts =
        [words(20, "service-"), words(120, "GET /api/v1/resource/"), words(20, "cache miss "), words(20, "host-")];
    let processes = words(60, "host-1:471");
    parts.into_iter().flatten().chain(processes).collect()
}

/// Returns the CPU time of this thread.
fn cpu() -> Result<Duration, Failure> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = text.split(' ').next().ok_or("no schedstat")?.parse()?;
    Ok(Duration::from_nanos(ns))
}

fn main() -> Result<(), Failure> {
    let n_spans: usize = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let words = words();
    for (shapes, name) in [(Shapes::Few, "200 shapes"), (Shapes::Random, "all shapes differ")] {
        println!("{name}");
        measure(&traces(n_spans, &words, shapes))?;
    }
    Ok(())
}

fn measure(traces: &[Vec<SpanRow<'_>>]) -> Result<(), Failure> {
    let n_spans: usize = traces.iter().map(Vec::len).sum();
    let arrival = Arrival { population: Population::Ordinary, ingest_ns: START_NS };
    let ns = |time: Duration| time.as_nanos() as f64 / n_spans as f64;
    for _ in 0..RUNS {
        let mut aggregates = Aggregates::default();
        let start = cpu()?;
        traces.iter().flatten().for_each(|span| aggregates.add_span(span, arrival));
        let received = cpu()? - start;
        // What whoever shows or stores the trace needs as well is counted apart: once without aggregates, once with them. The kernel counts CPU time by
        // ticks, so that one trace cannot be timed.
        let mut names = Labels::default();
        let start = cpu()?;
        traces.iter().for_each(|spans| decide(spans, &mut names, |trace| _ = black_box(trace)));
        let made = cpu()? - start;
        let start = cpu()?;
        traces.iter().for_each(|spans| decide(spans, &mut names, |trace| aggregates.add_trace(trace, arrival)));
        let decided = (cpu()? - start).saturating_sub(made);
        let start = cpu()?;
        let taken = aggregates.take();
        let n_rows = taken.rows().count();
        println!(
            "agg_ns_per_span {:.0}: {:.0} as it comes, {:.0} as its trace is decided on; tree and critical path {:.0}; {} rows in {:.1} ms, {} MiB",
            ns(received + decided),
            ns(received),
            ns(decided),
            ns(made),
            n_rows,
            (cpu()? - start).as_secs_f64() * 1e3,
            taken.memory_bytes() >> 20,
        );
        let start = cpu()?;
        let some = traces.iter().step_by((traces.len() / CONTEXTS).max(1));
        let n_labels: usize = some.map(|spans| n_labels_of_context(&taken, spans)).sum();
        let ms = (cpu()? - start).as_secs_f64() * 1e3 / CONTEXTS as f64;
        println!("context of {} labels: {ms:.2} ms", n_labels / CONTEXTS);
    }
    Ok(())
}

/// Shows a trace as it is decided on.
fn decide(spans: &[SpanRow<'_>], names: &mut Labels, mut see: impl FnMut(Decided<'_>)) {
    let (columns, start_ns) = columns_of(spans, names);
    let tree = Tree::new(&columns, names);
    let critical = CriticalPath::of(&tree);
    see(Decided { tree: &tree, critical: &critical, names, start_ns });
}

/// Asks for the context of a trace, and returns how many labels it has.
fn n_labels_of_context(aggregates: &Aggregates, spans: &[SpanRow<'_>]) -> usize {
    let labels: Vec<LabelRef<'_>> =
        spans.iter().map(|span| LabelRef::new(&span.service, &span.operation, SpanKind::Server)).collect();
    let first_ms = spans[0].start_ns / 1_000_000;
    let mut window = Window::new(Population::Ordinary, START_NS, START_NS).with_root(labels[0]);
    for (label, span) in labels.iter().zip(spans) {
        window = window.with_label(*label).with_process(&span.process, first_ms..first_ms + 100);
    }
    let mut view = View::new(&window);
    aggregates.rows_of(&window).for_each(|row| view.add(&row));
    let durations: Vec<_> = labels.iter().zip(spans).map(|(label, span)| (*label, span.duration_ns as u64)).collect();
    view.context(&durations).ops.len()
}
