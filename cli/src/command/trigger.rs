//! `backsight trigger`: the triggers that an agent knows, setting the expression of one, and firing one.

mod test;

pub(super) use test::test;

use super::Asked;
use super::table::{Align, table};
use crate::output;
use crate::render::{clean, utc};
use anyhow::Result;
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::units::Bytes;
use backsight_proto::admin::{
    FireReply, FireRequest, KeptList, KeptState, KeptTrace, SetTriggerReply, SetTriggerRequest, TriggerList, route,
};
use std::process::ExitCode;

pub(super) fn list(asked: &Asked<'_>) -> Result<ExitCode> {
    asked.print(&asked.admin.get(route::TRIGGERS)?, triggers)
}

/// Has a trigger fire by an expression, or by none.
pub(super) fn set(asked: &Asked<'_>, name: &str, when: Option<&str>) -> Result<ExitCode> {
    let request = SetTriggerRequest { name: name.to_owned(), when: when.map(str::to_owned) };
    let reply = asked.admin.post(route::SET_TRIGGER, &request)?;
    asked.print(&reply, |set: &SetTriggerReply| match set.when.as_str() {
        "" => format!("trigger {} fires by no expression any more\n", clean(name)),
        when => format!("trigger {} fires when {}, until the agent ends\n", clean(name), clean(when)),
    })
}

/// Fires a trigger; the exit code says whether the trace is now kept.
pub(super) fn fire(asked: &Asked<'_>, trace: TraceId, trigger: &str, laterals: &[TraceId]) -> Result<ExitCode> {
    let request = FireRequest { trace, trigger: trigger.to_owned(), laterals: laterals.to_vec() };
    // Firing answers the same for a trace that was kept before: only a look at the list tells. It is a courtesy, and may fail.
    let list = if asked.is_json { None } else { asked.admin.get(route::TRACES).ok() };
    let before = list.and_then(|reply| reply.parse::<KeptList>().ok());
    let before =
        before.and_then(|list| list.traces.into_iter().find(|kept| kept.trace == trace && kept.state.is_kept()));
    let reply = asked.admin.post(route::FIRE, &request)?;
    let fired: FireReply = reply.parse()?;
    let text = told(&request, &fired, before.as_ref());
    output::print(&if asked.is_json { reply.pretty()? } else { text })?;
    Ok(if fired.state.is_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns what firing did, in a line or two.
fn told(request: &FireRequest, fired: &FireReply, before: Option<&KeptTrace>) -> String {
    let state = fired.state.name();
    if !fired.state.is_kept() {
        let why = match fired.state {
            KeptState::NeverSeen => {
                "nothing of it was found on this host; a collector, where the agent has one, asks other hosts"
            }
            KeptState::Abandoned => "given up at once for traces of higher priority",
            KeptState::Evicted => "it was here, and has left the horizon",
            _ => "nothing of it is kept on this host",
        };
        return format!("{state}: trace {}: {why}\n", request.trace);
    }
    let laterals = match request.laterals.len() {
        0 => String::new(),
        1 => ", of the trace and 1 lateral".to_owned(),
        n => format!(", of the trace and {n} laterals"),
    };
    let segments = if fired.n_segments == 1 { "segment" } else { "segments" };
    let line = format!("{state}: {} {segments}, {} on this host{laterals}\n", fired.n_segments, Bytes(fired.bytes));
    let already = before
        .map(|kept| format!("already kept under trigger {} since {}\n", clean(&kept.trigger), utc(kept.fired_unix_ns)));
    line + &already.unwrap_or_default()
}

fn triggers(list: &TriggerList) -> String {
    if list.triggers.is_empty() {
        return "the agent knows no trigger yet\n".to_owned();
    }
    let (left, right) = (Align::Left, Align::Right);
    let columns = [
        ("TRIGGER", left),
        ("ID", right),
        ("FIRED", right),
        ("REFUSED", right),
        ("KEPT", right),
        ("SIZE", right),
        ("WHEN", left),
    ];
    let rows = list.triggers.iter().map(|trigger| {
        let id = TriggerId(trigger.id);
        [
            if trigger.name.is_empty() { id.to_string() } else { trigger.name.clone() },
            if trigger.id < TriggerId::FIRST_NAMED { trigger.id.to_string() } else { format!("{:#x}", trigger.id) },
            trigger.fired_total.to_string(),
            trigger.refused_total.to_string(),
            trigger.kept_traces.to_string(),
            Bytes(trigger.kept_bytes).to_string(),
            trigger.when.clone(),
        ]
    });
    table(columns, &rows.collect::<Vec<_>>())
}
