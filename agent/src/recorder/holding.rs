//! What the host has of a trace, as it is told to a collector; and looking again at traces whose threads still write.
//!
//! Called by the daemon when it carries out what the uplink decided. A holding is made when it is sent, with a revision of its own: of two
//! holdings of one trace the one that was made later is right.

use super::fire::Found;
use super::{Now, Recorder};
use crate::collect;
use crate::horizon::Horizon;
use crate::kept::GivenUp;
use crate::triggers::{self, Looked, Origin, Triggered};
use crate::uplink;
use backsight_core::clock::Timeline;
use backsight_core::coordination::Collection;
use backsight_core::holding::{CRUMBS_MAX, CrumbTo, Holding, HoldingState};
use backsight_core::ids::{AgentId, RegionId, SpanId, TraceId, TriggerId};
use backsight_core::names::TriggerNames;
use backsight_core::record::{CrumbDirection, seg_flags};
use backsight_core::segment::{SegmentKey, Slice};
use backsight_core::telemetry::DropReason;
use backsight_core::units::Nanos;
use backsight_ringbuf::abi::ChunkId;
use std::collections::{BTreeMap, BTreeSet};

/// Traces that are looked at again in open chunks; beyond, what comes late is found when its chunk is sealed.
const RESTLESS_MAX: usize = 4096;
/// Open chunks looked into at a time for them, so that a look takes about a millisecond.
const REVISIT_CHUNKS: usize = 256;
/// How long after its trigger a trace is looked at again, even if no segment of it is open.
const RESTLESS: Nanos = Nanos::from_ms(1_000);

impl Recorder {
    /// Returns what the host has of `trace`, right now.
    ///
    /// # Shape
    /// A trace of which nothing is found, though it was asked for, is *evicted* where the host remembers that it overwrote some of it, or does
    /// not remember as far back as to the time when its trigger fired, else *never seen*. Crumbs to this agent itself are left out: they lead to
    /// the same host.
    pub fn holding(&mut self, trace: TraceId, timeline: &Timeline, now: Now) -> Holding {
        self.revision += 1;
        let horizon_ms = self.horizon.age_ticks(now.ticks).map(|age| self.ms_of(age));
        let kept = self.kept.get(trace);
        let amounts = self.kept.amounts(trace).unwrap_or_default();
        let looked = self.triggers.looked(trace).or(amounts.looked);
        let looked = looked.unwrap_or_else(|| Looked {
            whole_since: self.retained_since(trace),
            remembers_since: self.remembers_since(),
            last: 0,
        });
        let back = horizon_ms.unwrap_or(u64::MAX).saturating_mul(self.settings.ticks_per_second / 1000);
        let (first, last) = match amounts.interval {
            Some((first, _)) if amounts.n_open > 0 => (first, now.ticks),
            Some(interval) => interval,
            None => (now.ticks.saturating_sub(back), now.ticks),
        };
        // On the clock that the times of the trace are on, if there are any: setting it must not hide what happened to them.
        let wall_ns = |ticks| match amounts.interval {
            Some((first, _)) => timeline.realtime_ns_since(first, ticks),
            None => timeline.realtime_ns(ticks),
        };
        let from_log = kept.into_iter().flat_map(|kept| kept.crumbs(self.settings.agent));
        let from_rings = self.ring_crumbs.of(trace).filter(|crumb| crumb.agent != self.settings.agent);
        let gone = self.afterlife.find(trace);
        let newest_loss = self.losses.newest_ticks().max(self.damage.newest_ticks(now.ticks));
        // Which way the request went is not remembered; whoever asks looks at both ends.
        let lead = |agent: &AgentId| CrumbTo { agent: *agent, direction: CrumbDirection::To, span: SpanId::NONE };
        let from_gone = gone.iter().flat_map(|gone| &gone.agents).map(lead);
        let crumbs: BTreeSet<_> = from_log.chain(from_rings).copied().chain(from_gone).collect();
        Holding {
            trace,
            state: self.state_of(trace, gone.is_some(), now),
            waits: false, // the uplink's to say
            revision: self.revision,
            n_segments: amounts.n_segments,
            bytes: amounts.record_bytes,
            n_open: amounts.n_open,
            n_left_out: amounts.n_left_out,
            n_evicted: gone.as_ref().map_or(0, |gone| gone.n_segments),
            remembers_since_ns: wall_ns(looked.remembers_since).unwrap_or(u64::MAX),
            detail: self.detail_of(trace),
            horizon_ms,
            crumbs: crumbs.into_iter().take(CRUMBS_MAX).collect(),
            losses: self.losses.within((first, last), self.damage_of(trace, first, now), timeline),
            whole_since_ns: wall_ns(looked.whole_since.max(newest_loss.unwrap_or(0))),
            looked_ns: Some(looked.last).filter(|last| *last != 0).and_then(wall_ns).unwrap_or(0),
            deaths_ns: self.deaths.recent(now.wall_ns),
        }
    }

