//! Tests of the lane table and of the count that keeps a lane from passing empty.

use super::{LANES, chosen, passed_in};

#[test]
fn summary_line_yields_the_passed_count() {
    let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
    assert_eq!(passed_in(line), Some(12));
    assert_eq!(passed_in("test result: FAILED. 3 passed; 1 failed;"), Some(3));
}

#[test]
fn other_lines_count_nothing() {
    assert_eq!(passed_in("running 12 tests"), None);
    assert_eq!(passed_in("test result_is_kept ... ok"), None);
}

#[test]
fn lane_is_found_by_its_name() {
    let lanes = chosen(Some("tsan")).unwrap();
    assert_eq!(lanes.iter().map(|lane| lane.name).collect::<Vec<_>>(), ["tsan"]);
    assert_eq!(chosen(None).unwrap().len(), LANES.len());
}

#[test]
fn unknown_lane_is_refused_with_the_names() {
    let error = chosen(Some("loon")).err().unwrap().to_string();
    assert!(error.contains("loom"), "{error}");
}
