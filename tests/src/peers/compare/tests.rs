//! Claims about the rows of a grid.

use clap::Parser as _;

use super::{Cell, Demand, Grid, Naming};
use crate::{
    bench::{cli::Options, report::Report, threads::Measurement, verdict::Verdict},
    peers::{Availability, OURS, Op, Peer},
};

/// A peer that costs what it is told, per thread.
struct Fake {
    name: &'static str,
    cpu_ns: f64,
    present: bool,
}

impl Peer for Fake {
    fn name(&self) -> &'static str {
        self.name
    }

    fn measures(&self) -> &'static str {
        "nothing"
    }

    fn availability(&self) -> Availability {
        if self.present { Availability::Ok } else { Availability::Missing { why: "test".into() } }
    }

    fn supports(&self, op: Op) -> bool {
        op == Op::Span
    }

    fn measure(&self, _op: Op, threads: usize, _n: u64) -> anyhow::Result<Measurement> {
        Ok(Measurement { cpu_ns: self.cpu_ns * threads as f64, lost_share: 0.0 })
    }
}

/// Returns the (metric, peer, verdict) of every row, with `lttng` absent and ours there or not.
fn rows(with_ours: bool) -> Vec<(String, Option<String>, Verdict)> {
    let mut peers: Vec<Box<dyn Peer>> = vec![
        Box::new(Fake { name: "floor", cpu_ns: 10.0, present: true }),
        Box::new(Fake { name: "lttng", cpu_ns: 99.0, present: false }),
    ];
    if with_ours {
        peers.push(Box::new(Fake { name: OURS, cpu_ns: 15.0, present: true }));
    }
    let demands = [
        Demand { metric: "span_ns", peer: Some("floor"), must: Some("ratio<=1.6"), stretch: None },
        Demand { metric: "span_ns", peer: None, must: Some("value<=14"), stretch: None },
    ];
    let cell = Cell { stem: "span_ns".into(), case: "span".into(), op: Op::Span };
    let grid = Grid {
        cells: vec![cell],
        threads: vec![1, 2],
        naming: Naming::SuffixAboveOne,
        demands: &demands,
        scaling: ("ratio<=1.3", 2),
    };
    let mut report = Report::new("rec-micro", true);
    let options = Options::parse_from(["rec-micro", "--quick"]);
    grid.run(&options, &peers, &mut report).expect("runs");
    report.results.into_iter().map(|row| (row.metric, row.peer, row.verdict)).collect()
}

#[test]
fn every_supporting_peer_has_a_row_and_an_absent_one_says_so() {
    let row = |metric: &str, peer: Option<&str>, verdict| (metric.to_owned(), peer.map(str::to_owned), verdict);
    let expected = [
        row("span_ns", None, Verdict::Miss),
        row("span_ns", Some("floor"), Verdict::Pass),
        row("span_ns", Some("lttng"), Verdict::NoPeer),
        row("span_ns_t2", Some("floor"), Verdict::Pass),
        row("span_ns_t2", Some("lttng"), Verdict::NoPeer),
        row("span_ns_t2", Some("ours_t1"), Verdict::Miss),
    ];
    assert_eq!(rows(true), expected);
}

#[test]
fn without_ours_there_are_no_rows() {
    assert_eq!(rows(false), []);
}
