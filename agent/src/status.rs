//! What an agent says of itself: its status, and its metrics as Prometheus text.
//!
//! Called by the loop when the admin socket asks. Reads, never changes anything.

use crate::admin::RefusedRequests;
use crate::clock::HostClock;
use crate::keep::{Holder, Keep};
use crate::recorder::{Now, Recorder, WalkStatus};
use crate::sessions::Sessions;
use crate::totals::{Listed, by_name};
use backsight_core::clock::ClockSource;
use backsight_core::ids::AgentId;
use backsight_core::units::Nanos;
use backsight_proto::admin::{Capability, SessionState, Status, UplinkStatus};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What the loop knows and the recorder does not.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// The agent's id.
    pub agent: AgentId,
    /// How long it has run.
    pub uptime: Nanos,
    /// Who holds for its successor what was recorded.
    pub holder: Holder,
}

/// Where processes and people come in, for what was refused there.
#[derive(Clone, Copy, Debug)]
pub struct Doors<'a> {
    /// Processes.
    pub sessions: &'a Sessions,
    /// People.
    pub requests: &'a RefusedRequests,
    /// Who holds what was recorded for the next agent.
    pub keep: &'a Keep,
}

/// What metrics show of uplinks beside their status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UplinkDetails {
    /// Batches on their way.
    pub in_flight: u64,
    /// Announcements that are not acknowledged.
    pub unacked_announces: u64,
    /// Announcements that were not said, as the coordinator asked first.
    pub announces_spared: u64,
    /// Updates sent.
    pub updates: u64,
    /// Collections answered.
    pub answered: u64,
    /// Answers given up because there were too many.
    pub answers_given_up: u64,
    /// Traces whose changes were no longer told of before their time.
    pub unfollowed: u64,
    /// Changes of the host that were not told of for all traces.
    pub changes_cut: u64,
    /// Streams ended because nothing was acknowledged on them.
    pub resets: u64,
    /// Segments that no batch takes.
    pub too_large: u64,
    /// Messages that no version says.
    pub garbage: u64,
}

impl UplinkDetails {
    /// Returns what two uplinks count together.
    pub const fn plus(self, other: Self) -> Self {
        Self {
            in_flight: self.in_flight + other.in_flight,
            unacked_announces: self.unacked_announces + other.unacked_announces,
            announces_spared: self.announces_spared + other.announces_spared,
            updates: self.updates + other.updates,
            answered: self.answered + other.answered,
            answers_given_up: self.answers_given_up + other.answers_given_up,
            unfollowed: self.unfollowed + other.unfollowed,
            changes_cut: self.changes_cut + other.changes_cut,
            resets: self.resets + other.resets,
            too_large: self.too_large + other.too_large,
            garbage: self.garbage + other.garbage,
        }
    }
}

/// Returns the status of an agent.
pub fn status(recorder: &Recorder, clock: &HostClock, host: Host, now: Now) -> Status {
    Status {
        agent: host.agent,
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_ms: host.uptime.as_ms(),
        pid: std::process::id(),
        pool: recorder.pool_status(),
        horizon: recorder.horizon_status(now),
        sessions: recorder.sessions(),
        triggers_fired: recorder.triggers_fired(),
        drops: by_name(&recorder.drops(), Listed::NonZero),
        capabilities: vec![invariant_tsc(clock.source()), outlived(host.holder)],
        uplinks: Vec::new(),
    }
}

fn invariant_tsc(source: ClockSource) -> Capability {
    let available = source == ClockSource::Tsc;
    let why = if available { "" } else { "no constant_tsc and nonstop_tsc: records carry CLOCK_MONOTONIC" };
    Capability { name: "invariant_tsc".into(), available, why: why.into() }
}

fn outlived(holder: Holder) -> Capability {
    let available = holder != Holder::Nobody;
    let why = "nobody holds its regions (agent.keep_s is 0, or no keeper could be started: see its log)";
    Capability { name: "outlived".into(), available, why: if available { String::new() } else { why.into() } }
}

