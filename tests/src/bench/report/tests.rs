//! Claims about rows and the JSON file.

use serde_json::json;

use super::{Better, Question, Report, Row, Series};
use crate::bench::verdict::{Clock, Verdict};

fn series(samples: &[f64]) -> Series {
    Series { name: String::from("s"), samples: samples.to_vec(), failure: None }
}

fn question(peer: Option<&str>, must: &str) -> Question {
    Question {
        metric: "event_32b_ns".into(),
        case: "1 thread".into(),
        unit: "ns",
        better: Better::Lower,
        clock: Clock::Cpu,
        peer: peer.map(str::to_owned),
        must: must.parse().ok(),
        stretch: "ratio<=0.25".parse().ok(),
    }
}

#[test]
fn json_has_the_fields_that_the_design_names() {
    let row = Row::answer(
        question(Some("lttng"), "ratio<=0.5"),
        &series(&[4.0, 5.0, 6.0]),
        Some(&series(&[5.0, 5.5, 6.0])),
        Some(&series(&[8.0, 10.0, 12.0])),
    );
    let report = Report {
        name: "rec-micro",
        commit: "abc".into(),
        machine: "m".into(),
        load_average: [0.5, 0.25, 0.0],
        quick: true,
        results: row.into_iter().collect(),
    };
    let expected = json!({
        "name": "rec-micro", "commit": "abc", "machine": "m", "load_average": [0.5, 0.25, 0.0], "quick": true,
        "results": [{
            "metric": "event_32b_ns", "case": "1 thread", "value": 5.0, "unit": "ns", "better": "lower",
            "peer": "lttng", "peer_value": 10.0, "ratio": 0.5, "aa_ratio": 1.1, "ci_low": 0.5, "ci_high": 0.5,
            "must": "ratio<=0.5", "stretch": "ratio<=0.25", "verdict": "pass", "runs": 3, "min": 4.0, "max": 6.0,
        }],
    });
    assert_eq!(serde_json::to_value(&report).expect("encodes"), expected);
}

#[test]
fn a_named_peer_that_was_not_measured_makes_the_row_no_peer() {
    for must in ["ratio<=0.5", "none"] {
        let row = Row::answer(question(Some("lttng"), must), &series(&[5.0]), None, None).expect("ours was measured");
        assert_eq!((row.verdict, row.ratio, row.peer_value), (Verdict::NoPeer, None, None));
    }
}

#[test]
fn paired_rounds_cancel_what_hit_both_sides() {
    let machine = [1.0, 2.0, 1.0, 4.0, 1.0];
    let times = |factor: f64| series(&machine.map(|slow| slow * factor));
    let row = Row::paired(question(Some("none"), "ratio<=1.03"), &times(10.2), Some(&times(10.0)), None);
    let row = row.expect("ours was measured");
    assert!((row.ratio.expect("a ratio") - 1.02).abs() < 1e-9, "{row:?}");
    assert_eq!((row.verdict, row.value, row.peer_value), (Verdict::Pass, 10.2, Some(10.0)));
    assert!((row.ci_high.expect("an interval") - 1.02).abs() < 1e-9, "{row:?}");
}

#[test]
fn a_wall_clock_pair_is_inconclusive_by_the_interval_of_the_same_set_up() {
    let check = |again: [f64; 5], ratio: f64, expected| {
        let (one, again) = (series(&[1.0; 5]), series(&again));
        let wall = Question { clock: Clock::Wall, ..question(Some("none"), "ratio>=0.99") };
        let row = Row::paired(wall, &series(&[ratio; 5]), Some(&one), Some((&one, &again)));
        let row = row.expect("ours was measured");
        assert_eq!(row.verdict, expected, "{row:?}");
        assert_eq!(row.aa_ratio, Some(1.0), "{row:?}");
    };
    // The median of the same set-up is 1 each time; what differs is how sure that is.
    check([0.8, 0.9, 1.0, 1.1, 1.2], 0.95, Verdict::Inconclusive);
    check([1.0, 0.999, 1.0, 1.001, 1.0], 0.95, Verdict::Miss);
    check([1.0, 0.999, 1.0, 1.001, 1.0], 1.0, Verdict::Pass);
    check([0.8, 0.9, 1.0, 1.1, 1.2], 0.5, Verdict::Miss);
}

#[test]
fn a_pair_without_its_peer_is_no_peer() {
    let row = Row::paired(question(Some("none"), "ratio<=1.03"), &series(&[1.0]), None, None);
    assert_eq!(row.expect("ours was measured").verdict, Verdict::NoPeer);
}

#[test]
fn two_modes_of_the_control_excuse_an_absolute_bound_that_is_nearer_and_nothing_else() {
    let check = |must, value: f64, control: &[f64], expected| {
        let row = Row::answer(question(None, must), &series(&[value]), None, Some(&series(&[2.0 * value])));
        let row = row.expect("ours was measured").controlled_by(Some(&series(control)));
        assert_eq!(row.verdict, expected, "{value} for {must} under {control:?}");
    };
    let (calm, two_modes) = (&[7.0, 7.1, 7.0, 7.2, 11.0], &[7.0, 11.0, 7.0, 11.0, 7.0]);
    check("value<=40", 45.0, two_modes, Verdict::Inconclusive);
    check("value<=40", 30.0, two_modes, Verdict::Inconclusive);
    check("value<=40", 64.0, two_modes, Verdict::Miss);
    check("value<=40", 15.0, two_modes, Verdict::Pass);
    check("value<=40", 45.0, calm, Verdict::Miss);
    check("value<=40", 30.0, calm, Verdict::Pass);
    check("ratio<=0.45", 30.0, two_modes, Verdict::Miss);
    check("value==0", 1.0, two_modes, Verdict::Miss);
}

#[test]
fn without_ours_there_is_no_row() {
    assert!(Row::answer(question(None, "value<=1"), &series(&[]), None, None).is_none());
}

#[test]
fn a_second_write_replaces_the_first_and_leaves_nothing_else() {
    let dir = std::env::temp_dir().join(format!("bks-report-{}", std::process::id()));
    let mut report = Report {
        name: "rec-micro",
        commit: "a".into(),
        machine: "m".into(),
        load_average: [0.0; 3],
        quick: true,
        results: vec![],
    };
    let first = report.write_to(&dir).expect("writes");
    report.commit = "b".into();
    let second = report.write_to(&dir).expect("writes again");
    let text = std::fs::read_to_string(&second).expect("reads");
    let n_files = std::fs::read_dir(&dir).expect("lists").count();
    std::fs::remove_dir_all(&dir).expect("cleans up");
    assert_eq!((first, n_files), (second, 1));
    assert!(text.contains("\"commit\": \"b\"") && text.ends_with("}\n"), "{text}");
}
