//! Prints what it takes to join four parts into one: CPU time a span, memory beside what was there before, bytes.
//!
//! Run by people: `cargo run --release -p backsight-store --example compact-rate [spans] [folder]`. CPU time is the thread's own, from
//! `/proc/thread-self/schedstat`. Traces of 15 spans with six attributes; each tenth is split over two parts.

use backsight_core::ids::{SpanId, TraceId};
use backsight_store::batch::Batch;
use backsight_store::compact::{PARENTS, Settings, pick};
use backsight_store::local::Local;
use backsight_store::manifest::State;
use backsight_store::manifest::entry::PartEntry;
use backsight_store::part::PartId;
use backsight_store::part::write::{Cut, write};
use backsight_store::promote::Forced;
use backsight_store::rows::{Attribute, List, SpanRow, TraceFacts, Value};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

const SPANS_OF_TRACE: u64 = 15;
const BEGIN_MS: u64 = 1_782_864_000_000;

type Failure = Box<dyn std::error::Error>;

/// Returns bits that look random: splitmix64.
fn mixed(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Returns the part that holds a span: each tenth trace has some in the next one.
fn part_of(trace: u64, n: u64, n_traces: u64) -> u64 {
    let part = trace * PARENTS as u64 / n_traces;
    if trace.is_multiple_of(10) && !n.is_multiple_of(3) { (part + 1) % PARENTS as u64 } else { part }
}

fn cut(objects: &Local, part: u64, n_traces: u64) -> Result<PartEntry, Failure> {
    let mut batch = Batch::new(part);
    let resource = batch.push_resource(&[Attribute::new("service.namespace", Value::Str("shop".into()))])?;
    for (of, n) in (0..n_traces).flat_map(|of| (0..SPANS_OF_TRACE).map(move |n| (of, n))) {
        if part_of(of, n, n_traces) != part {
            continue;
        }
        let bits = mixed(of * SPANS_OF_TRACE + n + 1);
        let (user, route) = (format!("user-00{}", bits % 200_000), format!("/api/v1/resource/{{id}}/{}", bits % 60));
        let (peer, service) = (format!("10.0.0.{}", bits % 200), format!("service-{}", bits % 20));
        let attributes = [
            Attribute::new("http.request.method", Value::Str("GET".into())),
            Attribute::new("http.route", Value::Str(route.as_str().into())),
            Attribute::new("http.response.status_code", Value::Int(200 + (bits % 3) as i64 * 100)),
            Attribute::new("enduser.id", Value::Str(user.as_str().into())),
            Attribute::new("network.peer.address", Value::Str(peer.as_str().into())),
            Attribute::new("http.response.body.size", Value::Int((bits >> 48) as i64)),
        ];
        let trace = TraceId::new(mixed(of), mixed(of + 1));
        let span = SpanRow {
            trace,
            id: SpanId(mixed(bits)),
            parent: (n > 0).then_some(SpanId(of)),
            start_ns: BEGIN_MS as i64 * 1_000_000 + (of * 1_000_000 + n * 10_000) as i64,
            duration_ns: (bits >> 40) as i64,
            service: service.as_str().into(),
            operation: route.as_str().into(),
            host: "host-1".into(),
            process: "host-1:4711".into(),
            source: 2,
            attributes: List::Lent(&attributes),
            resource,
            sampling_weight: 1.0,
            ..SpanRow::default()
        };
        batch.push_span(&span)?;
        batch.set_trace(trace, &TraceFacts { ingest_ns: 1, completeness: 1, ..TraceFacts::default() })?;
    }
    let (forced, parents, before) = (Forced::default(), &[], &[]);
    let id = PartId::new(BEGIN_MS + part, part.into());
    let cut = Cut { id, writer: "rate", commit: "", before, forced: &forced, zstd_level: 1, parents };
    Ok(write(&batch, &cut, objects)?)
}

/// Returns the CPU time of this thread.
fn cpu() -> Result<Duration, Failure> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = text.split(' ').next().ok_or("no schedstat")?.parse()?;
    Ok(Duration::from_nanos(ns))
}

/// Returns the memory of this process, in MiB.
fn resident_mib() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').nth(1).ok_or("no statm")?.parse()?;
    Ok(pages / 256)
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let n_spans: u64 = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let folder = args.next().unwrap_or_else(|| "target/compact-rate".to_owned());
    let _ = std::fs::remove_dir_all(&folder); // of the last run
    let objects = Local::open(&folder)?;
    let n_traces = n_spans / SPANS_OF_TRACE;
    let parts = (0..PARENTS as u64).map(|part| cut(&objects, part, n_traces)).collect::<Result<Vec<_>, _>>()?;
    let n_bytes: u64 = parts.iter().map(PartEntry::bytes).sum();
    let state = State { parts: parts.into_iter().map(|part| (part.id, part)).collect(), ..State::default() };
    let pick = pick(&state, 2 * BEGIN_MS, &BTreeSet::new()).ok_or("nothing to join")?;
    let forced = Forced::default();
    let settings = Settings { writer: "rate", commit: "", forced: &forced, random: 7 };
    let before_mib = resident_mib()?;
    let (mut most_mib, mut n_asked, mut longest, mut last) = (0, 0, Duration::ZERO, Instant::now());
    let (start, start_cpu) = (Instant::now(), cpu()?);
    let change = pick.join(&objects, &settings, &mut || {
        n_asked += 1;
        longest = longest.max(last.elapsed());
        last = Instant::now();
        most_mib = most_mib.max(resident_mib().unwrap_or(0));
        ControlFlow::Continue(())
    })?;
    let (wall, cpu) = (start.elapsed(), cpu()? - start_cpu);
    let joined: u64 = change.add.iter().map(PartEntry::bytes).sum();
    println!(
        "{:.2} us a span CPU, {:.0} k spans/s wall; asked {n_asked} times, {:.1} ms apart at most; memory {} MiB more; {} MiB become {}",
        cpu.as_secs_f64() * 1e6 / n_spans as f64,
        n_spans as f64 / wall.as_secs_f64() / 1000.0,
        longest.as_secs_f64() * 1000.0,
        most_mib.saturating_sub(before_mib),
        n_bytes >> 20,
        joined >> 20,
    );
    Ok(())
}
