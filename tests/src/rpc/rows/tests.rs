//! Claims about which rows there are and what they must reach.

use super::{AT_HIGHEST, AT_MODERATE, Setting, of_bulk, of_coherence, of_cost};
use crate::bench::{report::Row, runner::Series, verdict::Verdict};
use crate::rpc::{
    coherence::Coherence,
    cost::{NONE_AGAIN, Sample},
};
use std::collections::BTreeMap;

fn series(name: &str, cpu_us: f64, rps: f64) -> Series<Sample> {
    let sample = Sample {
        rps,
        services_us: cpu_us,
        all_us: cpu_us + 1.0,
        p50_us: 100.0,
        p99_us: 200.0,
        collector_core: 0.01,
        agent_core: 0.02,
        agent_core_per_100mb: 0.1,
    };
    Series { name: name.to_owned(), samples: vec![sample; 5], failure: None }
}

fn keys(rows: &[Row]) -> Vec<String> {
    let key = |row: &Row| {
        let peer = row.peer.as_deref().unwrap_or("-");
        format!("{} {} {} {}", row.metric, peer, row.must.map_or("-".to_owned(), |must| must.to_string()), row.verdict)
    };
    rows.iter().map(key).collect()
}

fn at(topology: &str, cores: usize) -> Setting<'_> {
    Setting { topology, load: "highest rate", cores }
}

#[test]
fn the_musts_about_cost_are_asked_against_nobody_where_services_compute_nothing() {
    let measured = [
        series("none", 100.0, 1000.0),
        series("headers", 101.0, 990.0),
        series("otel-head", 110.0, 900.0),
        series("backsight", 102.0, 980.0),
        series(NONE_AGAIN, 100.0, 1000.0),
    ];
    let rows = of_cost(&AT_HIGHEST, at("two", 2), &measured).unwrap();
    let expected = [
        "cpu_us_per_request none ratio<=1.03 pass",
        "cpu_us_per_request headers ratio<=1.03 pass",
        "cpu_us_per_request otel-head - pass",
        "cpu_us_per_request_all none - pass",
        "cpu_us_per_request_all headers - pass",
        "cpu_us_per_request_all otel-head - pass",
        "rps none ratio>=0.99 miss",
        "rps headers - pass",
        "rps otel-head - pass",
        "collector_core otel-head - pass",
        "agent_core - - pass",
        "agent_core_per_100mb - - pass",
    ];
    assert_eq!(keys(&rows), expected);
    assert_eq!((rows[0].ratio, rows[0].aa_ratio, rows[0].case.as_str()), (Some(1.02), Some(1.0), "two, highest rate"));
    let rows = of_cost(&AT_HIGHEST[..3], at("ten", 2), &measured).unwrap();
    assert!(rows.iter().all(|row| row.must.is_none()), "{rows:?}");
}

#[test]
fn the_tail_must_hold_only_with_cores_enough() {
    let measured = [series("none", 100.0, 1000.0), series("backsight", 100.0, 1000.0)];
    let must = |cores| {
        let rows = of_cost(&AT_MODERATE, at("two", cores), &measured).unwrap();
        rows.iter().find(|row| row.metric == "p99_us").and_then(|row| row.must).map(|must| must.to_string())
    };
    assert_eq!((must(2), must(4)), (None, Some("ratio<=1.05".to_owned())));
}

#[test]
fn a_peer_that_failed_is_no_peer_and_ours_that_failed_has_no_rows() {
    let failed = |name: &str| Series { name: name.to_owned(), samples: Vec::new(), failure: Some("gone".into()) };
    let rows = of_cost(&AT_HIGHEST[..1], at("two", 2), &[failed("none"), series("backsight", 1.0, 1.0)]).unwrap();
    assert_eq!(keys(&rows), ["cpu_us_per_request none ratio<=1.03 no-peer"]);
    assert!(of_cost(&AT_HIGHEST, at("two", 2), &[series("none", 1.0, 1.0), failed("backsight")]).unwrap().is_empty());
}

#[test]
fn the_agents_share_of_a_core_is_asked_in_bulk() {
    let measured = |samples: &[f64]| Series { name: "backsight".into(), samples: samples.to_vec(), failure: None };
    let check = |core: f64, expected| {
        let row = of_bulk(&measured(&[core])).unwrap().unwrap();
        assert_eq!((row.verdict, row.reaches_stretch()), expected, "{row:?}");
    };
    check(0.15, (Verdict::Pass, false));
    check(0.05, (Verdict::Pass, true));
    check(0.16, (Verdict::Miss, false));
    assert!(of_bulk(&measured(&[])).unwrap().is_none());
}

#[test]
fn what_was_captured_and_sent_is_judged_by_the_truth_alone() {
    let ours = Coherence {
        edge_cases: 10_000,
        whole: 9_995,
        sent_bytes: 14_000_000,
        edge_bytes: 10_000_000,
        seconds: 10.0,
        ..Coherence::default()
    };
    let tail =
        Coherence { edge_cases: 1000, whole: 300, sent_bytes: 500_000_000, seconds: 10.0, ..Coherence::default() };
    let rows = of_coherence("ten", &BTreeMap::from([("backsight", ours), ("otel-tail-model", tail)])).unwrap();
    let expected = [
        "coherent_share - value>=0.999 pass",
        "false_complete - value==0 pass",
        "mb_per_s edge cases ratio<=1.5 pass",
        "coherent_share otel-head - no-peer",
        "mb_per_s otel-head - no-peer",
        "coherent_share otel-tail-model - pass",
        "mb_per_s otel-tail-model - pass",
    ];
    assert_eq!(keys(&rows), expected);
    assert_eq!((rows[0].value, rows[2].ratio, rows[5].peer_value), (0.9995, Some(1.4), Some(0.3)));
    let worse = Coherence { false_complete: 1, whole: 9_980, sent_bytes: 16_000_000, ..ours };
    let rows = of_coherence("ten", &BTreeMap::from([("backsight", worse)])).unwrap();
    assert!(rows[..3].iter().all(|row| row.verdict == Verdict::Miss), "{rows:?}");
    assert!(of_coherence("ten", &BTreeMap::new()).unwrap().is_empty());
}
