//! `backsight trigger`: the triggers that an agent knows, and firing one.

use super::Asked;
use super::table::{Align, table};
use crate::output;
use anyhow::Result;
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::units::Bytes;
use backsight_proto::admin::{FireReply, FireRequest, TriggerList, route};
use std::process::ExitCode;

pub(super) fn list(asked: &Asked<'_>) -> Result<ExitCode> {
    asked.print(&asked.admin.get(route::TRIGGERS)?, triggers)
}

/// Fires a trigger; the exit code says whether the trace is now kept.
pub(super) fn fire(asked: &Asked<'_>, trace: TraceId, trigger: &str, laterals: &[TraceId]) -> Result<ExitCode> {
    let request = FireRequest { trace, trigger: trigger.to_owned(), laterals: laterals.to_vec() };
    let reply = asked.admin.post(route::FIRE, &request)?;
    let fired: FireReply = reply.parse()?;
    let text = match fired.state.is_kept() {
        true => {
            format!("{}: {} segments, {} on this host\n", fired.state.name(), fired.n_segments, Bytes(fired.bytes))
        }
        false => format!("{}: nothing is kept of trace {trace} on this host\n", fired.state.name()),
    };
    output::print(&if asked.is_json { reply.pretty()? } else { text })?;
    Ok(if fired.state.is_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn triggers(list: &TriggerList) -> String {
    if list.triggers.is_empty() {
        return "the agent knows no trigger yet\n".to_owned();
    }
    let (left, right) = (Align::Left, Align::Right);
    let columns =
        [("TRIGGER", left), ("ID", right), ("FIRED", right), ("REFUSED", right), ("KEPT", right), ("SIZE", right)];
    let rows = list.triggers.iter().map(|trigger| {
        let id = TriggerId(trigger.id);
        [
            if trigger.name.is_empty() { id.to_string() } else { trigger.name.clone() },
            if trigger.id < TriggerId::FIRST_NAMED { trigger.id.to_string() } else { format!("{:#x}", trigger.id) },
            trigger.fired_total.to_string(),
            trigger.refused_total.to_string(),
            trigger.kept_traces.to_string(),
            Bytes(trigger.kept_bytes).to_string(),
        ]
    });
    table(columns, &rows.collect::<Vec<_>>())
}
