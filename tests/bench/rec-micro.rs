//! `rec-micro`: what one operation costs, against a floor and the peers (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-micro`; CPU time per thread, interleaved rounds, rows in `rec-micro.json`.
//!
//! Where a host runs another machine on the sibling of our core, that core stores half as fast, in phases of seconds. `stores` is the
//! control that shows it: plain stores, none of our code, in the same rounds. A bound on nanoseconds (`value<=`) is `inconclusive` when
//! the control's samples fall into two modes that are further apart than our median is from the bound; ratios stand, as both sides are
//! measured in both modes.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use backsight_tests::{
    bench::{
        cli::{self, Options},
        report::Report,
    },
    peers::{
        self, Op, PAYLOADS,
        compare::{Cell, Demand, Grid, Naming, introduce},
    },
};
use clap::Parser as _;

const DEMANDS: &[Demand] = &[
    Demand { metric: "event_32b_ns", peer: Some("floor"), must: Some("ratio<=1.6"), stretch: Some("ratio<=1.1") },
    Demand { metric: "event_32b_ns", peer: Some("lttng"), must: Some("ratio<=0.2"), stretch: Some("ratio<=0.125") },
    Demand { metric: "event_2048b_ns", peer: Some("floor"), must: Some("ratio<=1.2"), stretch: None },
    Demand { metric: "begin_end_ns", peer: None, must: Some("value<=40"), stretch: None },
    Demand { metric: "begin_end_ns", peer: Some("rdtsc"), must: None, stretch: Some("ratio<=2.2") },
    Demand { metric: "span_ns", peer: Some("fastrace"), must: Some("ratio<=0.5"), stretch: None },
];

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut report = Report::new("rec-micro", options.quick);
    let peers = peers::all();
    introduce(&peers);
    let event = |payload| Cell {
        stem: format!("event_{payload}b_ns"),
        case: format!("event of {payload} B"),
        op: Op::Event { payload },
    };
    let mut cells: Vec<Cell> = PAYLOADS.into_iter().map(event).collect();
    cells.push(Cell { stem: "begin_end_ns".into(), case: "begin and end".into(), op: Op::BeginEnd });
    cells.push(Cell { stem: "span_ns".into(), case: "span start and end".into(), op: Op::Span });
    cells.push(Cell { stem: "attr_ns".into(), case: "attribute".into(), op: Op::Attr });
    let grid = Grid {
        cells,
        threads: vec![1, 2, 4],
        naming: Naming::SuffixAboveOne,
        demands: DEMANDS,
        scaling: ("ratio<=1.3", 2),
    };
    grid.run(&options, &peers, &mut report)?;
    cli::finish(&options, &report)
}
