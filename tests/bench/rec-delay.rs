//! `rec-delay`: how late a trigger may come, against the horizon that agents predict (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-delay`; three hosts for each pool, all at once: they need little of a processor, and much time. Rows in
//! `rec-delay.json`. What a request did is known, as it was answered; what is stored of it must be that and be called complete, or must
//! not be called complete. Beyond the horizon what is left must be certified as evicted. In full there is one case more, without a must on its
//! shares: threads that end leave the rest of their chunks empty, which takes memory that the prediction does not count.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result};
use backsight_core::units::Bytes;
use backsight_tests::bench::{
    cli::{self, Options},
    report::{Better, Question, Report, Row},
    runner::{Series, at_once},
    verdict::Clock,
};
use backsight_tests::delay::{Case, SHARES, Seen, hosts::Horizon, outcome::Outcome};
use backsight_tests::harness::binaries;
use backsight_tests::hop::Threads;
use clap::Parser as _;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// Up to this share of the prediction nothing may be missing.
const SHARE_SURE: f64 = 0.9;
/// Threads of a service; more than there are requests at a time.
const POOL_THREADS: usize = 4;

/// A row before it is judged: metric, unit, which direction is good, samples, and what they must reach.
type Found = (String, &'static str, Better, Vec<f64>, Option<&'static str>);

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    binaries::freshen(&["backsight-agent", "backsight-collector", "bks-hop"])?;
    let mut report = Report::new("rec-delay", options.quick);
    let cases = cases(&options);
    let longest = cases.iter().map(Case::total).max().unwrap_or_default();
    eprintln!("{} cases at once, {} s", cases.len(), longest.as_secs());
    let seen = at_once(&cases, |case| case.run());
    for (case, seen) in cases.iter().zip(seen) {
        let seen = seen.with_context(|| case.name())?;
        show(case, &seen);
        let rows = rows(case, &seen)?;
        report.results.extend(rows.into_iter().filter(|row| options.wants(&row.metric)));
    }
    cli::finish(&options, &report)
}

fn cases(options: &Options) -> Vec<Case> {
    let case = |mib, horizon_s, threads| Case {
        budget: Bytes::mib(mib),
        horizon_s,
        threads,
        requests_per_s: 60.0,
        duration: Duration::from_secs(options.pick(10, 60)),
    };
    let pool = Threads::Pool(POOL_THREADS);
    let mut cases = vec![case(10, options.pick(3.0, 5.0), pool), case(100, options.pick(8.0, 20.0), pool)];
    if !options.quick {
        cases.push(case(10, 5.0, Threads::PerRequest));
    }
    cases
}

/// Prints what became of the requests, by their delays.
fn show(case: &Case, seen: &Seen) {
    let n_late = seen.outcomes.iter().filter(|(share, _)| share.is_none()).count();
    println!("{}: {n_late} of {} triggers came too late to count in the shares", case.name(), seen.outcomes.len());
    for share in SHARES {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (_, outcome) in seen.outcomes.iter().filter(|(of, _)| *of == Some(share)) {
            *counts.entry(format!("{outcome:?}")).or_default() += 1;
        }
        println!("  {share:.1} of the prediction: {counts:?}");
    }
}

fn rows(case: &Case, seen: &Seen) -> Result<Vec<Row>> {
    let count = |is_so: &dyn Fn(Option<f64>, &Outcome) -> bool| {
        seen.outcomes.iter().filter(|(share, outcome)| is_so(*share, outcome)).count() as f64
    };
    let mut found: Vec<Found> = Vec::new();
    for share in SHARES {
        let n_all = count(&|of, _| of == Some(share));
        let n_coherent = count(&|of, outcome| of == Some(share) && *outcome == Outcome::Coherent);
        let must = (share <= SHARE_SURE && case.threads != Threads::PerRequest).then_some("value>=0.99");
        // Of none fired in time nothing is known, and the row says so by a miss.
        let coherent_share = if n_all > 0.0 { n_coherent / n_all } else { 0.0 };
        found.push((format!("coherent_share_at_{share:.1}"), "share", Better::Higher, vec![coherent_share], must));
    }
    // Where the host that fired remembers the request no more, nobody is asked and nothing is stored: there is nothing to certify.
    let is_beyond = |share: Option<f64>| share.is_some_and(|share| share > 1.0);
    let n_certified = count(&|share, outcome| is_beyond(share) && *outcome == Outcome::Evicted);
    let is_left = |outcome: &Outcome| !matches!(outcome, Outcome::Coherent | Outcome::Nothing);
    let n_left = count(&|share, outcome| is_beyond(share) && is_left(outcome));
    let certified_share = if n_left > 0.0 { n_certified / n_left } else { 0.0 };
    let n_false = count(&|_, outcome| matches!(outcome, Outcome::FalseComplete(_)));
    found.push(("false_complete".to_owned(), "count", Better::Lower, vec![n_false], Some("value==0")));
    let beyond = "evicted_certified_share".to_owned();
    found.push((beyond, "share", Better::Higher, vec![certified_share], Some("value==1")));
    let horizons = |of: fn(&Horizon) -> f64| seen.horizons.iter().map(of).collect();
    found.push(("horizon_predicted_ms".to_owned(), "ms", Better::Higher, horizons(|h| h.predicted_ms), None));
    found.push(("horizon_ms".to_owned(), "ms", Better::Higher, horizons(|h| h.measured_ms), None));
    let row = |(metric, unit, better, samples, must): Found| {
        let series = Series { name: metric.clone(), samples, failure: None };
        let question = Question {
            metric,
            case: case.name(),
            unit,
            better,
            clock: Clock::Count,
            peer: None,
            must: must.map(str::parse).transpose()?,
            stretch: None,
        };
        Row::answer(question, &series, None, None).context("no request was sent")
    };
    found.into_iter().map(row).collect()
}
