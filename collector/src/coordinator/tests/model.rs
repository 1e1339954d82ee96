//! A small network for tests: agents with what they hold, streams that delay, repeat and break, and one coordinator behind them.
//!
//! A stream keeps the order of its messages, as gRPC does: what an agent says to the coordinator, and what it is told. Its reports travel
//! over another stream, and may overtake the first or be overtaken by it.

use super::super::{Action, Coordinator, Event, Limits};
use backsight_core::coordination::{Announcement, Answer, Collection, Greeting, View};
use backsight_core::holding::{CrumbTo, Holding, HoldingState};
use backsight_core::ids::{AgentId, SpanId, TraceId, TriggerId};
use backsight_core::record::CrumbDirection;
use backsight_core::units::Nanos;
use std::collections::{BTreeMap, BTreeSet};

/// A seeded source of numbers (splitmix64).
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }
}

pub(super) fn trace(n: u64) -> TraceId {
    TraceId::new(7, n)
}

pub(super) fn to(agent: u32) -> CrumbTo {
    CrumbTo { agent: AgentId(agent), direction: CrumbDirection::To, span: SpanId(1) }
}

/// Returns what an agent has of a trace from which the request went on to `next`.
pub(super) fn holding(n: u64, revision: u64, next: &[u32]) -> Holding {
    let crumbs = next.iter().copied().map(to).collect();
    Holding { trace: trace(n), state: HoldingState::Kept, revision, n_segments: 1, crumbs, ..Holding::default() }
}

pub(super) fn announcement(id: u64, trigger: u32, holdings: Vec<Holding>) -> Announcement {
    let base = holdings.first().map(|holding| holding.trace).unwrap_or_default();
    Announcement { id, trigger: TriggerId(trigger), name: None, fired_ns: 5, base, holdings }
}

/// What a host has, and what it still has to say.
#[derive(Default)]
pub(super) struct Host {
    pub(super) is_connected: bool,
    pub(super) n_connects: u64,
    pub(super) has: BTreeMap<TraceId, Holding>,
    /// Triggers that fired here: the base, then its laterals.
    pub(super) fired: BTreeMap<u64, (TriggerId, Vec<TraceId>)>,
    pub(super) unacknowledged: BTreeSet<u64>,
    /// Traces that were asked for or announced: changes of these are told.
    told: BTreeSet<TraceId>,
    /// Those that the coordinator follows for certain: it hears what reports say of them.
    confirmed: BTreeSet<TraceId>,
}

impl Host {
    fn holding(&self, trace: TraceId) -> Holding {
        self.has.get(&trace).cloned().unwrap_or(Holding { trace, ..Holding::default() })
    }
}

enum Message {
    Up(Event),
    Reported(Holding),
    Acknowledged(u64),
    Collect(Collection),
}

/// What keeps its order: a direction of a stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Said,
    Reported,
    Told,
}

impl Message {
    const fn lane(&self) -> Lane {
        match self {
            Self::Up(_) => Lane::Said,
            Self::Reported(_) => Lane::Reported,
            Self::Acknowledged(_) | Self::Collect(_) => Lane::Told,
        }
    }
}

pub(super) struct Network {
    pub(super) rng: Rng,
    pub(super) now: Nanos,
    pub(super) coordinator: Coordinator,
    pub(super) hosts: BTreeMap<AgentId, Host>,
    /// The last view of each trace.
    pub(super) views: BTreeMap<TraceId, View>,
    /// The highest revision that is stored with a report, by trace and agent.
    pub(super) stored: BTreeMap<(TraceId, AgentId), u64>,
    /// Every Collect that was sent.
    pub(super) collects: Vec<(AgentId, Collection)>,
    /// On its way: by arrival, with the stream that carries it.
    flying: BTreeMap<(Nanos, u64), (AgentId, u64, Message)>,
    /// When the last message of each lane arrives: no later one is faster.
    last: BTreeMap<(AgentId, Lane), Nanos>,
    n_sent: u64,
    /// Of a hundred messages, how many come twice.
    pub(super) repeated: u64,
    pub(super) limits: Limits,
}

impl Network {
    pub(super) fn new(seed: u64, limits: Limits) -> Self {
        Self {
            rng: Rng(seed),
            now: Nanos(0),
            coordinator: Coordinator::new(limits, Greeting { instance: 1, seed_epoch: 3, ..Greeting::default() }),
            hosts: BTreeMap::new(),
            views: BTreeMap::new(),
            stored: BTreeMap::new(),
            collects: Vec::new(),
            flying: BTreeMap::new(),
            last: BTreeMap::new(),
            n_sent: 0,
            repeated: 0,
            limits,
        }
    }

    fn send(&mut self, agent: AgentId, message: impl Fn() -> Message) {
        let stream = self.hosts.get(&agent).map_or(0, |host| host.n_connects);
        for _ in 0..1 + u64::from(self.rng.below(100) < self.repeated) {
            self.n_sent += 1;
            let message = message();
            let last = self.last.entry((agent, message.lane())).or_default();
            let at = Nanos(self.now.0 + 1 + self.rng.below(40_000_000)).max(*last);
            *last = at;
            self.flying.insert((at, self.n_sent), (agent, stream, message));
        }
    }

    pub(super) fn step(&mut self, event: Event) {
        for action in self.coordinator.step(self.now, event) {
            match action {
                Action::Acknowledge { agent, id, refusal } => {
                    assert_eq!(refusal, None);
                    self.send(agent, || Message::Acknowledged(id));
                }
                Action::Collect { agent, collection } => {
                    assert!(self.hosts.get(&agent).is_some_and(|host| host.is_connected), "asked one that is away");
                    self.collects.push((agent, collection.clone()));
                    self.send(agent, || Message::Collect(collection.clone()));
                }
                Action::Advise { agent, .. } => {
                    assert!(self.hosts.get(&agent).is_some_and(|host| host.is_connected), "told one that is away");
                }
                Action::Publish(view) => drop(self.views.insert(view.trace, view)),
            }
        }
    }

