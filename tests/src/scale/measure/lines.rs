//! Connections: what a message costs the collector and the agent at its other end, alone, among others, and in bulk.
//!
//! The stand-ins for agents run on the calling thread, so that its CPU time is theirs.

use super::threads::{Worked, private_bytes, worked};
use super::{Effort, Values};
use crate::bench::clock::thread_cpu_ns;
use crate::harness::collector::Collector;
use crate::scale::collector::agent_of;
use anyhow::{Context as _, Result, ensure};
use backsight_core::coordination::Announcement;
use backsight_core::holding::{CrumbTo, Holding, HoldingState};
use backsight_core::ids::{SpanId, TraceId, TriggerId};
use backsight_core::record::CrumbDirection;
use backsight_proto::v1::coordinator_client::CoordinatorClient;
use backsight_proto::v1::intake_client::IntakeClient;
use backsight_proto::v1::{self, AgentSays, ReportRequest, agent_says, coordinator_says, report_request};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

/// Messages that wait for one connection.
const SAYS_MAX: usize = 8192;
/// How long until all that was said has had its effect.
const SETTLE: Duration = Duration::from_millis(200);
/// A collector has settled when it works for less than this share of such a time.
const SETTLED_SHARE: f64 = 0.02;
/// How long anything may take.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// How long the collector is watched while nobody says anything: two rounds of its keep-alives, one of the agents'.
const IDLE: Duration = Duration::from_secs(10);

/// How long it is watched without connections.
const ALONE: Duration = Duration::from_secs(2);

/// Connected stand-ins for agents.
#[derive(Debug)]
pub struct Lines {
    runtime: Runtime,
    says: Vec<mpsc::Sender<AgentSays>>,
    reports: Vec<mpsc::Sender<ReportRequest>>,
    heard: Arc<Heard>,
}

/// What the stand-ins have heard, all together.
#[derive(Debug, Default)]
struct Heard {
    n_messages: AtomicU64,
    n_collects: AtomicU64,
    /// Questions on which the agent that is asked announces something, by which the next one is asked.
    n_hops_left: AtomicU64,
    n_announced: AtomicU64,
}

impl Heard {
    /// Returns an announcement of a trigger of its own, by which `asked` are asked.
    fn announcement(&self, asked: Range<usize>) -> agent_says::What {
        announcement(self.n_announced.fetch_add(1, Ordering::Relaxed) + 1, asked) // unique is all it must be
    }

    /// Notes a question to agent `idx` of `n`; returns what that says to have the next one asked, if it is to.
    fn asked(&self, idx: usize, n: usize) -> Option<agent_says::What> {
        self.n_collects.fetch_add(1, Ordering::Relaxed);
        let goes_on = self.n_hops_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        let next = (idx + 1) % n;
        goes_on.is_ok().then(|| self.announcement(next..next + 1))
    }
}

/// What a load cost both ends.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spent {
    /// The collector's threads.
    pub collector: Worked,
    /// The stand-ins.
    pub agents_us: f64,
}

impl Lines {
    /// Connects `n` agents, on both streams of each.
    ///
    /// # Errors
    /// One is not greeted.
    pub fn connect(url: &str, n: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
        let heard = Arc::new(Heard::default());
        let (mut says, mut reports) = (Vec::new(), Vec::new());
        for idx in 0..n {
            let (say, report) = runtime.block_on(connect(url, idx, n, heard.clone()))?;
            says.push(say);
            reports.push(report);
        }
        let lines = Self { runtime, says, reports, heard };
        let n_greetings = 2 * n as u64;
        lines.until(|| lines.n_heard() >= n_greetings).context("greet the agents")?;
        Ok(lines)
    }

    /// Returns how many messages were heard, on all streams.
    #[must_use]
    pub fn n_heard(&self) -> u64 {
        self.heard.n_messages.load(Ordering::Relaxed) // a count
    }

