//! `rec-threads`: what a visit costs from one thread to four per core, and what many slow threads lose (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-threads`; CPU time per thread, interleaved rounds, rows in `rec-threads.json`.
#![forbid(unsafe_code)]

use std::{process::ExitCode, time::Duration};

use backsight_tests::{
    bench::{
        cli::{self, Options},
        host,
        pace::Load,
        report::{Better, Question, Report, Row},
        runner::{Rounds, Series, Subject, interleave},
        table,
        verdict::Clock,
    },
    peers::{
        self, Availability, OURS, Op, Peer,
        compare::{Cell, Grid, Naming, introduce},
    },
};
use clap::Parser as _;

const EVENTS: [usize; 3] = [1, 10, 100];

/// The paced load that must lose nothing, with its thread count; the last one is a stretch goal.
const PACED_THREADS: [usize; 2] = [250, 4000];
const PACED_BYTES_PER_S: u64 = 1_000_000;
const PACED_ROUNDS: usize = 5;

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut report = Report::new("rec-threads", options.quick);
    let peers = peers::all();
    introduce(&peers);
    let cores = host::cores();
    let visit =
        |events| Cell { stem: "visit_ns".into(), case: format!("visit of {events} events"), op: Op::Visit { events } };
    let threads =
        std::iter::successors(Some(1), |threads| Some(threads * 2)).take_while(|&threads| threads <= 4 * cores);
    let grid = Grid {
        cells: EVENTS.into_iter().map(visit).collect(),
        threads: threads.collect(),
        naming: Naming::SuffixAlways,
        demands: &[],
        scaling: ("ratio<=1.3", cores),
    };
    grid.run(&options, &peers, &mut report)?;
    if options.wants("lost_share") {
        for threads in PACED_THREADS {
            paced(&options, &peers, threads, &mut report)?;
        }
    }
    cli::finish(&options, &report)
}

/// Measures what `threads` threads lose that write 1 MB/s together, and adds the row of ours.
fn paced(options: &Options, peers: &[Box<dyn Peer>], threads: usize, report: &mut Report) -> anyhow::Result<()> {
    let load = Load {
        n_threads: threads,
        bytes_per_s: PACED_BYTES_PER_S,
        duration: options.pick(Duration::from_secs(1), Duration::from_secs(4)),
    };
    let able = peers.iter().filter(|peer| peer.availability() == Availability::Ok);
    let (mut names, mut subjects) = (Vec::new(), Vec::new());
    for peer in able.filter(|peer| peer.measures_loss()) {
        names.push(peer.name());
        let run = Box::new(move || peer.lost_share(load));
        subjects.push(Subject { name: peer.name().to_owned(), run });
    }
    let case = format!("{threads} threads at 1 MB/s in all");
    let title = format!("lost_share ({case})");
    let series: Vec<Series> = interleave(&title, &mut subjects, Rounds { n_rounds: PACED_ROUNDS, n_warmup: 0 });
    print!("{}", table::medians(&title, "share", &series));
    let find = |name| names.iter().position(|peer| *peer == name).map(|idx| &series[idx]);
    let Some(ours) = find(OURS) else { return Ok(()) };
    let bound = Some("value==0".parse()?);
    let (must, stretch) = if threads == PACED_THREADS[0] { (bound, None) } else { (None, bound) };
    for name in peers.iter().filter(|peer| peer.measures_loss()).map(|peer| peer.name()).filter(|name| *name != OURS) {
        let question = Question {
            metric: "lost_share".into(),
            case: case.clone(),
            unit: "share",
            better: Better::Lower,
            clock: Clock::Count,
            peer: Some(name.to_owned()),
            must,
            stretch,
        };
        report.results.extend(Row::answer(question, ours, None, find(name)));
    }
    Ok(())
}
