//! A collector: the real coordinator behind connections, on runtime threads whose work takes what was measured.
//!
//! Called by [`super::world`] and [`super::loopback`], which have the clock. As in tokio, a connection that has something is one job, however
//! much that is, and so is the coordinator's task, which is on one thread at a time: what comes while a job waits is served along with it.

use super::costs::{Costs, us};
use super::queue::Pool;
use super::store::Store;
use backsight_collector::coordinator::{Action, Coordinator, Counts, Event, Limits};
use backsight_core::coordination::{Advice, Collection, Greeting};
use backsight_core::holding::Holding;
use backsight_core::ids::{AgentId, TraceId};
use backsight_core::units::Nanos;
use std::collections::{BTreeMap, VecDeque};

/// Messages that one job takes at most: tokio's budget of a task.
const BUDGET: usize = 128;
/// How often the coordinator is told the time.
pub const TICK_NS: u64 = 50_000_000;

/// What an agent reports of one trace.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Bytes of records.
    pub bytes: u64,
    /// What it holds.
    pub holding: Holding,
}

/// A batch of reports.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The connection that it came on.
    pub line: usize,
    /// Its number there.
    pub number: u64,
    /// What it reports.
    pub reports: Vec<Reported>,
}

/// What an agent says.
#[derive(Clone, Debug)]
pub enum Said {
    /// Something for the coordinator.
    Event(Event),
    /// Reports.
    Batch(Batch),
    /// It dials.
    Hello,
}

/// What a collector says.
#[derive(Clone, Debug)]
pub enum Told {
    /// Welcome: it may talk.
    Greeted(Greeting),
    /// A question.
    Collect(Collection),
    /// The coordinator has an announcement.
    Ack {
        /// Which.
        id: u64,
        /// Whether it does not follow it.
        is_refused: bool,
    },
    /// What to do with parts of traces.
    Advise(Vec<(TraceId, Advice)>),
    /// Batches up to this one are durable.
    BatchAck(u64),
}

/// Work for a runtime thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Job {
    /// Read a connection.
    Read(usize),
    /// Run the coordinator's task.
    Coordinate,
    /// Write a connection.
    Write(usize),
}

/// What a job came to: it takes effect when the job ends.
#[derive(Debug)]
pub enum Outcome {
    /// This was read of a connection.
    Read(usize, Vec<Said>),
    /// The coordinator wants this.
    Coordinated(Vec<Action>),
    /// This was written to a connection.
    Written(usize, Vec<Told>),
}

#[derive(Debug, Default)]
struct Line {
    inbox: VecDeque<Said>,
    outbox: VecDeque<Told>,
    is_read: bool,
    is_written: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Collector {
    costs: Costs,
    coordinator: Coordinator,
    pool: Pool<Job>,
    lines: Vec<Line>,
    mailbox: VecDeque<Event>,
    is_coordinating: bool,
    acks: BTreeMap<usize, Vec<Told>>,
    advice: BTreeMap<usize, Vec<(TraceId, Advice)>>,
    /// What is durable.
    pub store: Store,
    /// How long its runtime threads have worked.
    pub runtime_ns: u64,
    /// How long one of them has for the coordinator.
    pub coordinator_ns: u64,
    /// Messages that it has read and written.
    pub n_messages: u64,
    /// The most messages that ever waited for the coordinator.
    pub mailbox_max: usize,
}

/// Returns the agent on connection `line`.
#[must_use]
pub const fn agent_of(line: usize) -> AgentId {
    AgentId(line as u32 + 1)
}

/// Returns the connection of `agent`.
#[must_use]
pub const fn line_of(agent: AgentId) -> usize {
    agent.0 as usize - 1
}

impl Collector {
    /// Returns a collector to which nobody is connected.
    #[must_use]
    pub fn new(costs: Costs, n_threads: usize, n_lines: usize, instance: u64) -> Self {
        let greeting = Greeting { instance, shard_epoch: 1, ..Greeting::default() };
        Self {
            costs,
            coordinator: Coordinator::new(Limits::default(), greeting),
            pool: Pool::new(n_threads),
            lines: (0..n_lines).map(|_| Line::default()).collect(),
            mailbox: VecDeque::new(),
            is_coordinating: false,
            acks: BTreeMap::new(),
            advice: BTreeMap::new(),
            store: Store::default(),
            runtime_ns: 0,
            coordinator_ns: 0,
            n_messages: 0,
            mailbox_max: 0,
        }
    }

    /// Connects agents at once and at no cost, as they were before the simulation begins.
    pub fn connect(&mut self, lines: impl IntoIterator<Item = usize>) {
        for line in lines {
            self.coordinator.step(Nanos(0), Event::Connected { agent: agent_of(line) });
        }
    }