    /// Lets time pass; only then is anything sent or heard.
    pub fn pass(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Waits for something.
    ///
    /// # Errors
    /// It does not come.
    pub fn until(&self, is_there: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + WAIT_MAX;
        while !is_there() {
            ensure!(Instant::now() < deadline, "nothing happened for {WAIT_MAX:?}");
            self.pass(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until the collector rests: it goes on with what it was told last, such as storing views.
    fn settle(&self, pid: u32) -> Result<()> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let (before, start) = (worked(pid)?, Instant::now());
            self.pass(SETTLE);
            let spent = worked(pid)? - before;
            let share = (spent.runtime_us + spent.writer_us) / 1e6 / start.elapsed().as_secs_f64();
            if share < SETTLED_SHARE {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the collector does not rest within {WAIT_MAX:?}");
        }
    }

    /// Has so many agents at a time ask the next ones, until that has been `n_hops` times.
    fn hops(&self, n_at_once: usize, n_hops: usize) -> Result<()> {
        let end = self.heard.n_collects.load(Ordering::Relaxed) + n_hops as u64;
        self.heard.n_hops_left.store((n_hops - n_at_once) as u64, Ordering::Relaxed);
        (0..n_at_once).try_for_each(|line| self.say(line, self.heard.announcement(line + 1..line + 2)))?;
        self.until(|| self.heard.n_collects.load(Ordering::Relaxed) >= end)
    }

    fn say(&self, line: usize, what: agent_says::What) -> Result<()> {
        self.says[line].try_send(AgentSays { what: Some(what) }).context("an agent's connection is full or gone")
    }

    /// Sends a batch on the reports of a connection.
    ///
    /// # Errors
    /// That is full, or gone.
    pub fn report(&self, line: usize, batch: v1::Batch) -> Result<()> {
        let request = ReportRequest { what: Some(report_request::What::Batch(batch)) };
        self.reports[line].try_send(request).context("an agent's reports are full or gone")
    }

    /// Returns what a load costs both ends, beyond what they work without one.
    ///
    /// # Errors
    /// The load fails, or the collector is gone.
    pub fn spent(&self, pid: u32, load: impl FnOnce() -> Result<()>) -> Result<Spent> {
        self.settle(pid)?;
        let (before, agents_before, start) = (worked(pid)?, thread_cpu_ns(), Instant::now());
        load()?;
        self.pass(SETTLE);
        let (after, agents_after, took) = (worked(pid)?, thread_cpu_ns(), start.elapsed());
        self.pass(took.min(SETTLE)); // as long again, of nothing
        let share = took.as_secs_f64() / took.min(SETTLE).as_secs_f64();
        let idle = worked(pid)? - after;
        let idle_agents = (thread_cpu_ns() - agents_after) as f64 / 1e3;
        let load = after - before;
        let less = |load: f64, idle: f64| (load - idle * share).max(0.0);
        Ok(Spent {
            collector: Worked {
                runtime_us: less(load.runtime_us, idle.runtime_us),
                writer_us: less(load.writer_us, idle.writer_us),
            },
            agents_us: less((agents_after - agents_before) as f64 / 1e3, idle_agents),
        })
    }
}

async fn connect(
    url: &str,
    idx: usize,
    n: usize,
    heard: Arc<Heard>,
) -> Result<(mpsc::Sender<AgentSays>, mpsc::Sender<ReportRequest>)> {
    let endpoint = Endpoint::from_shared(url.to_owned()).context("understand the collector's address")?;
    let endpoint = endpoint
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10)) // as the agent's link
        .keep_alive_while_idle(true);
    let channel = endpoint.connect().await.with_context(|| format!("dial as agent {idx}"))?;
    let hello = v1::Hello {
        protocol: v1::PROTOCOL,
        agent: agent_of(idx).0,
        instance: idx as u64 + 1,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: format!("stand-in-{idx}"),
    };
    let (say, says) = mpsc::channel(SAYS_MAX);
    say.try_send(AgentSays { what: Some(agent_says::What::Hello(hello.clone())) }).context("say hello")?;
    let inbound = CoordinatorClient::new(channel.clone()).coordinate(ReceiverStream::new(says)).await;
    let mut inbound = inbound.context("open a stream to the coordinator")?.into_inner();
    let (counted, answers) = (heard.clone(), say.clone());
    tokio::spawn(async move {
        while let Ok(Some(message)) = inbound.message().await {
            counted.n_messages.fetch_add(1, Ordering::Relaxed);
            if let Some(coordinator_says::What::Collects(asked)) = message.what {
                let what = asked.collects.iter().filter_map(|_| counted.asked(idx, n));
                what.for_each(|what| drop(answers.try_send(AgentSays { what: Some(what) })));
            }
        }
    });
    let (report, reports) = mpsc::channel(SAYS_MAX);
    report.try_send(ReportRequest { what: Some(report_request::What::Hello(hello)) }).context("say hello")?;
    let replies = IntakeClient::new(channel).report(ReceiverStream::new(reports)).await;
    let mut replies = replies.context("open a stream of reports")?.into_inner();
    tokio::spawn(async move {
        while let Ok(Some(_)) = replies.message().await {
            heard.n_messages.fetch_add(1, Ordering::Relaxed);
        }
    });
    Ok((say, report))
}

/// Returns the costs of connections and messages; `step_collect_us` is what the coordinator works for one that it sends.
pub(super) fn measure(effort: Effort, step_collect_us: f64) -> Result<Values> {
    let n_lines = effort.of(200).max(40);
    let collector = Collector::start()?;
    let pid = collector.pid();
    std::thread::sleep(SETTLE);
    let start = worked(pid)?;
    std::thread::sleep(ALONE);
    let (before, bytes_before) = (worked(pid)?, private_bytes(pid)?);
    let lines = Lines::connect(&collector.url(), n_lines)?;
    lines.pass(SETTLE);
    let connected = worked(pid)?;
    let idle = if effort == Effort::Full { IDLE } else { IDLE / 10 };
    lines.pass(idle);
    let per_s = |worked: Worked, time: Duration| worked.runtime_us / time.as_secs_f64();
    let idle_us_per_s = per_s(worked(pid)? - connected, idle) - per_s(before - start, ALONE);
    let n = n_lines as f64;
    let mut values = Values::from([
        ("greet_us", (connected - before).runtime_us / n),
        ("connection_bytes", (private_bytes(pid)? - bytes_before) / n),
        ("idle_connection_us_per_s", idle_us_per_s.max(0.0) / n),
    ]);
    values.extend(said(&lines, pid, effort)?);
    drop(lines);
    drop(collector);
    let link_send_us = values.get("link_send_us").copied().unwrap_or_default();
    values.extend(asked(effort, step_collect_us, link_send_us)?);
    Ok(values)
}

/// Messages to the coordinator that it passes over.
fn said(lines: &Lines, pid: u32, effort: Effort) -> Result<Values> {
    let n_bulk = effort.of(20_000);
    let bulk = |n_holdings: usize| {
        let spent = lines.spent(pid, || {
            (0..n_bulk / 1000).try_for_each(|_| {
                (0..1000).try_for_each(|_| lines.say(0, update(n_holdings)))?;
                lines.pass(Duration::from_millis(30));
                Ok(())
            })
        })?;
        let n = (n_bulk / 1000 * 1000) as f64;
        anyhow::Ok((spent.collector.runtime_us / n, spent.agents_us / n))
    };
    let (small, large) = (bulk(1)?, bulk(11)?);
    Ok(Values::from([
        ("read_message_us", small.0),
        ("read_holding_us", (large.0 - small.0).max(0.0) / 10.0),
        ("link_send_us", small.1),
    ]))
}

/// Questions of the coordinator, to agents that do not answer. In bulk they go along in few turns; where many agents at once have each other
/// asked, each is a turn of its own, and nobody sleeps; where one at a time has the next one asked, everybody does.
fn asked(effort: Effort, step_collect_us: f64, link_send_us: f64) -> Result<Values> {
    const N_AGENTS: usize = 100;
    // Fewer than one agent may leave unanswered.
    let n_bulk = effort.of(600);
    let bulk = |asked: Range<usize>| {
        of_each(N_AGENTS, n_bulk, |lines| {
            (0..n_bulk).try_for_each(|_| lines.say(0, lines.heard.announcement(asked.clone())))
        })
    };
    let hops = |n_at_once: usize, n_hops: usize| of_each(N_AGENTS, n_hops, |lines| lines.hops(n_at_once, n_hops));
    let (nobody, one) = (bulk(0..0)?, bulk(1..2)?);
    let (alone, busy) = (hops(1, effort.of(2_000))?, hops(N_AGENTS / 2, effort.of(20_000))?);
    let receive_us = (one.1 - nobody.1).max(0.0);
    let turn_us = ((busy.0 - one.0) / 2.0).max(0.0);
    Ok(Values::from([
        ("write_message_us", (one.0 - nobody.0 - step_collect_us).max(0.0)),
        ("read_turn_us", turn_us),
        ("write_turn_us", turn_us),
        ("wake_us", (alone.0 - busy.0).max(0.0)),
        ("link_receive_us", receive_us),
        ("link_turn_us", ((busy.1 - receive_us - link_send_us) / 2.0).max(0.0)),
        ("link_wake_us", (alone.1 - busy.1).max(0.0)),
    ]))
}

/// Returns what each of `n` parts of a load costs a collector with so many agents, and these, in microseconds. It is a new one, which has
/// nothing left to do of an earlier load.
fn of_each(n_agents: usize, n: usize, load: impl FnOnce(&Lines) -> Result<()>) -> Result<(f64, f64)> {
    let collector = Collector::start()?;
    let lines = Lines::connect(&collector.url(), n_agents)?;
    let spent = lines.spent(collector.pid(), || load(&lines))?;
    Ok((spent.collector.runtime_us / n as f64, spent.agents_us / n as f64))
}

fn update(n_holdings: usize) -> agent_says::What {
    let holdings: Vec<Holding> = (0..n_holdings).map(|idx| holding(1 << 40 | idx as u64, 0..2)).collect();
    agent_says::What::Update(holdings.as_slice().into())
}

fn announcement(id: u64, asked: Range<usize>) -> agent_says::What {
    let holdings = vec![holding(id, asked)];
    let base = holdings[0].trace;
    let announcement = Announcement { id, trigger: TriggerId(300), base, holdings, ..Announcement::default() };
    agent_says::What::Announce(v1::Announce::of(&announcement, 0))
}

fn holding(trace: u64, crumbs: Range<usize>) -> Holding {
    let to = |idx| CrumbTo { agent: agent_of(idx), direction: CrumbDirection::To, span: SpanId(1) };
    Holding {
        trace: TraceId::new(7, trace),
        state: HoldingState::Kept,
        revision: 1,
        n_segments: 1,
        bytes: 600,
        crumbs: crumbs.map(to).collect(),
        ..Holding::default()
    }
}
