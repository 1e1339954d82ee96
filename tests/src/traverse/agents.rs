//! Agents without recorders: each dials the collector, fires what is planned for it, and answers every question at once.
//!
//! Started by the loads of this room. All run on one thread, so that on two cores the collector has the other, but for those on hosts apart;
//! triggers are fired from the thread of the caller, which is on time though the agents are busy. Like the real ones they send answers before
//! announcements.

use super::Planned;
use super::path::agent_id;
use super::traversals::{AGENTS_MAX, Traversals};
use crate::harness::network::Host;
use anyhow::{Context as _, Result, anyhow, ensure};
use backsight_core::coordination::{Announcement, Answer, Collection};
use backsight_core::holding::{Holding, HoldingState};
use backsight_core::ids::{TraceId, TriggerId};
use backsight_proto::v1;
use backsight_proto::v1::coordinator_client::CoordinatorClient;
use backsight_proto::v1::{agent_says, coordinator_says};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::Stream;
use tonic::transport::Endpoint;

/// Messages with answers of one agent that wait for its connection; the coordinator asks no more than 1024 times without one.
const ANSWERS_MAX: usize = 2048;
/// How long all agents may take to be greeted.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// What fires, as by hand.
const TRIGGER: TriggerId = TriggerId(0x7e57);
/// The high half of all trace ids; the low half counts triggers from 1.
const TRACE_HI: u64 = 0x7472_6176;

/// Connected agents. They hang up when this drops.
#[derive(Debug)]
pub struct Agents {
    shared: Arc<Shared>,
    /// Announcements on their way to their agents, by index.
    fires: Vec<mpsc::Sender<v1::AgentSays>>,
    stop: Option<watch::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

/// What the agents know together.
#[derive(Debug)]
struct Shared {
    plan: Vec<Planned>,
    traversals: Mutex<Traversals>,
    /// When the load began.
    start: OnceLock<Instant>,
    /// Why agents do not go on; the first counts.
    failure: Mutex<Option<anyhow::Error>>,
}

impl Agents {
    /// Connects `n_agents` agents to the collector at `url`, all but `dead`: each on one of `hosts`, or all on this machine where there are none.
    ///
    /// # Errors
    /// One of them is not greeted, or there are more than [`AGENTS_MAX`].
    pub fn connect(url: &str, n_agents: usize, plan: &[Planned], dead: Option<usize>, hosts: &[Host]) -> Result<Self> {
        ensure!((1..=AGENTS_MAX).contains(&n_agents), "{n_agents} agents, of 1 to {AGENTS_MAX}");
        let n_live = n_agents - usize::from(dead.is_some());
        let shared = Arc::new(Shared {
            plan: plan.to_vec(),
            traversals: Mutex::new(Traversals::new(plan, n_live)),
            start: OnceLock::new(),
            failure: Mutex::new(None),
        });
        let endpoint = Endpoint::from_shared(url.to_owned()).context("understand the collector's address")?;
        let (greeted, greetings) = std::sync::mpsc::channel();
        let (mut fires, mut lines) = (Vec::new(), Vec::new());
        for idx in 0..n_agents {
            let (fire, announcements) = mpsc::channel(plan.len().max(1));
            fires.push(fire);
            if Some(idx) != dead {
                let (endpoint, greeted) = (endpoint.clone().tcp_nodelay(true), greeted.clone());
                lines.push(Line { idx, endpoint, announcements, shared: Arc::clone(&shared), greeted, revision: 0 });
            }
        }
        let (stop, stopped) = watch::channel(());
        let mut agents = Self { shared, fires, stop: Some(stop), threads: Vec::new() };
        let groups: Vec<(Option<Host>, Vec<Line>)> = match hosts.is_empty() {
            true => vec![(None, lines)],
            false => lines.into_iter().map(|line| (hosts.get(line.idx).cloned(), vec![line])).collect(),
        };
        for (host, lines) in groups {
            agents.threads.push(start(host, lines, Arc::clone(&agents.shared), stopped.clone())?);
        }
        let deadline = Instant::now() + CONNECT_MAX;
        for _ in 0..n_live {
            let is_greeted = greetings.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            agents.check()?;
            is_greeted.with_context(|| format!("{n_live} agents were not greeted within {CONNECT_MAX:?}"))?;
        }
        Ok(agents)
    }

