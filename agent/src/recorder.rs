//! The recorder: all regions of a host, what is retained of them, and one round of looking after them.
//!
//! Called by the daemon's loop, which owns sockets, descriptors and clocks; times come in as [`Now`]. Nothing here waits: a round costs
//! what was written since the last one, and every queue and table in it is bounded.

mod adopt;
mod death;
mod fire;
mod gone;
mod grants;
mod holding;
mod index_room;
mod legacy;
mod loss;
mod member;
mod rest;
mod seal;
mod shares;
mod shed;
mod view;
mod watch;

pub use adopt::Survivor;
pub use death::Ending;
pub use fire::Fired;
pub use rest::Pace;
pub use watch::{Busy, WalkCounts, WalkStatus};

use crate::afterlife::Afterlife;
use crate::carried::Carried;
use crate::crumbs::RingCrumbs;
use crate::damage::Damage;
use crate::deaths::Deaths;
use crate::horizon::history::History;
use crate::horizon::objective::Objective;
use crate::horizon::{Horizon, RATE_WINDOW, RATE_WINDOW_SHORT, WriteRate};
use crate::index::Index;
use crate::journal::Journal;
use crate::kept::Kept;
use crate::losses::Losses;
use crate::names::Names;
use crate::region::Region;
use crate::retention::Retention;
use crate::totals::Totals;
use crate::triggers::{Event, Rules, Triggers};
use crate::uplink;
use crate::weights::Weights;
use backsight_core::clock::{CalibrationPoint, ClockSource};
use backsight_core::ids::{AgentId, RegionId, TraceId};
use backsight_core::telemetry::DropReason;
use backsight_core::units::{Bytes, Nanos};
use backsight_ringbuf::abi::RING_ENTRIES;
use backsight_ringbuf::region::{self, CrumbRules, Identity};
use backsight_ringbuf::shm::ShmError;
use backsight_ringbuf::{slot, strings};
use member::{Member, Owned};
use rest::Rest;
use shares::Pages;
use shed::Unrecorded;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

/// How often regions that sleep are looked at all the same.
pub const SWEEP_EVERY: Nanos = Nanos::from_ms(100);
/// Corruptions after which a session is closed.
const CORRUPT_MAX: u64 = 64;
/// The share of the budget that the index may take.
const INDEX_SHARE: f64 = 0.08;
/// The share that the memory of evicted segments may take.
const AFTERLIFE_SHARE: f64 = 0.02;
/// The share that segments of evicted chunks may take whose traces go on.
const CARRIED_SHARE: f64 = 0.10;
/// Regions that may have data at a time: live ones are bounded by the sessions, dead ones by this.
const MEMBERS_MAX: usize = 1 << 17;

/// The present instant on the clocks that the recorder needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// CLOCK_MONOTONIC.
    pub time: Nanos,
    /// The clock of records.
    pub ticks: u64,
    /// Nanoseconds since 1970.
    pub wall_ns: u64,
}

/// What the recorder is told once.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// This agent.
    pub agent: AgentId,
    /// The host's boot.
    pub boot: [u64; 2],
    /// The clock of records.
    pub clock: ClockSource,
    /// Its rate.
    pub ticks_per_second: u64,
    /// The first region's id; later ones count up.
    pub first_region: RegionId,
    /// Bytes for regions, index and kept traces.
    pub budget: Bytes,
    /// See `pool.kept_share`.
    pub kept_share: f64,
    /// See `pool.process_share`.
    pub process_share: f64,
    /// See `pool.user_share`.
    pub user_share: f64,
    /// See `pool.grant_reserve_ms`.
    pub reserve_lasts: Nanos,
    /// See `pool.grant_reserve_share`.
    pub reserve_share: f64,
    /// See `pool.slots_per_process`.
    pub slots_per_process: u32,
    /// See `crumbs.path_len` and `crumbs.response`.
    pub crumbs: CrumbRules,
    /// See `horizon.target_ms`.
    pub horizon_target: Nanos,
    /// See `horizon.record_share`.
    pub record_share: f64,
    /// See `triggers.process_death_ms`.
    pub process_death: Nanos,
    /// What triggers may do.
    pub rules: Rules,
    /// See `walk.cpu_share`.
    pub walk_cpu_share: f64,
    /// Whether anybody takes the news of what is kept.
    pub is_reporting: bool,
    /// Whether an earlier agent ran since the host was booted: processes may go on for a while in regions that nobody has any more.
    pub has_predecessor: bool,
}

/// A process that wants a region.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// Its id on this host.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its start in clock ticks since boot.
    pub start_time: u64,
    /// Its service.
    pub service: String,
    /// The member of which it is a fork: its interned strings are copied.
    pub fork_of: Option<u32>,
}

