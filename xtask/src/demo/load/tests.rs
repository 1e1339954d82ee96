//! Tests of what is said to and understood from `bricks run`.

use super::{Crash, Load, Rate, Report, Said, Tracer, arguments, understood};
use std::path::Path;

#[test]
fn the_command_line_says_what_the_load_is() {
    let crash = Crash { service: "cart", parked: 40, truth: Path::new("/t") };
    let load = Load { tracer: Tracer::Backsight, rate: Rate::PerSecond(150), seconds: 2.5, crash: Some(crash) };
    let expected = "run --topology ten --tracer backsight --rate 150 --seconds 2.5 --warmup-seconds 1 --seed 7 --slow-share 0.01 --error-share 0.01 \
                    --kill cart --park 40 --truth /t";
    assert_eq!(arguments(&load, 7).join(" "), expected);
    let load = Load { tracer: Tracer::None, rate: Rate::Callers(32), seconds: 3.0, crash: None };
    let expected = "run --topology ten --tracer none --rate max --concurrency 32 --seconds 3 --warmup-seconds 1 --seed 8 --slow-share 0.01 --error-share 0.01";
    assert_eq!(arguments(&load, 8).join(" "), expected);
}

#[test]
fn progress_and_the_kill_are_understood_and_anything_else_is_not() {
    let progress = "     3 s        520 answered ·      5 failed ·      1 refused ·   12 under way";
    assert_eq!(understood(progress), Some(Said::Progress { second: 3, sent: 526 }));
    let killed = Said::Killed { service: "cart".to_owned(), parked: 40 };
    assert_eq!(understood("killed service=cart pid=123 parked=40"), Some(killed));
    let restarted = Said::Restarted { service: "cart".to_owned() };
    assert_eq!(understood("restarted service=cart pid=130"), Some(restarted));
    for line in ["", "3 s", "x s 520 answered · 5 failed", "killed cart", "listening on 10.77.0.11:4000"] {
        assert_eq!(understood(line), None, "{line}");
    }
}

#[test]
fn a_report_is_read_as_far_as_it_is_used() {
    let report: Report = serde_json::from_str(
        r#"{"topology": "ten", "tracer": "none", "rate": "max", "seconds": 3, "sent": 900, "answered": 899, "failed": 9,
            "refused": 1, "rps": 299.7, "latency_us": {"p50": 1}, "cpu": {"services_us_per_request": 1500.5, "by_process": []},
            "recorded": null, "faults": {"slow": 9, "error": 9, "panic": 0, "parked": 0}, "killed": null, "edge_cases": 18,
            "window_unix_ns": [1000, 4000]}"#,
    )
    .unwrap();
    assert_eq!(
        (report.answered, report.cpu.services_us_per_request, report.window_unix_ns),
        (899, 1500.5, [1000, 4000])
    );
    assert!(report.killed.is_none());
}
