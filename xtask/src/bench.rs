//! `cargo xtask bench`: builds one benchmark for release, runs it, and judges what it wrote.
//!
//! Called by people and by CI. The benchmark is a binary of `backsight-tests`; it measures, compares with its peers and writes the
//! JSON by itself. This task never computes a verdict, it only reads them.

mod document;

use crate::process;
use crate::setup;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The prefixes of the parts that have benchmarks.
const PREFIXES: &[&str] = &["rec-", "scale-"];

/// What `cargo xtask bench` is asked to do.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The benchmark, such as rec-micro
    #[arg(required_unless_present_any = ["list", "document"])]
    name: Option<String>,
    /// End within a minute, with wider intervals
    #[arg(long)]
    quick: bool,
    /// Fail where a threshold is missed
    #[arg(long)]
    check: bool,
    /// Print the benchmarks and end
    #[arg(long)]
    list: bool,
    /// Write docs/measured.md anew, from what full runs left in target/bench
    #[arg(long, conflicts_with_all = ["name", "quick", "check"])]
    document: bool,
    /// Arguments for the benchmark itself
    #[arg(last = true)]
    rest: Vec<String>,
}

impl Options {
    const fn quick() -> Self {
        Self { name: None, quick: true, check: false, list: false, document: false, rest: Vec::new() }
    }
}

/// What a benchmark writes, as far as it is read here.
#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    commit: String,
    #[serde(default)]
    machine: String,
    #[serde(default)]
    load_average: [f64; 3],
    #[serde(default)]
    quick: bool,
    results: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    metric: String,
    #[serde(default)]
    case: String,
    value: Option<f64>,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    peer: Option<String>,
    #[serde(default)]
    peer_value: Option<f64>,
    #[serde(default)]
    ratio: Option<f64>,
    #[serde(default)]
    aa_ratio: Option<f64>,
    #[serde(default)]
    must: Option<String>,
    #[serde(default)]
    runs: usize,
    #[serde(default)]
    min: Option<f64>,
    #[serde(default)]
    max: Option<f64>,
    verdict: Verdict,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Pass,
    Miss,
    Inconclusive,
    NoPeer,
}

impl Outcome {
    fn read(json: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(json).with_context(|| format!("read {}", json.display()))?;
        let outcome: Self = serde_json::from_str(&text).with_context(|| format!("understand {}", json.display()))?;
        if outcome.results.is_empty() {
            bail!("{} holds no results", json.display());
        }
        Ok(outcome)
    }
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Miss => "MISS",
            Self::Inconclusive => "inconclusive",
            Self::NoPeer => "no-peer",
        }
    }
}

/// Runs one benchmark, or lists them.
///
/// # Errors
/// There is no such benchmark, it failed, it wrote nothing readable, or with `--check` a row is a miss.
pub(crate) fn bench(workspace: &Workspace, options: &Options) -> Result<()> {
    let names = names(workspace)?;
    if options.list {
        names.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    if options.document {
        return document::write(workspace, &names);
    }
    let name = options.name.as_deref().context("name a benchmark")?;
    if !names.contains(&name) {
        bail!("no benchmark is called `{name}`; there are: {}", names.join(", "));
    }
    // Without its peers a benchmark still measures; its rows then say `no-peer`.
    if let Err(why) = setup::system_packages(setup::FOR_BENCHES) {
        println!("peers stay out of this run: {why:#}");
    }
    let json = run(workspace, name, options)?;
    println!("\nresults: {}", json.display());
    if options.check { judge(&json) } else { Ok(()) }
}

/// Runs every benchmark for less than a minute, and demands that it measures: what it found is no judge on a machine that others use.
///
/// # Errors
/// One does not run, or writes nothing readable.
pub(crate) fn smoke(workspace: &Workspace) -> Result<()> {
    if let Err(why) = setup::system_packages(setup::FOR_BENCHES) {
        println!("peers stay out of these runs: {why:#}");
    }
    for name in names(workspace)? {
        let json = run(workspace, name, &Options::quick())?;
        let results = Outcome::read(&json)?.results;
        let n_missed = results.iter().filter(|row| row.verdict == Verdict::Miss).count();
        println!("{name}: {} rows, {n_missed} of them above their limit on this machine, now", results.len());
    }
    Ok(())
}

fn names(workspace: &Workspace) -> Result<Vec<&str>> {
    let package = workspace.package("backsight-tests").context("the package `backsight-tests` is missing")?;
    let known = |name: &&str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    Ok(package.bins().into_iter().filter(known).collect())
}

/// Runs the benchmark and returns the file that it wrote.
fn run(workspace: &Workspace, name: &str, options: &Options) -> Result<PathBuf> {
    let folder = workspace.target.join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let json = folder.join(format!("{name}.json"));
    // An old file must not pass for the outcome of this run.
    if json.exists() {
        std::fs::remove_file(&json).with_context(|| format!("remove {}", json.display()))?;
    }
    process::build(workspace, &[name])?;
    let mut command = Command::new(workspace.target.join("release").join(name));
    command.current_dir(&workspace.root).env("BACKSIGHT_BENCH_DIR", &folder);
    if options.quick {
        command.arg("--quick");
    }
    process::run(command.args(&options.rest))?;
    if !json.exists() {
        bail!("`{name}` ended well, yet did not write {}", json.display());
    }
    Ok(json)
}

fn judge(json: &Path) -> Result<()> {
    let outcome = Outcome::read(json)?;
    for row in outcome.results.iter().filter(|row| row.verdict != Verdict::Pass) {
        println!("{}", line_of(row));
    }
    let n_missed = outcome.results.iter().filter(|row| row.verdict == Verdict::Miss).count();
    if n_missed > 0 {
        bail!("{n_missed} of {} rows miss what they must reach", outcome.results.len());
    }
    println!("{} rows, none missed", outcome.results.len());
    Ok(())
}

/// Returns a row as a person reads it.
fn line_of(row: &Row) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
    let verdict = row.verdict.name();
    format!(
        "{verdict:<13} {} [{}]: {} {}, {} x {} (must: {})",
        row.metric,
        row.case,
        number(row.value),
        row.unit,
        number(row.ratio),
        row.peer.as_deref().unwrap_or("no peer"),
        row.must.as_deref().unwrap_or("-"),
    )
}

#[cfg(test)]
mod tests;