/// Why no region was made.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// The pool has no room for the first chunks.
    #[error("no room in a pool of {budget} for another process")]
    NoRoom {
        /// The pool's size.
        budget: Bytes,
    },
    /// The kernel made no region.
    #[error("the agent could not make a region")]
    Region(#[from] ShmError),
}

/// What a round found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Round {
    /// How soon there should be another.
    pub pace: Pace,
    /// Members that corrupted their region too often.
    pub offenders: Vec<u32>,
}

/// See the module.
#[derive(Debug)]
pub struct Recorder {
    settings: Settings,
    members: Vec<Option<Member>>,
    next_region: u64,
    retention: Retention,
    index: Index,
    afterlife: Afterlife,
    carried: Carried,
    horizon: Horizon,
    /// The horizon of what processes over their share lost of their own.
    horizon_over_share: Horizon,
    /// How fast chunks are filled, by their size: those that threads leave half empty take as much of the pool.
    rate: WriteRate,
    rate_short: WriteRate,
    /// Of the bytes of filled chunks, those that the rates know.
    rated_bytes: u64,
    objective: Objective,
    unrecorded: Unrecorded,
    /// The cluster's seed and its epoch.
    cluster_seed: (u64, u64),
    history: History,
    triggers: Triggers,
    kept: Kept,
    losses: Losses,
    damage: Damage,
    deaths: Deaths,
    /// Nothing is known of what was recorded before.
    started_ticks: u64,
    /// What a successor is left; `None` where there will be none.
    journal: Option<Journal>,
    /// Regions that hold nothing any more, since they were last asked for.
    forgotten: Vec<RegionId>,
    ring_crumbs: RingCrumbs,
    /// Triggered traces that are looked at again in open chunks, and until when at least.
    restless: BTreeMap<TraceId, Nanos>,
    /// Where the look into open chunks goes on.
    next_open: usize,
    /// The revision of the newest holding: above those of earlier starts, as it began at their wall time.
    revision: u64,
    /// What the collector has not been told of.
    news: Vec<uplink::Event>,
    totals: Totals,
    pages: Pages,
    /// Bytes granted ahead in all regions.
    ahead_bytes: u64,
    /// What one process may have of that at most, and since when.
    reserve_level: u64,
    shared: Nanos,
    /// Free chunks that still have their pages, at most: those evicted for the index.
    n_spare: u64,
    /// What segments said was triggered while a trigger was being served; decided about in the next round.
    pending: Vec<Event>,
    names: Names,
    watch: watch::Watch,
    /// When a process last took much of what it had ahead.
    last_pressed: Option<Nanos>,
    swept: Nanos,
}

impl Recorder {
    /// Returns a recorder without members.
    pub fn new(settings: Settings, now: Now) -> Self {
        let share = |share: f64| Bytes((settings.budget.0 as f64 * share) as u64);
        let mut recorder = Self {
            settings,
            members: Vec::new(),
            next_region: settings.first_region.0.max(1),
            retention: Retention::default(),
            index: Index::new(share(INDEX_SHARE)),
            afterlife: Afterlife::new(share(AFTERLIFE_SHARE)),
            carried: Carried::new(share(CARRIED_SHARE)),
            horizon: Horizon::default(),
            horizon_over_share: Horizon::default(),
            rate: WriteRate::new(RATE_WINDOW),
            rate_short: WriteRate::new(RATE_WINDOW_SHORT),
            rated_bytes: 0,
            objective: Objective::new(settings.horizon_target, settings.record_share),
            unrecorded: Unrecorded::default(),
            cluster_seed: (0, 0),
            history: History::default(),
            triggers: Triggers::new(settings.rules, now.time),
            kept: Kept::new(share(settings.kept_share), 0),
            losses: Losses::new(settings.ticks_per_second),
            damage: Damage::default(),
            deaths: Deaths::default(),
            started_ticks: now.ticks,
            journal: None,
            forgotten: Vec::new(),
            ring_crumbs: RingCrumbs::default(),
            restless: BTreeMap::new(),
            next_open: 0,
            revision: (now.wall_ns / 1_000_000) << 20,
            news: Vec::new(),
            totals: Totals::default(),
            pages: Pages::default(),
            ahead_bytes: 0,
            reserve_level: u64::MAX,
            shared: now.time,
            n_spare: 0,
            pending: Vec::new(),
            names: Names::default(),
            watch: watch::Watch::new(settings.walk_cpu_share, settings.ticks_per_second, now),
            last_pressed: None,
            swept: now.time,
        };
        if settings.has_predecessor {
            recorder.distrust(now);
        }
        recorder
    }