    /// A connection brings something; returns the job that a thread wakes for.
    pub fn receive(&mut self, line: usize, said: Vec<Said>) -> Option<Job> {
        let of = &mut self.lines[line];
        of.inbox.extend(said);
        if std::mem::replace(&mut of.is_read, true) { None } else { self.pool.offer(Job::Read(line)) }
    }

    /// Tells the coordinator something, such as the time; returns the job that a thread wakes for.
    pub fn tell(&mut self, event: Event) -> Option<Job> {
        self.mailbox.push_back(event);
        self.mailbox_max = self.mailbox_max.max(self.mailbox.len());
        if std::mem::replace(&mut self.is_coordinating, true) { None } else { self.pool.offer(Job::Coordinate) }
    }

    /// Has something written to a connection; returns the job that a thread wakes for.
    pub fn say(&mut self, line: usize, told: impl IntoIterator<Item = Told>) -> Option<Job> {
        let of = &mut self.lines[line];
        of.outbox.extend(told);
        if std::mem::replace(&mut of.is_written, true) { None } else { self.pool.offer(Job::Write(line)) }
    }

    /// Begins a job on a thread that may have to wake for it; returns how long that takes, and what comes of it.
    pub fn begin(&mut self, now: u64, job: Job, wakes: bool) -> (u64, Outcome) {
        let costs = self.costs;
        let (works, outcome) = match job {
            Job::Read(line) => {
                let inbox = &mut self.lines[line].inbox;
                let said: Vec<Said> = inbox.drain(..inbox.len().min(BUDGET)).collect();
                (
                    costs.read_turn_us + said.iter().map(|said| costs.of_read(said)).sum::<f64>(),
                    Outcome::Read(line, said),
                )
            }
            Job::Coordinate => {
                let (works, actions) = self.coordinate(now);
                self.coordinator_ns += us(works);
                (works, Outcome::Coordinated(actions))
            }
            Job::Write(line) => {
                let outbox = &mut self.lines[line].outbox;
                let told: Vec<Told> = outbox.drain(..outbox.len().min(BUDGET)).collect();
                self.n_messages += told.len() as u64;
                let works = costs.write_turn_us + told.len() as f64 * costs.write_message_us;
                (works, Outcome::Written(line, told))
            }
        };
        let (wake_us, latency_us) = if wakes { (costs.wake_us, costs.wake_latency_us) } else { (0.0, 0.0) };
        self.runtime_ns += us(works + wake_us);
        (us(works + wake_us + latency_us), outcome)
    }

    /// Takes what the coordinator's task has heard.
    fn coordinate(&mut self, now: u64) -> (f64, Vec<Action>) {
        let (mut works, mut actions) = (0.0, Vec::new());
        for _ in 0..BUDGET {
            let Some(event) = self.mailbox.pop_front() else { break };
            works += self.costs.of_step(&event);
            let n_parts = self.coordinator.n_parts();
            let wanted = self.coordinator.step(Nanos(now), event);
            works += n_parts.saturating_sub(self.coordinator.n_parts()) as f64 * self.costs.step_end_us;
            works += wanted.iter().map(|action| self.costs.of_action(action)).sum::<f64>();
            actions.extend(wanted);
        }
        (works, actions)
    }

    /// Ends a job: what came of it takes effect. Returns jobs that threads wake for, and what reaches an agent.
    pub fn end(&mut self, outcome: Outcome) -> (Vec<Job>, Option<(usize, Vec<Told>)>) {
        let mut jobs = Vec::new();
        let mut reaches = None;
        match outcome {
            Outcome::Read(line, said) => {
                let of = &mut self.lines[line];
                of.is_read = !of.inbox.is_empty();
                if of.is_read {
                    jobs.extend(self.pool.offer(Job::Read(line)));
                }
                said.into_iter().for_each(|said| jobs.extend(self.hand_on(line, said)));
            }
            Outcome::Coordinated(actions) => {
                self.is_coordinating = !self.mailbox.is_empty();
                if self.is_coordinating {
                    jobs.extend(self.pool.offer(Job::Coordinate));
                }
                actions.into_iter().for_each(|action| jobs.extend(self.carry_out(action)));
            }
            Outcome::Written(line, told) => {
                let of = &mut self.lines[line];
                of.is_written = !of.outbox.is_empty();
                if of.is_written {
                    jobs.extend(self.pool.offer(Job::Write(line)));
                }
                reaches = Some((line, told));
            }
        }
        (jobs, reaches)
    }

    /// A thread has ended a job; returns the one that it goes on with.
    pub fn free(&mut self) -> Option<Job> {
        self.pool.finish()
    }

