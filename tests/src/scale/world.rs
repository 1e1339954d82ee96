//! Hosts and collectors on one clock: everything that happens, in the order in which it happens.
//!
//! Called by [`super::study`]. The network takes the same time for every message, and loses none; connections break where a collector dies.

mod book;

use super::collector::{Batch, Collector, Job, Outcome, Said, TICK_NS, Told};
use super::costs::Costs;
use super::host::{Host, News};
use super::queue::Agenda;
use super::workload::{Path, Workload};
use crate::bench::stats::SplitMix;
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::shard::{Member, owner};
pub use book::{Book, Times};
use std::collections::BTreeMap;

/// One way of a message through the network, and the stacks at its ends.
pub const NETWORK_NS: u64 = 100_000;
/// How long a collector is away that is started again.
pub const RESTART_NS: u64 = 1_000_000_000;
/// After what time without their collector agents turn to the one that stands in.
pub const MOVE_NS: u64 = 1_000_000_000;
/// An agent's first pause before it dials again; each further one is twice as long.
const PAUSE_NS: u64 = 100_000_000;
/// A trigger without laterals, and one with.
const TRIGGERS: [TriggerId; 2] = [TriggerId(300), TriggerId(301)];

/// What is known of requests and collectors everywhere.
#[derive(Debug)]
pub struct Known {
    /// The ways of requests for which a trigger fired, laterals included.
    pub paths: BTreeMap<TraceId, Path>,
    /// Bytes of a visit.
    pub visit_bytes: u64,
    members: Vec<Member>,
    gone: Option<usize>,
}

impl Known {
    /// Returns the collector that owns a trace.
    #[must_use]
    pub fn first_owner(&self, trace: TraceId) -> usize {
        owner(trace, &self.members, |_| true).unwrap_or(0)
    }

    /// Returns the collector that owns a trace, or stands in for the one that is gone.
    #[must_use]
    pub fn owner(&self, trace: TraceId) -> usize {
        owner(trace, &self.members, |idx| self.gone != Some(idx)).unwrap_or(0)
    }
}

#[derive(Debug)]
enum Event {
    /// A trigger fires; of an older load, none does.
    Fire(u64),
    Turn(usize),
    /// The loop of a host may hear what its link has received.
    Hear(usize, usize, Vec<Told>),
    /// Something reaches a host's link, or a collector.
    ToHost(usize, usize, Vec<Told>),
    ToCollector(Of, usize, Vec<Said>),
    Done(Of, Outcome),
    Write(Of),
    Written(Of, Vec<Batch>),
    Tick(Of),
    Lost(usize, usize),
    Up(usize),
    Move(usize),
}

/// A collector in one of its lives.
type Of = (usize, u64);

/// How much has worked how long, and what was carried, since the start.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Totals {
    /// Runtime threads of the busiest collector.
    pub runtime_ns: u64,
    /// The coordinator's task there.
    pub coordinator_ns: u64,
    /// The thread that writes there.
    pub writer_ns: u64,
    /// Its disk.
    pub sync_ns: u64,
    /// The thread that sums up there.
    pub settle_ns: u64,
    /// Messages of it.
    pub n_messages: u64,
    /// Bytes that it has written to disk.
    pub disk_bytes: f64,
    /// Loops of all hosts.
    pub loop_ns: u64,
    /// The busiest loop.
    pub loop_max_ns: u64,
    /// Links of all hosts.
    pub link_ns: u64,
    /// Bytes of reports of all hosts.
    pub sent_bytes: f64,
}

