//! Tests of the reading of nextest's output: only a test that ran and failed has failed.

use super::Outcome;

const PANIC: &str = "    thread 'a' (1) panicked at core/src/clock/tests.rs:9:5:\n";

fn failed(line: &str, rest: &str) -> Outcome {
    Outcome::of(Some(100), &format!("    Starting 1 test across 1 binary\n{line}\n{rest}"))
}

#[test]
fn failures_are_told_apart() {
    let by = |how: &str| Outcome::Failed(how.to_owned());
    assert_eq!(failed("        FAIL [   0.013s] (1/1) backsight-core clock::tests::a", PANIC), by("assertion"));
    assert_eq!(failed("        FAIL [   0.013s] (1/1) backsight-core clock::tests::a", ""), by("exit"));
    assert_eq!(failed("     SIGSEGV [   0.013s] (1/1) backsight-client::host a", PANIC), by("SIGSEGV"));
    assert_eq!(failed("     TIMEOUT [ 120.004s] (1/1) backsight-client::host a", ""), by("timeout"));
}

#[test]
fn what_did_not_run_has_not_failed() {
    assert_eq!(Outcome::of(Some(0), ""), Outcome::Passed);
    assert!(matches!(Outcome::of(Some(101), "error[E0425]"), Outcome::NotBuilt(_)));
    assert!(matches!(Outcome::of(Some(4), "error: no tests to run"), Outcome::Unclear(_)));
    assert!(matches!(failed("error: test run failed", ""), Outcome::Unclear(_)));
    assert!(matches!(Outcome::of(None, ""), Outcome::Unclear(_)));
}
