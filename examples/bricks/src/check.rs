//! `bricks check`: was each edge case captured, whole and coherent? What was kept, held against the ground truth.
//!
//! Called by `main`, which also calls it for `bricks edges`. A trace counts as whole only if its certificate says so *and* the truth agrees: a service that finished `done` visits
//! of it, and set out for `intended`, has between the two of them as server spans. The verdict is a pure function of the two.

pub(crate) mod kept;
mod stored;
mod verdict;

use crate::truth::Truth;
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use verdict::{Captured, Verdict, judge, shows_all};

/// Missed edge cases that are listed.
const LISTED_MAX: usize = 100;

/// What `bricks check` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArgs {
    /// Folder with the ground truth of a run
    #[arg(long, value_name = "DIR")]
    pub(crate) truth: PathBuf,
    /// What `backsight trace get ID... --format json` printed
    #[arg(long, value_name = "FILE", required_unless_present = "kept")]
    pub(crate) traces: Option<PathBuf>,
    /// What `bricks sink --kept` wrote; counts alone are compared
    #[arg(long, value_name = "FILE", conflicts_with = "traces")]
    pub(crate) kept: Option<PathBuf>,
}

/// What is printed.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Requests that were slow, failed or were cut off, by the truth.
    pub(crate) edge_cases: u64,
    /// Of these, captured whole and coherent.
    pub(crate) whole: u64,
    /// The same as a share, 1 where there are none.
    pub(crate) share: f64,
    /// Edge cases with a visit that was cut by the kill of its process.
    pub(crate) cut_by_kill: u64,
    /// Of these, captured whole and coherent.
    pub(crate) cut_whole: u64,
    /// Of those that were cut, stored with every visit that began, also the one that was cut: what a process knew when it was killed.
    pub(crate) cut_shown: u64,
    /// Edge cases certified complete that lack visits: each is a broken promise.
    pub(crate) false_complete: u64,
    /// Requests that failed before they reached a service: nobody could have recorded them, and they count nowhere else.
    pub(crate) unreached: u64,
    /// The edge cases by the faults that acted in them; those in which several did count with each.
    pub(crate) by_fault: BTreeMap<&'static str, Tally>,
    /// Edge cases that were not captured whole.
    pub(crate) n_missed: u64,
    /// The first of these: those with the rarest faults, by trace id.
    pub(crate) missed: Vec<Missed>,
}

/// How far edge cases of one kind came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// All of them.
    pub(crate) edge_cases: u64,
    /// Of these, stored in part or whole.
    pub(crate) stored: u64,
    /// Of these, captured whole and coherent.
    pub(crate) whole: u64,
}

/// An edge case that was not captured whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Missed {
    /// Its trace, 32 hex digits.
    pub(crate) trace: String,
    /// The faults that acted in it.
    pub(crate) faults: Vec<&'static str>,
    /// Why, with the certificate's own reasons.
    pub(crate) why: String,
    /// Whether what was stored says itself that it is not all.
    pub(crate) certificate_explains: bool,
}

/// Prints the ids of the edge cases, one a line: what `backsight trace get` takes as arguments.
pub(crate) fn edges(dir: &Path) -> Result<()> {
    let truth = Truth::read(dir)?;
    let lines: String = truth.edge_cases.keys().map(|trace| format!("{trace:032x}\n")).collect();
    print(&lines)
}

/// Compares and prints the report.
pub(crate) fn check(args: &CheckArgs) -> Result<()> {
    let truth = Truth::read(&args.truth)?;
    if truth.torn_bytes > 0 {
        eprintln!("bricks: {} bytes at the ends of files are no whole record", truth.torn_bytes);
    }
    let captured = match (&args.traces, &args.kept) {
        (Some(file), _) => stored::read(open(file)?, &truth).with_context(|| format!("read {}", file.display()))?,
        (None, Some(file)) => kept::read(open(file)?, &truth).with_context(|| format!("read {}", file.display()))?,
        (None, None) => BTreeMap::new(), // clap asks for one of them
    };
    let report = report(&truth, &captured);
    print(&format!("{}\n", serde_json::to_string_pretty(&report).context("write JSON")?))
}

/// Judges every edge case.
fn report(truth: &Truth, captured: &BTreeMap<u128, Captured>) -> Report {
    let mut report =
        Report { edge_cases: truth.edge_cases.len() as u64, unreached: truth.n_unreached, ..Report::default() };
    for (trace, request) in &truth.edge_cases {
        let captured = captured.get(trace);
        let verdict = judge(request, captured);
        report.cut_by_kill += u64::from(request.is_cut);
        report.cut_shown += u64::from(request.is_cut && captured.is_some_and(|captured| shows_all(request, captured)));
        for kind in &request.acted {
            let tally = report.by_fault.entry(kind.name()).or_default();
            tally.edge_cases += 1;
            tally.stored += u64::from(captured.is_some());
            tally.whole += u64::from(verdict == Verdict::Whole);
        }
        match verdict {
            Verdict::Whole => {
                report.whole += 1;
                report.cut_whole += u64::from(request.is_cut);
            }
            Verdict::Missed { why, explains, is_false_complete } => {
                report.false_complete += u64::from(is_false_complete);
                report.n_missed += 1;
                let faults = request.acted.iter().map(|kind| kind.name()).collect();
                report.missed.push(Missed {
                    trace: format!("{trace:032x}"),
                    faults,
                    why,
                    certificate_explains: explains,
                });
            }
        }
    }
    let by_fault = &report.by_fault;
    let n_like_it = |missed: &Missed| missed.faults.iter().map(|kind| by_fault.get(kind).map(|of| of.edge_cases)).min();
    report.missed.sort_by_key(n_like_it);
    report.missed.truncate(LISTED_MAX);
    report.share = match report.edge_cases {
        0 => 1.0,
        n => report.whole as f64 / n as f64,
    };
    report
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    Ok(BufReader::with_capacity(1 << 18, file))
}

/// Writes to standard output; a reader that has gone away is no error.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("write to standard output"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