impl Totals {
    /// Returns what was done since `before`, `seconds` ago, in a second.
    #[must_use]
    pub fn since(&self, before: &Self, seconds: f64) -> Self {
        let ns = |now: u64, before: u64| ((now - before) as f64 / seconds) as u64;
        Self {
            runtime_ns: ns(self.runtime_ns, before.runtime_ns),
            coordinator_ns: ns(self.coordinator_ns, before.coordinator_ns),
            writer_ns: ns(self.writer_ns, before.writer_ns),
            sync_ns: ns(self.sync_ns, before.sync_ns),
            settle_ns: ns(self.settle_ns, before.settle_ns),
            n_messages: ns(self.n_messages, before.n_messages),
            disk_bytes: (self.disk_bytes - before.disk_bytes) / seconds,
            loop_ns: ns(self.loop_ns, before.loop_ns),
            loop_max_ns: ns(self.loop_max_ns, before.loop_max_ns),
            link_ns: ns(self.link_ns, before.link_ns),
            sent_bytes: (self.sent_bytes - before.sent_bytes) / seconds,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct World {
    costs: Costs,
    workload: Workload,
    n_threads: usize,
    random: SplitMix,
    agenda: Agenda<Event>,
    collectors: Vec<Collector>,
    /// How often each was started; `None` while it is away.
    lives: Vec<u64>,
    is_up: Vec<bool>,
    hosts: Vec<Host>,
    known: Known,
    load: u64,
    /// Groups that a collector had before it was started again, and when it had as many again.
    rebuilding: Option<(usize, usize)>,
    /// See `rebuilding`.
    pub rebuilt_ns: Option<u64>,
    /// What became of triggers.
    pub book: Book,
}

impl World {
    /// Returns hosts and collectors that are connected, before anything has fired.
    #[must_use]
    pub fn new(costs: Costs, workload: Workload, n_collectors: usize, n_threads: usize, seed: u64) -> Self {
        let n_hosts = workload.n_hosts;
        let collector = |_| {
            let mut collector = Collector::new(costs, n_threads, n_hosts, 1);
            collector.connect(0..n_hosts);
            collector
        };
        let member = |idx: usize| Member::from_name(&format!("http://collector-{idx}:4390"));
        let mut world = Self {
            costs,
            workload,
            n_threads,
            random: SplitMix(seed),
            agenda: Agenda::default(),
            collectors: (0..n_collectors).map(collector).collect(),
            lives: vec![1; n_collectors],
            is_up: vec![true; n_collectors],
            hosts: (0..n_hosts).map(|idx| Host::new(idx, n_collectors)).collect(),
            known: Known {
                paths: BTreeMap::new(),
                visit_bytes: workload.visit_bytes,
                members: (0..n_collectors).map(member).collect(),
                gone: None,
            },
            load: 0,
            rebuilding: None,
            rebuilt_ns: None,
            book: Book::default(),
        };
        (0..n_collectors).for_each(|idx| world.agenda.plan(TICK_NS, Event::Tick((idx, 1))));
        world.set_triggers(workload.triggers_per_s());
        world
    }

    /// Has triggers fire so often in a second from now on.
    pub fn set_triggers(&mut self, per_s: f64) {
        self.workload = self.workload.at(per_s);
        self.load += 1;
        self.plan_trigger();
    }

    fn plan_trigger(&mut self) {
        let pause_s = -(1.0 - self.random.uniform()).ln() / self.workload.triggers_per_s();
        if pause_s.is_finite() {
            self.agenda.plan(self.agenda.now() + (pause_s * 1e9) as u64, Event::Fire(self.load));
        }
    }

    /// Lets everything happen until `end`.
    pub fn run_until(&mut self, end: u64) {
        while let Some(event) = self.agenda.next_before(end) {
            self.happen(event);
        }
    }

    /// Returns the present instant.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.agenda.now()
    }

    /// Returns what was done so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let most = |of: fn(&Collector) -> u64| self.collectors.iter().map(of).max().unwrap_or(0);
        Totals {
            runtime_ns: most(|of| of.runtime_ns),
            coordinator_ns: most(|of| of.coordinator_ns),
            writer_ns: most(|of| of.store.writer_ns),
            sync_ns: most(|of| of.store.sync_ns),
            settle_ns: most(|of| of.store.settle_ns),
            n_messages: most(|of| of.n_messages),
            disk_bytes: self.collectors.iter().map(|of| of.store.bytes).fold(0.0, f64::max),
            loop_ns: self.hosts.iter().map(|host| host.loop_ns).sum(),
            loop_max_ns: self.hosts.iter().map(|host| host.loop_ns).max().unwrap_or(0),
            link_ns: self.hosts.iter().map(|host| host.link_ns).sum(),
            sent_bytes: self.hosts.iter().map(|host| host.sent_bytes).sum(),
        }
    }

    /// Returns the collectors.
    #[must_use]
    pub fn collectors(&self) -> &[Collector] {
        &self.collectors
    }

    /// Kills collector `idx` and starts it again, with nothing in its coordinator.
    pub fn restart(&mut self, idx: usize) {
        self.rebuilding = Some((idx, self.collectors[idx].n_groups()));
        self.kill(idx);
        self.agenda.plan(self.now() + RESTART_NS, Event::Up(idx));
    }

    /// Kills collector `idx` for good: those who stand in take over what is its.
    pub fn lose(&mut self, idx: usize) {
        self.kill(idx);
        self.agenda.plan(self.now() + MOVE_NS, Event::Move(idx));
    }

    fn kill(&mut self, idx: usize) {
        self.is_up[idx] = false;
        self.lives[idx] += 1;
        (0..self.hosts.len()).for_each(|host| self.agenda.plan(self.now() + NETWORK_NS, Event::Lost(host, idx)));
    }

    fn happen(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Fire(load) if load == self.load => {
                self.fire();
                self.plan_trigger();
            }
            Event::Turn(host) => {
                if self.hosts[host].is_due(now) {
                    self.turn(host);
                }
            }
            Event::ToHost(host, collector, told) => {
                self.book.reach(now, host, &told, &self.known.paths);
                let heard = self.hosts[host].receive(now, told.len(), &self.costs);
                self.agenda.plan(heard, Event::Hear(host, collector, told));
            }
            Event::Hear(host, collector, told) => {
                told.into_iter().for_each(|told| self.note(host, News::Told(collector, told)));
            }
            Event::ToCollector(of, line, said) if self.lives_now(of) => {
                let job = self.collectors[of.0].receive(line, said);
                self.run(of, job, true);
            }
            Event::Done(of, outcome) if self.lives_now(of) => self.done(of, outcome),
            Event::Write(of) if self.lives_now(of) => {
                let (batches, works) = self.collectors[of.0].store.write(&self.costs);
                self.agenda.plan(now + works, Event::Written(of, batches));
            }
            Event::Written(of, batches) if self.lives_now(of) => self.written(of, batches),
            Event::Tick(of) if self.lives_now(of) => self.tick(of),
            Event::Lost(host, collector) => self.note(host, News::Lost(collector)),
            Event::Up(idx) => self.up(idx),
            Event::Move(idx) => {
                self.known.gone = Some(idx);
                (0..self.hosts.len()).for_each(|host| self.note(host, News::Moved(idx)));
            }
            Event::Fire(_)
            | Event::ToCollector(..)
            | Event::Done(..)
            | Event::Write(..)
            | Event::Written(..)
            | Event::Tick(..) => {} // of an older load, or lost with its collector
        }
    }

