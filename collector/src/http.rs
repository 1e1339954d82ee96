//! Plain HTTP beside gRPC, on the same port: metrics and health.
//!
//! Called by the daemon. Metric names follow the conventions: `backsight_collector_<noun>_<unit>[_total]`.

use crate::coordination::{Coordination, Overview};
use crate::library::{Library, Stats};
use axum::routing::get;
use std::fmt::Write as _;
use tonic::service::Routes;

/// Adds `/metrics` and `/healthz`.
pub fn with_metrics(routes: Routes, library: Library, coordination: Coordination) -> Routes {
    let metrics = move || {
        let (library, coordination) = (library.clone(), coordination.clone());
        async move { metrics(&library.stats(), &coordination.overview()) }
    };
    let router = routes.into_axum_router().route("/metrics", get(metrics)).route("/healthz", get(async || "ok\n"));
    Routes::from(router)
}

/// Returns the metrics in Prometheus' text format.
fn metrics(stats: &Stats, overview: &Overview) -> String {
    let n_connected = overview.agents.iter().filter(|agent| agent.is_connected).count();
    let mut text = String::new();
    let mut one = |name: &str, kind: &str, help: &str, value: u64| {
        // Writing to a string cannot go wrong.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    one("backsight_collector_agents", "gauge", "Agents that are connected.", n_connected as u64);
    one("backsight_collector_groups", "gauge", "Groups that the coordinator follows.", overview.n_groups as u64);
    one("backsight_collector_traces", "gauge", "Traces that are stored.", stats.n_traces);
    one("backsight_collector_stored_bytes", "gauge", "Bytes on disk.", stats.stored_bytes);
    let drops = "backsight_collector_drops_total";
    let _ = writeln!(text, "# HELP {drops} What was refused or given up.\n# TYPE {drops} counter");
    let is_refusal = |(name, _): &(&&'static str, &u64)| name.starts_with("refused_");
    for (reason, n) in overview.counts.iter().filter(is_refusal).chain(&stats.drops) {
        let _ = writeln!(text, "{drops}{{reason=\"{reason}\"}} {n}");
    }
    let coordination = "backsight_collector_coordination_total";
    let _ = writeln!(text, "# HELP {coordination} What the coordinator did.\n# TYPE {coordination} counter");
    for (what, n) in overview.counts.iter().filter(|count| !is_refusal(count)) {
        let _ = writeln!(text, "{coordination}{{what=\"{what}\"}} {n}");
    }
    text
}
