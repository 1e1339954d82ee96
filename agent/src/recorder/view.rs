//! What the recorder shows of itself: status, lists and metrics.

use super::{Member, Now, Recorder};
use crate::names::Names;
use crate::totals::{Listed, Totals, by_name};
use crate::triggers::{Counts, OTHERS};
use backsight_core::clock::Timeline;
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::telemetry::{DROP_COUNTERS, DropReason};
use backsight_core::units::{Bytes, Nanos};
use backsight_proto::admin::{
    Horizon, HorizonReport, KEPT_LIST_MAX, KeptList, KeptState, KeptTrace, PoolStatus, SessionState, SessionStatus,
    TriggerList, TriggerStatus,
};
use backsight_ringbuf::slot;
use std::collections::BTreeMap;

/// Chunks by state, over all regions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChunkCounts {
    /// Threads fill them.
    pub open: u64,
    /// Taken by threads that are not filling them: a thread was cancelled in between.
    pub limbo: u64,
    /// Granted ahead.
    pub ahead: u64,
}

impl Recorder {
    /// Returns the memory in use.
    pub fn pool_status(&self) -> PoolStatus {
        PoolStatus {
            budget_bytes: self.settings.budget.0,
            populated_bytes: self.pages.total(),
            retained_bytes: self.retention.bytes().0,
            kept_bytes: self.kept.bytes().0,
            index_bytes: self.index.bytes().0,
            carried_bytes: self.carried.bytes().0,
            afterlife_bytes: self.afterlife.bytes().0,
        }
    }

    /// Returns how far back the recorder can look.
    pub fn horizon_status(&self, now: Now) -> Horizon {
        let shedding = self.shedding();
        let permille = |share: f64| (share * 1000.0).round() as u16;
        Horizon {
            horizon_ms: self.horizon.age_ticks(now.ticks).map(|age| self.ms_of(age)),
            predicted_ms: crate::horizon::predict(self.room_for_data(), &self.rate).map(Nanos::as_ms),
            target_ms: self.settings.horizon_target.as_ms(),
            bytes_per_s: self.rate.bytes_per_s() as u64,
            shed_permille: shedding.detail.map(permille),
            unrecorded_permille: permille(shedding.record),
        }
    }

    /// Returns the horizon with its last ten minutes.
    pub fn horizon_report(&self, now: Now) -> HorizonReport {
        HorizonReport { now: self.horizon_status(now), history: self.history.samples() }
    }

    /// Returns the horizon of what processes over their share lost of their own, in milliseconds.
    pub fn horizon_over_share_ms(&self, now: Now) -> Option<u64> {
        self.horizon_over_share.age_ticks(now.ticks).map(|age| self.ms_of(age))
    }

    /// Returns what sealed chunks will take once the pool is full: all but what is fixed, kept, indexed, open or granted ahead.
    pub(super) fn room_for_data(&self) -> Bytes {
        let held: u64 = self.live().map(|(_, member)| member.region.held_bytes().0).sum();
        let fixed: u64 = self.members.iter().flatten().map(|member| member.region.fixed_bytes().0).sum();
        Bytes(self.settings.budget.0.saturating_sub(held + fixed + self.heap_bytes().0))
    }

    pub(super) fn ms_of(&self, ticks: u64) -> u64 {
        (u128::from(ticks) * 1000 / u128::from(self.settings.ticks_per_second.max(1))) as u64
    }

    /// Returns the processes whose data is held.
    pub fn sessions(&self) -> Vec<SessionStatus> {
        self.members.iter().flatten().map(Member::status).collect()
    }

    /// Returns how many processes leave out more than all do, because they alone write too much.
    pub fn n_shedding_alone(&self) -> u64 {
        self.live().filter(|(_, member)| member.objective.is_some()).count() as u64
    }

    /// Returns how many gone segments are remembered no more.
    pub const fn n_forgotten(&self) -> u64 {
        self.afterlife.n_forgotten()
    }

    /// Returns what was counted.
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Returns what was given up, by the agent and by all threads, by reason code.
    pub fn drops(&self) -> [u64; DROP_COUNTERS] {
        let mut drops = *self.totals.drops();
        for member in self.members.iter().flatten() {
            drops.iter_mut().zip(member.all_drops()).for_each(|(total, n)| *total = total.wrapping_add(n));
        }
        drops
    }

    /// Returns chunks by state.
    pub fn chunk_counts(&self) -> ChunkCounts {
        let mut counts = ChunkCounts::default();
        for (_, member) in self.live() {
            let (open, limbo) = member.region.open_and_limbo();
            counts.open += open;
            counts.limbo += limbo;
            counts.ahead += member.region.n_ahead().into_iter().map(u64::from).sum::<u64>();
        }
        counts
    }

    /// Returns how many traces are triggered now, and how many stopped being so early.
    pub fn lingering(&self) -> (usize, u64) {
        (self.triggers.n_lingering(), self.triggers.n_cut_short())
    }

