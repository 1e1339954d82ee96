//! The intake: what a batch costs the collector that stores it, by the thread that works for it.

use super::agent::Reports;
use super::lines::{Lines, Spent};
use super::threads::private_bytes;
use super::{Effort, Values};
use crate::harness::collector::Collector;
use crate::harness::metrics;
use anyhow::{Context as _, Result, ensure};
use backsight_proto::packing::Packer;
use backsight_proto::v1;
use prost::Message as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Connections that report.
const N_LINES: usize = 10;
/// What the store writes before an entry.
const ENTRY_BYTES: usize = 48;
/// Until traces have come to rest and are summed up.
const REST: Duration = Duration::from_millis(2_500);

/// Returns the costs of the intake, the store and the library.
pub(super) fn measure(effort: Effort, reports: &Reports) -> Result<Values> {
    let collector = Collector::start()?;
    let lines = Lines::connect(&collector.url(), N_LINES)?;
    let mut packers: Vec<(Packer, u64)> = (0..N_LINES).map(|_| (Packer::default(), 0)).collect();
    let mut send = |line: usize, reports: &[v1::TraceReport]| {
        let (packer, number) = &mut packers[line];
        *number += 1;
        lines.report(line, packer.pack(*number, &v1::Traces { traces: reports.to_vec() })?)
    };
    let (alone_reports, rest) = reports.small.split_at(effort.of(200));
    let (each_reports, many) = rest.split_at(effort.of(500));
    let syncs_before = syncs(&collector)?;
    let alone = lines.spent(collector.pid(), || {
        alone_reports.iter().enumerate().try_for_each(|(idx, report)| {
            send(idx % N_LINES, std::slice::from_ref(report))?;
            lines.pass(Duration::from_millis(20));
            Ok(())
        })
    })?;
    let syncs_after = syncs(&collector)?;
    lines.pass(REST);
    let each = lines.spent(collector.pid(), || {
        each_reports.iter().enumerate().try_for_each(|(idx, report)| send(idx % N_LINES, std::slice::from_ref(report)))
    })?;
    lines.pass(REST);
    let bytes_before = private_bytes(collector.pid())?;
    let mut bulk = |reports: &[v1::TraceReport], each: usize| {
        lines.spent(collector.pid(), || {
            for (idx, reports) in reports.chunks(each).enumerate() {
                send(idx % N_LINES, reports)?;
                lines.pass(Duration::from_millis(5));
            }
            Ok(())
        })
    };
    let small = bulk(many, 100)?;
    // Only later do the traces come to rest.
    let settled = lines.spent(collector.pid(), || {
        lines.pass(REST);
        Ok(())
    })?;
    let settle_us = settled.collector.runtime_us / many.len() as f64;
    let memory_bytes = private_bytes(collector.pid())? - bytes_before;
    let large = bulk(&reports.large, 10)?;
    let n_syncs = syncs_after.0 - syncs_before.0;
    ensure!(n_syncs > 0.0, "nothing was stored");
    let load = |spent, reports: &[v1::TraceReport]| Load { spent, n: reports.len() as f64, bytes: bytes_of(reports) };
    let loads = Loads {
        alone: load(alone, alone_reports),
        each: load(each, each_reports),
        small: load(small, many),
        large: load(large, &reports.large),
    };
    let mut values = solved(&loads, n_syncs);
    values.insert("settle_us", settle_us);
    let disk = |report: &v1::TraceReport| {
        v1::StoredReport { agent: 1, report: Some(report.clone()) }.encoded_len() + ENTRY_BYTES
    };
    values.extend([
        ("sync_ms", (syncs_after.1 - syncs_before.1) * 1e3 / n_syncs),
        ("stored_trace_bytes", memory_bytes / loads.small.n),
        ("report_disk_bytes", reports.small.iter().map(disk).sum::<usize>() as f64 / reports.small.len() as f64),
    ]);
    Ok(values)
}

/// Reports that were stored, and what that cost.
struct Load {
    spent: Spent,
    n: f64,
    /// Of the records of each.
    bytes: f64,
}

/// One batch after the other, each with its own write; all at once, a report a batch; many in a batch; and large ones.
struct Loads {
    alone: Load,
    each: Load,
    small: Load,
    large: Load,
}

/// Takes the loads apart: what a byte costs shows where reports are large, what a trace costs where they are many, and the rest is the batch's
/// or the write's.
fn solved(loads: &Loads, n_syncs: f64) -> Values {
    let Loads { alone, each, small, large } = loads;
    let split = |of: fn(&Spent) -> f64| {
        let (each, each_large) = (of(&small.spent) / small.n, of(&large.spent) / large.n);
        let byte = ((each_large - each) / (large.bytes - small.bytes)).max(0.0);
        ((each - byte * small.bytes).max(0.0), byte, each)
    };
    let (trace_us, byte_us, each_us) = split(|spent| spent.collector.runtime_us);
    let (store_trace_us, store_byte_us, store_each_us) = split(|spent| spent.collector.writer_us);
    Values::from([
        ("batch_us", (each.spent.collector.runtime_us / each.n - each_us).max(0.0)),
        ("batch_trace_us", trace_us),
        ("batch_byte_ns", byte_us * 1e3),
        ("store_write_us", ((alone.spent.collector.writer_us - alone.n * store_each_us) / n_syncs).max(0.0)),
        ("store_trace_us", store_trace_us),
        ("store_byte_ns", store_byte_us * 1e3),
        // A view holds of each agent what a report says beside its records.
        ("store_view_us", store_trace_us),
    ])
}

/// Returns the mean length of the records of reports.
fn bytes_of(reports: &[v1::TraceReport]) -> f64 {
    let segments = reports.iter().flat_map(|report| &report.slices).flat_map(|slice| &slice.segments);
    segments.map(|segment| segment.records.len()).sum::<usize>() as f64 / reports.len() as f64
}

/// Returns how many syncs the collector has made, and how many seconds they took.
fn syncs(collector: &Collector) -> Result<(f64, f64)> {
    let mut stream = TcpStream::connect(collector.address()).context("connect to the collector")?;
    let request = "GET /metrics HTTP/1.1\r\nHost: collector\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).context("ask for its metrics")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).context("read its metrics")?;
    let value = |name: &str| metrics::value(&text, name).with_context(|| format!("find {name} in {text}"));
    Ok((value("backsight_collector_syncs_total")?, value("backsight_collector_sync_seconds_total")?))
}
