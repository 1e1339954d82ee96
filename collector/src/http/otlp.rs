//! Metrics of what OTLP exporters sent. Called by `http`.

use super::exposition::{Exposition, Kind};
use crate::otlp::Counts;
use std::sync::atomic::Ordering::Relaxed; // numbers that are only looked at

/// Shows all that is counted of OTLP.
pub(super) fn show(out: &mut Exposition, counts: &Counts) {
    for (name, help, n) in counts.totals() {
        out.one(name, Kind::Counter, help, n);
    }
    let in_flight_bytes = counts.in_flight_bytes().load(Relaxed) as u64;
    out.one("otlp_in_flight_bytes", Kind::Gauge, "Memory of requests that are not answered yet.", in_flight_bytes);
    out.one("otlp_connections", Kind::Gauge, "Connections of OTLP exporters.", counts.n_connections());
    out.labelled("otlp_rejected_spans_total", "Spans rejected, each alone.", "reason", counts.rejected_spans());
    out.labelled("otlp_refused_requests_total", "Requests refused as a whole.", "reason", counts.refused_requests());
    out.labelled("otlp_repairs_total", "What was repaired or left out of what was taken.", "what", counts.repairs());
    out.labelled(
        "otlp_refused_connections_total",
        "Connections closed, being too many or silent for too long.",
        "reason",
        counts.refused_connections(),
    );
}
