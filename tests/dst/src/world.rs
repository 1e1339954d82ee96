//! The world: everything that happens, in the order in which it happens.

use crate::Outcome;
use crate::check;
use crate::collector::Collector;
use crate::host::Host;
use crate::network::{Connection, Said};
use crate::plan::{Fault, MS, Plan, S};
use crate::request::{Answer, Happened, Place, Truth, Visit};
use crate::rng::Rng;
use backsight_agent::uplink::link::{Heard, Outgoing};
use backsight_collector::coordinator::{Action, Event as Told};
use backsight_core::coordination::{Announcement, Answer as Answered, Collection};
use backsight_core::holding::Holding;
use backsight_core::ids::{AgentId, SpanId, TraceId};
use backsight_core::units::Nanos;
use backsight_proto::v1;
use backsight_proto::v1::agent_says::What;
use std::collections::BTreeMap;

/// The largest batch that the collector takes.
const BATCH_MAX_BYTES: u64 = 16 << 20;
/// How often the coordinator is told the time.
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
    Say(usize, u64, What),
    Report(usize, u64, Outgoing),
    Hear(usize, u64, Heard),
    HearOfReports(usize, u64, Heard),
    Dial(usize),
    Tick,
    Sync,
    Fault(Fault),
    StartProcess(usize, usize),
    StartAgent(usize),
    Join(usize, usize),
    StartCollector,
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
    connections: Vec<Connection>,
    pub(crate) collector: Collector,
    visits: Vec<Visit>,
    depths: Vec<usize>,
    pub(crate) truth: Truth,
    is_syncing: bool,
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
            connections: vec![Connection::default(); hosts.len()],
            hosts,
            rng,
            now,
            n_events: 0,
            queue: BTreeMap::new(),
            collector: Collector::default(),
            visits: Vec::new(),
            depths: Vec::new(),
            truth: Truth::default(),
            is_syncing: false,
            watched: None,
            plan,
        };
        for host in 0..world.hosts.len() {
            world.at(0, Event::Dial(host));
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
        let n_groups = self.collector.n_groups();
        if n_groups > 0 {
            outcome.violations.push(format!("{n_groups} groups never end"));
        }
        outcome.n_faults = self.plan.faults.len();
        outcome
    }

    /// Returns the plan.
    pub(crate) const fn plan(&self) -> &Plan {
        &self.plan
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
            Event::Say(host, epoch, what) if self.connections[host].epoch == epoch => self.say(host, what),
            Event::Report(host, epoch, batch) if self.connections[host].reports_epoch == epoch => {
                self.collector.report(self.hosts[host].id, epoch, batch);
                if !std::mem::replace(&mut self.is_syncing, true) {
                    let after = self.rng.between(MS, 60 * MS);
                    self.at(after, Event::Sync);
                }
            }
            Event::Hear(host, epoch, heard) if self.connections[host].epoch == epoch => self.hear(host, heard),
            Event::HearOfReports(host, epoch, heard) if self.connections[host].reports_epoch == epoch => {
                self.hear(host, heard);
            }
            Event::Say(..) | Event::Report(..) | Event::Hear(..) | Event::HearOfReports(..) => {} // it was lost
            Event::Dial(host) => self.dial(host),
            Event::Tick => self.tick(),
            Event::Sync => self.sync(),
            Event::Fault(fault) => self.fault(fault),
            Event::StartProcess(host, process) => self.hosts[host].start_process(process, self.now),
            Event::StartAgent(host) => self.start_agent(host),
            Event::Join(host, process) => self.hosts[host].join(process, self.now),
            Event::StartCollector => self.collector.start(),
        }
    }
}

/// Requests.
impl World {
    fn place(&mut self) -> Place {
        let (n_hosts, n_processes) = (self.hosts.len() as u64, self.plan.n_processes as u64);
        (self.rng.below(n_hosts) as usize, self.rng.below(n_processes) as usize)
    }

    fn request(&mut self) {
        let trace = TraceId::new(self.plan.seed + 1, self.rng.next() | 1);
        let place = self.place();
        let visit = self.visit(trace, None, (AgentId::NONE, SpanId::NONE), place, 0);
        self.at(0, Event::Arrive(visit));
    }

