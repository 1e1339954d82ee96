//! `backsight trace search` and `trace tail`: stored traces, a line each.

use super::Asked;
use super::summary::{Layout, cells, legend};
use crate::args::FilterArgs;
use crate::collector::{Found, Told};
use crate::collectors::Heard;
use crate::output;
use anyhow::{Context, Result, bail};
use backsight_proto::summary_json::{SearchJson, SummaryJson};
use backsight_proto::v1;
use backsight_proto::wire::Summary;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The most that one search lists.
const LIMIT_MAX: u64 = 1000;

pub(super) fn search(asked: &Asked<'_>, filter: &FilterArgs, limit: u32) -> Result<ExitCode> {
    let found = asked.collectors()?.search(&to_filter(filter)?, limit)?;
    let out = if asked.is_json {
        let json = SearchJson { traces: found.traces.iter().map(Into::into).collect(), n_more: found.n_more };
        format!("{}\n", serde_json::to_string_pretty(&json).context("write JSON")?)
    } else {
        text(&found, output::width())
    };
    output::print(&out)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints traces until nobody reads them. A collector that was followed once and is lost is dialled again.
pub(super) fn tail(asked: &Asked<'_>, filter: &FilterArgs) -> Result<ExitCode> {
    let (collectors, filter) = (asked.collectors()?, to_filter(filter)?);
    let layout = Layout::usual(output::width());
    let show = |summary: &Summary| {
        let line = if asked.is_json {
            serde_json::to_string(&SummaryJson::from(summary)).context("write JSON")? + "\n"
        } else {
            layout.line(&cells(summary))
        };
        output::print(&line)
    };
    let mut n_hopes = collectors.len(); // collectors that may still be followed
    let (mut followed, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for (idx, heard) in collectors.follow(&filter) {
        let goes_on = match heard {
            Heard::Told(Told::Trace(summary)) => show(&summary)?,
            Heard::Told(Told::Following) if !followed.insert(idx) => {
                eprintln!("backsight: following again");
                true
            }
            Heard::Told(Told::Following) if followed.len() == 1 && !asked.is_json => output::print(&layout.titles())?,
            Heard::Told(Told::Following) => true,
            Heard::Lost { why, is_news: true } => {
                eprintln!(
                    "backsight: {why}; dialling again; what comes to rest meanwhile is listed by `backsight trace search`"
                );
                true
            }
            Heard::Lost { why, is_news: false } => {
                if !followed.contains(&idx) && failed.insert(idx) {
                    n_hopes -= 1;
                    if n_hopes == 0 {
                        bail!(why);
                    }
                    eprintln!("backsight: {why}; dialling again");
                }
                true
            }
            Heard::Refused(error) => return Err(error),
        };
        if !goes_on {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns what the collector is asked for.
fn to_filter(args: &FilterArgs) -> Result<v1::Filter> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is set before 1970")?;
    let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Ok(v1::Filter {
        service: args.service.clone().unwrap_or_default(),
        operation: args.operation.clone().unwrap_or_default(),
        min_duration_ns: args.min_duration.map_or(0, ns),
        errors_only: args.error,
        from_ns: args.since.map_or(0, |since| ns(now.saturating_sub(since))),
        to_ns: 0,
        trigger: args.trigger.map_or(0, |trigger| trigger.0),
    })
}

/// Returns what was found as lines of at most `room` columns.
fn text(found: &Found, room: Option<usize>) -> String {
    if found.traces.is_empty() {
        return "no stored trace matches\n".to_owned();
    }
    let rows: Vec<_> = found.traces.iter().map(cells).collect();
    let layout = Layout::of_rows(&rows, room);
    let mut text = layout.titles();
    rows.iter().for_each(|row| text += &layout.line(row));
    if found.n_more > 0 {
        text += &more(found.traces.len() as u64, found.n_more);
    }
    text + &layout.left_out().unwrap_or_default() + &legend(&found.traces)
}

/// Returns how many more there are, and how to see them.
fn more(n_shown: u64, n_more: u64) -> String {
    let all = n_shown.saturating_add(n_more);
    match all <= LIMIT_MAX {
        true => format!("and {n_more} more: --limit {all}\n"),
        false => format!("and {n_more} more: --limit {LIMIT_MAX} is the most, narrow the search\n"),
    }
}

#[cfg(test)]
mod tests;
