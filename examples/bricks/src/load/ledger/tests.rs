//! Claims about counts and latencies, on a simulated clock.

use super::{Counts, Ledger, Outcome};
use crate::faults::FaultKind;

const MS: u64 = 1_000_000;
const USUAL: Outcome = Outcome { due_ns: 0, done_ns: MS, is_ok: true, fault: FaultKind::None, is_measured: true };

/// A request is due each millisecond of ten seconds, and answered after one; from 4 s to 5 s the service stands still, and whoever is
/// under way then is answered at its end.
fn with_a_stall(latency_from: impl Fn(u64, u64) -> u64) -> Ledger {
    let mut ledger = Ledger::new().unwrap();
    for due_ns in (0..10_000).map(|ms| ms * MS) {
        let done_ns = if (4000 * MS..5000 * MS).contains(&due_ns) { 5000 * MS } else { due_ns } + MS;
        ledger.sent(FaultKind::None);
        ledger.settle(&Outcome { due_ns: latency_from(due_ns, done_ns), done_ns, ..USUAL });
    }
    ledger
}

#[test]
fn stall_shows_in_the_percentiles() {
    let ledger = with_a_stall(|due_ns, _| due_ns);
    assert_eq!(ledger.counts().answered, 10_000);
    let about = |share: f64, wanted_ms: u64| {
        let latency_us = ledger.latency_us(share);
        assert!(latency_us.abs_diff(wanted_ms * 1000) <= 2000, "p{share}: {latency_us} us, not {wanted_ms} ms");
    };
    about(0.5, 1);
    about(0.89, 1);
    about(0.95, 501);
    about(0.99, 901);
    about(1.0, 1001);
}

#[test]
fn counting_from_when_a_late_request_was_sent_would_hide_the_stall() {
    // What a loop does that sends the next request when the last one is answered: everybody who waited starts at the end of the stall.
    let ledger = with_a_stall(|_, done_ns| done_ns - MS);
    assert!(ledger.latency_us(0.999) < 2000);
}

#[test]
fn all_that_is_due_is_answered_failed_or_refused() {
    let mut ledger = Ledger::new().unwrap();
    for kind in [FaultKind::None, FaultKind::Slow, FaultKind::Error, FaultKind::Panic, FaultKind::Park] {
        ledger.sent(kind);
        let is_ok = matches!(kind, FaultKind::None | FaultKind::Slow);
        ledger.settle(&Outcome { is_ok, fault: kind, ..USUAL });
    }
    ledger.refused(true);
    let wanted = Counts { sent: 6, answered: 2, failed: 3, refused: 1, faults: [1; 5], edge_cases: 4 };
    assert_eq!(ledger.counts(), wanted);
}

#[test]
fn warm_up_counts_for_edge_cases_alone() {
    let mut ledger = Ledger::new().unwrap();
    ledger.refused(false);
    ledger.settle(&Outcome { is_measured: false, ..USUAL });
    ledger.settle(&Outcome { is_measured: false, is_ok: false, ..USUAL });
    assert_eq!(ledger.counts(), Counts { edge_cases: 1, ..Counts::default() });
    assert_eq!(ledger.latency_us(1.0), 0);
}
