//! Prints how many spans a second one core takes from rows to a durable part, and what they take on disk.
//!
//! Run by people: `cargo run --release -p backsight-store --example part-rate [spans] [folder]`. CPU time is the thread's own, from
//! `/proc/thread-self/schedstat`. Spans have six attributes: two names of few values, a route, a status, an id of many values, a size.

use backsight_core::ids::{SpanId, TraceId};
use backsight_store::batch::Batch;
use backsight_store::local::Local;
use backsight_store::part::read::{File, Spans, Traces};
use backsight_store::part::write::{Cut, write};
use backsight_store::part::{PartId, read};
use backsight_store::promote::Forced;
use backsight_store::rows::{Attribute, List, ResourceId, SpanRow, TraceFacts, Value};
use backsight_store::schema::Table;
use std::time::{Duration, Instant};

const RUNS: usize = 5;

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

    fn below(&mut self, n: u64) -> usize {
        (self.next() % n) as usize
    }
}

/// The texts that spans are made of.
struct Words {
    services: Vec<String>,
    operations: Vec<String>,
    routes: Vec<String>,
    users: Vec<String>,
    peers: Vec<String>,
}

impl Words {
    fn new() -> Self {
        let words = |n: u32, word: &str| (0..n).map(|n| format!("{word}{n}")).collect();
        Self {
            services: words(20, "service-"),
            operations: words(120, "GET /api/v1/resource/"),
            routes: words(60, "/api/v1/resource/{id}/"),
            users: words(200_000, "user-00"),
            peers: words(200, "10.0.0."),
        }
    }
}

/// A span before its texts are lent.
struct Draft {
    trace: TraceId,
    id: u64,
    parent: u64,
    start_ns: i64,
    duration_ns: i64,
    service: usize,
    operation: usize,
    status: i64,
    user: usize,
    peer: usize,
    bytes: i64,
}

fn drafts(n_spans: usize) -> Vec<Draft> {
    let mut random = Random(7);
    let mut drafts = Vec::with_capacity(n_spans);
    let mut now_ns = 1_782_864_000_000_000_000_i64;
    while drafts.len() < n_spans {
        let trace = TraceId::new(random.next(), random.next());
        let n_of_trace = 5 + random.below(31);
        let root = random.next();
        now_ns += random.below(2_000_000) as i64;
        for n in 0..n_of_trace.min(n_spans - drafts.len()) {
            let service = random.below(20);
            drafts.push(Draft {
                trace,
                id: if n == 0 { root } else { random.next() },
                parent: if n == 0 { 0 } else { root },
                start_ns: now_ns + (n as i64) * 10_000 + random.below(5_000) as i64,
                duration_ns: 1000 + random.below(3_000_000) as i64,
                service,
                operation: service * 6 + random.below(6),
                status: [200, 200, 200, 404, 500][random.below(5)],
                user: random.below(200_000),
                peer: random.below(200),
                bytes: random.below(50_000) as i64,
            });
        }
    }
    drafts
}

fn push(batch: &mut Batch, words: &Words, draft: &Draft) -> Result<(), Failure> {
    let attributes = [
        Attribute::new("http.request.method", Value::Str("GET".into())),
        Attribute::new("http.route", Value::Str(words.routes[draft.operation % 60].as_str().into())),
        Attribute::new("http.response.status_code", Value::Int(draft.status)),
        Attribute::new("enduser.id", Value::Str(words.users[draft.user].as_str().into())),
        Attribute::new("network.peer.address", Value::Str(words.peers[draft.peer].as_str().into())),
        Attribute::new("http.response.body.size", Value::Int(draft.bytes)),
    ];
    let span = SpanRow {
        trace: draft.trace,
        id: SpanId(draft.id),
        parent: (draft.parent != 0).then_some(SpanId(draft.parent)),
        start_ns: draft.start_ns,
        duration_ns: draft.duration_ns,
        service: words.services[draft.service].as_str().into(),
        operation: words.operations[draft.operation].as_str().into(),
        host: "host-1".into(),
        process: "host-1:4711".into(),
        kind: 2,
        status: if draft.status == 500 { 2 } else { 0 },
        source: 2,
        attributes: List::Lent(&attributes),
        resource: ResourceId(0),
        sampling_weight: 1.0,
        ..SpanRow::default()
    };
    Ok(batch.push_span(&span)?)
}

