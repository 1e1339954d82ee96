//! `rec-context`: reading and writing the trace context of a request (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-context`; CPU time per header, rows in `rec-context.json`. Half of the `tracestate` headers carry our
//! member on the left, where we put it, half on the right, where a vendor that changed its own pushed it.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;

use backsight_core::context::{STATE_BYTES_MAX, TraceParent, TraceState};
use backsight_core::ids::AgentId;
use backsight_tests::bench::{
    cli::{self, Options},
    report::Report,
    runner::{Subject, interleave},
    table,
    threads::per_op,
};
use clap::Parser as _;

const PARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OURS: &str = "bks=13:0k3m9zq.17h2c4t.0000001:2v8r1xa";
const STATE_BYTES: [usize; 2] = [64, STATE_BYTES_MAX];
/// The bound of the spec for headers of 512 bytes.
const MUST: &str = "value<=100";
const OPERATIONS: u64 = 200_000;

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut report = Report::new("rec-context", options.quick);
    let n = options.pick(OPERATIONS, 10 * OPERATIONS);
    for bytes in STATE_BYTES {
        let headers = [header(bytes, Side::Left), header(bytes, Side::Right)];
        let parse = || {
            per_op(1, n, || |n| run(n, &headers, |header| parse_one(header.as_bytes()))).map(|measured| measured.cpu_ns)
        };
        let parent = TraceParent::parse(PARENT).unwrap_or_default();
        let states = headers.each_ref().map(|header| TraceState::parse(header.as_bytes()));
        let inject =
            || per_op(1, n, || |n| run(n, &states, |state| inject_one(&parent, state))).map(|measured| measured.cpu_ns);
        let mut subjects = [
            Subject { name: "parse_ns".into(), run: Box::new(parse) },
            Subject { name: "inject_ns".into(), run: Box::new(inject) },
        ];
        let case = format!("{bytes} B of tracestate");
        let series = interleave(&case, &mut subjects, options.rounds());
        print!("{}", table::medians(&case, "ns", &series));
        for one in series {
            report.push_value(&one.name, &case, "ns", &one.samples, (bytes == STATE_BYTES_MAX).then_some(MUST))?;
        }
    }
    cli::finish(&options, &report)
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
fn parse_one(state: &[u8]) {
    black_box(TraceParent::parse(black_box(PARENT)));
    black_box(TraceState::parse(state));
}

/// Writes both headers of the next hop.
fn inject_one(parent: &TraceParent, state: &TraceState<'_>) {
    let mut trail = state.trail.unwrap_or_default();
    trail.leave(AgentId(black_box(7)), 3);
    let mut out = [0; STATE_BYTES_MAX];
    let len = state.others.format(&trail, &mut out);
    black_box(parent.format());
    black_box(&out[..len]);
}
