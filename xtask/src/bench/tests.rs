//! Tests of the judgement over what a benchmark wrote.

use super::{Outcome, Verdict, judge, line_of};
use std::path::PathBuf;

fn written(name: &str, verdict: &str) -> PathBuf {
    let text = format!(
        r#"{{"name": "rec-micro", "results": [
            {{"metric": "span_ns", "case": "1", "value": 40.0, "unit": "ns", "verdict": "pass"}},
            {{"metric": "event_32b_ns", "case": "1", "value": 9.5, "unit": "ns", "better": "lower", "peer": "floor",
              "peer_value": 5.0, "ratio": 1.9, "must": "ratio<=1.6", "verdict": "{verdict}"}}]}}"#
    );
    let path = std::env::temp_dir().join(format!("backsight-xtask-{}-{name}.json", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn miss_fails_the_check() {
    let path = written("miss", "miss");
    let judged = judge(&path);
    std::fs::remove_file(&path).unwrap();
    assert!(judged.unwrap_err().to_string().starts_with("1 of 2 rows"));
}

#[test]
fn inconclusive_row_and_missing_peer_pass_the_check() {
    for verdict in ["inconclusive", "no-peer"] {
        let path = written(verdict, verdict);
        let judged = judge(&path);
        std::fs::remove_file(&path).unwrap();
        judged.unwrap();
    }
}

#[test]
fn unknown_verdict_is_not_taken_for_a_pass() {
    let path = written("odd", "fine");
    let judged = judge(&path);
    std::fs::remove_file(&path).unwrap();
    assert!(judged.is_err());
}

#[test]
fn line_names_metric_peer_and_threshold() {
    let row = r#"{"results": [{"metric": "span_ns", "case": "1", "value": 40, "unit": "ns", "peer": "fastrace",
                   "ratio": 0.61, "must": "ratio<=0.5", "verdict": "miss"}]}"#;
    let outcome: Outcome = serde_json::from_str(row).unwrap();
    assert_eq!(outcome.results[0].verdict, Verdict::Miss);
    assert_eq!(
        line_of(&outcome.results[0]),
        "MISS          span_ns [1]: 40.000 ns, 0.610 x fastrace (must: ratio<=0.5)"
    );
}