/// Returns the metrics of an agent.
///
/// # Shape
/// Prometheus text, version 0.0.4. A gauge that is not known yet (the horizon before the first eviction) is left out.
pub fn metrics(
    recorder: &Recorder,
    doors: Doors<'_>,
    uplinks: Option<&(Vec<UplinkStatus>, UplinkDetails)>,
    now: Now,
) -> String {
    let mut out = Exposition::default();
    let (pool, horizon) = (recorder.pool_status(), recorder.horizon_status(now));
    let (chunks, totals) = (recorder.chunk_counts(), recorder.totals());
    let (n_lingering, n_cut_short) = recorder.lingering();
    let sessions = recorder.sessions();
    let n_live = sessions.iter().filter(|session| session.state == SessionState::Live).count() as u64;
    out.gauge("horizon_ms", "Age of the newest data that was overwritten.", horizon.horizon_ms);
    let over_share = recorder.horizon_over_share_ms(now);
    out.gauge("horizon_over_share_ms", "The same, of what processes over their share lost of their own.", over_share);
    let n_shedding = recorder.n_shedding_alone();
    out.gauge("processes_shedding", "Processes that leave detail out as they alone write too much.", Some(n_shedding));
    out.gauge("horizon_predicted_ms", "Age that data will reach at the present rate.", horizon.predicted_ms);
    out.gauge("horizon_target_ms", "Age that is wanted.", Some(horizon.target_ms));
    out.gauge("pool_bytes", "Pages of all regions.", Some(pool.populated_bytes));
    out.gauge("pool_budget_bytes", "The most that regions, index and kept traces may take.", Some(pool.budget_bytes));
    out.gauge("retained_bytes", "Sealed chunks that can still be asked for.", Some(pool.retained_bytes));
    out.gauge("kept_bytes", "Copies of what triggers asked for.", Some(pool.kept_bytes));
    out.gauge("index_bytes", "The index of segments.", Some(pool.index_bytes));
    out.gauge("carried_bytes", "Segments of evicted chunks whose traces went on.", Some(pool.carried_bytes));
    out.gauge("afterlife_bytes", "The memory of segments that are gone.", Some(pool.afterlife_bytes));
    out.gauge("open_chunks", "Chunks that threads fill.", Some(chunks.open));
    out.gauge("limbo_chunks", "Chunks taken by threads that do not fill them.", Some(chunks.limbo));
    out.gauge("granted_chunks", "Chunks granted ahead.", Some(chunks.ahead));
    out.gauge("sessions", "Processes that record.", Some(n_live));
    out.gauge("regions", "Regions, those of dead processes included.", Some(sessions.len() as u64));
    out.gauge("triggered_traces", "Traces whose later segments are kept too.", Some(n_lingering as u64));
    out.counter("written_bytes", "Bytes in sealed chunks.", totals.written_bytes);
    out.counter("segments", "Segments indexed.", totals.segments);
    out.counter("sealed_chunks", "Chunks sealed.", totals.chunks);
    out.counter("turns", "Turns of the agent's loop.", totals.rounds);
    out.counter("evicted_chunks", "Chunks evicted for memory.", totals.evicted_chunks);
    out.counter("index_evicted_chunks", "Chunks evicted because the index was full.", totals.evicted_for_index);
    out.counter("carried_segments", "Segments of evicted chunks carried over.", totals.carried_segments);
    out.counter("afterlife_forgotten", "Gone segments that are remembered no more.", recorder.n_forgotten());
    out.counter("revoked_chunks", "Granted chunks taken back from idle processes.", totals.revoked_chunks);
    out.counter("deaths", "Processes that ended without a goodbye, or crashed after it.", totals.deaths);
    out.counter("deaths_unfired", "Requests of dead processes beyond the bound.", totals.deaths_unfired);
    out.counter("refused_sessions", "Sessions refused.", totals.refused_sessions);
    out.counter(
        "unheld_descriptors",
        "Descriptors that nobody holds for the next agent, for want of room.",
        doors.keep.n_unheld(),
    );
    out.counter("closed_sessions", "Sessions closed for corrupt regions.", totals.closed_sessions);
    out.counter("cut_short_traces", "Triggered traces forgotten early, there were too many.", n_cut_short);
    let remote = recorder.remote_counts();
    out.counter("released_traces", "Kept traces that a collector has and that made room.", totals.released_traces);
    out.counter("remote_triggers", "Groups that the coordinator asked for, refused ones included.", remote.fired);
    out.counter("remote_triggers_refused", "Those of them that the rate refused.", remote.refused);
    out.walk(&recorder.walk_status());
    if let Some((statuses, details)) = uplinks {
        out.uplinks(statuses, details);
    }
    let fired = recorder.triggers_fired();
    out.counters("triggers", "Firings, refused ones included.", "trigger", fired);
    let owned = |(reason, n): (&str, u64)| (reason.to_owned(), n);
    let unheard = doors.sessions.unheard().map(owned).collect();
    out.counters("unheard_connections", "Connections that ended before a hello.", "reason", unheard);
    let requests = doors.requests.counts().map(owned).collect();
    out.counters("refused_requests", "Requests on the admin socket that nobody could answer.", "reason", requests);
    let drops = by_name(&recorder.drops(), Listed::All);
    out.counters("drops", "What was given up.", "reason", drops);
    out.text
}

/// Prometheus text in the making.
#[derive(Default)]
struct Exposition {
    text: String,
}

