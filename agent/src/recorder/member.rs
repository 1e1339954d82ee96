//! A process with a region, as the recorder keeps it.

use super::Now;
use super::rest::Rest;
use crate::demand::{Demand, PerClass, idx};
use crate::horizon::objective::Objective;
use crate::horizon::{RATE_WINDOW_SHORT, WriteRate};
use crate::names::Search;
use crate::region::Region;
use backsight_core::ids::AgentId;
use backsight_core::segment::{LastWords, Process};
use backsight_core::telemetry::DROP_COUNTERS;
use backsight_core::units::Nanos;
use backsight_ringbuf::abi::{Class, LEASES_MAX};
use std::collections::BTreeMap;

/// A process with a region, or what is left of one.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) region: Region,
    pub(super) pid: u32,
    pub(super) uid: u32,
    pub(super) service: String,
    pub(super) is_live: bool,
    pub(super) death: Option<LastWords>,
    pub(super) demand: Demand,
    pub(super) rest: Rest,
    /// When its threads last took or sealed a chunk.
    pub(super) last_active: Nanos,
    /// When its threads last had signals.
    pub(super) last_signal: Option<Nanos>,
    pub(super) n_threads: u32,
    pub(super) bytes_written: u64,
    /// How fast it fills chunks, by their size.
    pub(super) rate: WriteRate,
    /// What its threads leave out because it alone writes too much; `None` while it leaves out what all do.
    pub(super) objective: Option<Objective>,
    pub(super) n_corrupt: u64,
    /// Drop counters of threads that have exited, by reason code; once the process has ended, all of them.
    pub(super) drops: [u64; DROP_COUNTERS],
    /// Open chunks, with their generations, whose LOST records were read.
    pub(super) told: BTreeMap<u32, u32>,
    /// Of open chunks that were looked into for triggered traces, the generation and the last segment then.
    pub(super) looked: BTreeMap<u32, (u32, u32)>,
    pub(super) search: Search,
}

/// Whose a region is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned {
    pub(super) pid: u32,
    pub(super) uid: u32,
}

impl Member {
    pub(super) fn new(region: Region, owner: Owned, service: String, now: Now) -> Self {
        let Owned { pid, uid } = owner;
        Self {
            region,
            pid,
            uid,
            service,
            is_live: true,
            death: None,
            demand: Demand::default(),
            rest: Rest::default(),
            last_active: now.time,
            last_signal: None,
            n_threads: 0,
            bytes_written: 0,
            rate: WriteRate::new(RATE_WINDOW_SHORT),
            objective: None,
            n_corrupt: 0,
            drops: [0; DROP_COUNTERS],
            told: BTreeMap::new(),
            looked: BTreeMap::new(),
            search: Search::new(now.time),
        }
    }

    /// Returns the pages of its region, the fixed part as last measured.
    pub(super) const fn bytes(&self) -> u64 {
        self.region.chunk_bytes().0 + self.region.fixed_bytes().0
    }

    /// Returns the process, without strings and clock.
    pub(super) fn process(&self, agent: AgentId) -> Process {
        Process {
            agent,
            region: self.region.id(),
            pid: self.pid,
            service: self.service.clone(),
            death: self.death.clone(),
            ..Process::default()
        }
    }

    /// Returns the smallest class that its threads should take, by how its leases are used up.
    pub(super) fn class_floor(&self) -> Class {
        let n_leases: PerClass = self.region.n_leases();
        let half = LEASES_MAX / 2;
        if n_leases[idx(Class::Small)] + n_leases[idx(Class::Medium)] > half + half / 2 {
            Class::Large
        } else if n_leases[idx(Class::Small)] > half {
            Class::Medium
        } else {
            Class::Small
        }
    }
}
