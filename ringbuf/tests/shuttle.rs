//! Writers and agent under random schedules: larger than loom can exhaust, sequentially consistent.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p backsight-ringbuf --release --test shuttle`; a failure prints the schedule to replay.

#![cfg(shuttle)]

#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/log.rs"]
mod log;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/model.rs"]
mod model;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/region.rs"]
mod region;
#[path = "common/scenario.rs"]
mod scenario;

use region::Chunks;
use scenario::Load;

/// For random schedules of three writers and the agent: every committed record is seen exactly once, and none is invented.
#[test]
fn every_committed_record_is_seen_once() {
    shuttle::check_random(
        || {
            let chunks = Chunks { small: 3, medium: 1, large: 0 };
            let load = Load { n_writers: 3, n_lives: 2, n_records: 24, record_bytes_max: 900, seed: 1 };
            scenario::run(chunks.heap(64), chunks, load);
        },
        300,
    );
}

/// The same with schedules that change threads rarely, at the worst moments: probabilistic concurrency testing of depth 3.
#[test]
fn every_committed_record_is_seen_once_under_rare_preemption() {
    shuttle::check_pct(
        || {
            let chunks = Chunks { small: 2, medium: 0, large: 0 };
            let load = Load { n_writers: 2, n_lives: 2, n_records: 30, record_bytes_max: 900, seed: 2 };
            scenario::run(chunks.heap(64), chunks, load);
        },
        200,
        3,
    );
}
