//! The coordinator's task: who is connected, what is said to whom, and the views of traces on their way to the library.

use super::{Dialed, Heard, Said, Says};
use crate::coordinator::{Action, Coordinator, Event, Limits};
use crate::library::Library;
use crate::seldom::Seldom;
use crate::streams::{Reason, Refused};
use backsight_core::coordination::{Advice, Greeting, View};
use backsight_core::ids::{AgentId, TraceId};
use backsight_core::units::Nanos;
use backsight_proto::v1;
use backsight_proto::v1::coordinator_says::What;
use backsight_proto::wire::{ACKS_MAX, ADVISED_MAX, COLLECTS_MAX};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tonic::Status;
use tracing::{info, warn};

/// How often the coordinator is told the time, and views are handed on, while views change.
const TICK: Duration = Duration::from_millis(50);
/// How often otherwise, and how often others see how things are.
const TICK_AT_REST: Duration = Duration::from_millis(250);

/// Messages that are taken before agents are asked on them. A connection that is written to for each question costs several times as much as one
/// that takes what has come together.
const HEARD_AT_ONCE: usize = 256;

/// How things are.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Every agent that is or was connected, ascending.
    pub agents: Vec<AgentStatus>,
    /// Groups that are followed now.
    pub n_groups: usize,
    /// What the coordinator counts, by name; refusals begin with `refused_`.
    pub counts: BTreeMap<&'static str, u64>,
}

/// An agent that is or was connected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentStatus {
    /// The agent.
    pub agent: AgentId,
    /// Its host's name, as it says.
    pub host: String,
    /// Its version, as it says.
    pub version: String,
    /// Whether it is connected now.
    pub is_connected: bool,
    /// Batches of its that were stored.
    pub n_batches: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// An agent that is or was connected.
struct Line {
    status: AgentStatus,
    instance: u64,
    /// Its present connection.
    connection: Option<(u64, mpsc::Sender<Says>)>,
}

/// See the module.
pub(super) struct Switchboard {
    coordinator: Coordinator,
    greeting: Greeting,
    started: Instant,
    agents_max: usize,
    lines: BTreeMap<AgentId, Line>,
    /// Agents that were refused because there were too many, or because their id was taken.
    n_refused: u64,
    said_refused: Seldom,
    /// What agents are asked on the messages that are taken now.
    questions: BTreeMap<AgentId, Vec<v1::Collect>>,
    /// Acknowledgements that go along with the next question to their agent, or at the next tick: nobody waits for them.
    acks: BTreeMap<AgentId, Vec<v1::AnnounceAck>>,
    /// What agents are told at the next tick to do with their parts of traces.
    advice: BTreeMap<AgentId, BTreeMap<TraceId, Advice>>,
    /// Views that changed since they were handed on.
    views: BTreeMap<TraceId, View>,
    to_library: mpsc::Sender<Vec<View>>,
    shown: watch::Sender<Arc<Overview>>,
    shown_at: Instant,
    refused: Refused,
}

impl Switchboard {
    pub(super) fn new(
        greeting: Greeting,
        limits: Limits,
        agents_max: usize,
        library: Library,
        shown: watch::Sender<Arc<Overview>>,
        refused: Refused,
    ) -> Self {
        let (to_library, views) = mpsc::channel(1);
        tokio::spawn(store_views(library, views));
        Self {
            coordinator: Coordinator::new(limits, greeting),
            greeting,
            started: Instant::now(),
            agents_max,
            lines: BTreeMap::new(),
            n_refused: 0,
            said_refused: Seldom::default(),
            questions: BTreeMap::new(),
            acks: BTreeMap::new(),
            advice: BTreeMap::new(),
            views: BTreeMap::new(),
            to_library,
            shown,
            shown_at: Instant::now(),
            refused,
        }
    }

