//! What the demo prints: headings, lines of progress, figures as people read them.
//!
//! Called by `demo`; the functions that make text are pure.

use super::agents::{Horizon, Watch};
use super::capture::Outcome;
use super::cost::{Cost, Rates, Rounds, Spread};
use super::hosts::{Hosts, N_HOSTS, NAMES};
use super::load::Report;
use super::network::Crossed;
use super::verdict::{CPU_RATIO_MAX, Standing, standing};
use std::path::Path;

/// Misses that are explained one by one.
const MISSES_SHOWN: usize = 10;

pub(crate) fn heading(text: &str) {
    println!("\n== {text}");
}

pub(crate) fn line(text: &str) {
    println!("   {text}");
}

/// Says what the hosts are.
pub(crate) fn hosts(hosts: &Hosts, budget_bytes: u64) {
    let budget = mib(budget_bytes);
    match hosts {
        Hosts::Apart(_) => line(&format!(
            "{N_HOSTS} hosts, each a network namespace with an agent of {budget}; beside them the collector, and a network between all"
        )),
        Hosts::Together { why } => {
            line(&format!("one host instead of {N_HOSTS}: {why}"));
            line(&format!(
                "{N_HOSTS} agents of {budget} each and a collector run on it, and take its processes in turn"
            ));
        }
    }
}

/// Says how fast the application goes at most.
pub(crate) fn rates(rates: &Rates) {
    let text = |spread: &Spread| format!("{:>6.0} requests/s ({:.0} to {:.0})", spread.median, spread.min, spread.max);
    line(&format!("without recording  {}", text(&rates.without)));
    line(&format!("with recording     {}", text(&rates.with)));
}

/// Returns a line on the rounds so far.
pub(crate) fn round(idx: usize, rounds: &Rounds) -> String {
    let last = |values: &[f64]| values.last().copied().unwrap_or_default();
    if idx.is_multiple_of(2) {
        return format!("round {:>2}  without recording {:>7.0} us of CPU a request", idx + 1, last(&rounds.without));
    }
    let (services, recorder) = (last(&rounds.services), last(&rounds.recorder));
    format!(
        "round {:>2}  with recording    {:>7.0} us: {services:.0} in the services, {recorder:.0} in agents and collector",
        idx + 1,
        services + recorder
    )
}

/// Says what recording costs.
pub(crate) fn cost(cost: &Cost) {
    let spread = |spread: &Spread| format!("{:.3} ({:.3} to {:.3})", spread.median, spread.min, spread.max);
    line(&format!("CPU a request in the services, with recording over without: {}", spread(&cost.services_ratio)));
    line(&format!(
        "three agents and the collector, on the same machine, add {:.0} us: with them {}",
        cost.recorder_us.median,
        spread(&cost.ratio)
    ));
    let us = cost.without_us;
    line(&format!(
        "without: {:.0} us ({:.0} to {:.0}), from round to round (A/A) {}",
        us.median,
        us.min,
        us.max,
        spread(&cost.aa_ratio)
    ));
    let verdict = match standing(cost) {
        Standing::Within => format!("the services are within {CPU_RATIO_MAX}"),
        Standing::Inconclusive => {
            format!(
                "the services are above {CPU_RATIO_MAX} by less than this machine's noise ({:.3}): not decided",
                cost.noise
            )
        }
        Standing::Above => format!("the services are ABOVE {CPU_RATIO_MAX}"),
    };
    line(&verdict);
}

/// Returns a line on the load so far.
pub(crate) fn progress(second: u64, sent: u64, n_bad: usize, watch: &Watch) -> String {
    format!(
        "{second:>3} s  {sent:>6} requests, {n_bad:>4} bad · {:>9} asked for of {:>9} recorded · can look back {}",
        mib(watch.kept_bytes),
        mib(watch.written_bytes()),
        watch.horizons.iter().map(|horizon| seconds(*horizon)).collect::<Vec<_>>().join(", ")
    )
}