    fn hand_on(&mut self, line: usize, said: Said) -> Vec<Job> {
        self.n_messages += 1;
        match said {
            Said::Event(event) => self.tell(event).into_iter().collect(),
            Said::Batch(batch) => {
                self.store.add(batch);
                Vec::new()
            }
            Said::Hello => {
                let greeting = self.coordinator.greeting();
                let told = self.tell(Event::Connected { agent: agent_of(line) });
                told.into_iter().chain(self.say(line, [Told::Greeted(greeting)])).collect()
            }
        }
    }

    fn carry_out(&mut self, action: Action) -> Option<Job> {
        match action {
            Action::Collect { agent, collection } => {
                let acks = self.acks.remove(&line_of(agent)).unwrap_or_default();
                self.say(line_of(agent), [Told::Collect(collection)].into_iter().chain(acks))
            }
            Action::Acknowledge { agent, id, refusal } => {
                let ack = Told::Ack { id, is_refused: refusal.is_some() };
                self.acks.entry(line_of(agent)).or_default().push(ack);
                None
            }
            Action::Advise { agent, trace, advice } => {
                self.advice.entry(line_of(agent)).or_default().push((trace, advice));
                None
            }
            Action::Publish(view) => {
                self.store.note_view(view.agents.len());
                None
            }
        }
    }

    /// Says with the tick what waited for it; returns the jobs that threads wake for.
    pub fn tick(&mut self) -> Vec<Job> {
        let mut jobs: Vec<Job> = self.tell(Event::Tick).into_iter().collect();
        for (line, acks) in std::mem::take(&mut self.acks) {
            jobs.extend(self.say(line, acks));
        }
        for (line, advised) in std::mem::take(&mut self.advice) {
            jobs.extend(self.say(line, [Told::Advise(advised)]));
        }
        jobs
    }

    /// Acknowledges batches that are durable; returns the jobs that threads wake for.
    pub fn acknowledge(&mut self, batches: Vec<Batch>) -> Vec<Job> {
        let mut jobs = Vec::new();
        for Batch { line, number, reports } in batches {
            let agent = agent_of(line);
            for Reported { holding, .. } in reports {
                jobs.extend(self.tell(Event::Reported { agent, holding }));
            }
            jobs.extend(self.say(line, [Told::BatchAck(number)]));
        }
        jobs
    }

    /// Returns how many groups are followed.
    #[must_use]
    pub fn n_groups(&self) -> usize {
        self.coordinator.n_groups()
    }

    /// Returns how many agents are known over all traces.
    #[must_use]
    pub fn n_parts(&self) -> usize {
        self.coordinator.n_parts()
    }

    /// Returns what the coordinator counts.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.coordinator.counts()
    }

    /// Returns the memory of the coordinator and its connections, as far as it grows with them.
    #[must_use]
    pub fn memory_bytes(&self) -> f64 {
        let costs = &self.costs;
        self.coordinator.n_groups() as f64 * costs.group_bytes
            + self.coordinator.n_parts() as f64 * costs.part_bytes
            + self.lines.len() as f64 * costs.connection_bytes
    }
}

impl Costs {
    /// Returns what it takes to read a message, in microseconds.
    fn of_read(&self, said: &Said) -> f64 {
        let n_holdings = match said {
            Said::Event(Event::Announced { announcement, .. }) => announcement.holdings.len(),
            Said::Event(Event::Answered { answer, .. }) => answer.holdings.len(),
            Said::Event(Event::Updated { holdings, .. }) => holdings.len(),
            Said::Event(_) => 1,
            Said::Hello => return self.greet_us,
            Said::Batch(batch) => {
                let n_bytes = batch.reports.iter().map(|of| of.bytes).sum::<u64>() as f64;
                let traces_us = batch.reports.len() as f64 * self.batch_trace_us;
                return self.batch_us + traces_us + n_bytes * self.batch_byte_ns / 1e3;
            }
        };
        self.read_message_us + n_holdings.saturating_sub(1) as f64 * self.read_holding_us
    }

    /// Returns what the coordinator works for an event, but for what it does about it.
    fn of_step(&self, event: &Event) -> f64 {
        match event {
            Event::Announced { announcement, .. } => {
                self.step_announce_us + announcement.holdings.len().saturating_sub(1) as f64 * self.step_answer_us
            }
            Event::Answered { answer, .. } => answer.holdings.len() as f64 * self.step_answer_us,
            Event::Updated { holdings, .. } => holdings.len() as f64 * self.step_answer_us,
            Event::Reported { .. } => self.step_report_us,
            Event::Connected { .. } | Event::Disconnected { .. } | Event::Tick => 0.0,
        }
    }

    fn of_action(&self, action: &Action) -> f64 {
        match action {
            Action::Collect { .. } => self.step_collect_us,
            Action::Publish(view) => view.agents.len() as f64 * self.step_publish_us,
            Action::Acknowledge { .. } | Action::Advise { .. } => 0.0,
        }
    }
}
