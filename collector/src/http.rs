//! Plain HTTP beside gRPC, on the same port: metrics and health.
//!
//! Called by the daemon. Metric names follow the conventions: `backsight_collector_<noun>_<unit>[_total]`, and `backsight_query_` of the HTTP API; times are
//! seconds.

mod exposition;
mod otlp;

use crate::coordination::{Coordination, Overview};
use crate::library::{Library, Stats};
use crate::otlp::Counts;
use crate::streams::Refused;
use crate::web::Tally;
use axum::routing::get;
use backsight_store::Losses;
use exposition::{Exposition, Kind};
use tonic::service::Routes;

/// What is counted where strangers come in.
#[derive(Clone, Debug, Default)]
pub struct Edges {
    /// OTLP.
    pub otlp: Counts,
    /// The HTTP API.
    pub api: Tally,
}

/// Adds `/metrics` and `/healthz`.
pub fn with_metrics(routes: Routes, library: Library, coordination: Coordination, edges: Edges) -> Routes {
    let metrics = move || {
        let (library, coordination, edges) = (library.clone(), coordination.clone(), edges.clone());
        async move { metrics(&library.stats(), &coordination.overview(), coordination.refused(), &edges) }
    };
    let router = routes.into_axum_router().route("/metrics", get(metrics)).route("/healthz", get(async || "ok\n"));
    Routes::from(router)
}

/// Returns the metrics in Prometheus' text format.
fn metrics(stats: &Stats, overview: &Overview, refused: &Refused, edges: &Edges) -> String {
    let mut out = Exposition::default();
    of_agents(&mut out, overview);
    of_library(&mut out, stats);
    let is_refusal = |(name, _): &(&&'static str, &u64)| name.starts_with("refused_");
    let drops = overview.counts.iter().filter(is_refusal).chain(&stats.drops).map(|(reason, n)| (*reason, *n));
    out.labelled("drops_total", "What was refused or given up.", "reason", drops);
    out.labelled(
        "refused_streams_total",
        "Streams refused, or ended for what came on them.",
        "reason",
        refused.counts(),
    );
    out.labelled("refused_queries_total", "Questions that have no answer.", "reason", refused.queries());
    let done = overview.counts.iter().filter(|count| !is_refusal(count)).map(|(what, n)| (*what, *n));
    out.labelled("coordination_total", "What the coordinator did.", "what", done);
    otlp::show(&mut out, &edges.otlp);
    let times = edges.api.endpoints().map(|of| (of.name, of.n, of.ns));
    out.summary("query", "seconds", "The time until answers of the HTTP API were ready.", "endpoint", times);
    out.of("query", "refused_total", "Requests to it that were refused.", "reason", edges.api.refusals());
    out.into_text()
}

/// Shows what is known of agents; `collector.agents_max` bounds the values of their label.
fn of_agents(out: &mut Exposition, overview: &Overview) {
    let n_connected = overview.agents.iter().filter(|agent| agent.is_connected).count();
    out.one("agents", Kind::Gauge, "Agents that are connected.", n_connected as u64);
    out.one("groups", Kind::Gauge, "Groups that the coordinator follows.", overview.n_groups as u64);
    let batches = overview.agents.iter().map(|agent| (agent.agent, agent.n_batches));
    out.labelled("agent_batches_total", "Batches of an agent that were stored.", "agent", batches);
    let bytes = overview.agents.iter().map(|agent| (agent.agent, agent.bytes));
    out.labelled("agent_bytes_total", "Their bytes, as they came.", "agent", bytes);
}

/// Shows what the library counts, but for its drops.
fn of_library(out: &mut Exposition, stats: &Stats) {
    // By name, so that a new one is shown.
    let Stats {
        n_traces,
        n_entries,
        stored_bytes,
        n_waiting,
        n_reports,
        n_duplicates,
        n_views,
        drops: _,
        n_forgotten,
        n_retired_files,
        losses,
        n_syncs,
        sync_ns,
        sync_max_ns,
    } = stats;
    out.one("traces", Kind::Gauge, "Traces that are stored.", *n_traces);
    out.one("entries", Kind::Gauge, "Reports and views of them that are stored.", *n_entries);
    out.one("stored_bytes", Kind::Gauge, "Bytes on disk.", *stored_bytes);
    out.one("waiting_traces", Kind::Gauge, "Traces that are not summed up yet.", *n_waiting);
    out.one("reports_total", Kind::Counter, "Reports that were stored.", *n_reports);
    out.one("duplicate_reports_total", Kind::Counter, "Reports that were stored already.", *n_duplicates);
    out.one("views_total", Kind::Counter, "Views of the coordinator that were stored.", *n_views);
    out.one("forgotten_traces_total", Kind::Counter, "Traces forgotten for newer ones.", *n_forgotten);
    out.one("retired_files_total", Kind::Counter, "Files removed to make room.", *n_retired_files);
    out.one("syncs_total", Kind::Counter, "Writes made durable, each for all that waited.", *n_syncs);
    out.seconds("sync_seconds_total", Kind::Counter, "The time that they took.", *sync_ns);
    out.seconds("sync_max_seconds", Kind::Gauge, "The longest of them.", *sync_max_ns);
    of_losses(out, *losses);
}

/// Shows what was not found whole when the store was opened.
fn of_losses(out: &mut Exposition, losses: Losses) {
    let Losses { cut_bytes, lost_bytes, n_holes, n_unreadable_files, n_removed_files } = losses;
    out.one("store_cut_bytes_total", Kind::Counter, "Unfinished bytes that were cut off at the start.", cut_bytes);
    out.one("store_lost_bytes_total", Kind::Counter, "Damaged bytes that were passed over at the start.", lost_bytes);
    out.one("store_holes_total", Kind::Counter, "Runs of such bytes.", n_holes);
    out.one("store_unreadable_files_total", Kind::Counter, "Files of which nothing can be read.", n_unreadable_files);
    out.one(
        "store_removed_files_total",
        Kind::Counter,
        "Files removed at the start, without an entry.",
        n_removed_files,
    );
}

#[cfg(test)]
mod tests;
