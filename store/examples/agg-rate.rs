//! Prints what aggregates cost a span: as it comes, and as its trace is decided on.
//!
//! Run by people: `cargo run --release -p backsight-store --example agg-rate [spans]`. CPU time is the thread's own, from
//! `/proc/thread-self/schedstat`. Traces of 5 to 35 spans of 20 services with 6 operations each, in 60 processes; durations over three decades; every
//! tenth span has an event. The generator is seeded, and its time is not counted.

use backsight_core::columns::{Labels, Tree};
use backsight_core::critical::CriticalPath;
use backsight_core::ids::{SpanId, TraceId};
use backsight_store::agg::{Aggregates, Arrival, Decided, LabelRef, Population, View, Window, columns_of};
use backsight_store::rows::{Event, SpanRow};
use std::time::Duration;

const RUNS: usize = 5;
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

/// Returns traces, their texts lent by `words` as a decoder lends those of a request.
fn traces(n_spans: usize, words: &[String]) -> Vec<Vec<SpanRow<'_>>> {
    let mut random = Random(7);
    let mut traces = Vec::new();
    let (mut n, mut now_ns) = (0, START_NS);
    while n < n_spans {
        let trace = TraceId::new(random.next(), random.next());
        now_ns += random.below(400_000) as i64;
        let mut spans: Vec<SpanRow<'_>> = Vec::new();
        for idx in 0..5 + random.below(31) {
            let service = random.below(20) as usize;
            let parent = spans.get(random.below(idx.max(1)) as usize).map(|span| span.id);
            let duration_ns = (2000 << random.below(10)) + random.below(2000) as i64;
            let event = Event { name: words[140 + service].as_str().into(), ..Event::default() };
            spans.push(SpanRow {
                trace,
                id: SpanId(random.next()),
                parent,
                start_ns: now_ns + 10_000 * idx as i64,
                duration_ns,
                service: words[service].as_str().into(),
                operation: words[20 + service * 6 + random.below(6) as usize].as_str().into(),
                host: words[160 + service].as_str().into(),
                process: words[180 + service * 3 + random.below(3) as usize].as_str().into(),
                kind: 2,
                status: if random.below(50) == 0 { 2 } else { 0 },
                events: if random.below(10) == 0 { vec![event].into() } else { Vec::new().into() },
                ..SpanRow::default()
            });
        }
        n += spans.len();
        traces.push(spans);
    }
    traces
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
    let traces = traces(n_spans, &words);
    let n_spans: usize = traces.iter().map(Vec::len).sum();
    let arrival = Arrival { population: Population::Ordinary, ingest_ns: START_NS };
    let ns = |time: Duration| time.as_nanos() as f64 / n_spans as f64;
    for _ in 0..RUNS {
        let mut aggregates = Aggregates::default();
        let start = cpu()?;
        traces.iter().flatten().for_each(|span| aggregates.add_span(span, arrival));
        let received = cpu()? - start;
        // What whoever shows or stores the trace needs as well is counted apart.
        let (mut made, mut decided) = (Duration::ZERO, Duration::ZERO);
        let mut names = Labels::default();
        for some in traces.chunks(256) {
            let start = cpu()?;
            let columns: Vec<_> = some.iter().map(|spans| columns_of(spans, &mut names)).collect();
            let trees: Vec<_> = columns.iter().map(|(columns, start)| (Tree::new(columns, &names), *start)).collect();
            let trees: Vec<_> = trees.iter().map(|(tree, start)| (tree, CriticalPath::of(tree), *start)).collect();
            made += cpu()? - start;
            let start = cpu()?;
            for (tree, critical, start_ns) in &trees {
                aggregates.add_trace(Decided { tree, critical, names: &names, start_ns: *start_ns }, arrival);
            }
            decided += cpu()? - start;
        }
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
        context(&taken, &traces[traces.len() / 2])?;
    }
    Ok(())
}

/// Prints what the context of one trace costs.
fn context(aggregates: &Aggregates, spans: &[SpanRow<'_>]) -> Result<(), Failure> {
    let start = cpu()?;
    let labels: Vec<LabelRef<'_>> = spans
        .iter()
        .map(|span| LabelRef::new(&span.service, &span.operation, backsight_core::record::SpanKind::Server))
        .collect();
    let first_ms = spans[0].start_ns / 1_000_000;
    let mut window = Window::new(Population::Ordinary, START_NS, START_NS).with_root(labels[0]);
    for (label, span) in labels.iter().zip(spans) {
        window = window.with_label(*label).with_process(&span.process, first_ms..first_ms + 100);
    }
    let mut view = View::new(&window);
    aggregates.rows_of(&window).for_each(|row| view.add(&row));
    let durations: Vec<_> = labels.iter().zip(spans).map(|(label, span)| (*label, span.duration_ns as u64)).collect();
    let context = view.context(&durations);
    println!("context of {} labels: {:.2} ms", context.ops.len(), (cpu()? - start).as_secs_f64() * 1e3);
    Ok(())
}
