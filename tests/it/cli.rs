//! The command people type, against a real agent and a real collector.

use crate::hosts::Cluster;
use backsight_core::ids::TriggerId;
use backsight_tests::harness::binaries;
use backsight_tests::hop::{Act, NAMED};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

/// Runs `backsight` with nothing in its environment that would answer for the test.
fn backsight(args: &[&str]) -> Output {
    let mut command = Command::new(binaries::find("backsight").unwrap());
    command.env_remove("BACKSIGHT_ADMIN").env_remove("BACKSIGHT_COLLECTOR").args(args).output().unwrap()
}

#[track_caller]
fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_stored_trace_is_shown_as_a_tree_and_exported() {
    let cluster = Cluster::start(2);
    let trace = cluster.send(&[Act::Serve, Act::Fail]);
    cluster.complete(trace);
    let (id, url) = (trace.to_string(), cluster.collector.url());
    let tree = stdout(&backsight(&["--collector", &url, "trace", "get", &id]));
    for part in ["service-0 serve", "service-1 serve", "error: told to fail", "certificate  complete"] {
        assert!(tree.contains(part), "no `{part}` in\n{tree}");
    }
    // An agent knows its collector.
    let admin = cluster.agents[0].folder().join("admin.sock").display().to_string();
    assert_eq!(stdout(&backsight(&["--agent", &admin, "trace", "get", &id])), tree);
    let json: Value =
        serde_json::from_str(&stdout(&backsight(&["--collector", &url, "--json", "trace", "get", &id]))).unwrap();
    assert_eq!(json["certificate"]["state"], "complete");
    let otlp = backsight(&["--collector", &url, "trace", "get", &id, "--format", "otlp"]);
    let otlp: Value = serde_json::from_str(&stdout(&otlp)).unwrap();
    assert_eq!(otlp["resourceSpans"].as_array().map(Vec::len), Some(2));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.perfetto");
    let file = file.to_str().unwrap();
    let perfetto = ["--collector", &url, "trace", "get", &id, "--format", "perfetto", "--output", file];
    stdout(&backsight(&perfetto));
    assert!(std::fs::metadata(file).unwrap().len() > 0);
}

#[test]
fn two_stored_traces_are_compared() {
    let cluster = Cluster::start(3);
    let short = cluster.send(&[Act::Serve, Act::Fail]);
    let long = cluster.send(&[Act::Serve, Act::Serve, Act::Fail]);
    [short, long].into_iter().for_each(|trace| _ = cluster.complete(trace));
    let (url, ids) = (cluster.collector.url(), [short, long].map(|trace| trace.to_string()));
    let compare = |flags: &[&str], [a, b]: [&str; 2]| {
        let all = [&["--collector", &url, "trace", "compare", a, b], flags].concat();
        stdout(&backsight(&all))
    };
    let text = compare(&[], [&ids[0], &ids[1]]);
    let is_added = |line: &str| line.contains("added") && line.ends_with("service-2 serve");
    assert!(text.lines().any(is_added), "{text}");
    let json: Value = serde_json::from_str(&compare(&["--json"], [&ids[0], &ids[1]])).unwrap();
    let deltas: i64 = json["rows"].as_array().unwrap().iter().map(|row| row["delta_ns"].as_i64().unwrap()).sum();
    assert_eq!(deltas + json["rest"]["delta_ns"].as_i64().unwrap(), json["delta_ns"].as_i64().unwrap());
    assert!(compare(&[], [&ids[0], &ids[0]]).contains("the same spans"));
    let missing = backsight(&["--collector", &url, "trace", "compare", &ids[0], "77"]);
    let error = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && error.contains("0000000000000077") && error.contains("not stored"), "{error}");
}

