//! Deterministic simulation of a cluster: real agents' recorders and uplinks, a real coordinator and real certificates, on one seeded clock
//! and a network that delays, breaks and divides.
//!
//! Run by `cargo xtask dst`, and with a few seeds by the tests. Everything follows from the seed; what breaks once breaks again. Shared memory
//! is real, and written as client threads write it; sockets, threads, disks and clocks are not there.
//!
//! # Shape
//! A [`world::World`] is a queue of events by time. [`host`] is an agent with the processes that record on its host, [`request`] what travels
//! through them, [`network`] what is between agents and collector, [`collector`] what is at its other end. [`check`] holds what is stored in
//! the end against what requests really did.
#![forbid(unsafe_code)]

pub mod check;
pub mod collector;
pub mod host;
pub mod network;
pub mod plan;
pub mod request;
pub mod reserve;
pub mod rng;
pub mod world;

use backsight_core::ids::TraceId;
use plan::Plan;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a seed showed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// What must never be, in words; empty where all held.
    pub violations: Vec<String>,
    /// Traces for which a trigger fired.
    pub n_triggered: usize,
    /// Of these, certified complete in the end.
    pub n_complete: usize,
    /// Faults that happened.
    pub n_faults: usize,
}

/// Runs one seed to its end.
#[must_use]
pub fn run(seed: u64) -> Outcome {
    run_watched(seed, None)
}

/// As [`run`]; prints everything that happens to request `watched`.
#[must_use]
pub fn run_watched(seed: u64, watched: Option<TraceId>) -> Outcome {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut world = world::World::new(Plan::of(seed));
        world.watched = watched;
        world.run()
    }));
    ran.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let why = format!("it panicked: {}", said.unwrap_or_default());
        Outcome { violations: vec![why], ..Outcome::default() }
    })
}
