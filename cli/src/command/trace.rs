//! `backsight trace`: one trace, or the list of those that are kept.

use super::Asked;
use super::table::{Align, table};
use crate::{output, render};
use anyhow::Result;
use backsight_core::ids::TraceId;
use backsight_core::units::Bytes;
use backsight_proto::admin::{KeptList, route};
use std::process::ExitCode;

pub(super) fn get(asked: &Asked, id: TraceId) -> Result<ExitCode> {
    asked.print(&asked.admin.get(&route::trace(id))?, |trace| render::render(trace, &output::style()))
}

pub(super) fn list(asked: &Asked) -> Result<ExitCode> {
    asked.print(&asked.admin.get(route::TRACES)?, kept)
}

fn kept(list: &KeptList) -> String {
    if list.traces.is_empty() {
        return "no trigger has fired; nothing is kept\n".to_owned();
    }
    let (left, right) = (Align::Left, Align::Right);
    let columns =
        [("TRACE", left), ("TRIGGER", left), ("FIRED", left), ("SEGMENTS", right), ("SIZE", right), ("STATE", left)];
    let rows = list.traces.iter().map(|trace| {
        [
            trace.trace.to_string(),
            trace.trigger.clone(),
            render::utc(trace.fired_unix_ns),
            trace.n_segments.to_string(),
            Bytes(trace.bytes).to_string(),
            trace.state.name().to_owned(),
        ]
    });
    let mut text = table(columns, &rows.collect::<Vec<_>>());
    if list.n_more > 0 {
        text += &format!("and {} more\n", list.n_more);
    }
    text
}
