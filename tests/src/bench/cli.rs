//! The flags that every bench takes, and how a bench ends.

use std::process::ExitCode;

use clap::Parser;

use super::{report::Report, runner::Rounds, table, verdict::Verdict};

const ROUNDS_QUICK: usize = 7;
const ROUNDS_FULL: usize = 21;

/// What a person asks of a bench.
#[derive(Parser, Clone, Debug)]
pub struct Options {
    /// End within a minute: fewer rounds and shorter samples
    #[arg(long)]
    pub quick: bool,
    /// Rounds that count, at least 5 (default: 7 with --quick, else 21)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(5..))]
    pub rounds: Option<u16>,
    /// Measure only metrics whose name contains SUBSTR
    #[arg(long, value_name = "SUBSTR")]
    pub filter: Option<String>,
    /// Exit with 1 when a row misses what it must reach
    #[arg(long)]
    pub check: bool,
}

impl Options {
    /// Returns how many rounds to run; one more is run first and thrown away.
    #[must_use]
    pub fn rounds(&self) -> Rounds {
        let default = if self.quick { ROUNDS_QUICK } else { ROUNDS_FULL };
        Rounds { n_rounds: self.rounds.map_or(default, usize::from), n_warmup: 1 }
    }

    /// Returns whether `metric` passes the filter.
    #[must_use]
    pub fn wants(&self, metric: &str) -> bool {
        self.filter.as_deref().is_none_or(|part| metric.contains(part))
    }

    /// Returns `quick` with `--quick`, else `full`.
    #[must_use]
    pub fn pick<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// Prints the rows of `report`, writes its JSON, and returns the exit code that `--check` asks for.
///
/// # Errors
/// The JSON file or its folder cannot be written.
pub fn finish(options: &Options, report: &Report) -> anyhow::Result<ExitCode> {
    print!("{}", table::rows(&report.results));
    let path = report.write()?;
    println!("wrote {}", path.display());
    let count = |verdict| report.results.iter().filter(|row| row.verdict == verdict).count();
    let n_missed = count(Verdict::Miss);
    println!(
        "{} rows: {} pass, {n_missed} miss, {} inconclusive, {} without their peer",
        report.results.len(),
        count(Verdict::Pass),
        count(Verdict::Inconclusive),
        count(Verdict::NoPeer),
    );
    Ok(if options.check && n_missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
