//! `backsight horizon`: how far back the agent can look, and how that changed over the last minutes.

mod chart;

use super::Asked;
use crate::output;
use anyhow::Result;
use backsight_core::units::{Bytes, Nanos};
use backsight_proto::admin::{Horizon, HorizonReport, HorizonSample, route};
use chart::Chart;
use std::process::ExitCode;

/// Columns of the chart where standard output is no terminal.
const WIDTH_DEFAULT: usize = 100;

pub(super) fn run(asked: &Asked<'_>) -> Result<ExitCode> {
    let width = output::width().unwrap_or(WIDTH_DEFAULT);
    asked.print(&asked.admin.get(route::HORIZON)?, |report| text(report, width))
}

/// Returns a report as text, no wider than `width` columns.
fn text(report: &HorizonReport, width: usize) -> String {
    let mut text = format!("{}\n", line(&report.now));
    if report.now.bytes_per_s > 0 {
        text += &format!("written {} a second, averaged over ten\n", Bytes(report.now.bytes_per_s));
    }
    let predicted = |sample: &HorizonSample| sample.horizon.predicted_ms.or(sample.horizon.horizon_ms);
    let values: Vec<Option<u64>> = report.history.iter().map(predicted).collect();
    let oldest = report.history.first().zip(report.history.last());
    let span_ms = oldest.map_or(0, |(first, last)| last.unix_ms.saturating_sub(first.unix_ms));
    let chart = Chart { values: &values, mark: report.now.target_ms, span_ms };
    if let Some(drawn) = chart.draw(width) {
        text += &format!("\npredicted horizon\n{drawn}");
    }
    text
}

/// Returns the horizon in one line.
pub(super) fn line(horizon: &Horizon) -> String {
    let measured = horizon.horizon_ms.map_or("nothing overwritten yet".to_owned(), time);
    let predicted = horizon.predicted_ms.map_or("no writes".to_owned(), time);
    format!("{measured}, predicted {predicted}, target {}{}", time(horizon.target_ms), verdict(horizon))
}

/// Returns what is left out for the horizon's sake, or that it is too short.
fn verdict(horizon: &Horizon) -> String {
    let percent = |permille: u16| format!("{} %", f64::from(permille) / 10.0);
    let names = ["normal", "debug", "verbose"];
    let levels = horizon.shed_permille.iter().zip(names).rev().filter(|(permille, _)| **permille > 0);
    let mut shed: Vec<String> =
        levels.map(|(permille, name)| format!("{name} detail of {}", percent(*permille))).collect();
    if horizon.unrecorded_permille > 0 {
        shed.push(format!("all of {}", percent(horizon.unrecorded_permille)));
    }
    let is_short = horizon.predicted_ms.or(horizon.horizon_ms).is_some_and(|ms| ms < horizon.target_ms);
    match (shed.is_empty(), is_short) {
        (false, _) => format!("; left out: {} of the traces", shed.join(", ")),
        (true, true) => "; below target".to_owned(),
        (true, false) => String::new(),
    }
}

/// Returns milliseconds as people write them.
pub(super) fn time(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..120 => Nanos(ms.saturating_mul(1_000_000)).to_string(),
        120..7200 => format!("{} min {} s", s / 60, s % 60),
        7200..172_800 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests;