    fn lives_now(&self, (idx, life): Of) -> bool {
        self.is_up[idx] && self.lives[idx] == life
    }

    fn fire(&mut self) {
        let host = self.random.below(self.hosts.len());
        let has_laterals = self.random.uniform() < self.workload.lateral_share;
        let n_traces = 1 + if has_laterals { self.workload.n_laterals } else { 0 };
        let mut traces = Vec::with_capacity(n_traces);
        for _ in 0..n_traces {
            let trace = TraceId::new(1, self.random.next());
            let path = self.workload.path(host, &mut self.random);
            self.known.paths.insert(trace, path);
            traces.push(trace);
        }
        self.book.begin(self.now(), host, traces[0], &self.known.paths);
        self.note(host, News::Fired(TRIGGERS[usize::from(has_laterals)], traces));
    }

    fn note(&mut self, host: usize, news: News) {
        let now = self.now();
        let turns = self.hosts[host].note(now, news);
        turns.into_iter().for_each(|at| self.agenda.plan(at, Event::Turn(host)));
    }

    fn turn(&mut self, host: usize) {
        let now = self.now();
        let (says, next) = self.hosts[host].turn(now, &self.known, &self.costs);
        for (collector, at, said) in says {
            let of = (collector, self.lives[collector]);
            self.agenda.plan(at + NETWORK_NS, Event::ToCollector(of, host, said));
        }
        next.into_iter().for_each(|at| self.agenda.plan(at, Event::Turn(host)));
    }

    /// Has a thread of a collector begin a job.
    fn run(&mut self, of: Of, job: impl IntoIterator<Item = Job>, wakes: bool) {
        let now = self.now();
        for job in job {
            let (works, outcome) = self.collectors[of.0].begin(now, job, wakes);
            self.agenda.plan(now + works, Event::Done(of, outcome));
        }
    }

    fn done(&mut self, of: Of, outcome: Outcome) {
        let (jobs, reaches) = self.collectors[of.0].end(outcome);
        let next = self.collectors[of.0].free();
        self.run(of, next, false);
        self.run(of, jobs, true);
        if let Some((line, told)) = reaches {
            self.agenda.plan(self.now() + NETWORK_NS, Event::ToHost(line, of.0, told));
        }
        self.plan_write(of);
    }

    fn plan_write(&mut self, of: Of) {
        let now = self.now();
        let begins = self.collectors[of.0].store.plan(now);
        begins.into_iter().for_each(|at| self.agenda.plan(at, Event::Write(of)));
    }

    fn written(&mut self, of: Of, batches: Vec<Batch>) {
        let now = self.now();
        self.book.store(now, &batches, &self.known.paths);
        let collector = &mut self.collectors[of.0];
        collector.store.finish(now);
        let jobs = collector.acknowledge(batches);
        self.run(of, jobs, true);
        self.plan_write(of);
    }

    fn tick(&mut self, of: Of) {
        let now = self.now();
        let jobs = self.collectors[of.0].tick();
        self.run(of, jobs, true);
        self.plan_write(of);
        self.agenda.plan(now + TICK_NS, Event::Tick(of));
        if let Some((idx, n_groups)) = self.rebuilding
            && of.0 == idx
            && self.collectors[idx].n_groups() * 100 >= n_groups * 98
        {
            (self.rebuilding, self.rebuilt_ns) = (None, Some(now));
        }
    }

    /// A collector is there again: agents find that out when they dial.
    fn up(&mut self, idx: usize) {
        let life = self.lives[idx];
        self.is_up[idx] = true;
        self.collectors[idx] = Collector::new(self.costs, self.n_threads, self.hosts.len(), life);
        self.agenda.plan(self.now() + TICK_NS, Event::Tick((idx, life)));
        for host in 0..self.hosts.len() {
            let (mut away, mut pause) = (0, PAUSE_NS);
            while away < RESTART_NS {
                away += pause / 2 + (pause as f64 / 2.0 * self.random.uniform()) as u64;
                pause *= 2;
            }
            let at = self.now() + away - RESTART_NS + NETWORK_NS;
            self.agenda.plan(at, Event::ToCollector((idx, life), host, vec![Said::Hello]));
        }
    }
}

#[cfg(test)]
mod tests;