    /// Fires what is planned, each trigger when it is due; returns when that began.
    ///
    /// # Errors
    /// An agent's connection has ended.
    pub fn fire(&self) -> Result<Instant> {
        let plan = &self.shared.plan;
        let says: Vec<v1::AgentSays> = plan.iter().enumerate().map(|(idx, planned)| announce(idx, planned)).collect();
        let start = *self.shared.start.get_or_init(Instant::now);
        for (planned, says) in plan.iter().zip(says) {
            std::thread::sleep(planned.due.saturating_sub(start.elapsed()));
            if self.fires[planned.agent].try_send(says).is_err() {
                self.check()?;
                return Err(anyhow!("agent {} takes no triggers", planned.agent));
            }
        }
        Ok(start)
    }

    /// Returns what was reached so far; agents wait while this is held.
    pub fn traversals(&self) -> MutexGuard<'_, Traversals> {
        self.shared.traversals()
    }

    /// Returns why an agent has given up, if one has.
    ///
    /// # Errors
    /// It has.
    pub fn check(&self) -> Result<()> {
        let mut failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take().map_or(Ok(()), Err)
    }

    /// Hangs up; returns what was reached within `watched`.
    ///
    /// # Errors
    /// An agent gave up meanwhile.
    pub fn finish(mut self, watched: Duration) -> Result<Traversals> {
        self.hang_up();
        self.check()?;
        Ok(self.traversals().clone().watched_until(watched))
    }

    fn hang_up(&mut self) {
        self.stop = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a panic there was printed there
        }
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.hang_up();
    }
}

impl Shared {
    fn traversals(&self) -> MutexGuard<'_, Traversals> {
        self.traversals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes why agents do not go on.
    fn fail(&self, why: anyhow::Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    /// Returns the time since the load began.
    fn now(&self) -> Duration {
        self.start.get().map(Instant::elapsed).unwrap_or_default()
    }
}

/// Starts a thread that runs agents on a host, or on this machine where there is none.
fn start(
    host: Option<Host>,
    lines: Vec<Line>,
    shared: Arc<Shared>,
    stopped: watch::Receiver<()>,
) -> Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    let run = move || {
        let served = Arc::clone(&shared);
        let serve = || runtime.block_on(serve(lines, served, stopped));
        let ran = match host {
            Some(host) => host.inside(serve),
            None => {
                serve();
                Ok(())
            }
        };
        ran.unwrap_or_else(|why| shared.fail(why));
    };
    std::thread::Builder::new().name("agents".into()).spawn(run).context("start the agents' thread")
}

/// Runs agents until they are stopped, or one fails.
async fn serve(lines: Vec<Line>, shared: Arc<Shared>, mut stopped: watch::Receiver<()>) {
    let mut tasks = JoinSet::new();
    for line in lines {
        tasks.spawn(line.serve());
    }
    let ended = tokio::select! {
        ended = tasks.join_next() => ended,
        _ = stopped.changed() => return,
    };
    let why = match ended {
        Some(Ok(Err(why))) => why,
        ended => anyhow!("an agent ended by itself: {ended:?}"),
    };
    shared.fail(why);
}

/// One agent.
struct Line {
    idx: usize,
    endpoint: Endpoint,
    announcements: mpsc::Receiver<v1::AgentSays>,
    shared: Arc<Shared>,
    greeted: std::sync::mpsc::Sender<()>,
    /// Of its last holding.
    revision: u64,
}

