//! Tables for people: the medians of all subjects, and the rows with their verdicts.
//!
//! Called by the bins; returns text and prints nothing itself.

use super::{report::Row, runner::Series, verdict::Verdict};

/// Returns the rows of a report, aligned, with their verdicts.
#[must_use]
pub fn rows(rows: &[Row]) -> String {
    let head =
        ["metric", "case", "ours", "unit", "min-max", "peer", "peer's", "ratio", "95 % CI", "A/A", "must", "verdict"];
    let cells = rows.iter().map(|row| {
        let stretch = if row.reaches_stretch() && row.verdict == Verdict::Pass { " (stretch)" } else { "" };
        let interval = row.ci_low.zip(row.ci_high).map_or_else(dash, |(low, high)| format!("{low:.3}-{high:.3}"));
        vec![
            row.metric.clone(),
            row.case.clone(),
            number(row.value),
            row.unit.to_owned(),
            format!("{}-{}", number(row.min), number(row.max)),
            row.peer.clone().unwrap_or_else(dash),
            row.peer_value.map_or_else(dash, number),
            row.ratio.map_or_else(dash, |ratio| format!("{ratio:.3}")),
            interval,
            row.aa_ratio.map_or_else(dash, |ratio| format!("{ratio:.3}")),
            row.must.map_or_else(dash, |must| must.to_string()),
            format!("{}{stretch}", row.verdict),
        ]
    });
    aligned(&head, cells.collect())
}

/// Returns the median and spread of each series, aligned, under the metric that they belong to.
#[must_use]
pub fn medians(metric: &str, unit: &str, series: &[Series]) -> String {
    let head = [metric, "median", "min", "max", "unit"];
    let cells = series.iter().map(|series| match &series.failure {
        Some(why) => vec![series.name.clone(), format!("gave up: {why}")],
        None => {
            let median = series.median().map_or_else(dash, number);
            vec![series.name.clone(), median, number(series.min()), number(series.max()), unit.to_owned()]
        }
    });
    aligned(&head, cells.collect())
}

fn dash() -> String {
    "-".to_owned()
}

/// Prints about four significant digits.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 || size == 0.0 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

fn aligned(head: &[&str], cells: Vec<Vec<String>>) -> String {
    let width = |column: usize| {
        let of_cell = |row: &Vec<String>| row.get(column).map_or(0, |cell| cell.chars().count());
        cells
            .iter()
            .filter(|row| row.len() == head.len())
            .map(of_cell)
            .max()
            .unwrap_or(0)
            .max(head[column].chars().count())
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: Vec<&str>| {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(head.to_vec());
    for row in &cells {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
