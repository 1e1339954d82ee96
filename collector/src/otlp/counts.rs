//! What OTLP exporters sent, and what became of it: counted, and read for metrics.
//!
//! Counted by the parts of `otlp`. Everything that is refused, rejected, repaired or left out has its counter here.

use super::refusal::{self, Refusal};
use backsight_proto::wire::otlp_visit::{Decoded, Reason, Repairs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed}; // each counter stands for itself

/// How many there were. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requests: AtomicU64,
    received_bytes: AtomicU64,
    taken_bytes: AtomicU64,
    spans: AtomicU64,
    rejected_spans: [AtomicU64; Reason::ALL.len()],
    refused_requests: [AtomicU64; refusal::Reason::ALL.len()],
    repairs: [AtomicU64; REPAIRS.len()],
    redacted: AtomicU64,
    in_flight_bytes: AtomicUsize,
    connections: AtomicU64,
    refused_connections: [AtomicU64; Unheard::ALL.len()],
}

/// What is called how, in the order of [`of_repairs`].
const REPAIRS: [&str; 7] = [
    "duplicate_keys",
    "attributes_dropped",
    "values_truncated",
    "events_dropped",
    "links_dropped",
    "times",
    "scope_attributes_dropped",
];

/// Why a connection is not heard, or no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unheard {
    /// There are as many as may be.
    TooMany,
    /// Nothing came on it for too long.
    Idle,
}

impl Unheard {
    const ALL: [Self; 2] = [Self::TooMany, Self::Idle];

    const fn name(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::Idle => "idle",
        }
    }
}

impl Counts {
    /// Counts a request, whatever becomes of it.
    pub(crate) fn asked(&self) {
        self.0.requests.fetch_add(1, Relaxed);
    }

    /// Counts bytes of a request, as they came.
    pub(crate) fn received(&self, bytes: usize) {
        self.0.received_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Counts a request that was taken: its bytes as protobuf, what became of its spans, and attributes of scopes, which have no place.
    pub(crate) fn taken(&self, bytes: usize, decoded: &Decoded, n_scope_attributes: u64) {
        self.0.taken_bytes.fetch_add(bytes as u64, Relaxed);
        self.0.spans.fetch_add(decoded.n_taken, Relaxed);
        for (count, reason) in self.0.rejected_spans.iter().zip(Reason::ALL) {
            count.fetch_add(decoded.rejected.of(*reason), Relaxed);
        }
        for (count, n) in self.0.repairs.iter().zip(of_repairs(&decoded.repairs, n_scope_attributes)) {
            count.fetch_add(n, Relaxed);
        }
    }

    /// Counts attributes that a rule of redaction concerned.
    pub(crate) fn redacted(&self, n_attributes: u64) {
        self.0.redacted.fetch_add(n_attributes, Relaxed);
    }

    /// Counts a request that was refused.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.0.refused_requests[refusal.reason() as usize].fetch_add(1, Relaxed);
    }

    /// Counts a connection that begins.
    pub(crate) fn connected(&self) {
        self.0.connections.fetch_add(1, Relaxed);
    }

    /// Counts a connection that has ended.
    pub(crate) fn disconnected(&self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }

    /// Counts a connection that is not heard.
    pub(crate) fn unheard(&self, why: Unheard) {
        self.0.refused_connections[why as usize].fetch_add(1, Relaxed);
    }

    /// Returns the bytes of memory that requests take.
    pub(crate) fn in_flight_bytes(&self) -> &AtomicUsize {
        &self.0.in_flight_bytes
    }

    /// Returns the connections that there are.
    pub(crate) fn n_connections(&self) -> u64 {
        self.0.connections.load(Relaxed)
    }

    /// Returns counters with one value, each with what it is called and what it counts.
    pub(crate) fn totals(&self) -> [(&'static str, &'static str, u64); 5] {
        let Inner { requests, received_bytes, taken_bytes, spans, redacted, .. } = &*self.0;
        [
            ("otlp_requests_total", "Requests of OTLP exporters.", requests.load(Relaxed)),
            ("otlp_received_bytes_total", "Their bytes, as they came.", received_bytes.load(Relaxed)),
            ("otlp_taken_bytes_total", "Bytes of those that were taken, as protobuf.", taken_bytes.load(Relaxed)),
            ("otlp_spans_total", "Spans that were taken.", spans.load(Relaxed)),
            (
                "otlp_redacted_attributes_total",
                "Attributes that a rule of intake.redact concerned.",
                redacted.load(Relaxed),
            ),
        ]
    }

    /// Returns how many spans were rejected, by reason.
    pub(crate) fn rejected_spans(&self) -> impl Iterator<Item = (&'static str, u64)> {
        named(Reason::ALL.iter().map(|reason| reason.name()), &self.0.rejected_spans)
    }

    /// Returns how many requests were refused, by reason.
    pub(crate) fn refused_requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        named(refusal::Reason::ALL.into_iter().map(refusal::Reason::name), &self.0.refused_requests)
    }

    /// Returns how often something of a request was repaired or left out.
    pub(crate) fn repairs(&self) -> impl Iterator<Item = (&'static str, u64)> {
        named(REPAIRS.into_iter(), &self.0.repairs)
    }

    /// Returns how many connections were refused or ended, by reason.
    pub(crate) fn refused_connections(&self) -> impl Iterator<Item = (&'static str, u64)> {
        named(Unheard::ALL.into_iter().map(Unheard::name), &self.0.refused_connections)
    }
}

fn named<'a>(
    names: impl Iterator<Item = &'static str> + 'a,
    counts: &'a [AtomicU64],
) -> impl Iterator<Item = (&'static str, u64)> + 'a {
    names.zip(counts.iter().map(|count| count.load(Relaxed)))
}

fn of_repairs(repairs: &Repairs, n_scope_attributes: u64) -> [u64; REPAIRS.len()] {
    // By name, so that a new one is counted.
    let Repairs { duplicate_keys, attributes_dropped, values_truncated, events_dropped, links_dropped, times } =
        *repairs;
    let of_spans = [duplicate_keys, attributes_dropped, values_truncated, events_dropped, links_dropped, times];
    let mut all = [n_scope_attributes; REPAIRS.len()];
    all.iter_mut().zip(of_spans).for_each(|(count, n)| *count = n.into());
    all
}

#[cfg(test)]
mod tests {
    use super::{Counts, REPAIRS, Unheard, of_repairs};
    use crate::otlp::refusal::{Reason, Refusal};
    use backsight_proto::wire::otlp_visit::Repairs;
    use std::time::Duration;

    #[test]
    fn each_repair_is_counted_under_its_name() {
        let repairs = Repairs {
            duplicate_keys: 1,
            attributes_dropped: 2,
            values_truncated: 3,
            events_dropped: 4,
            links_dropped: 5,
            times: 6,
        };
        assert_eq!(of_repairs(&repairs, 7), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((REPAIRS[0], REPAIRS[5], REPAIRS[6]), ("duplicate_keys", "times", "scope_attributes_dropped"));
    }

    #[test]
    fn each_refusal_is_counted_under_its_reason() {
        let counts = Counts::default();
        counts.refused(&Refusal::Slow { within: Duration::from_secs(1) });
        counts.refused(&Refusal::Closed);
        counts.refused(&Refusal::Closed);
        assert!(Reason::ALL.into_iter().enumerate().all(|(idx, reason)| reason as usize == idx));
        let counted: Vec<_> = counts.refused_requests().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counted, [("slow", 1), ("closed", 2)]);
        counts.unheard(Unheard::Idle);
        assert!(counts.refused_connections().eq([("too_many", 0), ("idle", 1)]));
    }
}