    /// Takes the weights by which triggers share what is kept.
    pub fn set_weights(&mut self, weights: Weights) {
        self.kept.set_weights(weights);
    }

    /// Makes a region for a process and grants its first chunks; returns its position.
    ///
    /// # Errors
    /// No room in the pool, or no memfd.
    pub fn admit(&mut self, applicant: Applicant, point: CalibrationPoint, now: Now) -> Result<u32, AdmitError> {
        let identity = Identity {
            pid: applicant.pid,
            start_time: applicant.start_time,
            ..self.identity(RegionId(self.next_region))
        };
        if self.members.len() >= MEMBERS_MAX && !self.members.iter().any(Option::is_none) {
            return Err(AdmitError::NoRoom { budget: self.settings.budget });
        }
        let mut region = Region::create(&identity, self.settings.budget)?;
        region.poll(now.ticks); // nothing is written to it before
        region::set_service(region.store(), &applicant.service);
        self.next_region += 1;
        region::calibrate(region.store(), point);
        region::beat(region.store(), now.time.0);
        if let Some(parent) = applicant.fork_of.and_then(|position| self.member(position)) {
            strings::copy_table(parent.region.store(), region.store());
        }
        let position =
            self.place(Member::new(region, Owned { pid: applicant.pid, uid: applicant.uid }, applicant.service, now));
        self.tell_shed(position);
        self.measure(position);
        self.grant_ahead(position, now);
        if self.member(position).is_some_and(|member| member.region.n_ahead() == [0; 3]) {
            self.forget(position);
            return Err(AdmitError::NoRoom { budget: self.settings.budget });
        }
        Ok(position)
    }

    /// Returns what a region of this agent is made with, but for its process.
    const fn identity(&self, region: RegionId) -> Identity {
        let Settings { agent, boot, slots_per_process: n_slots, clock, ticks_per_second, crumbs, .. } = self.settings;
        Identity { region, agent, pid: 0, start_time: 0, boot, n_slots, clock, ticks_per_second, crumbs }
    }

    /// Gives a member a position.
    fn place(&mut self, member: Member) -> u32 {
        let free = self.members.iter().position(Option::is_none);
        let position = free.unwrap_or(self.members.len());
        match self.members.get_mut(position) {
            Some(place) => *place = Some(member),
            None => self.members.push(Some(member)),
        }
        position as u32
    }

    /// Returns the region's id and the descriptor that its process is given.
    pub fn region(&self, position: u32) -> Option<(RegionId, BorrowedFd<'_>)> {
        let region = &self.member(position)?.region;
        Some((region.id(), region.fd()))
    }

    /// Returns whether a member's process runs.
    pub fn is_live(&self, position: u32) -> bool {
        self.member(position).is_some_and(|member| member.is_live)
    }

    /// Returns the position of the live member with region `region`.
    pub fn position_of(&self, region: RegionId) -> Option<u32> {
        let is_it = |member: &Member| member.is_live && member.region.id() == region;
        self.live().find(|(_, member)| is_it(member)).map(|(position, _)| position)
    }

    /// Looks at all regions that are awake, or at all: drains, indexes, fires, copies out, evicts and grants.
    pub fn round(&mut self, now: Now) -> Round {
        self.totals.rounds += 1;
        let is_sweep = now.time.0.saturating_sub(self.swept.0) >= SWEEP_EVERY.0;
        let due: Vec<u32> =
            self.live().filter(|(_, m)| is_sweep || m.rest != Rest::Asleep).map(|(position, _)| position).collect();
        // Signals first: whatever a thread wrote before it fired is then seen by the look at its leases.
        let mut events = std::mem::take(&mut self.pending);
        events.extend(self.take_signals(&due, now));
        let sealed = self.look(&due, now);
        events.extend(self.index_all(&sealed, now));
        self.fire_all(events, now);
        self.trim(now);
        for position in &due {
            self.grant_ahead(*position, now);
        }
        self.trim(now); // what was carried over from the chunks that went for it
        if is_sweep {
            self.sweep(&due, now);
        }
        // Also what was sealed since the last round and indexed because somebody asked.
        let filled = self.totals.filled_bytes - std::mem::replace(&mut self.rated_bytes, self.totals.filled_bytes);
        for rate in [&mut self.rate, &mut self.rate_short] {
            rate.add(Bytes(filled));
            rate.tick(now.time);
        }
        if let Some(journal) = &self.journal {
            journal.note_round(now.ticks);
        }
        let offenders = self.live().filter(|(_, m)| m.n_corrupt > CORRUPT_MAX).map(|(position, _)| position).collect();
        Round { pace: self.settle(&due, now), offenders }
    }