/// Returns the CPU time of this thread.
fn cpu() -> Result<Duration, Failure> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = text.split(' ').next().ok_or("no schedstat")?.parse()?;
    Ok(Duration::from_nanos(ns))
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let n_spans: usize = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let folder = args.next().unwrap_or_else(|| "target/part-rate".to_owned());
    let _ = std::fs::remove_dir_all(&folder); // of the last run
    let objects = Local::open(&folder)?;
    let (words, drafts) = (Words::new(), drafts(n_spans));
    let mut before = Vec::new();
    for run in 0..RUNS {
        let (start, start_cpu) = (Instant::now(), cpu()?);
        let mut batch = Batch::new(1);
        batch.push_resource(&[Attribute::new("service.namespace", Value::Str("shop".into()))])?;
        drafts.iter().try_for_each(|draft| push(&mut batch, &words, draft))?;
        let facts = TraceFacts { ingest_ns: 1, completeness: 1, ..TraceFacts::default() };
        let roots = drafts.iter().filter(|draft| draft.parent == 0);
        roots.into_iter().try_for_each(|root| batch.set_trace(root.trace, &facts))?;
        let pushed_cpu = cpu()? - start_cpu;
        let id = PartId::new(1_782_864_000_000 + run as u64, 1);
        let forced = Forced::default();
        let cut = Cut { id, writer: "rate", commit: "", before: &before, forced: &forced, zstd_level: 1, parents: &[] };
        let part = write(&batch, &cut, &objects)?;
        let (wall, cpu) = (start.elapsed(), cpu()? - start_cpu);
        let rate = |time: Duration| n_spans as f64 / time.as_secs_f64() / 1000.0;
        let bytes = |table| part.file(table).map_or(0, |file| file.bytes);
        println!(
            "{:.0} k spans/s CPU, {:.0} k/s wall; {:.0} ns a span to push, {:.0} to write; {:.1} B a span, {:.1} B a trace; memory {} MiB",
            rate(cpu),
            rate(wall),
            pushed_cpu.as_nanos() as f64 / n_spans as f64,
            (cpu - pushed_cpu).as_nanos() as f64 / n_spans as f64,
            bytes(Table::Spans) as f64 / n_spans as f64,
            bytes(Table::Traces) as f64 / batch.n_traces() as f64,
            batch.memory_bytes() >> 20,
        );
        before = part.promoted.clone();
        if run + 1 == RUNS {
            by_id(&objects, &part, &drafts)?;
        }
    }
    Ok(())
}

/// Prints how long a trace takes by its id.
fn by_id(objects: &Local, part: &backsight_store::manifest::entry::PartEntry, drafts: &[Draft]) -> Result<(), Failure> {
    let file = |table| File::open(objects, part.file(table).ok_or("no such table")?).map_err(Failure::from);
    let (spans, traces) = (Spans::new(file(Table::Spans)?)?, Traces::new(file(Table::Traces)?)?);
    let mut times = Vec::new();
    let (mut find_cpu, mut read_cpu) = (Duration::ZERO, Duration::ZERO);
    for draft in drafts.iter().step_by((drafts.len() / 200).max(1)) {
        let (start, start_cpu) = (Instant::now(), cpu()?);
        let row = traces.find(draft.trace)?.ok_or("a trace is missing")?;
        let found_cpu = cpu()?;
        let rows = spans.read(row.first_row..row.first_row + u64::from(row.n_rows))?;
        if rows.iter().all(|span| span.id != SpanId(draft.id)) {
            return Err("a span is missing".into());
        }
        times.push(start.elapsed());
        find_cpu += found_cpu - start_cpu;
        read_cpu += cpu()? - found_cpu;
    }
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_micros();
    let mean = |time: Duration| time.as_micros() / times.len() as u128;
    println!("by id: p50 {} us, p99 {} us of {}", at(0.5), at(0.99), times.len());
    println!("by id, CPU: {} us to find the trace, {} us to read its spans", mean(find_cpu), mean(read_cpu));
    let start = Instant::now();
    read::verify(objects, part.file(Table::Spans).ok_or("no spans")?)?;
    println!("checksum of the spans: {} ms", start.elapsed().as_millis());
    Ok(())
}
