//! Prints how long searches over ten parts take: by id, by a promoted key, by a rare value, by a value in a map, by the table of traces alone.
//!
//! Run by people: `cargo run --release -p backsight-query --example search-rate [spans] [folder]`. Spans are made by a seeded generator, some
//! twenty to a trace. A search by `recent` ends when its page is full; one by `duration` looks at all that may match. CPU time is the
//! process's own, of all threads, from `/proc/self/stat`: a mean in steps of 10 ms divided by the runs.

use backsight_core::ids::{SpanId, TraceId};
use backsight_query::archive::{Archive, Ask, Budget};
use backsight_query::cursor::Sort;
use backsight_query::language::parse;
use backsight_query::parts::{Means, Stored, Views};
use backsight_store::batch::Batch;
use backsight_store::local::Local;
use backsight_store::manifest::State;
use backsight_store::part::PartId;
use backsight_store::part::write::{Cut, write};
use backsight_store::promote::Forced;
use backsight_store::rows::{Attribute, SpanRow, TraceFacts, Value};
use backsight_store::view::View;
use std::sync::Arc;
use std::time::{Duration, Instant};

const N_PARTS: usize = 10;
const RUNS: usize = 20;
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

struct Endless;

impl Budget for Endless {
    fn is_spent(&self) -> bool {
        false
    }
}

struct One(View);

impl Views for One {
    fn view(&self) -> View {
        self.0.clone()
    }
}

/// Returns the attributes of a span: five keys that are promoted, one that few spans have and stays in a map, and one that hardly any has.
fn attributes(random: &mut Random, operation: u64, n_orders: &mut u32) -> Vec<Attribute<'static>> {
    let text = |key: &'static str, value: String| Attribute::new(key, Value::Str(value.into()));
    let mut attributes = vec![
        text("http.request.method", "GET".to_owned()),
        text("http.route", format!("/api/v1/resource/{{id}}/{operation}")),
        Attribute::new("http.response.status_code", Value::Int([200, 200, 200, 404, 500][random.below(5) as usize])),
        text("enduser.id", format!("user-00{}", random.below(200_000))),
        text("network.peer.address", format!("10.0.0.{}", random.below(200))),
    ];
    if random.below(40) == 0 {
        attributes.push(text("cache.tier", format!("l{}", random.below(4))));
    }
    if random.below(1000) == 0 {
        attributes.push(text("order.id", format!("order-{n_orders}")));
        *n_orders += 1;
    }
    attributes
}

/// What spans are made of.
struct Maker {
    random: Random,
    now_ns: i64,
    n_orders: u32,
    traces: Vec<TraceId>,
}

/// Fills a batch with a part's spans.
fn fill(batch: &mut Batch, maker: &mut Maker, n_spans: usize) -> Result<(), Failure> {
    let Maker { random, now_ns, n_orders, traces } = maker;
    while batch.n_spans() < n_spans {
        let trace = TraceId::new(random.next(), random.next());
        let root = random.next();
        *now_ns += random.below(2_000_000) as i64;
        for n in 0..5 + random.below(31) {
            let service = random.below(20);
            let operation = service * 6 + random.below(6);
            let is_error = random.below(50) == 0;
            let span = SpanRow {
                trace,
                id: SpanId(if n == 0 { root } else { random.next() }),
                parent: (n > 0).then_some(SpanId(root)),
                start_ns: *now_ns + n as i64 * 10_000,
                duration_ns: 1000 + random.below(3_000_000) as i64,
                service: format!("service-{service}").into(),
                operation: format!("GET /api/v1/resource/{operation}").into(),
                host: "host-1".into(),
                process: "host-1:4711".into(),
                kind: 2,
                status: if is_error { 2 } else { 0 },
                source: 2,
                attributes: attributes(random, operation % 60, n_orders).into(),
                sampling_weight: 1.0,
                ..SpanRow::default()
            };
            batch.push_span(&span)?;
        }
        batch.set_trace(trace, &TraceFacts { ingest_ns: *now_ns, completeness: 1, ..TraceFacts::default() })?;
        traces.push(trace);
    }
    Ok(())
}