    fn visit(
        &mut self,
        trace: TraceId,
        caller: Option<usize>,
        from: (AgentId, SpanId),
        place: Place,
        depth: usize,
    ) -> usize {
        let n_calls = if depth < DEPTH_MAX { self.rng.below(4) } else { 0 };
        let calls = (0..n_calls).map(|_| self.place()).collect();
        let fires = self.rng.permille(self.plan.trigger_permille);
        let payload = self.rng.below(self.plan.payload_max);
        let span = SpanId(self.visits.len() as u64 + 1);
        self.depths.push(depth);
        self.visits.push(Visit {
            trace,
            span,
            caller,
            from,
            place,
            life: 0,
            writer: None,
            calls,
            n_called: 0,
            fires,
            payload,
        });
        self.visits.len() - 1
    }

    fn is_alive(&self, visit: usize) -> bool {
        let visit = &self.visits[visit];
        visit.life != 0 && self.hosts[visit.place.0].processes[visit.place.1].life == visit.life
    }

    fn arrive(&mut self, number: usize) {
        let (host, process) = self.visits[number].place;
        if self.hosts[host].processes[process].life == 0 {
            return self.reply(number, Answer::Unsent);
        }
        let visit = &mut self.visits[number];
        visit.begin(&mut self.hosts[host], self.now);
        let recent = &mut self.hosts[host].recent;
        recent.push_back(visit.trace);
        if recent.len() > RECENT_MAX {
            recent.pop_front();
        }
        let (trace, said) = (visit.trace, format!("{} begins at host {host}, process {process}", visit.span));
        let is_recorded = visit.writer.as_ref().is_some_and(|writer| self.hosts[host].reads(process, writer));
        if !is_recorded {
            self.truth.cut.insert(visit.trace);
        }
        if visit.writer.is_some() {
            let visits = self.truth.visits.entry(visit.trace).or_default();
            visits.insert(visit.span, Happened { host, is_over: false });
        }
        self.tell_story(trace, || format!("{said}{}", if is_recorded { "" } else { ", unrecorded" }));
        let work = self.rng.between(50_000, 10 * MS);
        self.at(work, Event::Step(number));
    }

    /// Lets a visit call whom it has not called yet, or end.
    fn step(&mut self, number: usize) {
        if !self.is_alive(number) {
            return;
        }
        let host = self.visits[number].place.0;
        let visit = &mut self.visits[number];
        if let Some(callee) = visit.calls.get(visit.n_called).copied() {
            visit.n_called += 1;
            visit.call(callee, &self.hosts[host], self.now);
            let own = if visit.writer.is_some() { (self.hosts[host].id, visit.span) } else { visit.from };
            let (trace, depth) = (visit.trace, self.depths[number] + 1);
            let child = self.visit(trace, Some(number), own, callee, depth);
            let delay = self.delay();
            return self.at(delay, Event::Arrive(child));
        }
        let (trace, process) = (visit.trace, visit.place.1);
        if !visit.writer.as_ref().is_some_and(|writer| self.hosts[host].reads(process, writer)) {
            self.truth.cut.insert(trace);
        }
        let visit = &self.visits[number];
        let (has_fired, laterals) = (visit.fires && visit.writer.is_some(), self.laterals(host));
        let visit = &mut self.visits[number];
        if has_fired {
            for trace in laterals.iter().copied().chain([visit.trace]) {
                self.truth.triggered.entry(trace).or_insert(self.now);
            }
        }
        let agent = visit.end(&mut self.hosts[host], &laterals, self.now);
        visit.life = 0;
        let (trace, span) = (visit.trace, visit.span);
        self.tell_story(trace, || format!("{span} ends{}", if has_fired { " and fires" } else { "" }));
        if let Some(happened) = self.truth.visits.get_mut(&trace).and_then(|visits| visits.get_mut(&span)) {
            happened.is_over = true;
        }
        self.reply(number, Answer::Came(agent));
    }

    /// Returns what goes along with a trigger of a host: requests that were there lately, now and then one that was not.
    fn laterals(&mut self, host: usize) -> Vec<TraceId> {
        let n = if self.rng.permille(200) { self.rng.below(4) as usize } else { 0 };
        let from = if self.rng.permille(100) { self.place().0 } else { host };
        self.hosts[from].recent.iter().rev().take(n).copied().collect()
    }

    fn reply(&mut self, number: usize, answer: Answer) {
        if let Some(caller) = self.visits[number].caller {
            let delay = self.delay();
            self.at(delay, Event::Answer(caller, answer));
        }
    }

    fn answer(&mut self, number: usize, answer: Answer) {
        if !self.is_alive(number) {
            return;
        }
        let visit = &self.visits[number];
        self.tell_story(visit.trace, || format!("{} hears {answer:?}", visit.span));
        let visit = &mut self.visits[number];
        let callee = visit.calls[visit.n_called - 1];
        visit.answered(answer, callee, &mut self.hosts[visit.place.0], self.now);
        let work = self.rng.between(20_000, 3 * MS);
        self.at(work, Event::Step(number));
    }
}

