//! `rec-context`: reading and writing the trace context of a request (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-context`; CPU time per request, rows in `rec-context.json`. Half of the `tracestate` headers carry our
//! member on the left, where we put it, half on the right, where a vendor that changed its own pushed it. The calls are the client's:
//! first without an agent, which is the formatting alone, then in a segment, where `inject` also records the call.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use backsight::{Connection, Context, Incoming, Settings, extract, inject};
use backsight_core::context::STATE_BYTES_MAX;
use backsight_tests::bench::{
    cli::{self, Options},
    report::Report,
    runner::{Subject, interleave},
    table,
    threads::per_op,
};
use backsight_tests::harness::agent::{Agent, AgentOptions};
use clap::Parser as _;

const PARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OURS: &str = "bks=13:0k3m9zq.17h2c4t.0000001:2v8r1xa";
const STATE_BYTES: [usize; 2] = [64, STATE_BYTES_MAX];
/// The bound of the spec for headers of 512 bytes.
const MUST: &str = "value<=100";
const OPERATIONS: u64 = 200_000;
/// The pool of the agent: small, so that its pages are soon all there.
const BUDGET_BYTES: u64 = 64 << 20;

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let mut report = Report::new("rec-context", options.quick);
    // Nobody listens there yet: a client fixes its agent's path at its first call.
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("agent.sock");
    let settings = Settings { socket: socket.to_str(), service: Some("bench") };
    ensure!(backsight::init(settings).is_err(), "an agent answers on a path that was just made");
    for bytes in STATE_BYTES {
        let must = (bytes == STATE_BYTES_MAX).then_some(MUST);
        measure(&options, &mut report, bytes, &format!("{bytes} B of tracestate"), must)?;
    }
    let agent = Agent::start(AgentOptions { budget_bytes: BUDGET_BYTES, ..AgentOptions::default() })?;
    std::os::unix::fs::symlink(agent.socket(), &socket)?;
    while backsight::init(settings).is_err() {
        std::thread::sleep(Duration::from_millis(50)); // the client tries once a second
    }
    for bytes in STATE_BYTES {
        measure(&options, &mut report, bytes, &format!("{bytes} B of tracestate, in a segment"), None)?;
    }
    cli::finish(&options, &report)
}

/// Measures both ways with headers of `bytes` bytes.
fn measure(options: &Options, report: &mut Report, bytes: usize, case: &str, must: Option<&str>) -> Result<()> {
    let n = options.pick(OPERATIONS, 10 * OPERATIONS);
    let headers = [header(bytes, Side::Left), header(bytes, Side::Right)];
    let requests = headers.each_ref().map(|header| extract(Some(PARENT), Some(header.as_bytes())));
    let parse = || per_op(1, n, || |n| run(n, &headers, |header| extract_one(header.as_bytes()))).map(|m| m.cpu_ns);
    let (context, peer) = (Context::new_trace(), Connection::new());
    let inject_all = |n| {
        let _segment = backsight::begin(&context);
        run(n, &requests, |request| inject_one(request, &peer))
    };
    let inject = || per_op(1, n, || inject_all).map(|m| m.cpu_ns);
    let mut subjects = [
        Subject { name: "parse_ns".into(), run: Box::new(parse) },
        Subject { name: "inject_ns".into(), run: Box::new(inject) },
    ];
    let series = interleave(case, &mut subjects, options.rounds());
    print!("{}", table::medians(case, "ns", &series));
    for one in series {
        report.push_value(&one.name, case, "ns", &one.samples, must).context("report a row")?;
    }
    Ok(())
}

/// Where our member stands.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// Returns a header of exactly `bytes` bytes with members of some 30 bytes besides ours.
fn header(bytes: usize, side: Side) -> String {
    let mut others = String::new();
    for vendor in 0.. {
        let left = bytes - OURS.len() - 1 - others.len();
        let member = format!(",vendor{vendor}=0123456789abcdef0123");
        if member.len() + 12 > left {
            others += &format!(",{:x<width$}", "last=", width = left);
            break;
        }
        others += &member;
    }
    let others = &others[1..];
    match side {
        Side::Left => format!("{OURS},{others}"),
        Side::Right => format!("{others},{OURS}"),
    }
}

fn run<T>(n: u64, inputs: &[T; 2], one: impl Fn(&T)) -> f64 {
    for i in 0..n {
        one(black_box(&inputs[(i & 1) as usize]));
    }
    0.0
}

/// Reads both headers of a request.
fn extract_one(state: &[u8]) {
    black_box(extract(Some(black_box(PARENT)), Some(state)));
}

/// Writes both headers of the next hop.
fn inject_one(request: &Incoming<'_>, peer: &Connection) {
    let outgoing = inject(&request.context, request.others, peer);
    black_box(&outgoing);
}
