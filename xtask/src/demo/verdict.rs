//! What `--check` demands: pure, from what was captured and measured.
//!
//! Called once, at the end. A run of a minute on a shared machine has noise: a ratio above the limit counts as a miss only where the
//! A/A rounds do not explain the distance.

use super::capture::Outcome;
use super::cost::Cost;
use super::load::Report;

/// The share of edge cases that may be missing.
pub(crate) const MISSED_SHARE_MAX: f64 = 0.001;
/// The most CPU time that a request may cost its application over the same request without recording. Agents and collector are told beside
/// it: here three hosts and the cluster's side share one machine.
pub(crate) const CPU_RATIO_MAX: f64 = 1.05;
/// Requests that must have been inside the process that is killed.
pub(crate) const PARKED_MIN: u64 = 20;

/// How a measured ratio stands to its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    Within,
    /// Above, by less than two measurements of the same thing differ.
    Inconclusive,
    Above,
}

/// Returns how the cost stands to [`CPU_RATIO_MAX`].
pub(crate) fn standing(cost: &Cost) -> Standing {
    match cost.services_ratio.median {
        ratio if ratio <= CPU_RATIO_MAX => Standing::Within,
        ratio if ratio <= CPU_RATIO_MAX + cost.noise => Standing::Inconclusive,
        _ => Standing::Above,
    }
}

/// Returns everything that is not as it must be, each in a sentence; of the cost, where that counts.
pub(crate) fn complaints(outcome: &Outcome, report: &Report, cost: Option<&Cost>) -> Vec<String> {
    let mut all = Vec::new();
    let mut demand = |holds: bool, otherwise: String| {
        if !holds {
            all.push(otherwise);
        }
    };
    let (found, parked) = (&outcome.found, report.killed.as_ref().map_or(0, |killed| killed.parked));
    demand(found.edge_cases > 0, "there were no edge cases".to_owned());
    let first =
        found.missed.first().map(|miss| format!(", the first ({}): {}", miss.trace, miss.why)).unwrap_or_default();
    let missed = format!("{} of {} edge cases were not captured whole{first}", found.n_missed, found.edge_cases);
    demand(found.n_missed as f64 <= MISSED_SHARE_MAX * found.edge_cases as f64, missed);
    let unexplained = found.missed.iter().filter(|miss| !miss.certificate_explains).count();
    demand(unexplained == 0, format!("{unexplained} misses are not explained by a certificate"));
    demand(found.false_complete == 0, format!("{} traces are called complete and are not", found.false_complete));
    demand(parked >= PARKED_MIN, format!("{parked} requests were inside the killed process, {PARKED_MIN} are wanted"));
    demand(outcome.n_deaths > 0, "no trace shows the death of the killed process".to_owned());
    if let Some(cost) = cost {
        let ratio = cost.services_ratio.median;
        let ratio = format!("a request costs its services {ratio:.3} of what it does without recording");
        demand(standing(cost) != Standing::Above, format!("{ratio}, at most {CPU_RATIO_MAX} is wanted"));
    }
    all
}

#[cfg(test)]
mod tests;
