//! The floor: what it costs to read the counter and store the bytes, and nothing else; reading the counter alone; and storing alone.
//!
//! Called through [`Peer`]. Each thread owns a ring as large as its share of the recorder's pool, already faulted in: whoever keeps
//! history writes through memory that is in no cache, so a smaller ring would be no floor. It has no header that a reader could follow,
//! no sharing and no loss accounting.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::{CONTROL, Op, PAYLOADS, Peer, VISIT_PAYLOAD, unsupported};
use crate::bench::{
    clock::ticks,
    threads::{Measurement, per_op},
};

/// A thread's share of the pool when four threads write.
const RING_BYTES: usize = super::ours::BUDGET_BYTES as usize / 4;

/// Rings that are not in use: touching a ring for the first time takes longer than a sample.
static RINGS: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// Payloads of our records without their 8-byte header (hindsight spec 4.3), so that both sides store the same bytes.
const SEG_BYTES: usize = 40;
const SPAN_START_BYTES: usize = 24;
const SPAN_END_BYTES: usize = 8;
const ATTR_BYTES: usize = 24;

/// `rdtsc`, an 8-byte header and a copy of the payload into a private ring.
#[derive(Debug)]
pub struct Floor;

impl Peer for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn measures(&self) -> &'static str {
        "rdtsc, then 8 bytes of header and the payload stored in a 128 MiB ring of the thread's own; begin, end, span and attr store as \
         many bytes as our records; without pauses, which favours it"
    }

    fn supports(&self, op: Op) -> bool {
        !matches!(op, Op::Event { payload } if !PAYLOADS.contains(&payload))
    }

    fn measure(&self, op: Op, threads: usize, n: u64) -> Result<Measurement> {
        match op {
            Op::Event { payload: 8 } => each(threads, n, Ring::stamp::<8>),
            Op::Event { payload: 32 } => each(threads, n, Ring::stamp::<32>),
            Op::Event { payload: 128 } => each(threads, n, Ring::stamp::<128>),
            Op::Event { payload: 512 } => each(threads, n, Ring::stamp::<512>),
            Op::Event { payload: 2048 } => each(threads, n, Ring::stamp::<2048>),
            Op::Event { .. } => Err(unsupported(self, op)),
            Op::BeginEnd => each(threads, n, |ring| ring.visit(0)),
            Op::Span => each(threads, n, |ring| {
                ring.stamp::<SPAN_START_BYTES>();
                ring.stamp::<SPAN_END_BYTES>();
            }),
            Op::Attr => each(threads, n, Ring::stamp::<ATTR_BYTES>),
            Op::Visit { events } => each(threads, n, move |ring| ring.visit(events)),
        }
    }
}

/// `rdtsc` alone, once per operation.
#[derive(Debug)]
pub struct Rdtsc;

impl Peer for Rdtsc {
    fn name(&self) -> &'static str {
        "rdtsc"
    }

    fn measures(&self) -> &'static str {
        "one read of the time stamp counter per operation, nothing stored"
    }

    fn supports(&self, op: Op) -> bool {
        op == Op::BeginEnd
    }

    fn measure(&self, op: Op, threads: usize, n: u64) -> Result<Measurement> {
        if !self.supports(op) {
            return Err(unsupported(self, op));
        }
        per_op(threads, n, || {
            |n| {
                for _ in 0..n {
                    black_box(ticks());
                }
                0.0
            }
        })
    }
}

/// Plain stores to a private array, as many as a begin and end make: the control, which shows how fast the machine stores at this moment.
#[derive(Debug)]
pub struct Stores;

/// Stores of the control per operation.
const N_STORES: usize = 40;

impl Peer for Stores {
    fn name(&self) -> &'static str {
        CONTROL
    }

    fn measures(&self) -> &'static str {
        "the control, none of our code: 40 plain stores to a private array in the first-level cache; where its samples show two modes, so \
         does the machine"
    }

    fn supports(&self, op: Op) -> bool {
        matches!(op, Op::BeginEnd | Op::Span)
    }

    fn measure(&self, op: Op, threads: usize, n: u64) -> Result<Measurement> {
        if !self.supports(op) {
            return Err(unsupported(self, op));
        }
        per_op(threads, n, || {
            let words = [const { AtomicU64::new(0) }; N_STORES];
            move |n| {
                for i in 0..n {
                    words.iter().for_each(|word| word.store(i, Relaxed)); // plain stores that the compiler keeps
                }
                black_box(&words);
                0.0
            }
        })
    }
}

fn each(threads: usize, n: u64, op: impl Fn(&mut Ring) + Sync) -> Result<Measurement> {
    per_op(threads, n, || {
        let mut ring = Ring::new();
        let op = &op;
        move |n| {
            for _ in 0..n {
                op(&mut ring);
            }
            black_box(&mut ring.bytes);
            0.0
        }
    })
}

struct Ring {
    bytes: Box<[u8]>,
    at: usize,
    payload: [u8; 2048],
}

impl Ring {
    fn new() -> Self {
        let unused = RINGS.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // Memory that is zeroed by the system is not there until it is written.
        let bytes = unused.unwrap_or_else(|| vec![0xff; RING_BYTES].into_boxed_slice());
        Self { bytes, at: 0, payload: black_box([0x5a; 2048]) }
    }

    /// Stores the counter as a header, and the first `N` bytes of the payload. The wrap check is the bounds check.
    #[inline(always)]
    fn stamp<const N: usize>(&mut self) {
        let header = ticks().to_le_bytes();
        if self.at + 8 + N > RING_BYTES {
            self.at = 0;
        }
        let Some(room) = self.bytes.get_mut(self.at..self.at + 8 + N) else { return };
        room[..8].copy_from_slice(&header);
        room[8..].copy_from_slice(&self.payload[..N]);
        self.at += 8 + N;
    }

    #[inline(always)]
    fn visit(&mut self, events: usize) {
        self.stamp::<SEG_BYTES>();
        for _ in 0..events {
            self.stamp::<VISIT_PAYLOAD>();
        }
        self.stamp::<0>();
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        RINGS.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.bytes));
    }
}
