//! Thread slots, their contexts and rings, strings, calibration, and the doorbell.

use crate::Order;
use backsight_core::clock::CalibrationPoint;
use backsight_core::ids::{AgentId, SpanId, StringId, TraceId, TriggerId};
use backsight_core::record::CrumbDirection;
use backsight_core::segment::LastWords;
use backsight_core::sync::Ordering::Relaxed;
use backsight_ringbuf::abi::{SPAN_OFFSET, STRING_BYTES_OFFSET, STRINGS_OFFSET, header, slot, slot_offset};
use backsight_ringbuf::ring::{self, Signal};
use backsight_ringbuf::slot::{self as thread_slot, State};
use backsight_ringbuf::storage::{Heap, Storage};
use backsight_ringbuf::writer::{SegmentStart, Writer};
use backsight_ringbuf::{region, strings};
use loom::sync::Arc;
use loom::thread;

fn heap(windows: &[(u64, usize)]) -> Arc<Heap> {
    Arc::new(Heap::new(SPAN_OFFSET, windows))
}

/// Returns a region with `n` usable slots, each with the words that claiming, exit and release touch.
fn with_slots(n: u32) -> Arc<Heap> {
    let mut windows = vec![
        (header::N_SLOTS, 1),
        (header::RECORDING, 1),
        (header::N_LEASES, 3),
        (header::NO_SLOT, 1),
        (header::SLOT_BITS, 64),
    ];
    for number in 0..n {
        let at = slot_offset(number);
        windows.extend([
            (at, 10),
            (at + slot::DROPS, 20),
            (at + slot::WORDS_SIGNAL, 24),
            (at + slot::RING_TAIL, 1),
            (at + slot::RING_HEAD, 1),
        ]);
    }
    let store = heap(&windows);
    store.word(header::N_SLOTS).store(u64::from(n), Relaxed);
    store
}

/// Two threads that claim at once get different slots, and both are seen with their names or none yet.
#[test]
fn slot_has_one_thread() {
    loom::model(|| {
        let store = with_slots(2);
        let claimers = [31, 32].map(|tid| {
            let store = store.clone();
            thread::spawn(move || thread_slot::claim(&store, tid))
        });
        for number in thread_slot::taken(&store) {
            let tid = match thread_slot::state(&store, number) {
                Some(State::Live { tid }) => tid,
                Some(State::Unnamed) => 31,
                other => panic!("a slot that is just claimed is {other:?}"),
            };
            assert!(tid == 31 || tid == 32);
        }
        let mut numbers = claimers.map(|thread| thread.join().unwrap().unwrap());
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1]);
        assert_eq!(thread_slot::claim(&store, 33), None);
    });
}

/// A slot that is used again is clean, and the agent sees all that its first thread left before it exited.
#[test]
fn slot_is_reused_clean() {
    loom::model(|| {
        let store = with_slots(1);
        let first = thread_slot::claim(&store, 31).unwrap();
        let order = Order::new();
        let leaver = {
            let store = store.clone();
            order.spawn(move || {
                store.word(slot_offset(first) + slot::LOSS_RECORDS).store(4, Relaxed);
                thread_slot::exit(&store, first);
            })
        };
        order.looks();
        let comer = {
            let store = store.clone();
            thread::spawn(move || {
                let number = thread_slot::claim(&store, 32)?;
                Some(store.word(slot_offset(number) + slot::LOSS_RECORDS).load(Relaxed))
            })
        };
        if thread_slot::state(&store, first) == Some(State::Exited { tid: 31 }) {
            assert_eq!(store.word(slot_offset(first) + slot::LOSS_RECORDS).load(Relaxed), 4);
            thread_slot::release(&store, first);
        }
        leaver.join().unwrap();
        if let Some(left) = comer.join().unwrap() {
            assert_eq!(left, 0, "what the first thread left is gone");
            assert_eq!(thread_slot::state(&store, first), Some(State::Live { tid: 32 }));
        }
    });
}

