//! `rec-instructions`: how many instructions a request of a real application costs its services, with and without recording.
//!
//! Run by `cargo xtask bench rec-instructions`; the services of the topology `two` under callgrind, rows in `rec-instructions.json`. It settles
//! what CPU time (`rec-rpc`) cannot on a machine that others use. No must: the spec's is on CPU time, of which the kernel has its part.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use backsight_tests::bench::{
    cli::{self, Options},
    report::{Better, Question, Report, Row},
    runner::{Rounds, Series, Subject, interleave},
    table,
    verdict::Clock,
};
use backsight_tests::harness::binaries;
use backsight_tests::rpc::{
    Tracer,
    cases::CASES,
    hosts::Hosts,
    instructions::{self, Counted},
};
use clap::Parser;

const METRIC: &str = "instructions_per_request";
const ROUNDS_FULL: usize = 5;
/// Nobody, a context alone, and ours.
const TRACERS: [Tracer; 3] = [Tracer::None, Tracer::Headers, Tracer::Backsight];

/// What a person asks of this bench.
#[derive(Parser, Debug)]
struct Flags {
    #[command(flatten)]
    options: Options,
    /// Leave callgrind's files in DIR, for callgrind_annotate
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let Flags { options, keep } = Flags::parse();
    instructions::find_callgrind()?;
    binaries::freshen(&["backsight-agent", "backsight-collector", "bricks"])?;
    let mut report = Report::new("rec-instructions", options.quick);
    let hosts = Hosts::start()?;
    let [two, ..] = CASES;
    let n_requests = options.pick([500, 3_500], [500, 8_500]);
    let counted = Counted { hosts: &hosts, case: two, n_requests, keep: keep.as_deref() };
    let series = measure(&options, &counted);
    print!("{}", table::medians(&counted.words(), "instructions", &series));
    for peer in [Tracer::None, Tracer::Headers] {
        let question = Question {
            metric: METRIC.to_owned(),
            case: counted.words(),
            unit: "instructions",
            better: Better::Lower,
            clock: Clock::Count,
            peer: Some(peer.name().to_owned()),
            must: None,
            stretch: None,
        };
        let find = |tracer: Tracer| series.iter().find(|series| series.name == tracer.name());
        let ours = find(Tracer::Backsight);
        report.results.extend(ours.and_then(|ours| Row::paired(question, ours, find(peer), None)));
    }
    cli::finish(&options, &report)
}

/// Counts once a round for each tracer.
fn measure(options: &Options, counted: &Counted<'_>) -> Vec<Series> {
    let n_rounds = options.rounds.map_or_else(|| options.pick(1, ROUNDS_FULL), usize::from);
    let subject = |tracer: Tracer| {
        let mut round = 0;
        let run = Box::new(move || {
            round += 1;
            counted.per_request(tracer, round)
        });
        Subject { name: tracer.name().to_owned(), run }
    };
    let mut subjects: Vec<Subject<'_>> = TRACERS.map(subject).into();
    interleave(METRIC, &mut subjects, Rounds { n_rounds, n_warmup: 0 })
}