/// Agents, the collector, and what is between them.
impl World {
    fn turn(&mut self, host: usize) {
        self.hosts[host].turn(self.now);
        self.post(host);
        let is_busy = self.now < S + self.plan.load_ns + 5 * S;
        let after = if is_busy { self.rng.between(4 * MS, 24 * MS) } else { 100 * MS };
        self.at(after, Event::Turn(host));
    }

    /// Puts on its way what an agent said.
    fn post(&mut self, host: usize) {
        let Some(agent) = &self.hosts[host].agent else { return };
        for said in agent.driver.port().take_said() {
            let arrives = self.now + self.delay();
            let connection = &mut self.connections[host];
            match said {
                Said::What(what) => {
                    connection.last_said = arrives.max(connection.last_said);
                    let (epoch, after) = (connection.epoch, connection.last_said - self.now);
                    self.at(after, Event::Say(host, epoch, what));
                }
                Said::Batch(batch) => {
                    connection.last_reported = arrives.max(connection.last_reported);
                    let (epoch, after) = (connection.reports_epoch, connection.last_reported - self.now);
                    self.at(after, Event::Report(host, epoch, batch));
                }
                Said::ResetReports => {
                    connection.reports_epoch += 1;
                    let epoch = connection.reports_epoch;
                    self.hear(host, Heard::ReportLost("it was stuck".to_owned()));
                    self.at(10 * MS, Event::HearOfReports(host, epoch, Heard::ReportReady(BATCH_MAX_BYTES)));
                }
            }
        }
    }

    fn hear(&self, host: usize, heard: Heard) {
        if let Some(agent) = &self.hosts[host].agent {
            agent.driver.port().hear(heard);
        }
    }

    /// Tells an agent something over its ordered stream.
    fn tell(&mut self, host: usize, heard: Heard) {
        let arrives = self.now + self.delay();
        let connection = &mut self.connections[host];
        connection.last_told = arrives.max(connection.last_told);
        let (epoch, after) = (connection.epoch, connection.last_told - self.now);
        self.at(after, Event::Hear(host, epoch, heard));
    }

    fn dial(&mut self, host: usize) {
        let connection = self.connections[host];
        if connection.is_up {
            return;
        }
        let greeting = self.collector.greeting().filter(|_| connection.cut_until <= self.now);
        let (Some(greeting), Some(_)) = (greeting, &self.hosts[host].agent) else {
            let after = self.rng.between(50 * MS, 500 * MS);
            return self.at(after, Event::Dial(host));
        };
        self.connections[host].is_up = true;
        self.tell(host, Heard::Connected(greeting));
        self.tell(host, Heard::ReportReady(BATCH_MAX_BYTES));
        let agent = self.hosts[host].id;
        self.coordinate(Told::Connected { agent });
    }

    /// Breaks a connection: what is on its way is lost, and both ends see that.
    fn break_off(&mut self, host: usize) {
        let connection = &mut self.connections[host];
        connection.epoch += 1;
        connection.reports_epoch += 1;
        if !std::mem::replace(&mut connection.is_up, false) {
            return;
        }
        self.hear(host, Heard::Disconnected("it broke".to_owned()));
        let agent = self.hosts[host].id;
        self.coordinate(Told::Disconnected { agent });
        let after = self.rng.between(50 * MS, 500 * MS);
        self.at(after, Event::Dial(host));
    }

    fn say(&mut self, host: usize, what: What) {
        let agent = self.hosts[host].id;
        let told = match what {
            What::Announce(said) => {
                Announcement::try_from(said).map(|announcement| Told::Announced { agent, announcement })
            }
            What::Answer(said) => Answered::try_from(said).map(|answer| Told::Answered { agent, answer }),
            What::Update(said) => Vec::<Holding>::try_from(said).map(|holdings| Told::Updated { agent, holdings }),
            What::Hello(_) => return,
        };
        if let Ok(told) = &told {
            self.tell_what_was_said(host, told);
        }
        match told {
            Ok(told) => self.coordinate(told),
            Err(error) => panic!("an agent says what no agent may say: {error}"),
        }
    }