/// Writes the parts, and returns them with the ids of all traces.
fn parts(objects: &Local, n_spans: usize) -> Result<(State, Vec<TraceId>), Failure> {
    let mut maker = Maker { random: Random(7), now_ns: START_NS, n_orders: 0, traces: Vec::new() };
    let mut state = State::default();
    let mut before = Vec::new();
    for n in 0..N_PARTS {
        let mut batch = Batch::new(1);
        batch.push_resource(&[Attribute::new("service.namespace", Value::Str("shop".into()))])?;
        fill(&mut batch, &mut maker, n_spans / N_PARTS)?;
        let id = PartId::new(1_782_864_000_000 + n as u64, 1);
        let forced = Forced::default();
        let cut = Cut { id, writer: "rate", commit: "", before: &before, forced: &forced, zstd_level: 1, parents: &[] };
        let part = write(&batch, &cut, objects)?;
        before.clone_from(&part.promoted);
        state.parts.insert(id, part);
    }
    Ok((state, maker.traces))
}

/// Returns the CPU time of this process, in milliseconds.
fn cpu_ms() -> Result<u64, Failure> {
    const TICK_MS: u64 = 10;
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let behind_name = text.rsplit(')').next().ok_or("no stat")?;
    let ticks =
        |idx: usize| behind_name.split_whitespace().nth(idx).ok_or("no stat")?.parse::<u64>().map_err(Failure::from);
    Ok((ticks(11)? + ticks(12)?) * TICK_MS)
}

/// Prints times, and the CPU time that was used since it was `start_cpu_ms`.
fn print(what: &str, mut times: Vec<Duration>, n_found: usize, start_cpu_ms: u64) -> Result<(), Failure> {
    let mean_cpu_ms = (cpu_ms()? - start_cpu_ms) as f64 / times.len() as f64;
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_micros() as f64 / 1000.0;
    let (p50, p95, p99) = (at(0.5), at(0.95), at(0.99));
    println!("{what}: p50 {p50:.2} ms, p95 {p95:.2} ms, p99 {p99:.2} ms; CPU {mean_cpu_ms:.1} ms; {n_found} found");
    Ok(())
}

fn by_id(archive: &Stored, traces: &[TraceId]) -> Result<(), Failure> {
    let start_cpu_ms = cpu_ms()?;
    let mut times = Vec::new();
    for trace in traces.iter().step_by((traces.len() / 200).max(1)) {
        let start = Instant::now();
        archive.trace(*trace)?.ok_or("a trace is missing")?;
        times.push(start.elapsed());
    }
    let n = times.len();
    print("by id", times, n, start_cpu_ms)
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let n_spans: usize = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let folder = args.next().unwrap_or_else(|| "target/search-rate".to_owned());
    let _ = std::fs::remove_dir_all(&folder); // of the last run
    let objects = Local::open(&folder)?;
    let (state, traces) = parts(&objects, n_spans)?;
    let bytes: u64 = state.parts.values().map(|part| part.bytes()).sum();
    println!("{n_spans} spans of {} traces in {N_PARTS} parts, {} MiB", traces.len(), bytes >> 20);
    let view = View { manifest: Arc::new(state), batches: Vec::new() };
    let archive = Stored::new(Arc::new(One(view)), Arc::new(objects), Means::default());
    let start = Instant::now();
    archive.trace(traces[0])?;
    println!("first question: {:.1} ms", start.elapsed().as_secs_f64() * 1000.0);
    by_id(&archive, &traces)?;
    let searches = [
        ("promoted", "attr.http.route = \"/api/v1/resource/{id}/17\" duration > 2900us", Sort::Duration),
        ("promoted, page", "attr.http.route = \"/api/v1/resource/{id}/17\" duration > 2900us", Sort::Recent),
        ("rare attribute", "attr.order.id = \"order-77\"", Sort::Duration),
        ("map", "attr.cache.tier = \"l2\" duration > 2990us", Sort::Duration),
        ("map, page", "attr.cache.tier = \"l2\"", Sort::Recent),
        ("traces alone", "trace.root_service = service-3 trace.duration > 3200us", Sort::Duration),
    ];
    for (what, text, sort) in searches {
        let query = parse(text, 0)?;
        let ask = Ask { query, during: 0..u64::MAX, sort, limit: 20, behind: None };
        let start_cpu_ms = cpu_ms()?;
        let mut times = Vec::new();
        let mut n_found = 0;
        for _ in 0..RUNS {
            let start = Instant::now();
            n_found = archive.search(&ask, &Endless)?.traces.len();
            times.push(start.elapsed());
        }
        print(what, times, n_found, start_cpu_ms)?;
    }
    Ok(())
}