    /// Returns until when anything may have been overwritten, in ticks.
    pub(super) fn overwritten_until(&self) -> u64 {
        let horizons = [&self.horizon, &self.horizon_over_share];
        horizons.into_iter().filter_map(Horizon::newest_evicted_ticks).fold(self.started_ticks, u64::max)
    }

    fn state_of(&self, trace: TraceId, is_remembered: bool, now: Now) -> HoldingState {
        if self.kept.amounts(trace).is_some() {
            return HoldingState::Kept;
        }
        if self.triggers.is_refused(trace) {
            return HoldingState::Refused;
        }
        if self.triggers.is_abandoned(trace) {
            return HoldingState::Abandoned;
        }
        let fired_ns = self.triggers.triggered(trace).and_then(|triggered| triggered.fired_ns);
        let age_ms = fired_ns.map_or(0, |fired_ns| now.wall_ns.saturating_sub(fired_ns) / 1_000_000);
        if is_remembered || self.ms_of(now.ticks.saturating_sub(self.remembers_since())) < age_ms {
            HoldingState::Evicted
        } else {
            HoldingState::NeverSeen
        }
    }

    /// Returns why a kept trace is kept, and segments of it in the lengths that are wanted.
    pub fn segments_of(
        &self,
        trace: TraceId,
        segments: &[(SegmentKey, u32)],
        also: &BTreeSet<RegionId>,
        timeline: &Timeline,
    ) -> Option<Vec<Slice>> {
        Some(self.kept.get(trace)?.slices_of(segments, also, timeline))
    }

    /// Returns the names of `triggers` and of those that segments tell of, as far as they are known.
    pub fn names_of(&self, triggers: &[TriggerId], slices: &[Slice]) -> TriggerNames {
        let segments = slices.iter().flat_map(|slice| &slice.segments);
        let marked = segments.filter(|segment| collect::seg_flags_of(&segment.bytes) & seg_flags::FIRED != 0);
        let fired = marked.flat_map(|segment| collect::all_fired_in(&segment.bytes));
        self.names.of(triggers.iter().copied().chain(fired))
    }

    /// Keeps what there is of traces whose triggers fired elsewhere.
    pub fn collect_remote(&mut self, collections: &[Collection], now: Now) {
        collections.iter().filter_map(|collection| collection.name.as_ref()).for_each(|name| self.names.heard(name));
        let fired = |collection: &Collection| {
            let (trace, laterals) = collection.traces.split_first()?;
            Some(triggers::Event::Fired {
                trigger: collection.trigger,
                trace: *trace,
                laterals: laterals.to_vec(),
                origin: Origin::Remote { base: collection.base, fired_ns: collection.fired_ns },
            })
        };
        self.fire_all(collections.iter().filter_map(fired).collect(), now);
    }

    /// Notes that another host has lost its part of a trace.
    pub fn demote(&mut self, trace: TraceId) {
        self.kept.demote(trace);
    }

    /// Gives a trace up, as another host did.
    pub fn give_up(&mut self, trace: TraceId, now: Nanos) {
        if let Some(gone) = self.kept.give_up(trace) {
            self.remember(gone.trace, gone.last_ticks, gone.agents);
            self.note_given_up(GivenUp { trace, reason: DropReason::Priority }, now);
        }
    }

    /// Takes what has happened since the last call that a collector should hear of.
    pub fn take_news(&mut self) -> Vec<uplink::Event> {
        std::mem::take(&mut self.news)
    }

    /// Notes that the collector has all that is kept of a trace.
    pub fn note_acked(&mut self, trace: TraceId) {
        self.kept.note_acked(trace);
    }

