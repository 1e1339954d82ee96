//! `rec-lttng`: the one slow request, by a trigger and by a snapshot of LTTng (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-lttng`; one host, both loads at once, slow requests in turn, rows in `rec-lttng.json`.
//!
//! The same on both sides: requests, threads, rate, bytes of an event, memory on the host, recording that goes on meanwhile, and time from the
//! end of the slow request until all that it wrote has been read. Not the same: a snapshot is written to a local file, by a command, and
//! read as text; a trace goes over a socket to a collector, which has it on disk before it acknowledges, and is certified complete. And a
//! snapshot has everything else that happened on the host, which answers questions that a trace does not.
#![forbid(unsafe_code)]

use anyhow::{Result, bail};
use backsight_tests::bench::{
    cli::{self, Options},
    report::{Better, Question, Report, Row},
    runner::{Rounds, Series, Subject, interleave},
    table,
    verdict::Clock,
};
use backsight_tests::harness::binaries;
use backsight_tests::slow::{EVENT_BYTES, LOAD, MEMORY_BYTES, Sample, lttng::Lttng, ours::Ours};
use clap::Parser as _;
use std::process::ExitCode;
use std::time::Duration;

/// How long both write before the first slow request: longer than their memory holds.
const FILL: Duration = Duration::from_secs(6);
const PEER: &str = "lttng";

/// A number of a sample, and what is asked of it.
type Asked =
    (&'static str, &'static str, Better, Clock, fn(&Sample) -> f64, Option<&'static str>, Option<&'static str>);

const ASKED: [Asked; 3] = [
    ("bytes_moved", "B", Better::Lower, Clock::Count, |s| s.bytes as f64, Some("ratio<=0.01"), Some("ratio<=0.001")),
    ("found_ms", "ms", Better::Lower, Clock::Wall, |s| s.found_ms, None, None),
    ("found_share", "share", Better::Higher, Clock::Count, |s| f64::from(u8::from(s.is_found)), None, None),
];

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    binaries::freshen(&["backsight-agent", "backsight-collector", "bks-requests"])?;
    let mut report = Report::new("rec-lttng", options.quick);
    let mut ours = Ours::start(LOAD)?;
    let mut lttng = Lttng::start(LOAD).inspect_err(|why| println!("{why:#}")).ok();
    eprintln!("filling memory for {} s", FILL.as_secs());
    std::thread::sleep(FILL);
    let mut subjects = vec![Subject { name: "backsight".to_owned(), run: Box::new(|| ours.find()) }];
    if let Some(lttng) = &mut lttng {
        subjects.push(Subject { name: PEER.to_owned(), run: Box::new(|| lttng.find()) });
    }
    // The first of each counts, too: nobody warms up for the one request in a million.
    let rounds = Rounds { n_warmup: 0, ..options.rounds() };
    let measured = interleave("rec-lttng", &mut subjects, rounds);
    drop(subjects);
    report.results.extend(rows(&options, &measured)?);
    cli::finish(&options, &report)
}

fn rows(options: &Options, measured: &[Series<Sample>]) -> Result<Vec<Row>> {
    let Some((ours, others)) = measured.split_first() else { bail!("nothing was measured") };
    if let Some(why) = &ours.failure {
        bail!("the slow request was not found: {why}");
    }
    let case = format!(
        "1 of {} requests/s, {} events of {EVENT_BYTES} B each, {} MiB",
        LOAD.requests_per_s,
        LOAD.n_events,
        MEMORY_BYTES >> 20
    );
    let mut rows = Vec::new();
    for (metric, unit, better, clock, of, must, stretch) in ASKED {
        if !options.wants(metric) {
            continue;
        }
        let series: Vec<Series> = measured.iter().map(|series| series.map(of)).collect();
        print!("{}", table::medians(&format!("{metric} ({case})"), unit, &series));
        let question = Question {
            metric: metric.to_owned(),
            case: case.clone(),
            unit,
            better,
            clock,
            peer: Some(PEER.to_owned()),
            must: must.map(str::parse).transpose()?,
            stretch: stretch.map(str::parse).transpose()?,
        };
        let peer = others.first().map(|peer| peer.map(of));
        rows.extend(Row::answer(question, &ours.map(of), None, peer.as_ref()));
    }
    Ok(rows)
}
