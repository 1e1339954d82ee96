//! Claims about the command line and the JSON of `bricks`.

use super::{Findings, Length, Run, RunReport, arguments, json, trace_id};
use crate::rpc::{
    Tracer,
    cases::{Faults, Load},
};
use backsight_core::ids::TraceId;
use std::path::{Path, PathBuf};

#[test]
fn a_run_is_told_its_load_its_faults_and_who_records() {
    let sockets = [PathBuf::from("a.sock"), PathBuf::from("b.sock")];
    let mut run = Run {
        topology: "two",
        tracer: Tracer::Backsight,
        load: Load::Highest { concurrency: 32 },
        length: Length::Seconds { warmup: 1.0, counted: 0.6 },
        under: None,
        faults: Faults::RARE,
        seed: 7,
        agents: &sockets,
        sink: None,
        truth: Some(Path::new("truth")),
    };
    let told = "--topology two --tracer backsight --seed 7 --slow-share 0.005 --error-share 0.005 \
                --panic-share 0 --seconds 0.6 --warmup-seconds 1 --rate max --concurrency 32 --agent a.sock --agent b.sock --truth truth --quiet";
    assert_eq!(arguments(&run).join(" "), told);
    run = Run {
        tracer: Tracer::OtelHead,
        load: Load::Rate(200),
        agents: &[],
        sink: "127.0.0.1:4317".parse().ok(),
        truth: None,
        length: Length::Requests(100),
        under: Some("strace -fc"),
        ..run
    };
    let told = "--topology two --tracer otel-head --seed 7 --slow-share 0.005 --error-share 0.005 \
                --panic-share 0 --requests 100 --under strace -fc --rate 200 --sink 127.0.0.1:4317 --quiet";
    assert_eq!(arguments(&run).join(" "), told);
}

#[test]
fn trace_ids_have_32_hex_digits_and_are_not_zero() {
    let id = trace_id("0123456789abcdef00000000000000ff").unwrap();
    assert_eq!(id, TraceId::new(0x0123_4567_89ab_cdef, 0xff));
    for text in ["", "ff", "0123456789abcdef00000000000000fg", "00000000000000000000000000000000"] {
        assert!(trace_id(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_report_is_read_whatever_else_it_says() {
    let text = br#"{"topology":"two","tracer":"none","rate":"max","seconds":2.0,"sent":10,"answered":9,"failed":1,
        "refused":0,"rps":4.5,"latency_us":{"p50":100,"p90":150,"p99":200.5,"p999":300,"max":400},
        "cpu":{"services_us_per_request":95.5,"load_us_per_request":20.0,"by_process":[]},
        "window_unix_ns":[1000,2000],"recorded":null,"killed":null,"edge_cases":1}"#;
    let report: RunReport = json(text).unwrap();
    assert_eq!((report.answered, report.latency_us.p99, report.window_unix_ns), (9, 200.5, [1000, 2000]));
    assert!(report.recorded.is_none());
}

#[test]
fn findings_are_read_with_and_without_what_only_a_certificate_tells() {
    let findings: Findings = json(br#"{"edge_cases":3,"whole":2,"missed":[{"trace":"ab","why":"x"}]}"#).unwrap();
    assert_eq!((findings.edge_cases, findings.whole, findings.false_complete), (3, 2, 0));
    assert_eq!(findings.missed[0].why, "x");
    assert!(json::<Findings>(b"whole: 3").is_err());
}
