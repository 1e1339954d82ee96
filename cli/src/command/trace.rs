//! `backsight trace get` and `trace list`: one trace, and those that this host keeps.

use super::table::{Align, table};
use super::{Asked, horizon};
use crate::args::Format;
use crate::collector::Lookup;
use crate::collectors::Collectors;
use crate::render::Style;
use crate::{output, render};
use anyhow::{Context, Result, bail};
use backsight_core::ids::TraceId;
use backsight_core::units::Bytes;
use backsight_proto::admin::{Horizon, KeptList, KeptState, route};
use backsight_proto::export::Extras;
use backsight_proto::otlp::ExportRequest;
use backsight_proto::perfetto;
use backsight_proto::trace_json::TraceJson;
use backsight_proto::wire::StoredTrace;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

/// Whom to ask for traces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whom {
    /// The collectors, then the agent of this host.
    All,
    /// The agent of this host.
    Agent,
}

/// Prints traces one after another, each from a collector where one has it, else what this host has.
///
/// One that is not there does not keep the others from being printed. Several with `--json` are an array.
pub(super) fn get(
    asked: &Asked<'_>,
    ids: &[TraceId],
    whom: Whom,
    format: Option<Format>,
    file: Option<&Path>,
) -> Result<ExitCode> {
    let format = if asked.is_json { Format::Json } else { format.unwrap_or(Format::Text) };
    let collectors = match whom {
        Whom::All => asked.find_collectors()?,
        Whom::Agent => None,
    };
    let style = if file.is_none() { output::style() } else { Style::FILE };
    let (mut printed, mut n_missing) = (Vec::new(), 0);
    for id in ids {
        let found = find(asked, collectors.as_ref(), *id, format);
        match found.and_then(|found| as_bytes(found, format, &style)) {
            Ok(bytes) => printed.push(bytes),
            Err(error) if ids.len() == 1 => return Err(error),
            Err(error) => {
                eprintln!("backsight: {error:#}");
                n_missing += 1;
            }
        }
    }
    let bytes = if asked.is_json && ids.len() > 1 { array(&printed) } else { printed.concat() };
    match file {
        Some(file) => std::fs::write(file, bytes).with_context(|| format!("write {}", file.display()))?,
        None => {
            output::print_bytes(&bytes)?;
        }
    }
    Ok(if n_missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns a stored trace.
///
/// # Errors
/// No collector has it, or none can be asked.
pub(super) fn stored(collectors: &Collectors, id: TraceId) -> Result<Box<StoredTrace>> {
    match collectors.get(id)? {
        Lookup::Stored(stored) => Ok(stored),
        Lookup::NotThere(text) => bail!("trace {id}: {text}{}", padded(id)),
    }
}

/// A trace, from where it was found.
enum Found {
    Stored(Box<StoredTrace>),
    Local(Box<TraceJson>),
}

/// Asks the collectors, then the agent of this host; says on standard error what is missing from the agent's answer.
fn find(asked: &Asked<'_>, collectors: Option<&Collectors>, id: TraceId, format: Format) -> Result<Found> {
    let said = match collectors.map(|collectors| collectors.get(id)) {
        Some(Ok(Lookup::Stored(stored))) => return Ok(Found::Stored(stored)),
        Some(Ok(Lookup::NotThere(text))) => Some(text),
        Some(Err(error)) => Some(format!("{error:#}")),
        None => None,
    };
    if matches!(format, Format::Otlp | Format::Perfetto) {
        let said = said.unwrap_or_else(|| "the agent of this host reports to no collector".to_owned());
        bail!("trace {id}: {said}; only stored traces are exported{}", padded(id));
    }
    let local = asked.admin.find(&route::trace(id)).and_then(|reply| reply.map(|reply| reply.parse()).transpose());
    let why = match (local, said) {
        (Ok(Some(trace)), said) => {
            if let Some(said) = said {
                eprintln!("backsight: trace {id}: {said}; this is what this host has of it");
            }
            return Ok(Found::Local(Box::new(trace)));
        }
        (Ok(None), said) => [said, Some(not_retained(asked))].into_iter().flatten().collect::<Vec<_>>().join(", "),
        (Err(error), Some(said)) => format!("{said}; and from this host: {error:#}"),
        (Err(error), None) => format!("{error:#}"),
    };
    bail!("trace {id}: {why}{}", padded(id))
}

/// Returns what there is to say of a trace that is not on this host: how far back that looks.
fn not_retained(asked: &Asked<'_>) -> String {
    let horizon = asked.admin.get(route::HORIZON).and_then(|reply| reply.parse::<Horizon>());
    match horizon.map(|horizon| horizon.horizon_ms) {
        Ok(Some(ms)) => format!("not retained on this host (it looks back {})", horizon::time(ms)),
        Ok(None) => "not retained on this host (it has overwritten nothing yet)".to_owned(),
        Err(_) => "not retained on this host".to_owned(),
    }
}

/// Returns a hint where an id looks as if only the beginning of one was typed.
const fn padded(id: TraceId) -> &'static str {
    if id.hi == 0 { "; ids are 32 hex digits, a shorter one is padded with zeros on its left" } else { "" }
}

/// Returns a trace as it is printed.
fn as_bytes(found: Found, format: Format, style: &Style) -> Result<Vec<u8>> {
    let trace = match found {
        Found::Local(trace) => *trace,
        Found::Stored(stored) if format == Format::Otlp => {
            let request = ExportRequest::new(&stored.assemble(), beside(&stored));
            let mut line = serde_json::to_vec(&request).context("write JSON")?;
            line.push(b'\n');
            return Ok(line);
        }
        Found::Stored(stored) if format == Format::Perfetto => {
            return Ok(perfetto::export(&stored.assemble(), beside(&stored)));
        }
        Found::Stored(stored) => stored.to_json(),
    };
    Ok(match format {
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&trace).context("write JSON")?).into_bytes(),
        _ => render::render(&trace, style).into_bytes(),
    })
}

/// Returns JSON documents as one array.
fn array(documents: &[Vec<u8>]) -> Vec<u8> {
    let documents: Vec<&[u8]> = documents.iter().map(|document| document.trim_ascii_end()).collect();
    [b"[".as_slice(), &documents.join(b",\n".as_slice()), b"]\n"].concat()
}

fn beside(stored: &StoredTrace) -> Extras<'_> {
    Extras { certificate: Some(&stored.certificate), hosts: None }
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
        text += &format!("and {} more, which are older\n", list.n_more);
    }
    let states: BTreeSet<&str> = list.traces.iter().filter_map(|trace| legend(trace.state)).collect();
    if !states.is_empty() {
        text.push('\n');
    }
    states.iter().for_each(|line| text += &format!("{line}\n"));
    text
}

/// Returns what a state means where its name does not say it.
const fn legend(state: KeptState) -> Option<&'static str> {
    match state {
        KeptState::Acked => Some("acked: a collector has it on its disk"),
        KeptState::Lingering => Some("lingering: a collector has it on its disk; what comes late is still sent"),
        KeptState::Abandoned => Some("abandoned: given up again for traces of higher priority"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
