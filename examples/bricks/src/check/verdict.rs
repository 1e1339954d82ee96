//! The verdict on one edge case.
//!
//! Called by `check`. Pure.

use crate::truth::{Request, Visits};
use std::collections::BTreeMap;

/// What is stored of a trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Captured {
    /// Server spans by service.
    pub(crate) visits: BTreeMap<String, u64>,
    /// What it says of its own completeness.
    pub(crate) claim: Claim,
}

/// What a stored trace says of its own completeness.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Claim {
    /// Nothing: such traces have no certificate, and their spans alone are compared.
    #[default]
    Silent,
    /// Its certificate says that it is complete.
    Complete,
    /// Its certificate says that it is not, or that this is not known yet, and why.
    Incomplete { state: &'static str, why: Vec<String> },
    /// It ought to have a certificate and has none: one agent answered for itself. `is_lossy` where it knows of losses.
    Uncertified { is_lossy: bool },
}

/// What is to be said of an edge case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It was captured whole, and coherent with the truth.
    Whole,
    /// It was not.
    Missed {
        /// Why.
        why: String,
        /// Whether what was stored says itself that it is not all.
        explains: bool,
        /// Whether it is certified complete and lacks visits.
        is_false_complete: bool,
    },
}

/// Compares what happened with what is stored.
pub(crate) fn judge(request: &Request, captured: Option<&Captured>) -> Verdict {
    let Some(captured) = captured else {
        return Verdict::Missed { why: "it is not stored".to_owned(), explains: false, is_false_complete: false };
    };
    let none = Visits::default();
    let names = request.visits.keys().chain(captured.visits.keys().filter(|name| !request.visits.contains_key(*name)));
    let (mut differences, mut is_lacking) = (Vec::new(), false);
    for name in names {
        let truth = request.visits.get(name).unwrap_or(&none);
        let n = captured.visits.get(name).copied().unwrap_or(0);
        if n < truth.done {
            is_lacking = true;
            differences.push(format!("{name}: {n} stored of {} visits that were done", truth.done));
        } else if n > truth.intended {
            differences.push(format!("{name}: {n} visits stored, where at most {} can be", truth.intended));
        }
    }
    let (claim, explains) = match &captured.claim {
        Claim::Silent | Claim::Complete => (None, false),
        Claim::Incomplete { state, why } if why.is_empty() => (Some((*state).to_owned()), true),
        Claim::Incomplete { state, why } => (Some(format!("{state}: {}", why.join("; "))), true),
        Claim::Uncertified { is_lossy } => (Some("it has no certificate".to_owned()), *is_lossy),
    };
    if claim.is_none() && differences.is_empty() {
        return Verdict::Whole;
    }
    Verdict::Missed {
        why: claim.into_iter().chain(differences).collect::<Vec<_>>().join("; "),
        explains,
        is_false_complete: captured.claim == Claim::Complete && is_lacking,
    }
}

/// Says whether every visit that began is stored, also those that did not come to their end.
pub(crate) fn shows_all(request: &Request, captured: &Captured) -> bool {
    request.visits.iter().all(|(name, visits)| captured.visits.get(name).copied().unwrap_or(0) >= visits.intended)
}

#[cfg(test)]
mod tests;
