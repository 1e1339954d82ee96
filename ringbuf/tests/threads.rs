//! Writers and agent on real threads and real shared memory; also what ThreadSanitizer watches.

#![cfg(not(any(loom, shuttle)))]

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

use backsight_core::ids::StringId;
use backsight_ringbuf::shm::Mapping;
use backsight_ringbuf::strings;
use region::Chunks;
use scenario::Load;
use std::sync::Arc;

fn mapping() -> Mapping {
    Mapping::create(Chunks::region_bytes()).expect("memfds are available").0
}

/// Every committed record is seen exactly once, and none is invented, on a pool that is too small.
#[test]
fn every_committed_record_is_seen_once_on_a_tiny_pool() {
    let load = Load { n_writers: 3, n_lives: 3, n_records: 3000, record_bytes_max: 600, seed: 1 };
    scenario::run(mapping(), Chunks { small: 3, medium: 1, large: 0 }, load);
}

/// The same where records are larger than chunks, and chunks abound.
#[test]
fn every_committed_record_is_seen_once_on_a_large_pool() {
    let load = Load { n_writers: 4, n_lives: 2, n_records: 2000, record_bytes_max: 9000, seed: 2 };
    scenario::run(mapping(), Chunks { small: 64, medium: 64, large: 0 }, load);
}

/// Threads that intern the same texts at once all get ids that hold their text.
#[test]
fn interned_strings_are_whole() {
    let store = Arc::new(mapping());
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || {
                for n in 0..400_u32 {
                    let text = format!("name number {n}");
                    let id = strings::intern(&store, text.as_bytes(), n).expect("there is room");
                    assert_eq!(strings::get(&store, id).as_deref(), Some(text.as_bytes()));
                    let other = strings::get(&store, StringId(id.0 / 2 + 1));
                    assert!(other.is_none_or(|text| text.starts_with(b"name number ")));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
}