    pub(super) fn connect(&mut self, agent: AgentId) {
        let host = self.hosts.entry(agent).or_default();
        (host.is_connected, host.n_connects) = (true, host.n_connects + 1);
        let told: Vec<_> = host.told.iter().copied().collect();
        self.step(Event::Connected { agent });
        self.update(agent, &told);
    }

    /// Breaks the streams of an agent: what is on its way is lost.
    pub(super) fn disconnect(&mut self, agent: AgentId) {
        self.hosts.entry(agent).or_default().is_connected = false;
        self.flying.retain(|_, (of, ..)| *of != agent);
        self.step(Event::Disconnected { agent });
    }

    fn update(&mut self, agent: AgentId, traces: &[TraceId]) {
        let Some(host) = self.hosts.get(&agent).filter(|host| host.is_connected) else { return };
        let told = traces.iter().filter(|trace| host.told.contains(trace));
        let holdings: Vec<_> = told.map(|trace| host.holding(*trace)).collect();
        self.send(agent, || Message::Up(Event::Updated { agent, holdings: holdings.clone() }));
    }

    /// Adds a crumb to what an agent has, and lets it tell: in an update, in a report that is sure to be heard, or in both.
    pub(super) fn grow(&mut self, agent: AgentId, of: TraceId, next: AgentId) {
        let host = self.hosts.entry(agent).or_default();
        // Reports are of what it announced or was asked for, like updates.
        let reports = host.is_connected && host.told.contains(&of);
        let Some(holding) = host.has.get_mut(&of) else { return };
        holding.revision += 1;
        holding.crumbs.push(to(next.0));
        let (holding, is_confirmed) = (holding.clone(), host.confirmed.contains(&of));
        let ways = self.rng.below(3);
        if reports && ways > 0 {
            self.send(agent, || Message::Reported(holding.clone()));
        }
        if !(reports && is_confirmed && ways == 1) {
            self.update(agent, &[of]);
        }
    }

    pub(super) fn fire(&mut self, agent: AgentId, trigger: u32, traces: Vec<TraceId>) {
        let host = self.hosts.entry(agent).or_default();
        let id = host.fired.len() as u64 + 1;
        host.told.extend(&traces);
        host.fired.insert(id, (TriggerId(trigger), traces));
        host.unacknowledged.insert(id);
    }

    /// Replaces the coordinator by one that knows nothing; agents connect and announce again.
    pub(super) fn restart(&mut self, instance: u64) {
        self.flying.clear();
        self.views.clear();
        self.coordinator = Coordinator::new(self.limits, Greeting { instance, seed_epoch: 3, ..Greeting::default() });
        for host in self.hosts.values_mut() {
            host.unacknowledged = host.fired.keys().copied().collect();
            host.confirmed.clear();
        }
        let here: Vec<_> = self.hosts.iter().filter(|(_, host)| host.is_connected).map(|(agent, _)| *agent).collect();
        for agent in here {
            self.connect(agent);
        }
    }

    /// Lets time pass: ticks every 100 ms, announcements until they are acknowledged, messages as they arrive.
    pub(super) fn run(&mut self, for_ms: u64) {
        let end = self.now.0 + for_ms * 1_000_000;
        while self.now.0 < end {
            let next_tick = self.now.0 / 100_000_000 * 100_000_000 + 100_000_000;
            while let Some((at, n)) =
                self.flying.first_key_value().map(|(at, _)| *at).filter(|(at, _)| at.0 < next_tick)
            {
                let (agent, stream, message) = self.flying.remove(&(at, n)).unwrap();
                self.now = at.max(self.now);
                let is_live = |host: &Host| host.is_connected && host.n_connects == stream;
                if self.hosts.get(&agent).is_some_and(is_live) {
                    self.arrive(agent, message);
                }
            }
            self.now = Nanos(next_tick);
            self.announce();
            self.step(Event::Tick);
        }
    }

    fn announce(&mut self) {
        let mut said = Vec::new();
        for (agent, host) in self.hosts.iter().filter(|(_, host)| host.is_connected) {
            for id in &host.unacknowledged {
                let (trigger, traces) = &host.fired[id];
                let holdings = traces.iter().map(|trace| host.holding(*trace)).collect();
                said.push((*agent, announcement(*id, trigger.0, holdings)));
            }
        }
        for (agent, announcement) in said {
            self.send(agent, || Message::Up(Event::Announced { agent, announcement: announcement.clone() }));
        }
    }

    fn arrive(&mut self, agent: AgentId, message: Message) {
        match message {
            Message::Up(event) => self.step(event),
            Message::Reported(holding) => {
                let stored = self.stored.entry((holding.trace, agent)).or_default();
                *stored = holding.revision.max(*stored);
                self.step(Event::Reported { agent, holding });
            }
            Message::Acknowledged(id) => {
                let host = self.hosts.get_mut(&agent).unwrap();
                host.unacknowledged.remove(&id);
                host.confirmed.extend(&host.fired[&id].1);
            }
            Message::Collect(collection) => {
                let host = self.hosts.get_mut(&agent).unwrap();
                host.told.extend(&collection.traces);
                host.confirmed.extend(&collection.traces);
                let holdings = collection.traces.iter().map(|trace| host.holding(*trace)).collect();
                let answer = Answer { group: collection.group, holdings };
                self.send(agent, || Message::Up(Event::Answered { agent, answer: answer.clone() }));
            }
        }
    }
}
