//! What the API counts: requests and their time by endpoint, refusals by reason.
//!
//! Filled by the keeper, read for metrics. Both labels have few values, whatever is asked.

use backsight_query::api::{Done, ENDPOINTS, Refusal};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed}; // each counter stands for itself

/// The counters. Clones count together.
#[derive(Clone, Debug)]
pub struct Tally(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    by_endpoint: BTreeMap<&'static str, Times>,
    refusals: [AtomicU64; Refusal::ALL.len()],
}

#[derive(Debug, Default)]
struct Times {
    n: AtomicU64,
    ns: AtomicU64,
}

/// What became of requests to one endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OfEndpoint {
    /// Its name.
    pub name: &'static str,
    /// How many.
    pub n: u64,
    /// How long they took together.
    pub ns: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let names = ENDPOINTS.iter().map(|endpoint| endpoint.name).chain(["none"]);
        let by_endpoint = names.map(|name| (name, Times::default())).collect();
        Self(Arc::new(Counters { by_endpoint, refusals: Default::default() }))
    }
}

impl Tally {
    /// Counts a request.
    pub fn count(&self, done: Done) {
        if let Some(times) = self.0.by_endpoint.get(done.endpoint) {
            times.n.fetch_add(1, Relaxed);
            times.ns.fetch_add(done.took_ns, Relaxed);
        }
        if let Some(refusal) = done.refusal {
            self.0.refusals[refusal as usize].fetch_add(1, Relaxed);
        }
    }

    /// Returns what there was by endpoint, in the order of their names.
    pub fn endpoints(&self) -> impl Iterator<Item = OfEndpoint> {
        let of = |(name, times): (&&'static str, &Times)| OfEndpoint {
            name,
            n: times.n.load(Relaxed),
            ns: times.ns.load(Relaxed),
        };
        self.0.by_endpoint.iter().map(of)
    }

    /// Returns how many requests were refused, by the names of the reasons.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::ALL.into_iter().map(|why| (why.name(), self.0.refusals[why as usize].load(Relaxed)))
    }
}