    /// Runs until nobody can say anything any more.
    pub(super) async fn run(mut self, mut hears: mpsc::Receiver<Heard>) {
        let mut ticked = Instant::now();
        let mut heard = Vec::with_capacity(HEARD_AT_ONCE);
        loop {
            let is_said = self.acks.is_empty() && self.advice.is_empty();
            let is_at_rest = is_said && self.views.is_empty() && !self.coordinator.has_changes();
            let next = ticked + if is_at_rest { TICK_AT_REST } else { TICK };
            tokio::select! {
                n = hears.recv_many(&mut heard, HEARD_AT_ONCE) => {
                    if n == 0 {
                        return;
                    }
                    heard.drain(..).for_each(|heard| self.hear(heard));
                    self.ask();
                }
                () = tokio::time::sleep_until(next.into()) => {
                    ticked = Instant::now();
                    self.step(Event::Tick);
                    self.ask();
                    self.acknowledge();
                    self.advise();
                    self.hand_on();
                    self.show();
                }
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Connected(dialed) => self.connect(dialed),
            Heard::Said { connection, agent, what } => {
                if self.is_current(agent, connection) {
                    self.hear_said(agent, what);
                }
            }
            Heard::Disconnected { connection, agent } => {
                if self.is_current(agent, connection) {
                    self.disconnect(agent);
                }
            }
            Heard::Reported { agent, holdings, left_out, bytes } => {
                if let Some(line) = self.lines.get_mut(&agent) {
                    line.status.n_batches += 1;
                    line.status.bytes += bytes;
                }
                if !left_out.is_empty() {
                    self.step(Event::Updated { agent, holdings: left_out });
                }
                for holding in holdings {
                    self.step(Event::Reported { agent, holding });
                }
            }
        }
    }

    fn hear_said(&mut self, agent: AgentId, said: Said) {
        match said {
            Said::Announced(announcement) => self.step(Event::Announced { agent, announcement }),
            Said::Answered(answers) => {
                answers.into_iter().for_each(|answer| self.step(Event::Answered { agent, answer }));
            }
            Said::Updated(holdings) => self.step(Event::Updated { agent, holdings }),
        }
    }

    /// Accepts an agent, unless another one with its id is here.
    fn connect(&mut self, dialed: Dialed) {
        let Dialed { agent, connection, hello, says, accepted } = dialed;
        if let Err(status) = self.may_connect(agent, &hello) {
            self.n_refused += 1;
            if let Some(n_silenced) = self.said_refused.admit() {
                warn!(agent = %agent, host = hello.host, reason = status.message(), n_silenced, "agent refused");
            }
            let _ = accepted.send(Err(status)); // the agent may be gone
            return;
        }
        if self.lines.get(&agent).is_some_and(|line| line.connection.is_some()) {
            self.disconnect(agent); // it dialed again before its last connection was seen to end
        }
        let welcome = v1::CoordinatorSays { what: Some(What::Welcome(self.greeting.into())) };
        if says.try_send(Ok(welcome)).is_err() || accepted.send(Ok(())).is_err() {
            return;
        }
        info!(agent = %agent, host = hello.host, version = hello.version, "agent connected");
        let (n_batches, bytes) =
            self.lines.get(&agent).map_or((0, 0), |line| (line.status.n_batches, line.status.bytes));
        let (host, version) = (hello.host, hello.version);
        let status = AgentStatus { agent, host, version, is_connected: true, n_batches, bytes };
        let line = Line { status, instance: hello.instance, connection: Some((connection, says)) };
        self.lines.insert(agent, line);
        self.step(Event::Connected { agent });
    }

    fn may_connect(&mut self, agent: AgentId, hello: &v1::Hello) -> Result<(), Status> {
        match self.lines.get(&agent) {
            Some(line) if line.connection.is_some() && line.instance != hello.instance => {
                let host = &line.status.host;
                return Err(Status::already_exists(format!("agent id {agent} is in use on host `{host}`")));
            }
            Some(_) => return Ok(()),
            None => {}
        }
        if self.lines.len() >= self.agents_max {
            // Whoever is not here makes room.
            let absent = self.lines.iter().find(|(_, line)| line.connection.is_none()).map(|(agent, _)| *agent);
            let Some(absent) = absent else {
                let reason = format!("{} agents are connected, collector.agents_max", self.agents_max);
                return Err(Status::resource_exhausted(reason));
            };
            self.lines.remove(&absent);
        }
        Ok(())
    }

    fn is_current(&self, agent: AgentId, connection: u64) -> bool {
        let line = self.lines.get(&agent).and_then(|line| line.connection.as_ref());
        line.is_some_and(|(current, _)| *current == connection)
    }

    fn disconnect(&mut self, agent: AgentId) {
        self.questions.remove(&agent); // it is asked again on its next connection
        self.acks.remove(&agent); // where it announces again
        self.advice.remove(&agent); // for a storm, which may be over by then
        if let Some(line) = self.lines.get_mut(&agent) {
            line.connection = None;
            line.status.is_connected = false;
            info!(agent = %agent, "agent disconnected");
        }
        self.step(Event::Disconnected { agent });
    }

    /// Steps the coordinator and notes what it wants.
    fn step(&mut self, event: Event) {
        for action in self.coordinator.step(self.now(), event) {
            match action {
                Action::Publish(view) => {
                    self.views.insert(view.trace, view);
                }
                Action::Acknowledge { agent, id, refusal } => {
                    let refusal = refusal.map(|refusal| refusal.to_string()).unwrap_or_default();
                    self.acks.entry(agent).or_default().push(v1::AnnounceAck { id, refusal });
                }
                Action::Advise { agent, trace, advice } => {
                    self.advice.entry(agent).or_default().insert(trace, advice);
                }
                Action::Collect { agent, collection } => {
                    self.questions.entry(agent).or_default().push((&collection).into());
                }
            }
        }
    }

    /// Asks what agents are to be asked. Those that do not listen are disconnected, on which others may have to be asked.
    fn ask(&mut self) {
        while let Some((agent, questions)) = self.questions.pop_first() {
            let questions = chunks(questions, COLLECTS_MAX).map(|collects| What::Collects(v1::Collects { collects }));
            let acks = self.acks.remove(&agent).map(acknowledging).into_iter().flatten();
            if !questions.chain(acks).all(|what| self.say(agent, what)) {
                self.give_up(agent);
            }
        }
    }

    /// Sends the acknowledgements that went along with nothing.
    fn acknowledge(&mut self) {
        for (agent, acks) in std::mem::take(&mut self.acks) {
            if !acknowledging(acks).all(|what| self.say(agent, what)) {
                self.give_up(agent);
            }
        }
    }

    /// Tells agents what to do with their parts of traces.
    fn advise(&mut self) {
        for (agent, advice) in std::mem::take(&mut self.advice) {
            let advice: Vec<(TraceId, Advice)> = advice.into_iter().collect();
            if !advice.chunks(ADVISED_MAX).all(|some| self.say(agent, What::Advise(some.into()))) {
                self.give_up(agent);
            }
        }
    }

    /// Says something to an agent, if it is here; returns `false` where it does not listen.
    fn say(&self, agent: AgentId, what: What) -> bool {
        let connection = self.lines.get(&agent).and_then(|line| line.connection.as_ref());
        connection.is_none_or(|(_, says)| says.try_send(Ok(v1::CoordinatorSays { what: Some(what) })).is_ok())
    }

    /// Disconnects an agent that does not listen.
    fn give_up(&mut self, agent: AgentId) {
        if self.lines.get(&agent).is_some_and(|line| line.connection.is_some()) {
            self.refused.count(Reason::Deaf);
            warn!(agent = %agent, "agent does not listen");
            self.disconnect(agent);
        }
    }

    /// Hands changed views to the library, unless it still stores the last ones: then only the newest of each is handed on later.
    fn hand_on(&mut self) {
        if !self.views.is_empty()
            && let Ok(permit) = self.to_library.try_reserve()
        {
            permit.send(std::mem::take(&mut self.views).into_values().collect());
        }
    }

    /// Lets others see how things are, now and then.
    fn show(&mut self) {
        if self.shown_at.elapsed() >= TICK_AT_REST {
            self.shown_at = Instant::now();
            self.shown.send_replace(Arc::new(self.overview()));
        }
    }

    fn overview(&self) -> Overview {
        let mut counts: BTreeMap<_, _> = self.coordinator.counts().named().collect();
        counts.insert("refused_connections", self.n_refused);
        Overview {
            agents: self.lines.values().map(|line| line.status.clone()).collect(),
            n_groups: self.coordinator.n_groups(),
            counts,
        }
    }

    fn now(&self) -> Nanos {
        Nanos(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Returns the messages that acknowledge announcements.
fn acknowledging(acks: Vec<v1::AnnounceAck>) -> impl Iterator<Item = What> {
    chunks(acks, ACKS_MAX).map(|acks| What::AnnounceAcks(v1::AnnounceAcks { acks }))
}

/// Returns a list in pieces of at most `max`: itself where it is no longer.
fn chunks<T>(list: Vec<T>, max: usize) -> impl Iterator<Item = Vec<T>> {
    let mut rest = Some(list).filter(|list| !list.is_empty());
    std::iter::from_fn(move || {
        let mut first = rest.take()?;
        rest = (first.len() > max).then(|| first.split_off(max));
        Some(first)
    })
}

/// Stores views as they come.
async fn store_views(library: Library, mut views: mpsc::Receiver<Vec<View>>) {
    while let Some(views) = views.recv().await {
        for view in views {
            if library.note_view(view).await.is_err() {
                return; // the collector stops
            }
        }
    }
}