#[test]
fn stored_traces_are_listed_once_they_are_at_rest() {
    let cluster = Cluster::start(2);
    let trace = cluster.send(&[Act::Serve, Act::Fail]);
    cluster.complete(trace);
    let url = cluster.collector.url();
    let search = |args: &[&str]| {
        let mut all = vec!["--collector", &url, "--json", "trace", "search"];
        all.extend(args);
        let found: Value = serde_json::from_str(&stdout(&backsight(&all))).unwrap();
        found["traces"].as_array().unwrap().iter().map(|trace| trace["trace"].as_str().unwrap().to_owned()).collect()
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let id = vec![trace.to_string()];
    loop {
        let found: Vec<String> =
            search(&["--service", "service-1", "--error", "--since", "10m", "--trigger", "manual"]);
        if found == id {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{found:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(search(&["--service", "nobody"]), Vec::<String>::new());
    assert_eq!(search(&["--min-duration", "1h"]), Vec::<String>::new());
    let text = stdout(&backsight(&["--collector", &url, "trace", "search"]));
    assert!(text.contains("CERTIFICATE") && text.contains(&id[0]) && text.contains("complete"), "{text}");
}

/// A program names its trigger; whoever looks, wherever, reads that name, and programs find the id beside it.
#[test]
fn a_trigger_is_read_by_the_name_that_the_application_gave_it() {
    let cluster = Cluster::start(2);
    let trace = cluster.send(&[Act::TriggerNamed, Act::Serve]);
    cluster.complete(trace);
    let (trace, url) = (trace.to_string(), cluster.collector.url());
    let hex = format!("{:#x}", TriggerId::from_name(NAMED).unwrap().0);
    let ask = |args: &[&str]| stdout(&backsight(&[&["--collector", &url][..], args].concat()));
    let tree = ask(&["trace", "get", &trace]);
    assert!(tree.contains(&format!("fired {NAMED} in service-0")) && !tree.contains(&hex), "{tree}");
    let json: Value = serde_json::from_str(&ask(&["--json", "trace", "get", &trace])).unwrap();
    assert_eq!(
        (json["fired"][0]["trigger"].as_str(), json["fired"][0]["trigger_id"].as_str()),
        (Some(NAMED), Some(&*hex))
    );
    let otlp = ask(&["trace", "get", &trace, "--format", "otlp"]);
    assert!(otlp.contains(NAMED) && otlp.contains(&hex), "{otlp}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let found = loop {
        let found = ask(&["trace", "search", "--trigger", NAMED]);
        if found.contains(&trace) {
            break found;
        }
        assert!(std::time::Instant::now() < deadline, "{found}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert!(found.contains(NAMED) && !found.contains(&hex), "{found}");
    let json: Value = serde_json::from_str(&ask(&["--json", "trace", "search", "--trigger", &hex])).unwrap();
    let fired = json["traces"][0]["fired"].as_array().unwrap();
    assert!(fired.iter().all(|fired| fired["trigger"] == NAMED && fired["trigger_id"] == *hex), "{json}");
    // The host where it fired, and the one that was only asked for its part.
    for agent in &cluster.agents {
        let admin = agent.folder().join("admin.sock").display().to_string();
        let kept = stdout(&backsight(&["--agent", &admin, "trace", "list"]));
        assert!(kept.contains(NAMED) && !kept.contains(&hex), "{kept}");
        let list = stdout(&backsight(&["--agent", &admin, "trigger", "list"]));
        assert!(list.contains(NAMED) && list.contains(&hex), "{list}");
    }
    let admin = cluster.agents[0].folder().join("admin.sock").display().to_string();
    let local = stdout(&backsight(&["--agent", &admin, "trace", "get", "--local", &trace]));
    assert!(local.contains(&format!("fired {NAMED} in service-0")), "{local}");
}

#[test]
fn a_collector_that_is_not_there_is_named_with_what_to_do() {
    let output = backsight(&["--collector", "http://127.0.0.1:1", "trace", "search"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("no collector at http://127.0.0.1:1") && said.contains("--collector"), "{said}");
    let output = backsight(&["--collector", "not an address", "trace", "search"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not a collector's address"));
}

#[test]
fn a_host_shows_its_part_of_a_trace_while_the_collector_is_down() {
    let mut cluster = Cluster::start(2);
    let trace = cluster.send(&[Act::Serve, Act::Fail]);
    cluster.complete(trace);
    let (id, url) = (trace.to_string(), cluster.collector.url());
    let admin = cluster.agents[0].folder().join("admin.sock").display().to_string();
    let unknown = "4bf92f3577b34da6a3ce929d0e0e4736";
    let both = backsight(&["--agent", &admin, "trace", "get", unknown]);
    let said = String::from_utf8_lossy(&both.stderr).into_owned();
    assert_eq!(both.status.code(), Some(1));
    for part in [unknown, &format!("not stored at {url}"), "not retained on this host"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    cluster.collector.kill().unwrap();
    let down = backsight(&["--agent", &admin, "trace", "get", &id]);
    let tree = stdout(&down);
    assert!(tree.contains("service-0 serve") && !tree.contains("service-1 serve"), "{tree}");
    let said = String::from_utf8_lossy(&down.stderr);
    assert!(said.contains(&format!("no collector at {url}")) && said.contains("this host has"), "{said}");
    let local = backsight(&["--agent", &admin, "trace", "get", "--local", &id]);
    assert_eq!((stdout(&local), local.stderr), (tree, Vec::new()));
}

/// A child that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

#[test]
fn tail_goes_on_after_its_collector_was_restarted() {
    let mut cluster = Cluster::start(1);
    let mut command = Command::new(binaries::find("backsight").unwrap());
    command.env_remove("BACKSIGHT_ADMIN").env_remove("BACKSIGHT_COLLECTOR");
    command.args(["--collector", &cluster.collector.url(), "trace", "tail"]);
    let mut tail = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut printed = BufReader::new(tail.0.stdout.take().unwrap()).lines();
    let mut said = BufReader::new(tail.0.stderr.take().unwrap()).lines();
    let titles = printed.next().unwrap().unwrap();
    assert!(titles.starts_with("TRACE") && titles.contains("CERTIFICATE"), "{titles}");
    cluster.collector.kill().unwrap();
    let lost = said.next().unwrap().unwrap();
    assert!(lost.contains(&cluster.collector.url()) && lost.contains("dialling again"), "{lost}");
    cluster.collector.restart().unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "backsight: following again");
    let trace = cluster.send(&[Act::Fail]);
    cluster.complete(trace);
    let line = printed.next().unwrap().unwrap();
    assert!(line.starts_with(&trace.to_string()) && line.contains("service-0 serve"), "{line}");
}
