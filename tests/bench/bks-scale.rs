//! `bks-scale`: simulates Backsight from 10 to 10,000 hosts, and holds `docs/scale.md` to what comes of it; or writes it anew.
//!
//! Run by `cargo xtask scale`. The costs that it simulates with stand in the document; `--write` takes others from a run of the bench
//! `scale-costs`.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, bail};
use backsight_tests::bench::runner::at_once;
use backsight_tests::scale::costs::Costs;
use backsight_tests::scale::document::{self, Held, Outcome};
use backsight_tests::scale::loopback::simulate;
use backsight_tests::scale::study::{self, Length, SIZES, Size};
use backsight_tests::traverse::rows;
use clap::Parser;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Numbers of agents, and lengths of the low and the high rate, of a full run of `rec-traverse`.
const MEASURED: (&[usize], Duration, Duration) =
    (&[1, 10, 35, 100], Duration::from_secs(2), Duration::from_millis(500));
/// What is predicted of each load.
const METRICS: [&str; 4] = ["traverse_p50_ms", "traverse_p99_ms", "reached_per_s", "collector_us_per_collect"];

/// Simulates the study of scale
#[derive(Debug, Parser)]
struct Options {
    /// Write the document, with the costs of this file of the bench scale-costs
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Simulate little, and print it: the document stays unchecked
    #[arg(long, conflicts_with = "write")]
    quick: bool,
    /// The folder of the workspace
    #[arg(long, default_value = ".")]
    root: PathBuf,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let path = options.root.join("docs/scale.md");
    let mut text = read(&path)?;
    if let Some(file) = &options.write {
        let outcome: Outcome =
            serde_json::from_str(&read(file)?).with_context(|| format!("understand {}", file.display()))?;
        text = document::with(&text, &[("costs", outcome.block())])?;
    }
    let costs = document::costs(document::block(&text, "costs")?)?;
    let (sizes, length): (&[usize], Length) =
        if options.quick { (&SIZES[..3], Length::QUICK) } else { (&SIZES, Length::FULL) };
    let held = hold(&costs, &read(&options.root.join("docs/measured.md"))?)?;
    let sizes: Vec<Size> =
        at_once(sizes, |n_hosts| Ok(study::size(*n_hosts, &costs, length))).into_iter().collect::<Result<_>>()?;
    let blocks = document::blocks(&sizes, &held, &costs);
    if options.quick {
        blocks.iter().for_each(|(name, block)| println!("{name}\n{block}"));
        return Ok(());
    }
    if options.write.is_some() {
        fs::write(&path, document::with(&text, &blocks)?).with_context(|| format!("write {}", path.display()))?;
        println!("wrote {}", path.display());
        return Ok(());
    }
    let differs = |(name, now): &&(&str, String)| !document::block(&text, name).is_ok_and(|then| then == now);
    let differing: Vec<&str> = blocks.iter().filter(differs).map(|(name, _)| *name).collect();
    if !differing.is_empty() {
        bail!("{} is not what its costs come to: {}", path.display(), differing.join(", "));
    }
    println!("{} is what its costs come to", path.display());
    Ok(())
}

/// Holds the simulation against what `rec-traverse` measured.
fn hold(costs: &Costs, measured: &str) -> Result<Vec<Held>> {
    let (numbers, low, high) = MEASURED;
    let mut held = Vec::new();
    for case in rows::cases(numbers, low, high) {
        let predicted = simulate(&case.load, 2, costs).with_context(|| case.name())?;
        let of = |metric: &str| document::measured(measured, metric, &case.name()).ok();
        held.push(Held { case, measured: METRICS.map(|metric| (metric, of(metric))), predicted });
    }
    if held.iter().all(|held| held.measured.iter().all(|(_, value)| value.is_none())) {
        bail!("docs/measured.md holds no rows of rec-traverse");
    }
    Ok(held)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}
