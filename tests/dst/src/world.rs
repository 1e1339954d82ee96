//! The world: everything that happens, in the order in which it happens.

use crate::Outcome;
mod faults;
mod requests;
mod talk;

use crate::check;
use crate::collector::Collector;
use crate::host::Host;
use crate::network::{Connection, Ends};
use crate::plan::{Fault, MS, Plan, S};
use crate::request::{Answer, Truth, Visit};
use crate::rng::Rng;
use backsight_agent::uplink::link::{Heard, Outgoing};
use backsight_core::ids::TraceId;
use backsight_proto::v1::agent_says::What;
use std::collections::BTreeMap;

/// The largest batch that a collector takes.
const BATCH_MAX_BYTES: u64 = 16 << 20;
/// How often coordinators are told the time.
const TICK_NS: u64 = 50 * MS;
/// How long after the load everything has settled: answers are awaited for five seconds, and announced again at most as far apart.
const SETTLED_NS: u64 = 20 * S;
/// How long after that every group has ended.
const ENDED_NS: u64 = 65 * S;
/// How long at most until an agent has sent all that it kept.
const DRAINED_NS: u64 = 600 * S;
/// Deepest visit of a request.
const DEPTH_MAX: usize = 3;
/// Requests that a host remembers for laterals.
const RECENT_MAX: usize = 16;

/// What happens.
#[derive(Debug)]
enum Event {
    Request,
    Arrive(usize),
    Step(usize),
    Answer(usize, Answer),
    Turn(usize),
    Say(Ends, u64, What),
    Report(Ends, u64, Outgoing),
    Hear(Ends, u64, Heard),
    HearOfReports(Ends, u64, Heard),
    Dial(Ends),
    Tick,
    Sync(usize),
    Fault(Fault),
    StartProcess(usize, usize),
    StartAgent(usize),
    Join(usize, usize),
    StartCollector(usize),
}

/// See the module.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    rng: Rng,
    now: u64,
    n_events: u64,
    queue: BTreeMap<(u64, u64), Event>,
    pub(crate) hosts: Vec<Host>,
    /// Of each host, one to each collector.
    connections: Vec<Connection>,
    pub(crate) collectors: Vec<Collector>,
    visits: Vec<Visit>,
    depths: Vec<usize>,
    pub(crate) truth: Truth,
    /// Of each collector.
    is_syncing: Vec<bool>,
    /// A request of which everything that happens is printed.
    pub watched: Option<TraceId>,
}

impl World {
    /// Returns the world of a plan, before anything has happened.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let mut rng = Rng::new(plan.seed);
        let now = S; // clocks that stand at 0 are clocks that were never set
        let hosts: Vec<Host> = (0..plan.n_hosts).map(|idx| Host::new(idx, &plan, &mut rng, now)).collect();
        let mut world = Self {
            connections: vec![Connection::default(); hosts.len() * plan.n_collectors],
            hosts,
            rng,
            now,
            n_events: 0,
            queue: BTreeMap::new(),
            collectors: (0..plan.n_collectors).map(Collector::new).collect(),
            visits: Vec::new(),
            depths: Vec::new(),
            truth: Truth::default(),
            is_syncing: vec![false; plan.n_collectors],
            watched: None,
            plan,
        };
        for host in 0..world.hosts.len() {
            (0..world.collectors.len()).for_each(|collector| world.at(0, Event::Dial(Ends { host, collector })));
            world.at(MS, Event::Turn(host));
        }
        world.at(TICK_NS, Event::Tick);
        for _ in 0..world.plan.n_requests {
            let after = 200 * MS + world.rng.below(world.plan.load_ns);
            world.at(after, Event::Request);
        }
        for (after, fault) in world.plan.faults.clone() {
            world.at(after, Event::Fault(fault));
        }
        world
    }

    /// Lets everything happen, and says what must not have.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        let settled = self.now + self.plan.load_ns + SETTLED_NS;
        self.run_until(settled);
        let mut outcome = check::settled(&mut self, settled);
        let mut quiet = settled;
        // A slow uplink has news for long.
        while quiet + ENDED_NS > self.now && self.now < settled + DRAINED_NS {
            self.run_until(quiet + ENDED_NS);
            let last = self.connections.iter().map(|of| of.last_said.max(of.last_reported)).max();
            quiet = quiet.max(last.unwrap_or(0));
        }
        let n_groups: usize = self.collectors.iter().map(Collector::n_groups).sum();
        if n_groups > 0 {
            outcome.violations.push(format!("{n_groups} groups never end"));
        }
        check::drained(&self, self.now, &mut outcome);
        outcome.n_faults = self.plan.faults.len();
        outcome
    }

    /// Returns whether no host loses anything, by the plan and by what came of it: no burst has outlasted what an agent that was started
    /// again had granted ahead.
    pub(crate) fn is_lossless(&self) -> bool {
        self.plan.is_lossless() && !self.hosts.iter().any(|host| host.has_outlasted)
    }

    fn run_until(&mut self, end: u64) {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > end {
                self.n_events += 1;
                self.queue.insert((at, self.n_events), event);
                break;
            }
            self.now = at;
            self.happen(event);
        }
        self.now = end;
    }

    /// Prints something about a request that is watched.
    fn tell_story(&self, trace: TraceId, what: impl FnOnce() -> String) {
        if self.watched == Some(trace) {
            println!("{:>10.3} ms  {}", self.now as f64 / 1e6, what());
        }
    }

    fn at(&mut self, after: u64, event: Event) {
        self.n_events += 1;
        self.queue.insert((self.now + after, self.n_events), event);
    }

    fn delay(&mut self) -> u64 {
        self.rng.between(20_000, self.plan.delay_max_ns)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Request => self.request(),
            Event::Arrive(visit) => self.arrive(visit),
            Event::Step(visit) => self.step(visit),
            Event::Answer(visit, answer) => self.answer(visit, answer),
            Event::Turn(host) => self.turn(host),
            Event::Say(ends, epoch, what) if self.connection(ends).epoch == epoch => self.say(ends, what),
            Event::Report(ends, epoch, batch) if self.connection(ends).reports_epoch == epoch => {
                self.report(ends, batch);
            }
            Event::Hear(ends, epoch, heard) if self.connection(ends).epoch == epoch => self.hear(ends, heard),
            Event::HearOfReports(ends, epoch, heard) if self.connection(ends).reports_epoch == epoch => {
                self.hear(ends, heard);
            }
            Event::Say(..) | Event::Report(..) | Event::Hear(..) | Event::HearOfReports(..) => {} // it was lost
            Event::Dial(ends) => self.dial(ends),
            Event::Tick => self.tick(),
            Event::Sync(collector) => self.sync(collector),
            Event::Fault(fault) => self.fault(fault),
            Event::StartProcess(host, process) => self.hosts[host].start_process(process, self.now),
            Event::StartAgent(host) => self.start_agent(host),
            Event::Join(host, process) => self.hosts[host].join(process, self.now),
            Event::StartCollector(collector) => self.collectors[collector].start(),
        }
    }
}
