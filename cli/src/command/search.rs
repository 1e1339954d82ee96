//! `backsight trace search` and `trace tail`: stored traces, a line each.

use super::Asked;
use super::table::{Align, table};
use crate::args::FilterArgs;
use crate::collector::Found;
use crate::{output, render};
use anyhow::{Context, Result, anyhow};
use backsight_core::certificate::Verdict;
use backsight_core::ids::TriggerId;
use backsight_core::units::{Bytes, Nanos};
use backsight_proto::summary_json::{SearchJson, SummaryJson};
use backsight_proto::v1;
use backsight_proto::wire::Summary;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// The longest root operation of a line.
const OPERATION_WIDTH: usize = 40;

pub(super) fn search(asked: &Asked<'_>, filter: &FilterArgs, limit: u32) -> Result<ExitCode> {
    let found = asked.collector()?.search(to_filter(filter)?, limit)?;
    let out = if asked.is_json {
        let json = SearchJson { traces: found.traces.iter().map(Into::into).collect(), n_more: found.n_more };
        format!("{}\n", serde_json::to_string_pretty(&json).context("write JSON")?)
    } else {
        text(&found)
    };
    output::print(&out)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn tail(asked: &Asked<'_>, filter: &FilterArgs) -> Result<ExitCode> {
    asked.collector()?.tail(to_filter(filter)?, |summary| {
        let line = if asked.is_json {
            serde_json::to_string(&SummaryJson::from(&summary)).context("write JSON")?
        } else {
            cells(&summary).join("  ")
        };
        output::print(&format!("{line}\n"))?;
        Ok(true)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Returns what the collector is asked for.
fn to_filter(args: &FilterArgs) -> Result<v1::Filter> {
    let trigger = args.trigger.as_deref().map(|name| {
        TriggerId::from_text(name)
            .ok_or_else(|| anyhow!("`{name}` hashes into the reserved trigger ids: no trigger has that name"))
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is set before 1970")?;
    let ns = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Ok(v1::Filter {
        service: args.service.clone().unwrap_or_default(),
        operation: args.operation.clone().unwrap_or_default(),
        min_duration_ns: args.min_duration.map_or(0, ns),
        errors_only: args.error,
        from_ns: args.since.map_or(0, |since| ns(now.saturating_sub(since))),
        to_ns: 0,
        trigger: trigger.transpose()?.map_or(0, |trigger| trigger.0),
    })
}

fn text(found: &Found) -> String {
    if found.traces.is_empty() {
        return "no stored trace matches\n".to_owned();
    }
    let (left, right) = (Align::Left, Align::Right);
    let columns = [
        ("TRACE", left),
        ("START", left),
        ("LENGTH", right),
        ("ROOT", left),
        ("SPANS", right),
        ("ERRORS", right),
        ("HOSTS", right),
        ("SIZE", right),
        ("TRIGGER", left),
        ("CERTIFICATE", left),
    ];
    let mut text = table(columns, &found.traces.iter().map(cells).collect::<Vec<_>>());
    if found.n_more > 0 {
        text += &format!("and {} more\n", found.n_more);
    }
    text
}

fn cells(summary: &Summary) -> [String; 10] {
    let mut root = format!("{} {}", summary.root_service, summary.root_operation);
    if root.chars().count() > OPERATION_WIDTH {
        root = root.chars().take(OPERATION_WIDTH - 1).chain(['…']).collect();
    }
    let mut triggers: Vec<String> = summary.fired.iter().map(|fired| fired.trigger.to_string()).collect();
    triggers.sort();
    triggers.dedup();
    let gaps: Vec<&str> = summary.gaps.iter().map(|gap| gap.kind.name()).collect();
    let certificate = match summary.verdict {
        Verdict::Complete => "complete".to_owned(),
        verdict => format!("{}: {}", verdict.name(), gaps.join(", ")),
    };
    [
        summary.trace.to_string(),
        render::utc(summary.start_ns),
        Nanos(summary.duration_ns).to_string(),
        root.trim().to_owned(),
        summary.n_spans.to_string(),
        summary.n_errors.to_string(),
        summary.n_agents.to_string(),
        Bytes(summary.bytes).to_string(),
        triggers.join(" "),
        certificate,
    ]
}