impl Exposition {
    fn gauge(&mut self, name: &str, help: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.head(name, help, "gauge");
            self.line(format_args!("backsight_agent_{name} {value}"));
        }
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(&format!("{name}_total"), help, "counter");
        self.line(format_args!("backsight_agent_{name}_total {value}"));
    }

    /// Writes one counter for each value of a label. Values may be names of triggers, which have no control characters: two others are escaped.
    fn counters(&mut self, name: &str, help: &str, label: &str, values: BTreeMap<String, u64>) {
        self.head(&format!("{name}_total"), help, "counter");
        for (value, n) in values {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            self.line(format_args!("backsight_agent_{name}_total{{{label}=\"{value}\"}} {n}"));
        }
    }

    fn walk(&mut self, status: &WalkStatus) {
        let WalkStatus { counts, shortfalls, n_carried, n_unlearnt, taken_share, backtests } = *status;
        self.head("walk_taken_share", "The share of traces that expressions look at.", "gauge");
        self.line(format_args!("backsight_agent_walk_taken_share {taken_share}"));
        self.gauge("walk_carried_spans", "Spans of which the start or the end has not been read.", Some(n_carried));
        self.counter("walk_cpu_us", "Time of a core for expressions and back-tests.", counts.cpu.0 / 1000);
        self.counter("walk_bytes", "Bytes of segments read for expressions.", counts.bytes);
        self.counter("walk_spans", "Spans held against expressions.", counts.spans);
        self.counter("walk_skipped_segments", "Segments passed over by priority.", counts.skipped_segments);
        self.counter("walk_missed_chunks", "Chunks evicted before they were read.", counts.missed_chunks);
        self.counter("walk_given_up_spans", "Spans whose other half came too late.", shortfalls.spans_given_up);
        self.counter("walk_given_up_threads", "Threads forgotten between chunks.", shortfalls.threads_given_up);
        self.counter("walk_cut_notes", "Texts and events not looked at in full.", shortfalls.notes_cut);
        self.counter("walk_unlearnt_spans", "Spans under too many names to learn percentiles.", n_unlearnt);
        self.counter("backtests", "Back-tests begun.", backtests);
    }

    fn uplinks(&mut self, statuses: &[UplinkStatus], details: &UplinkDetails) {
        // By name, so that a new one is shown.
        let UplinkDetails {
            in_flight,
            unacked_announces,
            announces_spared,
            updates,
            answered,
            answers_given_up,
            unfollowed,
            changes_cut,
            resets,
            too_large,
            garbage,
        } = *details;
        let sum = |of: fn(&UplinkStatus) -> u64| statuses.iter().map(of).sum();
        let n_connected = sum(|status| u64::from(status.is_connected));
        let n_reporting = sum(|status| u64::from(status.is_reporting));
        self.gauge("uplink_collectors", "Collectors that are configured.", Some(statuses.len() as u64));
        self.gauge("uplink_connected", "Collectors whose coordinator has said welcome.", Some(n_connected));
        self.gauge("uplink_reporting", "Collectors that take batches.", Some(n_reporting));
        let queued = sum(|status| status.queued_bytes);
        self.gauge("uplink_queued_bytes", "Kept bytes that wait to be sent.", Some(queued));
        self.gauge("uplink_in_flight_batches", "Batches on their way.", Some(in_flight));
        self.gauge("uplink_unacked_announces", "Announcements that wait.", Some(unacked_announces));
        self.counter("uplink_announces", "Firings to announce.", sum(|status| status.announced_total));
        self.counter(
            "uplink_announces_acked",
            "Announcements acknowledged.",
            sum(|status| status.announces_acked_total),
        );
        self.counter(
            "uplink_announces_refused",
            "Announcements not followed.",
            sum(|status| status.announces_refused_total),
        );
        self.counter(
            "uplink_announces_given_up",
            "Announcements given up.",
            sum(|status| status.announces_given_up_total),
        );
        self.counter(
            "uplink_announces_spared",
            "Announcements not said, the coordinator asked first.",
            announces_spared,
        );
        self.counter(
            "uplink_collections",
            "Groups that the coordinator asked for.",
            sum(|status| status.collections_total),
        );
        self.counter("uplink_answers", "Groups that were answered.", answered);
        self.counter("uplink_answers_given_up", "Answers given up, too many waited.", answers_given_up);
        self.counter("uplink_updates", "Updates sent.", updates);
        self.counter("uplink_unfollowed_traces", "Traces told of no more, there were too many.", unfollowed);
        self.counter("uplink_changes_cut", "Changes of the host not told of for all traces.", changes_cut);
        self.counter("uplink_batches", "Batches sent, those sent again included.", sum(|status| status.batches_total));
        self.counter("uplink_batches_acked", "Batches acknowledged.", sum(|status| status.batches_acked_total));
        self.counter("uplink_batches_resent", "Batches sent again.", sum(|status| status.batches_resent_total));
        self.counter(
            "uplink_bytes",
            "Bytes of all batches sent, as they were packed.",
            sum(|status| status.bytes_total),
        );
        self.counter("uplink_resets", "Streams ended as nothing was acknowledged.", resets);
        self.counter("uplink_too_large_segments", "Segments that no batch takes.", too_large);
        self.counter("uplink_garbage", "Messages of the collector that nobody understands.", garbage);
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP backsight_agent_{name} {help}\n# TYPE backsight_agent_{name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}
