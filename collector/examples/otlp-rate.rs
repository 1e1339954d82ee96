//! Prints what a span of OTLP costs on one core on its way from a request's bytes to a durable part, beside what prost takes to decode it.
//!
//! Run by people: `cargo run --release -p backsight-collector --example otlp-rate [spans] [folder]`. CPU time is the thread's own, from
//! `/proc/thread-self/schedstat`; the medians of five runs are printed. Spans have six attributes, 256 of them stand in a request.

use backsight_collector::otlp::Request;
use backsight_collector::otlp::rows::Filler;
use backsight_proto::wire::otlp_visit::Limits;
use backsight_store::batch::Batch;
use backsight_store::local::Local;
use backsight_store::part::PartId;
use backsight_store::part::write::{Cut, write};
use backsight_store::promote::Forced;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::hint::black_box;
use std::time::Duration;

const RUNS: usize = 5;
const SPANS_OF_REQUEST: usize = 256;

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
}

fn text(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value)) }),
        ..KeyValue::default()
    }
}

fn int(key: &str, value: u64) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::IntValue(value as i64)) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn span(random: &mut Random, trace: u64, n: usize) -> Span {
    let start_time_unix_nano = 1_782_864_000_000_000_000 + trace * 1_000_000 + n as u64 * 10_000;
    let status = [200, 200, 200, 404, 500][random.next() as usize % 5];
    Span {
        trace_id: [trace.to_be_bytes(), (!trace).to_be_bytes()].concat(),
        span_id: (random.next() | 1).to_be_bytes().to_vec(),
        parent_span_id: if n == 0 { Vec::new() } else { trace.to_be_bytes().to_vec() },
        name: format!("GET /api/v1/resource/{}", random.next() % 120),
        kind: 2,
        start_time_unix_nano,
        end_time_unix_nano: start_time_unix_nano + random.next() % 3_000_000,
        attributes: vec![
            text("http.request.method", "GET".to_owned()),
            text("http.route", format!("/api/v1/resource/{{id}}/{}", random.next() % 60)),
            int("http.response.status_code", status),
            text("enduser.id", format!("user-00{}", random.next() % 200_000)),
            text("network.peer.address", format!("10.0.0.{}", random.next() % 200)),
            int("http.response.body.size", random.next() % 50_000),
        ],
        ..Span::default()
    }
}

/// Returns requests of one service each, traces of 16 spans.
fn requests(n_spans: usize) -> Vec<Bytes> {
    let mut random = Random(7);
    let request = |request_idx: usize| {
        let first = request_idx * SPANS_OF_REQUEST;
        let n_here = SPANS_OF_REQUEST.min(n_spans - first);
        let spans = (first..first + n_here).map(|n| span(&mut random, n as u64 / 16 + 1, n % 16)).collect();
        let scope = Some(InstrumentationScope { name: "http".to_owned(), ..InstrumentationScope::default() });
        let service = format!("service-{}", request_idx % 20);
        let attributes =
            vec![text("service.name", service), text("host.name", "host-1".to_owned()), int("process.pid", 7)];
        let resource = Some(Resource { attributes, ..Resource::default() });
        let scope_spans = vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
        Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec())
    };
    (0..n_spans.div_ceil(SPANS_OF_REQUEST)).map(request).collect()
}

/// Returns the CPU time of this thread.
fn cpu() -> Result<Duration, Failure> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = text.split(' ').next().ok_or("no schedstat")?.parse()?;
    Ok(Duration::from_nanos(ns))
}

/// Returns what `work` returns, and the CPU time that it took.
fn timed<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<(T, Duration), Failure> {
    let start = cpu()?;
    let done = work()?;
    Ok((done, cpu()? - start))
}

/// What the steps of one run took: prost, check, rows, part.
fn run(requests: &[Bytes], objects: &Local, number: usize) -> Result<[Duration; 4], Failure> {
    let (_, prost) = timed(|| {
        for request in requests {
            black_box(ExportTraceServiceRequest::decode(request.clone())?);
        }
        Ok(())
    })?;
    let limits = Limits::default();
    let (checked, check) = timed(|| {
        requests
            .iter()
            .map(|request| Ok(Request::checked(request.clone(), &limits)?))
            .collect::<Result<Vec<_>, Failure>>()
    })?;
    let (batch, rows) = timed(|| {
        let (mut filler, mut batch) = (Filler::default(), Batch::new(1));
        let is_full = |request: &Request| filler.fill(request, &mut batch).is_full;
        if checked.iter().any(is_full) {
            return Err("more spans than one batch takes".into());
        }
        Ok(batch)
    })?;
    let id = PartId::new(1_782_864_000_000 + number as u64, 1);
    let forced = Forced::default();
    let cut = Cut { id, writer: "rate", commit: "", before: &[], forced: &forced, zstd_level: 1, parents: &[] };
    let (_, part) = timed(|| Ok(write(&batch, &cut, objects)?))?;
    Ok([prost, check, rows, part])
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let n_spans: usize = args.next().map_or(Ok(500_000), |text| text.parse())?;
    let folder = args.next().unwrap_or_else(|| "target/otlp-rate".to_owned());
    let _ = std::fs::remove_dir_all(&folder); // of the last run
    let objects = Local::open(&folder)?;
    let requests = requests(n_spans);
    let bytes: usize = requests.iter().map(Bytes::len).sum();
    let runs = (0..RUNS).map(|number| run(&requests, &objects, number)).collect::<Result<Vec<_>, _>>()?;
    let ns = |step: usize| {
        let mut times: Vec<_> = runs.iter().map(|run| run[step].as_nanos() as f64 / n_spans as f64).collect();
        times.sort_by(f64::total_cmp);
        times[RUNS / 2]
    };
    let [prost, check, rows, part] = [0, 1, 2, 3].map(ns);
    let sum = check + rows + part;
    println!(
        "{} B a span; prost {prost:.0} ns a span; check {check:.0}, rows into a batch {rows:.0}, part {part:.0}: {sum:.0}, {:.0} k spans/s CPU",
        bytes / n_spans,
        1e6 / sum
    );
    Ok(())
}