/// A context that is read is one that was written, whole.
#[test]
fn context_is_not_torn() {
    loom::model(|| {
        let store = with_slots(1);
        let order = Order::new();
        let writer = {
            let store = store.clone();
            order.spawn(move || {
                let mut writer = Writer::new(store, 0, 3);
                writer.resume(SegmentStart { trace: TraceId::new(1, 1), span: SpanId(1), ..Default::default() }, 1);
                writer.resume(SegmentStart { trace: TraceId::new(2, 2), span: SpanId(2), ..Default::default() }, 2);
            })
        };
        order.looks();
        if let Some(context) = thread_slot::context(&store, 0) {
            let n = context.changed;
            assert!(n <= 2);
            assert_eq!((context.trace, context.span), (TraceId::new(n, n), n));
        }
        writer.join().unwrap();
        assert_eq!(thread_slot::context(&store, 0).unwrap().changed, 2);
    });
}

/// A calibration point that is read is one that was written, whole.
#[test]
fn calibration_is_not_torn() {
    let point = |n| CalibrationPoint { ticks: n, realtime_ns: 10 * n, monotonic_ns: 100 * n };
    loom::model(move || {
        let store = heap(&[(header::CALIBRATION_SEQ, 4)]);
        let order = Order::new();
        let agent = {
            let store = store.clone();
            order.spawn(move || (1..=2).for_each(|n| region::calibrate(&store, point(n))))
        };
        order.looks();
        if let Some(read) = region::calibration(&store) {
            assert_eq!(read, point(read.ticks));
        }
        agent.join().unwrap();
        assert_eq!(region::calibration(&store), Some(point(2)));
    });
}

/// Last words are whole once their signal is seen.
#[test]
fn last_words_are_whole() {
    let words =
        LastWords { signal: 11, address: 1, instruction: 2, trace: TraceId::new(3, 4), ticks: 5, frames: vec![6, 7] };
    loom::model(move || {
        let store = with_slots(1);
        let order = Order::new();
        let dying = {
            let (store, words) = (store.clone(), words.clone());
            order.spawn(move || thread_slot::say_last_words(&store, 0, &words, &words.frames))
        };
        order.looks();
        if let Some(read) = thread_slot::last_words(&store, 0) {
            assert_eq!(read, words);
        }
        dying.join().unwrap();
    });
}

/// Returns a region with one ring, whose head and tail stand at `at`.
fn with_ring(at: u64) -> Arc<Heap> {
    let tail = slot_offset(0) + slot::RING_TAIL;
    let store = heap(&[(header::SLEEPING, 1), (tail, (slot::RING - slot::RING_TAIL) as usize / 8 + 32 * 8)]);
    store.word(tail).store(at, Relaxed);
    store.word(slot_offset(0) + slot::RING_HEAD).store(at, Relaxed);
    store
}

fn pop(store: &Heap) -> Option<Signal> {
    ring::pop(&store, 0).expect("the ring is sound")
}

/// A trigger arrives with all of its laterals or not at all, and signals arrive in order, across the ring's end.
#[test]
fn trigger_arrives_whole_and_in_order() {
    let laterals = [TraceId::new(1, 1), TraceId::new(2, 2), TraceId::new(3, 3), TraceId::new(4, 4)];
    let trigger =
        Signal::Trigger { trigger: TriggerId(300), trace: TraceId::new(5, 6), ticks: 7, laterals: laterals.to_vec() };
    let (trace, agent, span) = (TraceId::new(8, 9), AgentId(10), SpanId(11));
    let crumb = Signal::Crumb { trace, agent, direction: CrumbDirection::To, span, ticks: 12 };
    loom::model(move || {
        let store = with_ring(30);
        let order = Order::new();
        let writer = {
            let store = store.clone();
            order.spawn(move || {
                assert!(ring::push_trigger(&store, 0, TriggerId(300), TraceId::new(5, 6), 7, &laterals));
                assert!(ring::push_crumb(&store, 0, trace, agent, CrumbDirection::To, span, 12));
            })
        };
        order.looks();
        let mut received: Vec<Signal> = (0..2).filter_map(|_| pop(&store)).collect();
        writer.join().unwrap();
        received.extend(std::iter::from_fn(|| pop(&store)));
        assert_eq!(received, [trigger.clone(), crumb.clone()]);
    });
}

