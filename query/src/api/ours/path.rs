//! Where the time of a trace goes, and where the difference between two traces comes from.

use super::forms::Whole;
use crate::api::answer::Answer;
use crate::api::endpoint::Asked;
use crate::problem::{Code, Problem};
use crate::rows::columns_of;
use backsight_core::columns::{Labels, Tree};
use backsight_core::critical::CriticalPath;
use backsight_proto::compare_json::{ClockJson, CompareJson, corrected};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Rows of a comparison.
const DELTAS_MAX: usize = 50;

/// The critical path of a trace.
///
/// # Shape
/// Stretches lie end to end, in nanoseconds from the root's start; spans and services with what is theirs of it, the most first. Each of the three sums
/// to `duration_ns`. Where several spans begin the trace, they hang under a root without id, service and operation.
#[derive(Debug, Serialize)]
struct PathAnswer {
    id: String,
    duration_ns: Whole,
    stretches: Vec<StretchAnswer>,
    spans: Vec<SpanShare>,
    services: Vec<ServiceShare>,
    clocks: Vec<ClockJson>,
}

#[derive(Debug, Serialize)]
struct StretchAnswer {
    span: String,
    from_ns: Whole,
    to_ns: Whole,
}

#[derive(Debug, Serialize)]
struct SpanShare {
    span: String,
    service: String,
    operation: String,
    self_ns: Whole,
}

#[derive(Debug, Serialize)]
struct ServiceShare {
    service: String,
    self_ns: Whole,
}

pub(in crate::api) fn critical_path(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let rows = super::stored(asked, "id", asked.captured())?;
    let mut labels = Labels::default();
    let (columns, clocks) = corrected(&columns_of(&rows, &mut labels), &labels);
    let tree = Tree::new(&columns, &labels);
    let path = CriticalPath::of(&tree);
    let start_ns = path.stretches.first().map_or(0, |first| first.from_ns);
    let stretch = |stretch: &backsight_core::critical::Stretch| StretchAnswer {
        span: span(&tree, stretch.node),
        from_ns: Whole(stretch.from_ns - start_ns),
        to_ns: Whole(stretch.to_ns - start_ns),
    };
    let (spans, services) = shares(&tree, &path, &labels);
    let answer = PathAnswer {
        id: rows.id.to_string(),
        duration_ns: Whole(path.duration_ns()),
        stretches: path.stretches.iter().map(stretch).collect(),
        spans,
        services,
        clocks,
    };
    Ok(Answer::json(&answer))
}

/// Returns the id of a node's span; empty where it has none.
fn span(tree: &Tree<'_>, node: u32) -> String {
    let id = tree.row(node).id;
    if id.is_none() { String::new() } else { id.to_string() }
}

/// Returns what spans and services have of the path, the most first.
fn shares(tree: &Tree<'_>, path: &CriticalPath, labels: &Labels) -> (Vec<SpanShare>, Vec<ServiceShare>) {
    let mut nodes: Vec<(u64, u32)> = path.self_ns.iter().copied().zip(0..).filter(|(ns, _)| *ns > 0).collect();
    nodes.sort_by_key(|(ns, node)| (Reverse(*ns), *node));
    let mut services: BTreeMap<&str, u64> = BTreeMap::new();
    let mut spans = Vec::with_capacity(nodes.len());
    for (ns, node) in nodes {
        let label = labels.get(tree.row(node).label);
        *services.entry(&*label.service).or_default() += ns;
        spans.push(SpanShare {
            span: span(tree, node),
            service: label.service.to_string(),
            operation: label.operation.to_string(),
            self_ns: Whole(ns),
        });
    }
    let mut services: Vec<_> = services.into_iter().collect();
    services.sort_by_key(|(name, ns)| (Reverse(*ns), *name));
    let share = |(service, ns): (&str, u64)| ServiceShare { service: service.to_owned(), self_ns: Whole(ns) };
    (spans, services.into_iter().map(share).collect())
}

pub(in crate::api) fn compare(asked: &Asked<'_>) -> Result<Answer, Problem> {
    if asked.params.get("b") == "normal" {
        let detail = "what is normal needs aggregates over all traces, which this server does not keep: name a trace";
        return Err(Problem::new(Code::NotImplemented, detail));
    }
    let [a, b] = ["a", "b"].map(|name| super::stored(asked, name, asked.params.get(name)));
    let (a, b) = (a?, b?);
    let mut labels = Labels::default();
    let sides = [(a.id, columns_of(&a, &mut labels)), (b.id, columns_of(&b, &mut labels))];
    Ok(Answer::json(&CompareJson::of_columns(&sides, &labels, DELTAS_MAX)))
}