    /// Writes a calibration point and the heartbeat to every live region, and measures what each really holds.
    pub fn beat(&mut self, point: CalibrationPoint) {
        for position in self.live().map(|(position, _)| position).collect::<Vec<_>>() {
            if let Some(member) = self.member(position) {
                region::calibrate(member.region.store(), point);
                region::beat(member.region.store(), point.monotonic_ns);
            }
            self.measure(position);
        }
    }

    /// Counts something that was given up.
    pub fn count_drops(&mut self, reason: DropReason, n: u64) {
        self.totals.drop_n(reason, n);
    }

    /// Counts a session that was refused.
    pub fn count_refused_session(&mut self) {
        self.totals.refused_sessions += 1;
    }

    /// What is done ten times a second: exited threads, expiry, dead regions without data.
    fn sweep(&mut self, due: &[u32], now: Now) {
        self.swept = now.time;
        for position in due {
            self.reap_threads(*position, now);
        }
        self.share_reserve(now);
        self.look_at_losses(now);
        self.revisit(now);
        if self.damage.take_news(now.time) {
            self.tell(uplink::Event::HostChanged);
        }
        self.triggers.step(now.time, Event::Tick);
        self.pursue_objective(now);
        if self.history.is_due(now.time) {
            let horizon = self.horizon_status(now);
            self.history.add(now.time, now.wall_ns / 1_000_000, horizon);
        }
        let is_done = |member: &Member| !member.is_live && member.region.n_retained() == 0;
        let done = |(position, member): (usize, &Option<Member>)| {
            member.as_ref().is_some_and(is_done).then_some(position as u32)
        };
        let done: Vec<u32> = self.members.iter().enumerate().filter_map(done).collect();
        done.into_iter().for_each(|position| self.forget(position));
    }

    /// Drains what exited threads left and frees their slots.
    fn reap_threads(&mut self, position: u32, now: Now) {
        let Some(member) = self.members.get_mut(position as usize).and_then(Option::as_mut) else { return };
        let store = member.region.store();
        let mut n_threads = 0;
        let exited: Vec<u32> = member
            .region
            .slots()
            .inspect(|_| n_threads += 1)
            .filter(|number| matches!(slot::state(store, *number), Some(slot::State::Exited { .. })))
            .collect();
        member.n_threads = n_threads - exited.len() as u32;
        self.take_untold(position, &exited, now);
        let mut crumbs = Vec::new();
        let Some(member) = self.members.get_mut(position as usize).and_then(Option::as_mut) else { return };
        let store = member.region.store();
        for number in &exited {
            // What the thread fired between this round's look at its ring and its exit.
            let last = fire::signals_of(store, *number, RING_ENTRIES);
            self.names.note_fired(position, &last.events);
            self.pending.extend(last.events);
            crumbs.extend(last.crumbs);
            member.n_corrupt += last.n_corrupt;
            let drops = slot::drops(store, *number);
            member.drops.iter_mut().zip(drops).for_each(|(total, n)| *total = total.wrapping_add(n));
            slot::release(store, *number);
        }
        self.take_crumbs(crumbs);
    }

    /// Measures the pages of a region; a process that made more of them than its fixed part has is counted as corrupting it.
    fn measure(&mut self, position: u32) {
        let is_too_much = self.with_pages(position, |member| {
            let is_too_much = member.region.measure();
            member.n_corrupt += if is_too_much { CORRUPT_MAX + 1 } else { 0 };
            is_too_much
        });
        self.totals.drop_n(DropReason::Corrupt, u64::from(is_too_much == Some(true)));
    }

    /// Removes a member that holds nothing any more.
    fn forget(&mut self, position: u32) {
        let Some(member) = self.members.get_mut(position as usize).and_then(Option::take) else { return };
        self.ahead_bytes -= crate::demand::bytes_of(member.region.n_ahead()).0;
        self.pages.change(member.uid, member.bytes(), 0);
        self.totals.add_drops(&member.drops);
        self.forgotten.push(member.region.id());
    }

    fn member(&self, position: u32) -> Option<&Member> {
        self.members.get(position as usize)?.as_ref()
    }

    fn member_mut(&mut self, position: u32) -> Option<&mut Member> {
        self.members.get_mut(position as usize)?.as_mut()
    }

    fn live(&self) -> impl Iterator<Item = (u32, &Member)> {
        let members = (0_u32..).zip(&self.members);
        members.filter_map(|(position, member)| Some((position, member.as_ref().filter(|member| member.is_live)?)))
    }
}
