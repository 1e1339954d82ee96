//! Claims about topologies: those that are committed can be run, and what cannot is refused with its service and value named.

use super::{Topology, load, parse};

/// Returns what is wrong with a topology that has service `a`, whose API `x` has `children`, and service `b` with API `y` and `more`.
fn refusal(children: &str, more: &str) -> String {
    let json = format!(
        r#"{{"name": "t", "entry": {{"service": "a", "api": "x"}}, "services": [
            {{"name": "a", "apis": [{{"name": "x", "exec_us": 0, "children": [{children}]}}]}},
            {{"name": "b", "apis": [{{"name": "y", "exec_us": 0, "children": [{more}]}}]}}]}}"#
    );
    format!("{:#}", parse(&json, "calls.json").unwrap_err())
}

#[test]
fn committed_topologies_can_be_run() {
    for (name, n_services) in [("two", 2), ("ten", 10)] {
        let topology = load(name, 1).unwrap();
        assert_eq!((topology.name.as_str(), topology.services.len()), (name, n_services));
        let json = serde_json::to_string(&topology).unwrap();
        assert_eq!(serde_json::from_str::<Topology>(&json).unwrap(), topology, "what is printed can be read again");
    }
    let two = load("two", 1).unwrap();
    let work: u64 = two.services.iter().flat_map(|service| &service.apis).map(|api| api.exec_us).sum();
    assert_eq!(work, 0, "`two` shows nothing but the calls");
}

#[test]
fn service_that_does_not_exist_is_named_with_its_caller_and_the_file() {
    let why = refusal(r#"{"service": "c", "api": "y", "probability": 1.0}"#, "");
    assert_eq!(why, "topology `calls.json`: `a/x` calls service `c`, which does not exist");
}

#[test]
fn api_that_does_not_exist_is_named() {
    let why = refusal(r#"{"service": "b", "api": "z", "probability": 1.0}"#, "");
    assert_eq!(why, "topology `calls.json`: `a/x` calls API `z` of service `b`, which does not have it");
}

#[test]
fn probability_out_of_range_is_named() {
    let why = refusal(r#"{"service": "b", "api": "y", "probability": 1.5}"#, "");
    assert_eq!(why, "topology `calls.json`: `a/x` calls `b` with probability 1.5, which must be from 0 to 1");
}

#[test]
fn circle_is_shown() {
    let to_b = r#"{"service": "b", "api": "y", "probability": 0.5}"#;
    let to_a = r#"{"service": "a", "api": "x", "probability": 0.0}"#;
    assert_eq!(refusal(to_b, to_a), "topology `calls.json`: calls go in a circle: `a/x`, `b/y`, `a/x`");
}

#[test]
fn deep_diamond_is_no_circle_and_is_checked_at_once() {
    // 40 layers, each API called twice by the one before: 2^40 ways through.
    let child = |layer: usize| format!(r#"{{"service": "s{layer}", "api": "x", "probability": 1}}"#);
    let service = |layer: usize| {
        let children = if layer < 40 { [child(layer + 1), child(layer + 1)].join(",") } else { String::new() };
        format!(r#"{{"name": "s{layer}", "apis": [{{"name": "x", "exec_us": 0, "children": [{children}]}}]}}"#)
    };
    let services: Vec<String> = (0..=40).map(service).collect();
    let json =
        format!(r#"{{"name": "t", "entry": {{"service": "s0", "api": "x"}}, "services": [{}]}}"#, services.join(","));
    assert_eq!(parse(&json, "diamond.json").unwrap().services.len(), 41);
}

#[test]
fn names_that_would_break_others_are_refused() {
    let json = |name: &str, api: &str| {
        format!(
            r#"{{"name": "t", "entry": {{"service": "a", "api": "x"}}, "services": [
                {{"name": "{name}", "apis": [{{"name": "{api}", "exec_us": 0, "children": []}}]}}]}}"#
        )
    };
    for (name, api) in [("a/b", "x"), ("", "x"), ("a", "x y"), ("../a", "x")] {
        let why = format!("{:#}", parse(&json(name, api), "names.json").unwrap_err());
        assert!(why.contains("is no name for a service or an API"), "{why}");
    }
    let twice = json("a", "x").replace("}]}]}", r#"}]}, {"name": "a", "apis": []}]}"#);
    assert!(format!("{:#}", parse(&twice, "twice.json").unwrap_err()).contains("service `a` is listed twice"));
}

#[test]
fn file_that_cannot_be_read_is_named() {
    let why = format!("{:#}", load("/nonexistent/topology.json", 1).unwrap_err());
    assert!(why.contains("/nonexistent/topology.json"), "{why}");
}
