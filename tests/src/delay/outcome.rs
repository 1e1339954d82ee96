//! What became of a request, by what it did and by what its trace says of itself.
//!
//! Called once all is quiet; pure. A request that was answered has been served once on each host and has called from all but the last.

use super::hosts::{N_HOSTS, service};
use backsight_core::certificate::{GapKind, Verdict};
use backsight_core::trace::{Span, Trace};
use backsight_proto::wire::StoredTrace;
use std::collections::BTreeMap;

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// All of it is there, and it is called complete.
    Coherent,
    /// It is called complete, and is not: what is wrong with it.
    FalseComplete(String),
    /// It is called partial, as some of it had left the horizon of a host.
    Evicted,
    /// Nothing of it is stored: nobody can take it for complete.
    Nothing,
    /// Anything else, with what its certificate says.
    Unexplained(String),
}

impl Outcome {
    /// Returns what became of a request of which `stored` is there.
    #[must_use]
    pub fn of(stored: Option<&StoredTrace>) -> Self {
        let Some(stored) = stored else { return Self::Nothing };
        let certificate = &stored.certificate;
        let is_evicted = certificate.gaps.iter().any(|gap| gap.kind == GapKind::Evicted);
        match certificate.verdict {
            Verdict::Complete => fault_of(&stored.assemble()).map_or(Self::Coherent, Self::FalseComplete),
            Verdict::Partial if is_evicted => Self::Evicted,
            verdict => {
                let gaps: Vec<&str> = certificate.gaps.iter().map(|gap| gap.kind.name()).collect();
                Self::Unexplained(format!("{}: {}", verdict.name(), gaps.join(", ")))
            }
        }
    }
}

/// Returns in what a trace is not exactly what such a request does; `None` where it is.
fn fault_of(trace: &Trace) -> Option<String> {
    let mut n_spans: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for span in &trace.spans {
        let service = trace.processes.get(span.process_idx).map_or("", |process| &*process.service);
        *n_spans.entry((service, &span.name)).or_default() += 1;
    }
    let services: Vec<String> = (0..N_HOSTS).map(service).collect();
    let served = services.iter().map(|service| ((service.as_str(), "serve"), 1));
    let called = services[..N_HOSTS - 1].iter().map(|service| ((service.as_str(), "call"), 1));
    let expected: BTreeMap<_, _> = served.chain(called).collect();
    let is_ended = |span: &Span| span.is_started && span.end_ns.is_some() && !span.is_cut;
    let n_open = trace.spans.iter().filter(|span| !is_ended(span)).count();
    if n_spans != expected {
        return Some(format!("its spans are {n_spans:?}"));
    }
    let n_lost = trace.losses.len();
    let is_whole = n_open == 0 && n_lost == 0 && trace.open_edges.is_empty();
    (!is_whole)
        .then(|| format!("{n_open} spans without an end, {n_lost} losses, {} open edges", trace.open_edges.len()))
}

#[cfg(test)]
mod tests;
