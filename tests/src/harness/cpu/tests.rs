//! Claims about CPU time read from outside.

use super::{CpuHistory, CpuMeter, CpuWatch, ran_ns};
use std::sync::Barrier;
use std::time::{Duration, Instant};

#[test]
fn a_window_is_cut_out_by_proportion_and_clamped_to_what_was_seen() {
    let history = CpuHistory { points: vec![(1000, 50), (2000, 150), (4000, 150), (5000, 250)] };
    let check = |from, to, expected: f64| assert_eq!(history.between_ns(from, to), expected, "{from}..{to}");
    check(1000, 5000, 200.0);
    check(1500, 2000, 50.0);
    check(2000, 4000, 0.0);
    check(3000, 4500, 50.0);
    check(0, 9000, 200.0);
    check(6000, 9000, 0.0);
    assert_eq!(CpuHistory::default().between_ns(1, 2), 0.0);
}

#[test]
fn schedstat_begins_with_the_time_on_a_core() {
    assert_eq!(ran_ns("339547 243053 2\n"), Some(339_547));
    assert_eq!((ran_ns(""), ran_ns("x 1 2")), (None, None));
}

#[test]
fn a_thread_that_ended_between_two_looks_still_counts() {
    let spin = || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
    };
    let mut meter = CpuMeter::new(std::process::id());
    let before = meter.cpu_ns().unwrap();
    let (spun, is_seen) = (Barrier::new(2), Barrier::new(2));
    let during = std::thread::scope(|scope| {
        scope.spawn(|| {
            spin();
            spun.wait();
            is_seen.wait();
        });
        spun.wait();
        let during = meter.cpu_ns().unwrap();
        is_seen.wait();
        during
    });
    assert!(during > before);
    assert!(meter.cpu_ns().unwrap() >= during);
}

#[test]
fn watching_a_process_that_is_gone_is_an_error() {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    assert!(CpuWatch::start(&[&[child.id()]]).unwrap().finish().is_err());
    assert_eq!(CpuWatch::start(&[&[], &[std::process::id()]]).unwrap().finish().unwrap().len(), 2);
}