    fn tell_what_was_said(&self, host: usize, told: &Told) {
        let (verb, holdings) = match told {
            Told::Announced { announcement, .. } => ("announces", &announcement.holdings),
            Told::Answered { answer, .. } => ("answers", &answer.holdings),
            Told::Updated { holdings, .. } => ("updates", holdings),
            _ => return,
        };
        for holding in holdings {
            self.tell_story(holding.trace, || format!("host {host} {verb}: {}", short(holding)));
        }
    }

    fn coordinate(&mut self, told: Told) {
        let actions = self.collector.step(Nanos(self.now), told);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            let (agent, heard) = match action {
                Action::Acknowledge { agent, id, refusal } => {
                    let refusal = refusal.map(|refusal| refusal.to_string()).unwrap_or_default();
                    (agent, Heard::AnnounceAck { id, refusal })
                }
                Action::Collect { agent, collection } => {
                    let sent = Collection::try_from(v1::Collect::from(&collection));
                    (agent, Heard::Collect(sent.expect("what the coordinator asks can be read")))
                }
                Action::Demote { agent, trace } => (agent, Heard::Demote(vec![trace])),
                Action::Publish(_) => continue, // stored already
            };
            let host = agent.0 as usize - 1;
            if self.connections.get(host).is_some_and(|connection| connection.is_up) {
                self.tell(host, heard);
            }
        }
        if !std::mem::replace(&mut self.is_syncing, true) {
            self.at(50 * MS, Event::Sync);
        }
    }

    fn tick(&mut self) {
        self.coordinate(Told::Tick);
        self.at(TICK_NS, Event::Tick);
    }

    fn sync(&mut self) {
        self.is_syncing = false;
        let (stored, actions) = self.collector.sync(Nanos(self.now));
        for batch in stored {
            let host = batch.agent.0 as usize - 1;
            if self.connections[host].reports_epoch == batch.reports_epoch {
                let delay = self.delay();
                self.at(delay, Event::HearOfReports(host, batch.reports_epoch, Heard::BatchAck(batch.number)));
            }
        }
        self.carry_out(actions);
    }
}

/// What goes wrong.
impl World {
    fn fault(&mut self, fault: Fault) {
        let (host, process) = self.place();
        if let Some(watched) = self.watched {
            self.tell_story(watched, || format!("{fault:?} at host {host}, process {process}"));
        }
        match fault {
            Fault::KillProcess => self.kill_process(host, process),
            Fault::KillAgent => {
                self.break_off(host);
                self.hosts[host].agent = None;
                let after = self.rng.between(10 * MS, 2 * S);
                self.at(after, Event::StartAgent(host));
            }
            Fault::KillCollector => {
                self.collector.kill();
                (0..self.hosts.len()).for_each(|host| self.break_off(host));
                let after = self.rng.between(10 * MS, 2 * S);
                self.at(after, Event::StartCollector);
            }
            Fault::Partition => {
                self.connections[host].cut_until = self.now + self.rng.between(100 * MS, 3 * S);
                self.break_off(host);
            }
            Fault::Break => self.break_off(host),
        }
    }

    fn kill_process(&mut self, host: usize, process: usize) {
        let life = self.hosts[host].processes[process].life;
        if life == 0 {
            return;
        }
        let is_there = |visit: &Visit| visit.place == (host, process) && visit.life == life;
        let cut: Vec<usize> = (0..self.visits.len()).filter(|number| is_there(&self.visits[*number])).collect();
        self.hosts[host].kill_process(process, self.now);
        for number in cut {
            self.visits[number].writer = None;
            self.visits[number].life = 0;
            self.reply(number, Answer::Lost);
        }
        let after = self.rng.between(10 * MS, 2 * S);
        self.at(after, Event::StartProcess(host, process));
    }

    fn start_agent(&mut self, host: usize) {
        if self.hosts[host].agent.is_some() {
            return;
        }
        self.hosts[host].start_agent(&self.plan, self.now);
        self.at(0, Event::Dial(host));
        for process in 0..self.plan.n_processes {
            // They write into memory that nobody reads, until they notice.
            let after = self.rng.between(MS, 4 * S);
            self.at(after, Event::Join(host, process));
        }
    }
}

/// Returns a holding in a line.
fn short(holding: &Holding) -> String {
    let crumbs: Vec<String> = holding.crumbs.iter().map(|crumb| format!("{}", crumb.agent)).collect();
    format!(
        "{}, {} segments, {} B, {} open, {} evicted, remembers since {}, leads to {}",
        holding.state.name(),
        holding.n_segments,
        holding.bytes,
        holding.n_open,
        holding.n_evicted,
        holding.remembers_since_ns,
        crumbs.join(" ")
    )
}
