//! `backsight status`: the agent, its memory and the processes that record, on one page.

use super::table::{Align, table};
use super::{Asked, horizon};
use crate::render::clean;
use anyhow::Result;
use backsight_core::units::Bytes;
use backsight_proto::admin::{SessionState, SessionStatus, Status, UplinkStatus, route};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;

pub(super) fn run(asked: &Asked<'_>) -> Result<ExitCode> {
    asked.print(&asked.admin.get(route::STATUS)?, overview)
}

/// Returns a status as text.
pub(super) fn overview(status: &Status) -> String {
    let pool = &status.pool;
    let share = (pool.populated_bytes as f64 / pool.budget_bytes.max(1) as f64 * 100.0).round();
    let mut lines = vec![
        format!(
            "agent     {}  version {}  pid {}  up {}",
            status.agent,
            clean(&status.version),
            status.pid,
            horizon::time(status.uptime_ms)
        ),
        format!(
            "pool      {} of {} ({share} %): retained {}, kept {}, index {}",
            Bytes(pool.populated_bytes),
            Bytes(pool.budget_bytes),
            Bytes(pool.retained_bytes),
            Bytes(pool.kept_bytes),
            Bytes(pool.index_bytes),
        ),
        format!("horizon   {}", horizon::line(&status.horizon)),
        format!("fired     {}", counts(&status.triggers_fired)),
        format!("dropped   {}", counts(&status.drops)),
    ];
    lines.extend(status.uplinks.iter().map(uplink));
    for capability in status.capabilities.iter().filter(|capability| !capability.available) {
        lines.push(format!("missing   {}: {}", clean(&capability.name), clean(&capability.why)));
    }
    let mut text = lines.join("\n") + "\n\n";
    if status.sessions.is_empty() {
        text += "no process records here\n";
    } else {
        write!(text, "{}", sessions(&status.sessions)).expect("writing to a String never fails");
    }
    text
}

/// Returns the connection to the collector as one or two lines.
fn uplink(uplink: &UplinkStatus) -> String {
    let since = horizon::time(uplink.since_ms);
    let state = match (uplink.is_connected, uplink.is_reporting) {
        (true, true) => format!("connected for {since}"),
        (true, false) => format!("connected, but takes no reports since {since}"),
        (false, _) => format!("not connected for {since}"),
    };
    let error = if uplink.is_connected && uplink.is_reporting { "" } else { &uplink.last_error };
    let error = if error.is_empty() { String::new() } else { format!(": {}", clean(error)) };
    format!(
        "collector {}  {state}{error}\n          announced {} of {}, sent {} in {} batches, {} acknowledged, {} queued",
        clean(&uplink.collector),
        uplink.announces_acked_total,
        uplink.announced_total,
        Bytes(uplink.bytes_total),
        uplink.batches_total,
        uplink.batches_acked_total,
        Bytes(uplink.queued_bytes),
    )
}

fn sessions(sessions: &[SessionStatus]) -> String {
    let (left, right) = (Align::Left, Align::Right);
    let columns = [
        ("SERVICE", left),
        ("PID", right),
        ("STATE", left),
        ("THREADS", right),
        ("OPEN", right),
        ("AHEAD", right),
        ("WRITTEN", right),
        ("DROPPED", left),
    ];
    let rows: Vec<_> = sessions.iter().map(row).collect();
    table(columns, &rows)
}

fn row(session: &SessionStatus) -> [String; 8] {
    let state = match session.state {
        SessionState::Live if session.sheds_alone => "live, sheds",
        SessionState::Live => "live",
        SessionState::Dead => "dead",
    };
    [
        if session.service.is_empty() { "?".to_owned() } else { session.service.clone() },
        session.pid.to_string(),
        state.to_owned(),
        session.threads.to_string(),
        session.chunks_open.to_string(),
        session.chunks_granted.to_string(),
        Bytes(session.bytes_written).to_string(),
        counts(&session.drops),
    ]
}

/// Returns the counts that are not zero, or `nothing`.
fn counts(counts: &BTreeMap<String, u64>) -> String {
    let some = counts.iter().filter(|(_, n)| **n > 0).map(|(name, n)| format!("{} {n}", clean(name)));
    let text = some.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "nothing".to_owned() } else { text }
}

#[cfg(test)]
mod tests;
