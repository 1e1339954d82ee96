//! A host: the real uplinks of an agent, one for each collector, on a loop and a link whose work takes what was measured.
//!
//! Called by [`super::world`]. What the recorder would find is told by the way of the request: everything is still there when it is asked for.

use super::collector::{Batch, Reported, Said, Told};
use super::costs::{Costs, us};
use super::world::Known;
use backsight_agent::uplink::{Action, Event, Firing, Piece, Room, Rules, Uplink, Why};
use backsight_collector::coordinator;
use backsight_core::coordination::{Announcement, Answer, Greeting};
use backsight_core::holding::{Holding, HoldingState};
use backsight_core::ids::{AgentId, RegionId, TraceId, TriggerId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::segment::SegmentKey;
use backsight_core::units::Nanos;
use std::collections::BTreeMap;

/// Messages that a link takes at a time, as the agent's does.
const ROOM: Room = Room { coordination: 256, batches: 8 };
/// The shortest sleep of the loop while something waits to be sent.
const SLEEP_MIN_NS: u64 = 4_000_000;
/// The largest batch that the collector takes.
const BATCH_MAX_BYTES: u64 = 16 << 20;
/// What a segment costs in a batch beside its records.
const FRAME_BYTES: u64 = 100;

/// What happens to a host between two turns of its loop.
#[derive(Debug)]
pub enum News {
    /// A trigger fired, for these traces.
    Fired(TriggerId, Vec<TraceId>),
    /// A collector said something.
    Told(usize, Told),
    /// A connection broke.
    Lost(usize),
    /// A collector is gone for good: what it was to be told goes to those who stand in.
    Moved(usize),
}

/// A firing that is announced again where its collector is gone.
#[derive(Debug)]
struct Fired {
    trigger: TriggerId,
    at: u64,
    traces: Vec<TraceId>,
}

/// Why a trace is kept.
#[derive(Clone, Copy, Debug)]
struct Kept {
    trigger: TriggerId,
    base: TraceId,
    is_acked: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Host {
    id: AgentId,
    idx: usize,
    uplinks: Vec<Uplink>,
    news: Vec<News>,
    kept: BTreeMap<TraceId, Kept>,
    fired: Vec<Fired>,
    revision: u64,
    /// When the loop has ended its last turn.
    loop_free_ns: u64,
    link_free_ns: u64,
    /// When the next turn of the loop is planned.
    planned: Option<u64>,
    /// How long the loop has worked.
    pub loop_ns: u64,
    /// How long the link's thread has worked.
    pub link_ns: u64,
    /// Bytes of reports that it has sent.
    pub sent_bytes: f64,
}

/// What a turn has to say to a collector, and when it reaches the network.
pub type Says = (usize, u64, Vec<Said>);

impl Host {
    /// Returns host number `idx`, connected to so many collectors.
    #[must_use]
    pub fn new(idx: usize, n_collectors: usize) -> Self {
        let rules = Rules {
            batch_bytes: 131_072,
            bytes_per_s: 0,
            resend: Nanos::from_ms(2_000),
            linger: Nanos::from_ms(30_000),
        };
        let mut host = Self {
            id: super::collector::agent_of(idx),
            idx,
            uplinks: (0..n_collectors).map(|_| Uplink::new(rules)).collect(),
            news: Vec::new(),
            kept: BTreeMap::new(),
            fired: Vec::new(),
            revision: 0,
            loop_free_ns: 0,
            link_free_ns: 0,
            planned: None,
            loop_ns: 0,
            link_ns: 0,
            sent_bytes: 0.0,
        };
        (0..n_collectors).for_each(|of| host.greeted(of, 0, Greeting { instance: 1, ..Greeting::default() }));
        host
    }

    /// Notes something for the next turn; returns when that is, if it was not planned before.
    pub fn note(&mut self, now: u64, news: News) -> Option<u64> {
        self.news.push(news);
        self.plan(now.max(self.loop_free_ns))
    }

    fn plan(&mut self, at: u64) -> Option<u64> {
        if self.planned.is_some_and(|planned| planned <= at) {
            return None;
        }
        self.planned = Some(at);
        Some(at)
    }

    /// Returns whether a turn that was planned for `now` is still to be made: another one may have come before.
    pub fn is_due(&mut self, now: u64) -> bool {
        self.planned.take_if(|planned| *planned <= now).is_some()
    }

    fn greeted(&mut self, collector: usize, now: u64, greeting: Greeting) {
        let uplink = &mut self.uplinks[collector];
        uplink.step(Nanos(now), Event::Connected(greeting));
        uplink.step(Nanos(now), Event::ReportReady { batch_max_bytes: BATCH_MAX_BYTES });
    }

    /// Turns the loop once; returns what is said, and when the next turn is due, if it was not planned before.
    pub fn turn(&mut self, now: u64, known: &Known, costs: &Costs) -> (Vec<Says>, Option<u64>) {
        let mut works = 0.0;
        let mut n_heard = 0;
        for news in std::mem::take(&mut self.news) {
            match news {
                News::Fired(trigger, traces) => {
                    works += costs.agent_turn_us + traces.len() as f64 * costs.agent_collect_us;
                    self.fire(now, trigger, &traces, known);
                    self.fired.push(Fired { trigger, at: now, traces });
                }
                News::Told(collector, told) => {
                    if let Told::Collect(collection) = &told {
                        n_heard += 1;
                        works += collection.traces.len() as f64 * costs.agent_collect_us;
                    }
                    self.hear(now, collector, told, known);
                }
                News::Lost(collector) => {
                    self.uplinks[collector].step(Nanos(now), Event::Disconnected);
                }
                News::Moved(collector) => works += self.move_away(now, collector, known, costs),
            }
        }
        works += if n_heard > 0 { costs.agent_turn_us } else { 0.0 };
        let mut says = Vec::new();
        for collector in 0..self.uplinks.len() {
            let actions = self.uplinks[collector].step(Nanos(now), Event::Tick { room: ROOM });
            let said: Vec<Said> =
                actions.into_iter().flat_map(|action| self.say(now, collector, action, known)).collect();
            if !said.is_empty() {
                works += said.iter().map(|said| costs.of_loop(said)).sum::<f64>();
                says.push((collector, said));
            }
        }
        self.loop_ns += us(works);
        self.loop_free_ns = now + us(works);
        let says = says.into_iter().map(|(collector, said)| (collector, self.send(&said, costs), said)).collect();
        let wake = self.uplinks.iter().filter_map(Uplink::wake_at).map(|at| at.0).min();
        let next = wake.and_then(|at| self.plan(at.max(self.loop_free_ns + SLEEP_MIN_NS)));
        (says, next)
    }

    /// Has the link's thread send something once the loop has turned; returns when that is on the wire.
    fn send(&mut self, said: &[Said], costs: &Costs) -> u64 {
        let packs = said.iter().map(|said| costs.of_link(said)).sum::<f64>();
        let works = us(costs.link_wake_us + costs.link_turn_us + packs);
        self.link_ns += works;
        self.link_free_ns = self.link_free_ns.max(self.loop_free_ns) + works;
        for said in said {
            if let Said::Batch(batch) = said {
                self.sent_bytes += batch.reports.len() as f64 * costs.report_wire_bytes;
            }
        }
        self.link_free_ns
    }

    /// Has the link's thread receive messages; returns when the loop may hear of them.
    pub fn receive(&mut self, now: u64, n_messages: usize, costs: &Costs) -> u64 {
        let works = us(costs.link_wake_us + costs.link_turn_us + n_messages as f64 * costs.link_receive_us);
        self.link_ns += works;
        self.link_free_ns = self.link_free_ns.max(now) + works;
        self.link_free_ns
    }

    fn fire(&mut self, now: u64, trigger: TriggerId, traces: &[TraceId], known: &Known) {
        let base = traces[0];
        traces.iter().for_each(|trace| self.keep(now, *trace, trigger, base, known));
        let firing = Firing { trigger, base, fired_ns: now, traces: traces.to_vec(), is_elsewhere: false };
        self.uplinks[known.owner(base)].step(Nanos(now), Event::Fired(firing));
    }

    fn hear(&mut self, now: u64, collector: usize, told: Told, known: &Known) {
        let event = match told {
            Told::Greeted(greeting) => return self.greeted(collector, now, greeting),
            Told::Collect(collection) => {
                let base = collection.traces[0];
                let trigger = collection.trigger;
                let asked = Event::Collected { group: collection.group, traces: collection.traces.clone() };
                self.uplinks[collector].step(Nanos(now), asked);
                return collection.traces.iter().for_each(|trace| self.keep(now, *trace, trigger, base, known));
            }
            Told::Ack { id, is_refused } => Event::AnnounceAck { id, is_refused },
            Told::Advise(advised) => Event::Advised(advised),
            Told::BatchAck(number) => Event::BatchAck { number },
        };
        for action in self.uplinks[collector].step(Nanos(now), event) {
            if let Action::Acked { trace } = action
                && let Some(kept) = self.kept.get_mut(&trace)
            {
                kept.is_acked = true;
            }
        }
    }

    /// Keeps a trace that the request has left here, unless it is kept already.
    fn keep(&mut self, now: u64, trace: TraceId, trigger: TriggerId, base: TraceId, known: &Known) {
        let is_here = known.paths.get(&trace).is_some_and(|path| path.hosts.contains(&self.idx));
        if is_here && !self.kept.contains_key(&trace) {
            self.kept.insert(trace, Kept { trigger, base, is_acked: false });
            self.report(now, trace, trigger, base, known);
        }
    }

    fn report(&mut self, now: u64, trace: TraceId, trigger: TriggerId, base: TraceId, known: &Known) {
        let (chunk, generation) = (trace.lo as u32, (trace.lo >> 32) as u32);
        let key = SegmentKey { region: RegionId(1), chunk, generation, offset: 64 };
        let cost = known.visit_bytes + FRAME_BYTES;
        let piece = Piece { key, len: known.visit_bytes as u32, cost: cost as u32 };
        let priority = Priority::of(base, 0, Salt::of_trigger(trigger));
        let why = Why { trigger, fired: Nanos(now), fired_ns: now, base, priority };
        self.uplinks[known.owner(trace)].step(Nanos(now), Event::Grew { trace, why, piece });
    }

    /// Tells those who stand in for a collector what it was told in the last minute, and what it has not stored; returns what that works, in microseconds.
    fn move_away(&mut self, now: u64, collector: usize, known: &Known, costs: &Costs) -> f64 {
        let lasts = now.saturating_sub(60_000_000_000);
        let fired = std::mem::take(&mut self.fired);
        let of_it = |fired: &Fired| fired.at >= lasts && known.first_owner(fired.traces[0]) == collector;
        let mut works = 0.0;
        for Fired { trigger, at, traces } in fired.into_iter().filter(of_it) {
            let firing = Firing { trigger, base: traces[0], fired_ns: at, traces: traces.clone(), is_elsewhere: false };
            self.uplinks[known.owner(traces[0])].step(Nanos(now), Event::Fired(firing));
            works += traces.len() as f64 * costs.agent_collect_us;
        }
        let is_lost = |(trace, kept): &(&TraceId, &Kept)| !kept.is_acked && known.first_owner(**trace) == collector;
        let lost: Vec<(TraceId, Kept)> =
            self.kept.iter().filter(is_lost).map(|(trace, kept)| (*trace, *kept)).collect();
        lost.into_iter().for_each(|(trace, Kept { trigger, base, .. })| self.report(now, trace, trigger, base, known));
        works
    }

    fn holding(&mut self, trace: TraceId, known: &Known) -> Holding {
        self.revision += 1;
        let crumbs = known.paths.get(&trace).and_then(|path| path.crumbs(self.idx));
        match crumbs {
            None => Holding { trace, revision: self.revision, ..Holding::default() },
            Some(crumbs) => Holding {
                trace,
                state: HoldingState::Kept,
                revision: self.revision,
                n_segments: 1,
                bytes: known.visit_bytes,
                horizon_ms: Some(60_000),
                crumbs,
                ..Holding::default()
            },
        }
    }

    fn say(&mut self, now: u64, collector: usize, action: Action, known: &Known) -> Vec<Said> {
        let agent = self.id;
        let mut holdings = |traces: Vec<TraceId>| -> Vec<Holding> {
            traces.into_iter().map(|trace| self.holding(trace, known)).collect()
        };
        match action {
            Action::Announce { id, trigger, base, fired_ns, traces } => {
                let holdings = holdings(traces);
                let announcement = Announcement { id, trigger, name: None, fired_ns, base, holdings };
                vec![Said::Event(coordinator::Event::Announced { agent, announcement })]
            }
            // Each in a message of its own, as it is while questions come one by one.
            Action::Answer(answers) => {
                let answers = answers.into_iter().map(|(group, traces)| Answer { group, holdings: holdings(traces) });
                answers.map(|answer| Said::Event(coordinator::Event::Answered { agent, answer })).collect()
            }
            Action::Update { traces } => {
                vec![Said::Event(coordinator::Event::Updated { agent, holdings: holdings(traces) })]
            }
            Action::Batch(batch) => {
                let of = |part: &backsight_agent::uplink::Part| Reported {
                    bytes: part.segments.iter().map(|(_, len)| u64::from(*len)).sum(),
                    holding: self.holding(part.trace, known),
                };
                let reports = batch.parts.iter().map(of).collect();
                vec![Said::Batch(Batch { line: self.idx, number: batch.number, reports })]
            }
            Action::ResetReports => {
                let uplink = &mut self.uplinks[collector];
                uplink.step(Nanos(now), Event::ReportLost);
                uplink.step(Nanos(now), Event::ReportReady { batch_max_bytes: BATCH_MAX_BYTES });
                Vec::new()
            }
            Action::Acked { .. } | Action::Demote { .. } | Action::GiveUp { .. } => Vec::new(),
        }
    }

    /// Returns how many announcements wait for a collector.
    #[must_use]
    pub fn n_unacked(&self) -> usize {
        self.uplinks.iter().map(Uplink::n_unacked_announces).sum()
    }
}

impl Costs {
    /// Returns what the loop works for something that it says, in microseconds; holdings of answers are in `agent_collect_us`.
    fn of_loop(&self, said: &Said) -> f64 {
        match said {
            Said::Batch(batch) => batch.reports.len() as f64 * self.agent_report_us,
            Said::Event(_) | Said::Hello => 0.0,
        }
    }

    /// Returns what the link works for something that is said, in microseconds.
    fn of_link(&self, said: &Said) -> f64 {
        match said {
            Said::Batch(batch) => self.link_send_us + batch.reports.len() as f64 * self.agent_pack_us,
            Said::Event(_) | Said::Hello => self.link_send_us,
        }
    }
}
