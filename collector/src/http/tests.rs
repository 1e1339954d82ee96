//! Claims about metrics: everything that is counted is shown, in the form that Prometheus reads.

use super::{Edges, metrics};
use crate::coordination::{AgentStatus, Overview};
use crate::library::Stats;
use crate::otlp::Counts;
use crate::streams::{BadQuery, Reason, Refused};
use crate::web::Tally;
use backsight_core::ids::AgentId;
use backsight_query::api::{Done, Refusal};
use backsight_store::Losses;
use std::collections::{BTreeMap, BTreeSet};

/// Every field with a value of its own; a field that is not here does not compile.
fn stats() -> Stats {
    Stats {
        n_traces: 101,
        n_entries: 102,
        stored_bytes: 103,
        n_waiting: 104,
        n_reports: 105,
        n_duplicates: 106,
        n_views: 107,
        drops: BTreeMap::from([("malformed", 108)]),
        n_forgotten: 109,
        n_retired_files: 110,
        losses: Losses { cut_bytes: 111, lost_bytes: 112, n_holes: 113, n_unreadable_files: 114, n_removed_files: 115 },
        n_syncs: 116,
        sync_ns: 117_000_000_001,
        sync_max_ns: 118_500_000_000,
    }
}

fn overview() -> Overview {
    let agent = |agent, is_connected| AgentStatus {
        agent: AgentId(agent),
        host: "here".to_owned(),
        version: "1".to_owned(),
        is_connected,
        n_batches: 119,
        bytes: 120,
    };
    Overview {
        agents: vec![agent(1, true), agent(2, false)],
        n_groups: 121,
        counts: BTreeMap::from([("announcements", 122), ("refused_agents", 123)]),
    }
}

fn shown() -> Vec<(String, String)> {
    let refused = Refused::default();
    (0..124).for_each(|_| refused.count(Reason::BadHello));
    (0..125).for_each(|_| drop(refused.query(BadQuery::Limit, String::new())));
    let tally = Tally::default();
    let done = Done { endpoint: "search", refusal: Some(Refusal::Host), took_ns: 500_000_000 };
    (0..126).for_each(|_| tally.count(done));
    let text = metrics(&stats(), &overview(), &refused, &Edges { otlp: Counts::default(), api: tally });
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn every_number_that_is_counted_is_shown() {
    let values: BTreeSet<String> = shown().into_iter().map(|(_, value)| value).collect();
    for n in (101..=116).chain(119..=126) {
        assert!(values.contains(&n.to_string()), "{n} is not shown: {:?}", shown());
    }
    assert!(values.contains("117.000000001") && values.contains("118.500000000"), "{values:?}");
}

#[test]
fn labels_and_names_are_those_of_the_conventions() {
    let shown: BTreeMap<String, String> = shown().into_iter().collect();
    let value = |name: &str| shown.get(&format!("backsight_collector_{name}")).map(String::as_str);
    assert_eq!(value("agents"), Some("1"));
    assert_eq!(value("agent_batches_total{agent=\"0000002\"}"), Some("119"));
    assert_eq!(value("drops_total{reason=\"malformed\"}"), Some("108"));
    assert_eq!(value("drops_total{reason=\"refused_agents\"}"), Some("123"));
    assert_eq!(value("coordination_total{what=\"announcements\"}"), Some("122"));
    assert_eq!(value("refused_streams_total{reason=\"bad_hello\"}"), Some("124"));
    assert_eq!(value("refused_streams_total{reason=\"deaf\"}"), Some("0"));
    assert_eq!(value("refused_queries_total{reason=\"bad_limit\"}"), Some("125"));
    assert_eq!(value("refused_queries_total{reason=\"bad_filter\"}"), Some("0"));
    assert_eq!(value("otlp_refused_requests_total{reason=\"too_large\"}"), Some("0"));
    assert_eq!(value("otlp_rejected_spans_total{reason=\"trace_id\"}"), Some("0"));
    let of_query = |name: &str| shown.get(&format!("backsight_query_{name}")).map(String::as_str);
    assert_eq!(of_query("seconds_sum{endpoint=\"search\"}"), Some("63.000000000"));
    assert_eq!(of_query("seconds_count{endpoint=\"none\"}"), Some("0"));
    assert_eq!(of_query("refused_total{reason=\"host\"}"), Some("126"));
    let text = metrics(&stats(), &overview(), &Refused::default(), &Edges::default());
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let (name, kind) = line.trim_start_matches("# TYPE ").split_once(' ').unwrap();
        assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        assert!(text.contains(&format!("# HELP {name} ")) && text.contains(&format!("\n{name}")), "{line}");
    }
}
