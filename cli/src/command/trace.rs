//! `backsight trace get` and `trace list`: one trace, and those that this host keeps.

use super::Asked;
use super::table::{Align, table};
use crate::args::Format;
use crate::collector::Collector;
use crate::{output, render};
use anyhow::{Context, Result, bail, ensure};
use backsight_core::ids::TraceId;
use backsight_core::units::Bytes;
use backsight_proto::admin::{KeptList, route};
use backsight_proto::export::Extras;
use backsight_proto::otlp::ExportRequest;
use backsight_proto::perfetto;
use backsight_proto::trace_json::TraceJson;
use backsight_proto::wire::StoredTrace;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

/// Prints traces one after another, each from the collector where that has it, else what this host has.
///
/// One that is not there does not keep the others from being printed.
pub(super) fn get(asked: &Asked<'_>, ids: &[TraceId], format: Format, file: Option<&Path>) -> Result<ExitCode> {
    let format = if asked.is_json { Format::Json } else { format };
    if format == Format::Perfetto {
        ensure!(ids.len() == 1, "a Perfetto file holds one trace; name one id");
        let is_shown = file.is_none() && std::io::stdout().is_terminal();
        ensure!(
            !is_shown,
            "a Perfetto file is not text: name a file with --output, and open it at https://ui.perfetto.dev"
        );
    }
    let collector = asked.find_collector()?;
    let (mut bytes, mut n_missing) = (Vec::new(), 0);
    for id in ids {
        match printed(asked, collector.as_ref(), *id, format) {
            Ok(text) => bytes.extend(text),
            Err(error) if ids.len() == 1 => return Err(error),
            Err(error) => {
                eprintln!("backsight: {id}: {error:#}");
                n_missing += 1;
            }
        }
    }
    match file {
        Some(file) => std::fs::write(file, bytes).with_context(|| format!("write {}", file.display()))?,
        None => output::print_bytes(&bytes)?,
    }
    Ok(if n_missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns a trace as it is printed.
fn printed(asked: &Asked<'_>, collector: Option<&Collector>, id: TraceId, format: Format) -> Result<Vec<u8>> {
    let stored = match collector {
        Some(collector) => collector.get(id)?,
        None => None,
    };
    Ok(match (format, stored) {
        (Format::Otlp, Some(stored)) => {
            let request = ExportRequest::new(&stored.assemble(), beside(&stored));
            let mut line = serde_json::to_vec(&request).context("write JSON")?;
            line.push(b'\n');
            line
        }
        (Format::Perfetto, Some(stored)) => perfetto::export(&stored.assemble(), beside(&stored)),
        (Format::Otlp | Format::Perfetto, None) => {
            bail!("no collector has trace {id}, and only stored traces are exported")
        }
        (format, stored) => as_people_read_it(asked, id, format, stored.as_ref())?.into_bytes(),
    })
}

fn beside(stored: &StoredTrace) -> Extras<'_> {
    Extras { certificate: Some(&stored.certificate), hosts: None }
}

fn as_people_read_it(asked: &Asked<'_>, id: TraceId, format: Format, stored: Option<&StoredTrace>) -> Result<String> {
    let trace = match stored {
        Some(stored) => stored.to_json(),
        None => asked.admin.get(&route::trace(id))?.parse::<TraceJson>()?,
    };
    Ok(match format {
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&trace).context("write JSON")?),
        _ => render::render(&trace, &output::style()),
    })
}

pub(super) fn list(asked: &Asked<'_>) -> Result<ExitCode> {
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