/// A full ring refuses; an entry is written again only after it was read.
#[test]
fn ring_entry_is_reused_only_after_it_was_read() {
    let crumb = |store: &Heap, n: u32| {
        ring::push_crumb(&store, 0, TraceId::new(1, 1), AgentId(n), CrumbDirection::From, SpanId(u64::from(n)), 0)
    };
    loom::model(move || {
        let store = with_ring(0);
        for n in 0..32 {
            assert!(crumb(&store, n));
        }
        let order = Order::new();
        let writer = {
            let store = store.clone();
            order.spawn(move || crumb(&store, 32))
        };
        order.looks();
        let mut next = 0;
        let mut take = |signal: Signal| {
            assert!(
                matches!(signal, Signal::Crumb { agent, span, .. } if agent.0 == next && span.0 == u64::from(next))
            );
            next += 1;
        };
        take(pop(&store).unwrap());
        let had_room = writer.join().unwrap();
        while let Some(signal) = pop(&store) {
            take(signal);
        }
        assert_eq!(next, 32 + u32::from(had_room));
    });
}

/// Either the publishing thread sees that the agent sleeps, or the agent's last look sees the signal: no wake-up is lost.
#[test]
fn doorbell_is_rung_or_not_needed() {
    loom::model(|| {
        let store = with_ring(0);
        let order = Order::new();
        let writer = {
            let store = store.clone();
            order.spawn(move || {
                assert!(ring::push_trigger(&store, 0, TriggerId(3), TraceId::new(1, 2), 0, &[]));
                region::is_agent_sleeping(&store)
            })
        };
        order.looks();
        region::set_sleeping(&store, true);
        let seen = pop(&store).is_some();
        let rung = writer.join().unwrap();
        assert!(seen || rung, "the agent sleeps and nobody wakes it");
    });
}

/// Threads that change chunks wake an agent that expects as many changes, whoever counts last; one that is awake is rung for once.
#[test]
fn doorbell_is_rung_for_the_last_change() {
    for is_asleep in [false, true] {
        loom::model(move || {
            let store = heap(&[(header::SLEEPING, 3)]);
            region::expect_changes(&store, 3);
            region::set_sleeping(&store, is_asleep);
            let change = |n| {
                let store = store.clone();
                thread::spawn(move || (0..n).filter(|_| region::is_change_awaited(&store)).count())
            };
            let threads = [change(1), change(2)];
            let n_rung: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert_eq!(n_rung, 1, "of three changes, the last");
            assert_eq!(region::is_change_awaited(&store), is_asleep, "a later change rings an agent that sleeps");
        });
    }
}

/// Threads that intern different and equal texts get ids that hold their text; a reader sees a whole string or none.
#[test]
fn string_is_whole_or_absent() {
    loom::model(|| {
        let store = heap(&[(STRINGS_OFFSET, 10), (STRING_BYTES_OFFSET, 4)]);
        let threads = [(&b"a"[..], 1), (&b"bb"[..], 2)].map(|(text, hash)| {
            let store = store.clone();
            thread::spawn(move || (strings::intern(&store, text, hash).expect("there is room"), text))
        });
        for id in [1, 2] {
            let read = strings::get(&store, StringId(id));
            assert!(read.is_none() || [&b"a"[..], b"bb"].contains(&read.unwrap().as_slice()));
        }
        for (id, text) in threads.map(|thread| thread.join().unwrap()) {
            assert_eq!(strings::get(&store, id).unwrap(), text);
        }
    });
}

/// Two threads that intern the same text at once get ids of that text; one that comes later gets an id that exists.
#[test]
fn equal_strings_share_an_id_or_two() {
    loom::model(|| {
        let store = heap(&[(STRINGS_OFFSET, 10), (STRING_BYTES_OFFSET, 4)]);
        let threads = [(); 2].map(|()| {
            let store = store.clone();
            thread::spawn(move || strings::intern(&store, b"same", 1).expect("there is room"))
        });
        let ids = threads.map(|thread| thread.join().unwrap());
        for id in ids {
            assert_eq!(strings::get(&store, id).unwrap(), b"same");
        }
        let later = strings::intern(&store, b"same", 1).unwrap();
        assert!(ids.contains(&later));
    });
}