    /// Says something to the collector, if there is one.
    pub(super) fn tell(&mut self, event: uplink::Event) {
        if self.settings.is_reporting {
            self.news.push(event);
        }
    }

    /// Returns why a trace is kept, as the collector is told.
    pub(super) fn why(&self, triggered: &Triggered, now: Now) -> uplink::Why {
        let ago = now.time.0.saturating_sub(triggered.fired.0);
        let Triggered { trigger, base, fired, .. } = *triggered;
        let fired_ns = triggered.fired_ns.unwrap_or(now.wall_ns.saturating_sub(ago));
        uplink::Why { trigger, fired, fired_ns, base, priority: self.kept.priority(trigger, base) }
    }

    /// Looks at these traces again soon: threads may be writing for them right now, in chunks that they will hold for long.
    pub(super) fn note_restless(&mut self, traces: impl IntoIterator<Item = TraceId>, now: Now) {
        for trace in traces {
            if self.restless.len() < RESTLESS_MAX || self.restless.contains_key(&trace) {
                self.restless.insert(trace, Nanos(now.time.0 + RESTLESS.0));
            }
        }
    }

    /// Looks into open chunks: for everything of traces that fired a moment ago or of which a segment is open, and for segments of others
    /// that linger which are new, or go on. On a quiet host a chunk may stay open for hours.
    pub(super) fn revisit(&mut self, now: Now) {
        let is_busy = |trace: &TraceId, until: &Nanos| {
            let is_open = || self.kept.get(*trace).is_some_and(|kept| kept.n_open() > 0);
            self.triggers.triggered(*trace).is_some() && (*until > now.time || is_open())
        };
        let busy: BTreeMap<TraceId, Nanos> = self
            .restless
            .iter()
            .filter(|(trace, until)| is_busy(trace, until))
            .map(|(t, until)| (*t, *until))
            .collect();
        self.restless = busy;
        if self.triggers.n_lingering() == 0 {
            return;
        }
        for found in self.find_open(now) {
            if self.is_news(&found) {
                self.note_restless([found.segment.trace], now);
                self.keep_segment(found.position, found.id, &found.info, &found.segment, now);
            }
        }
        self.trim(now);
    }

    /// Finds segments of triggered traces in some of the open chunks; the next call goes on where this one ended.
    fn find_open(&mut self, now: Now) -> Vec<Found> {
        let mut open: Vec<(u32, ChunkId)> = Vec::new();
        for (position, member) in self.live() {
            open.extend(member.region.open_chunks().into_iter().map(|id| (position, id)));
        }
        let start = if self.next_open < open.len() { self.next_open } else { 0 };
        self.next_open = start + REVISIT_CHUNKS;
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        for (position, id) in open.into_iter().skip(start).take(REVISIT_CHUNKS) {
            let Some(member) = self.members.get_mut(position as usize).and_then(Option::as_mut) else { continue };
            let Some(Ok(info)) = member.region.chunk_info(id) else {
                damaged.push((position, id));
                continue;
            };
            let (generation, last) = (info.head.generation, info.head.last_segment);
            let looked = member.looked.insert(id.code(), (generation, last));
            let looked = looked.filter(|looked| looked.0 == generation).map_or(0, |looked| looked.1);
            for segment in member.region.segments(id, &info).into_iter().flatten() {
                let Ok(segment) = segment else {
                    damaged.push((position, id));
                    break;
                };
                let may_be_new = segment.offset > looked || segment.offset == last;
                if !may_be_new && self.restless.is_empty() {
                    break;
                }
                let is_wanted = may_be_new && self.triggers.triggered(segment.trace).is_some();
                if is_wanted || self.restless.contains_key(&segment.trace) {
                    found.push(Found { position, id, info, segment });
                }
            }
        }
        damaged.into_iter().for_each(|(position, id)| self.note_damage(position, id, now));
        found
    }

    /// Returns whether a segment is not kept as it stands.
    fn is_news(&self, found: &Found) -> bool {
        let Some(member) = self.member(found.position) else { return false };
        let key = found.key(member.region.id());
        let known = self.kept.get(found.segment.trace).and_then(|kept| kept.known(&key));
        known != Some((found.len(), found.segment.flags, member.is_live && !found.info.head.sealed))
    }
}
