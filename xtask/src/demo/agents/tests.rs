//! Tests of what is read from agents and collector.

use super::{Status, Watch, address_in};
use serde_json::json;

#[test]
fn the_collectors_address_is_in_its_log() {
    let log = "2026-01-31T12:00:00Z  INFO collector starts\n2026-01-31T12:00:00Z  INFO collector started address=10.78.0.1:40321 traces=0\n";
    assert_eq!(address_in(log), Some("10.78.0.1:40321"));
    assert_eq!(address_in("collector starts"), None);
}

fn status(region: u64, written: u64) -> Status {
    serde_json::from_value(json!({
        "agent": "0000001", "pool": {"budget_bytes": 1, "kept_bytes": 10},
        "horizon": {"horizon_ms": null, "predicted_ms": 90_000, "target_ms": 1},
        "sessions": [{"region": region, "pid": 7, "bytes_written": written}],
        "uplinks": [{"is_connected": true, "is_reporting": true, "bytes_total": 5}]
    }))
    .unwrap()
}

#[test]
fn what_a_forgotten_process_wrote_still_counts() {
    let mut watch = Watch::default();
    watch.look(&[status(1, 100), status(1, 50)]);
    watch.look(&[status(2, 30), status(1, 70)]);
    assert_eq!((watch.written_bytes(), watch.kept_bytes, watch.sent_bytes), (200, 20, 10));
    assert_eq!(watch.horizons[0].predicted_ms, Some(90_000));
    assert!(status(1, 1).is_reporting() && !Status::default().is_reporting());
}
