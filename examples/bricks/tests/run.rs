//! Claims about whole runs: real processes, a second of load each, and what the report says of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn bricks(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bricks")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs `bricks run` and returns its report.
fn run(arguments: &[&str]) -> Value {
    let output = bricks(&[&["run", "--quiet", "--seconds", "1", "--warmup-seconds", "0.3"], arguments].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {said}"))
}

fn number(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {report}"))
}

fn check_accounts(report: &Value) {
    let n = |path| number(report, path);
    assert!(n("/sent") > 100, "{report}");
    assert_eq!(n("/sent"), n("/answered") + n("/failed") + n("/refused"), "{report}");
    let faulty = n("/faults/slow") + n("/faults/error") + n("/faults/panic");
    assert!(faulty > 0 && n("/edge_cases") >= faulty, "{report}");
    assert!(n("/failed") >= n("/faults/error") + n("/faults/panic"), "a fault acts: {report}");
    let [p50, max] = ["/latency_us/p50", "/latency_us/max"].map(n);
    assert!(0 < p50 && p50 <= max, "{report}");
    assert!(report.pointer("/cpu/services_us_per_request").unwrap().as_f64().unwrap() > 0.0, "{report}");
    let processes = report.pointer("/cpu/by_process").unwrap().as_array().unwrap();
    assert!(processes.iter().all(|process| process["cpu_ms"].as_f64().unwrap() > 0.0), "{report}");
}

const FAULTS: [&str; 8] = ["--slow-share", "0.05", "--error-share", "0.05", "--panic-share", "0.05", "--slow-ms", "20"];

#[test]
fn two_services_serve_without_a_tracer() {
    let report = run(&[&["--topology", "two", "--tracer", "none", "--rate", "200"], &FAULTS[..]].concat());
    check_accounts(&report);
    assert_eq!((&report["recorded"], &report["killed"]), (&Value::Null, &Value::Null));
    assert_eq!(report["tracer"], "none");
    assert!((number(&report, "/latency_us/max")) >= 20_000, "slow visits are slow: {report}");
}

#[test]
fn callers_take_what_they_get() {
    let report = run(&["--topology", "two", "--tracer", "none", "--rate", "max", "--concurrency", "4"]);
    assert_eq!(report["rate"], "max");
    assert_eq!(number(&report, "/refused"), 0);
    assert!(number(&report, "/answered") > 100, "{report}");
}

#[test]
fn run_of_so_many_requests_counts_each_of_them() {
    let load = ["--rate", "max", "--concurrency", "4", "--requests", "200", "--under", "env BRICKS=1"];
    let output = bricks(&[&["run", "--quiet", "--topology", "two", "--tracer", "none"], &load[..]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!([number(&report, "/sent"), number(&report, "/answered")], [200, 200]);
}

#[test]
fn ten_services_serve_without_their_agent() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("nobody.sock");
    let arguments =
        ["--topology", "ten", "--tracer", "backsight", "--rate", "200", "--agent", socket.to_str().unwrap()];
    let report = run(&[&arguments[..], &FAULTS].concat());
    check_accounts(&report);
    assert_eq!(number(&report, "/recorded/dropped"), 0, "{report}");
}

#[test]
fn service_that_is_killed_with_requests_in_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (truth, file) = (folder.path().join("truth"), folder.path().join("report.json"));
    let arguments = ["--topology", "two", "--tracer", "none", "--rate", "200", "--kill", "back", "--park", "25"];
    let files = ["--truth", truth.to_str().unwrap(), "--report", file.to_str().unwrap()];
    let output = bricks(&[&["run", "--quiet", "--seconds", "2"], &arguments[..], &files].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(report["killed"], serde_json::json!({"service": "back", "parked": 25}));
    assert!(number(&report, "/failed") >= 25 && number(&report, "/answered") > 100, "{report}");
    assert_eq!(files_named(&truth, "back").len(), 3, "one for each start, and a mark for the killed one");
    let edges = bricks(&["edges", "--truth", truth.to_str().unwrap()]);
    let listed = String::from_utf8(edges.stdout).unwrap();
    assert_eq!(listed.lines().count() as u64, number(&report, "/edge_cases"), "the truth counts as the report does");
    assert!(listed.lines().all(|line| line.len() == 32));
}

fn files_named(folder: &Path, start: &str) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(start)).collect()
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_starts() {
    let refusal = |arguments: &[&str]| {
        let output = bricks(&[&["run", "--rate", "10", "--seconds", "1"], arguments].concat());
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refusal(&["--topology", "two", "--tracer", "backsight"]);
    assert!(said.contains("--agent"), "{said}");
    let said = refusal(&["--topology", "three", "--tracer", "none"]);
    assert!(said.contains("`three`"), "{said}");
    let killing = ["--topology", "two", "--tracer", "none", "--kill", "middle", "--park", "20", "--truth", "unused"];
    let said = refusal(&killing);
    assert!(said.contains("`middle`"), "{said}");
    let said = refusal(&["--topology", "two", "--tracer", "none", "--under", "no-such-program -q"]);
    assert!(said.contains("start front"), "{said}");
    let said = refusal(&["--topology", "two", "--tracer", "none", "--error-share", "0.7", "--slow-share", "0.7"]);
    assert!(said.contains("shares"), "{said}");
}