/// Says what became of the edge cases.
pub(crate) fn captured(outcome: &Outcome, report: &Report) {
    let found = &outcome.found;
    line(&format!(
        "{} requests: {} answered, {} failed, {} refused",
        report.sent, report.answered, report.failed, report.refused
    ));
    let share = found.whole as f64 / found.edge_cases.max(1) as f64;
    line(&format!(
        "{} of {} edge cases, whole and coherent ({}), {:.1} s after the load ended",
        found.whole,
        found.edge_cases,
        percent(share),
        outcome.took.as_secs_f64()
    ));
    let faults = &report.faults;
    let away = found.edge_cases.saturating_sub(faults.slow + faults.error + faults.parked);
    line(&format!(
        "{} slow, {} failing, {} inside the process that was killed, {away} that came while it was away",
        faults.slow, faults.error, faults.parked
    ));
    line(&format!(
        "{} of the {} that the kill cut are whole, and {} hold what the process had begun when it died",
        found.cut_whole, found.cut_by_kill, found.cut_shown
    ));
    for miss in found.missed.iter().take(MISSES_SHOWN) {
        let explained = if miss.certificate_explains { "" } else { "; NOT explained by its certificate" };
        line(&format!("missed {}: {}{explained}", miss.trace, miss.why));
    }
}

/// Says what crossed the network.
pub(crate) fn crossed(crossed: &Crossed) {
    let (sent, written, share) = (mib(crossed.recording_bytes), mib(crossed.written_bytes), percent(crossed.share()));
    match crossed.application_bytes {
        Some(bytes) => line(&format!(
            "{sent} crossed the network between agents and collector, of {written} recorded ({share}); the application sent {}",
            mib(bytes)
        )),
        None => line(&format!("{sent} of {written} recorded went from agents to the collector ({share})")),
    }
}

/// Says how far back each host can look.
pub(crate) fn horizons(horizons: &[Horizon]) {
    let each: Vec<String> =
        NAMES.iter().zip(horizons).map(|(name, horizon)| format!("{name} {}", seconds(*horizon))).collect();
    line(&format!("horizon of each host: {} (~ where nothing was overwritten yet)", each.join(", ")));
}

/// Returns a horizon: measured, or with a tilde what it will be.
fn seconds(horizon: Horizon) -> String {
    let text = |ms: u64| format!("{:.0} s", ms as f64 / 1e3);
    match (horizon.horizon_ms, horizon.predicted_ms) {
        (Some(ms), _) => text(ms),
        (None, Some(ms)) => format!("~{}", text(ms)),
        (None, None) => "all".to_owned(),
    }
}

/// Returns bytes as mebibytes.
fn mib(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib >= 10.0 && bytes.is_multiple_of(1 << 20) { format!("{mib:.0} MiB") } else { format!("{mib:.1} MiB") }
}

/// Returns a share as a percentage that is 100 only where all are.
fn percent(share: f64) -> String {
    let hundredths = (share * 1e4).floor();
    format!("{:.2} %", hundredths / 100.0)
}

/// Returns the last lines of a file.
pub(crate) fn tail(path: &Path, n_lines: usize) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(n_lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::{mib, percent, seconds};
    use crate::demo::agents::Horizon;

    #[test]
    fn only_all_of_them_is_a_hundred_percent() {
        assert_eq!(percent(1.0), "100.00 %");
        assert_eq!(percent(0.999_999), "99.99 %");
        assert_eq!(percent(0.0), "0.00 %");
    }

    #[test]
    fn bytes_and_horizons_are_short() {
        assert_eq!((mib(64 << 20).as_str(), mib(3 << 19).as_str()), ("64 MiB", "1.5 MiB"));
        let horizon = |horizon_ms, predicted_ms| seconds(Horizon { horizon_ms, predicted_ms });
        assert_eq!(horizon(Some(41_200), Some(9)), "41 s");
        assert_eq!(horizon(None, Some(212_000)), "~212 s");
        assert_eq!(horizon(None, None), "all");
    }
}