impl Line {
    /// Talks until the collector hangs up.
    async fn serve(self) -> Result<()> {
        let Self { idx, endpoint, announcements, shared, greeted, mut revision } = self;
        let channel = endpoint.connect().await.with_context(|| format!("dial the collector as agent {idx}"))?;
        let (answer, answers) = mpsc::channel(ANSWERS_MAX);
        let says = Says { hello: Some(hello(idx)), answers, announcements };
        let inbound = CoordinatorClient::new(channel).coordinate(says).await;
        let mut inbound = inbound.with_context(|| format!("open the stream of agent {idx}"))?.into_inner();
        while let Some(message) = inbound.message().await.with_context(|| format!("hear as agent {idx}"))? {
            match message.what {
                Some(coordinator_says::What::Welcome(_)) => greeted.send(()).context("nobody waits for the agents")?,
                Some(coordinator_says::What::Collects(collects)) => {
                    let said = take(&shared, idx, collects, &mut revision)?;
                    answer
                        .try_send(said)
                        .ok()
                        .with_context(|| format!("agent {idx} has {ANSWERS_MAX} messages to send"))?;
                }
                Some(coordinator_says::What::AnnounceAcks(acks)) => {
                    // What is refused stays unfinished.
                    let (mut traversals, now) = (shared.traversals(), shared.now());
                    for ack in acks.acks.iter().filter(|ack| ack.refusal.is_empty()) {
                        traversals.acknowledge((ack.id as usize).wrapping_sub(1), now);
                    }
                }
                Some(coordinator_says::What::Advise(_)) | None => {} // nothing is reported here
            }
        }
        Err(anyhow!("the collector hung up on agent {idx}"))
    }
}

/// Notes what is asked in one message, and returns what answers it.
fn take(shared: &Shared, idx: usize, asked: v1::Collects, revision: &mut u64) -> Result<v1::AgentSays> {
    let asked = Vec::<Collection>::try_from(asked).context("understand Collects")?;
    let (mut traversals, now) = (shared.traversals(), shared.now());
    let answer = |asked: &Collection| {
        let trace = asked.traces.first().copied().unwrap_or_default();
        let trigger = (trace.lo as usize).wrapping_sub(1);
        ensure!(traversals.reach(trigger, idx, now), "the collector asks for trace {trace}, which nobody has");
        *revision += 1;
        let holdings = vec![holding(trigger, &shared.plan[trigger], idx, *revision)];
        Ok(Answer { group: asked.group, holdings })
    };
    let answers = asked.iter().map(answer).collect::<Result<Vec<Answer>>>()?;
    Ok(says(agent_says::What::Answers(answers.as_slice().into())))
}

/// Returns what agent `idx` has of the trace of a trigger.
fn holding(trigger: usize, planned: &Planned, idx: usize, revision: u64) -> Holding {
    Holding {
        trace: TraceId::new(TRACE_HI, trigger as u64 + 1),
        state: HoldingState::Kept,
        revision,
        n_segments: 1,
        bytes: 600,
        crumbs: planned.path.crumbs(idx),
        ..Holding::default()
    }
}

/// Returns what the agent says on which a trigger fires.
fn announce(trigger: usize, planned: &Planned) -> v1::AgentSays {
    let announcement = Announcement {
        id: trigger as u64 + 1,
        trigger: TRIGGER,
        base: TraceId::new(TRACE_HI, trigger as u64 + 1),
        holdings: vec![holding(trigger, planned, planned.agent, 1)],
        ..Announcement::default()
    };
    says(agent_says::What::Announce(v1::Announce::of(&announcement, 0)))
}

fn hello(idx: usize) -> v1::AgentSays {
    says(agent_says::What::Hello(v1::Hello {
        protocol: v1::PROTOCOL,
        agent: agent_id(idx).0,
        instance: idx as u64 + 1,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: format!("stand-in-{idx}"),
    }))
}

const fn says(what: agent_says::What) -> v1::AgentSays {
    v1::AgentSays { what: Some(what) }
}

/// What an agent says, in the order of the real ones: the hello, then answers before announcements.
struct Says {
    hello: Option<v1::AgentSays>,
    answers: mpsc::Receiver<v1::AgentSays>,
    announcements: mpsc::Receiver<v1::AgentSays>,
}

impl Stream for Says {
    type Item = v1::AgentSays;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<v1::AgentSays>> {
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Some(hello));
        }
        match self.answers.poll_recv(cx) {
            Poll::Pending => self.announcements.poll_recv(cx),
            ready => ready,
        }
    }
}