    /// Takes the name of a trigger that a person used; a text that is none is passed over.
    pub fn note_name(&mut self, text: &str) {
        self.names.told(text);
    }

    /// Returns the names of triggers.
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Returns the triggers seen so far, with the reserved ones.
    pub fn trigger_list(&self) -> TriggerList {
        let (counts, kept) = (self.triggers.counts(), self.kept.by_trigger());
        let when: BTreeMap<TriggerId, String> = self.expressions().map(|(id, expr)| (id, expr.to_string())).collect();
        let ids: std::collections::BTreeSet<TriggerId> =
            counts.keys().chain(kept.keys()).copied().chain(TriggerId::RESERVED).chain(when.keys().copied()).collect();
        let status = |id: TriggerId| {
            let counts = counts.get(&id).copied().unwrap_or_default();
            let (kept_traces, kept_bytes) = kept.get(&id).copied().unwrap_or_default();
            TriggerStatus {
                id: id.0,
                name: self.names.known(id).unwrap_or_default().to_owned(),
                fired_total: counts.fired,
                refused_total: counts.refused,
                kept_traces,
                kept_bytes,
                when: when.get(&id).cloned().unwrap_or_default(),
            }
        };
        TriggerList { triggers: ids.into_iter().map(status).collect() }
    }

    /// Returns whether later segments of a trace are still kept.
    pub fn lingers(&self, trace: TraceId) -> bool {
        self.triggers.triggered(trace).is_some()
    }

    /// Returns how often the coordinator asked for traces.
    pub const fn remote_counts(&self) -> Counts {
        self.triggers.remote_counts()
    }

    /// Returns the kept traces, newest first, and how far each has come by `state`.
    pub fn kept_list(&self, timeline: &Timeline, state: &dyn Fn(TraceId) -> KeptState) -> KeptList {
        let mut kept: Vec<_> = self.kept.traces().collect();
        kept.sort_by_key(|kept| (std::cmp::Reverse(kept.fired()), kept.triggered.trace));
        let n_more = kept.len().saturating_sub(KEPT_LIST_MAX) as u64;
        let trace = |kept: &crate::kept::KeptTrace| KeptTrace {
            trace: kept.triggered.trace,
            trigger: self.names.label(kept.triggered.trigger),
            trigger_id: kept.triggered.trigger.0,
            fired_unix_ns: unix_ns(timeline, kept.fired()),
            n_segments: kept.n_segments,
            bytes: kept.bytes,
            state: state(kept.triggered.trace),
        };
        KeptList { traces: kept.into_iter().take(KEPT_LIST_MAX).map(trace).collect(), n_more }
    }

    /// Returns how often each trigger fired, by name.
    ///
    /// What has no id of its own is *other*, and so is a trigger that somebody called that.
    pub fn triggers_fired(&self) -> BTreeMap<String, u64> {
        let mut fired: BTreeMap<String, u64> = BTreeMap::new();
        for (id, counts) in self.triggers.counts() {
            let label = if id == OTHERS { "other".to_owned() } else { self.names.label(id) };
            *fired.entry(label).or_default() += counts.fired;
        }
        fired
    }
}

/// Returns the wall time of a monotonic instant, by the newest calibration point.
fn unix_ns(timeline: &Timeline, time: Nanos) -> u64 {
    let newest = timeline.points().last();
    newest.map_or(0, |point| point.realtime_ns.saturating_add(time.0).saturating_sub(point.monotonic_ns))
}

impl Member {
    fn all_drops(&self) -> [u64; DROP_COUNTERS] {
        let mut drops = self.drops;
        if self.is_live {
            let store = self.region.store();
            for number in self.region.slots() {
                drops.iter_mut().zip(slot::drops(store, number)).for_each(|(total, n)| *total = total.wrapping_add(n));
            }
            let refused = &mut drops[DropReason::ThreadSlots as usize];
            *refused = refused.wrapping_add(slot::refused(store));
        }
        drops
    }

    /// Takes what the region counts outside its slots, which nobody reads there once the process has ended.
    pub(super) fn take_refused(&mut self) {
        let refused = &mut self.drops[DropReason::ThreadSlots as usize];
        *refused = refused.wrapping_add(slot::refused(self.region.store()));
    }

    fn status(&self) -> SessionStatus {
        SessionStatus {
            region: self.region.id().0,
            pid: self.pid,
            service: self.service.clone(),
            state: if self.is_live { SessionState::Live } else { SessionState::Dead },
            sheds_alone: self.is_live && self.objective.is_some(),
            threads: self.n_threads,
            chunks_open: self.region.n_open(),
            chunks_granted: self.region.n_ahead().into_iter().sum(),
            bytes_written: self.bytes_written,
            drops: by_name(&self.all_drops(), Listed::NonZero),
        }
    }
}
