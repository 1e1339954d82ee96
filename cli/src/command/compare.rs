//! `backsight trace compare`: where the difference between two stored traces comes from.

use super::table::{Align, table};
use super::{Asked, trace};
use crate::output;
use crate::render::{clean, cut};
use anyhow::{Context as _, Result};
use backsight_core::ids::TraceId;
use backsight_core::units::Nanos;
use backsight_proto::compare_json::{CompareJson, ComparedJson, DeltaJson, StepJson};
use std::process::ExitCode;

/// Columns of a path at most, where the screen's width is not known.
const PATH_COLUMNS: usize = 100;
/// Columns of a path at least.
const PATH_COLUMNS_MIN: usize = 30;
/// What the other columns of the table take.
const OTHER_COLUMNS: usize = 58;

/// Prints where the time went that one trace takes longer than the other.
pub(super) fn compare(asked: &Asked<'_>, [a, b]: [TraceId; 2], n_rows_max: usize) -> Result<ExitCode> {
    let collectors = asked.collectors()?;
    let (a, b) = (trace::stored(&collectors, a)?, trace::stored(&collectors, b)?);
    let compared = CompareJson::of(&a.assemble(), &b.assemble(), n_rows_max);
    let out = if asked.is_json {
        serde_json::to_string_pretty(&compared).context("write JSON")? + "\n"
    } else {
        text(&compared, output::width())
    };
    output::print(&out)?;
    Ok(ExitCode::SUCCESS)
}

/// Returns a comparison as people read it.
fn text(compared: &CompareJson, width: Option<usize>) -> String {
    let times = match (compared.a.duration_ns, compared.b.duration_ns) {
        (a, b) if a > 0 && b > 0 => format!(", {:.2} times", b as f64 / a as f64),
        _ => String::new(),
    };
    let mut text = side("A", &compared.a) + &side("B", &compared.b);
    text += &format!("\nB - A  {}{times}\n", signed(compared.delta_ns));
    if compared.rows.is_empty() && compared.rest.n_rows == 0 {
        return text + "\nthe same spans, with the same part in how long it took\n";
    }
    let room = width.map_or(PATH_COLUMNS, |width| width.saturating_sub(OTHER_COLUMNS).max(PATH_COLUMNS_MIN));
    let (left, right) = (Align::Left, Align::Right);
    let columns =
        [("DELTA", right), ("SHARE", right), ("A", right), ("B", right), ("SPANS", right), ("", left), ("PATH", left)];
    let mut rows: Vec<[String; 7]> = compared.rows.iter().map(|row| cells(row, compared.delta_ns, room)).collect();
    if compared.rest.n_rows > 0 {
        let (delta_ns, none) = (compared.rest.delta_ns, String::new);
        let more = format!("{} more rows: --limit", compared.rest.n_rows);
        rows.push([signed(delta_ns), share(delta_ns, compared.delta_ns), none(), none(), none(), none(), more]);
    }
    text += &format!("\n{}", table(columns, &rows));
    text + "\nA and B: what the spans of a path contribute to the critical path. The deltas sum to B - A.\n"
}

fn side(name: &str, of: &ComparedJson) -> String {
    let root = match (&*of.root_service, &*of.root_operation) {
        ("", "") => "several beginnings".to_owned(),
        (service, operation) => clean(&format!("{service} {operation}")),
    };
    let mut text = format!("{name}  {}  {}  {root}, {} spans\n", of.trace, Nanos(of.duration_ns), of.n_spans);
    for clock in &of.clocks {
        let host = clean(&clock.host);
        let done = match (clock.is_too_far, clock.added_ns) {
            (true, _) => "is too far off to be believed; left as it is".to_owned(),
            (false, 0) => "cannot be held against the others; left as it is".to_owned(),
            (false, added_ns) => format!("corrected by {}", signed(added_ns)),
        };
        let doubt = if clock.is_doubtful { ", calls contradict each other" } else { "" };
        text += &format!("   clock of host {host} {done}{doubt}\n");
    }
    text
}

fn cells(row: &DeltaJson, whole_ns: i64, room: usize) -> [String; 7] {
    let is_in_b = !row.path_b.is_empty();
    let time = |is_there: bool, ns: u64| if is_there { Nanos(ns).to_string() } else { "-".to_owned() };
    let change = match &*row.change {
        "same" => "",
        "put_around" => "put around",
        "taken_away" => "taken away",
        other => other,
    };
    let mut path = path(if is_in_b { &row.path_b } else { &row.path_a }, room);
    if row.change == "moved" {
        path = format!("{path}  from {}", self::path(&row.path_a, room));
    }
    [
        signed(row.delta_ns),
        share(row.delta_ns, whole_ns),
        time(!row.path_a.is_empty(), row.critical_a_ns),
        time(is_in_b, row.critical_b_ns),
        row.n.to_string(),
        change.to_owned(),
        path,
    ]
}

/// Returns a path in at most `room` columns: its end, which tells paths apart, before its beginning.
fn path(steps: &[StepJson], room: usize) -> String {
    let words = |step: &StepJson| clean(format!("{} {}", step.service, step.operation).trim());
    let mut shown = String::new();
    for step in steps.iter().rev() {
        let longer = if shown.is_empty() { words(step) } else { format!("{} > {shown}", words(step)) };
        if !shown.is_empty() && crate::render::width(&longer) + 4 > room {
            return format!("… > {shown}");
        }
        shown = cut(&longer, room).0;
    }
    if shown.is_empty() { "(above all beginnings)".to_owned() } else { shown }
}

fn signed(ns: i64) -> String {
    let sign = match ns {
        0 => "",
        1.. => "+",
        _ => "-",
    };
    format!("{sign}{}", Nanos(ns.unsigned_abs()))
}

/// Returns which part of the whole difference a delta is; nothing where there is none.
fn share(delta_ns: i64, whole_ns: i64) -> String {
    if whole_ns == 0 {
        String::new()
    } else {
        format!("{} %", (100.0 * delta_ns as f64 / whole_ns as f64).round() as i64)
    }
}

#[cfg(test)]
mod tests;
