//! What is written is read back, and only between the marks.

use super::{Outcome, Row, block, costs, measured, precise, with};
use crate::scale::costs::{Costs, TABLE};

#[test]
fn costs_are_read_back_from_the_document_as_they_are_written() {
    let row = |idx: usize, name: &str| Row {
        metric: name.to_owned(),
        value: 1.0 / (idx as f64 + 3.0),
        min: 0.0,
        max: 1234.5678,
        runs: 5,
    };
    let results = TABLE.iter().enumerate().map(|(idx, (name, ..))| row(idx, name)).collect();
    let outcome =
        Outcome { commit: "abc".to_owned(), machine: "a machine".to_owned(), load_average: [0.5, 1.0, 2.0], results };
    let document = with("# Head\n\n<!-- begin costs -->\nstale\n<!-- end -->\n\ntail\n", &[("costs", outcome.block())]);
    let document = document.unwrap();
    assert!(document.starts_with("# Head\n") && document.ends_with("tail\n") && !document.contains("stale"));
    let read = costs(block(&document, "costs").unwrap()).unwrap();
    assert_eq!((read.wake_latency_us, read.link_receive_us > 0.0), (0.3333, true));
    let values =
        TABLE.iter().zip(3..).map(|((name, ..), n)| ((*name).to_owned(), precise(1.0 / f64::from(n)).parse().unwrap()));
    assert_eq!(read, Costs::of(values).unwrap());
    assert!(costs("| `wake_us` | 1.0 us (1–1) | x |\n").is_err(), "all others are missing");
}

#[test]
fn measured_values_are_found_by_metric_and_case() {
    let text = "| `p_ms` | 35 agents, a | 1.04 ms (0.9–1.3) | - |\n| `p_ms` | 35 agents, b | 731.5 ms (1–2) | - |\n";
    assert_eq!(measured(text, "p_ms", "35 agents, b").unwrap(), 731.5);
    assert!(measured(text, "p_ms", "35 agents").is_err());
}

#[test]
fn numbers_keep_four_digits() {
    let written: Vec<String> = [0.0, 0.000_123_456, 1.0 / 3.0, 12.345_67, 1234.56, 123_456.0].map(precise).to_vec();
    assert_eq!(written, ["0", "0.0001235", "0.3333", "12.35", "1235", "123456"]);
}
