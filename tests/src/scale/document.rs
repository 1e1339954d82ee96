//! `docs/scale.md`: the tables of the study, written between marks in a document whose prose is a person's.
//!
//! Called by `bks-scale`. Pure. The costs stand in the document, as precise as they are simulated with, so that whoever has it can run the
//! study again and see that the tables are what comes of them.

mod tables;

use super::costs::{Costs, TABLE};
use super::study::Size;
use crate::traverse::Sample;
use crate::traverse::rows::Case;
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// A load of `rec-traverse`, what it showed, and what the simulation says.
#[derive(Clone, Debug)]
pub struct Held {
    /// The load.
    pub case: Case,
    /// What was measured, by the names of metrics; `None` for what was not.
    pub measured: [(&'static str, Option<f64>); 4],
    /// What is predicted.
    pub predicted: Sample,
}

/// What the bench `scale-costs` has written, as far as it is read here.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Outcome {
    commit: String,
    machine: String,
    load_average: [f64; 3],
    results: Vec<Row>,
}

#[derive(Clone, PartialEq, Debug, Deserialize)]
struct Row {
    metric: String,
    value: f64,
    min: f64,
    max: f64,
    runs: usize,
}

impl Outcome {
    /// Returns the block of the document that holds the costs.
    #[must_use]
    pub fn block(&self) -> String {
        let [one, five, fifteen] = self.load_average;
        let runs = self.results.iter().map(|row| row.runs).max().unwrap_or(0);
        let mut text = format!(
            "Commit `{}`; {}; load average at the start {one:.2}, {five:.2}, {fifteen:.2}; {runs} rounds. The median, the smallest and the \
             largest.\n\n| cost | value | of |\n|---|---|---|\n",
            self.commit, self.machine
        );
        for (name, unit, what) in TABLE {
            let Some(row) = self.results.iter().find(|row| row.metric == *name) else { continue };
            let (value, min, max) = (precise(row.value), precise(row.min), precise(row.max));
            text += &format!("| `{name}` | {value} {unit} ({min}–{max}) | {what} |\n");
        }
        text
    }
}

/// Returns the costs that stand in a block.
///
/// # Errors
/// One is missing, or is no number.
pub fn costs(block: &str) -> Result<Costs> {
    let rows = block.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.trim_end_matches('`');
        let value = cells.next()?.split(' ').next()?.parse().ok()?;
        Some((name.to_owned(), value))
    });
    Costs::of(rows.collect::<Vec<_>>())
}

/// Returns what stands in the document's block `name`.
///
/// # Errors
/// It has none.
pub fn block<'d>(document: &'d str, name: &str) -> Result<&'d str> {
    let (_, rest) = document.split_once(&begin(name)).with_context(|| format!("the document has no block {name}"))?;
    Ok(rest.split_once(END).with_context(|| format!("block {name} has no end"))?.0)
}

const END: &str = "<!-- end -->";

fn begin(name: &str) -> String {
    format!("<!-- begin {name} -->\n")
}

/// Returns the document with `blocks` in their places.
///
/// # Errors
/// It has no place for one.
pub fn with(document: &str, blocks: &[(&str, String)]) -> Result<String> {
    let mut text = document.to_owned();
    for (name, block_text) in blocks {
        let known = block(&text, name)?.to_owned();
        let (begin, end) = (begin(name), END);
        text = text.replace(&format!("{begin}{known}{end}"), &format!("{begin}{block_text}{end}"));
    }
    Ok(text)
}

/// Returns all blocks but that of the costs.
#[must_use]
pub fn blocks(sizes: &[Size], held: &[Held], costs: &Costs) -> Vec<(&'static str, String)> {
    vec![
        ("validation", tables::validation(held)),
        ("bottlenecks", tables::bottlenecks(sizes)),
        ("shares", tables::shares(sizes)),
        ("plot", tables::plot(sizes)),
        ("times", tables::times(sizes)),
        ("hosts", tables::per_host(sizes, costs)),
        ("limits", tables::limits(sizes, costs)),
        ("storm", tables::storm(sizes)),
        ("restart", tables::restart(sizes)),
        ("outage", tables::outage(sizes)),
    ]
}

/// Returns the value of a row of `docs/measured.md`.
///
/// # Errors
/// There is none, or it is no number.
pub fn measured(document: &str, metric: &str, case: &str) -> Result<f64> {
    let start = format!("| `{metric}` | {case} | ");
    let Some(line) = document.lines().find(|line| line.starts_with(&start)) else {
        bail!("no {metric} was measured of {case}");
    };
    let value = line[start.len()..].split(' ').next().unwrap_or_default();
    value.parse().with_context(|| format!("understand {metric} of {case}: {value}"))
}

/// Returns a number with four significant digits, such that reading it back gives what is simulated with.
fn precise(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = (3 - value.abs().log10().floor() as i32).max(0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests;
