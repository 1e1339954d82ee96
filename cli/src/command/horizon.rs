//! `backsight horizon`: how far back the agent can look.

use super::Asked;
use anyhow::Result;
use backsight_core::units::Nanos;
use backsight_proto::admin::{Horizon, route};
use std::process::ExitCode;

pub(super) fn run(asked: &Asked<'_>) -> Result<ExitCode> {
    asked.print(&asked.admin.get(route::HORIZON)?, |horizon| format!("{}\n", line(horizon)))
}

/// Returns the horizon in one line.
pub(super) fn line(horizon: &Horizon) -> String {
    let measured = horizon.horizon_ms.map_or("nothing overwritten yet".to_owned(), time);
    let predicted = horizon.predicted_ms.map_or("no writes".to_owned(), time);
    let is_short = horizon.predicted_ms.or(horizon.horizon_ms).is_some_and(|ms| ms < horizon.target_ms);
    let verdict = if is_short { "; below target, so detail is shed" } else { "" };
    format!("{measured}, predicted {predicted}, target {}{verdict}", time(horizon.target_ms))
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
