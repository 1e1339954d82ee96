//! The steps of the real coordinator, and the memory that it has for what it follows.

use super::threads::private_bytes;
use super::{Effort, Values};
use crate::bench::clock::thread_cpu_ns;
use crate::scale::collector::agent_of;
use anyhow::{Context as _, Result, ensure};
use backsight_collector::coordinator::{Action, Coordinator, Event, GROUP_LIFE, Limits};
use backsight_core::coordination::{Announcement, Answer, Greeting};
use backsight_core::holding::{CrumbTo, Holding, HoldingState};
use backsight_core::ids::{SpanId, TraceId, TriggerId};
use backsight_core::record::CrumbDirection;
use backsight_core::units::Nanos;
use std::process::Command;

/// Agents that are connected.
const N_AGENTS: usize = 1000;
/// Hosts of each trace.
const N_HOSTS: usize = 8;
const N_GROUPS: usize = 20_000;
/// Hosts of traces of which the memory is held against that of those: tables of both have several nodes.
const N_HOSTS_MANY: usize = 64;
/// Groups whose memory is measured.
const N_GROUPS_OF_MEMORY: usize = 5_000;
/// The environment variable that has this program say how much memory a coordinator takes, and end: how many agents each group has.
pub const MEMORY_ENV: &str = "BACKSIGHT_SCALE_MEMORY";

/// Returns the costs of steps, and of memory.
pub(super) fn measure(effort: Effort) -> Result<Values> {
    let n = effort.of(N_GROUPS);
    let per = |ns: u64, n: usize| ns as f64 / 1e3 / n as f64;
    let alone = spent(&mut coordinator(), announcements(n, 1)).0;
    let mut with = coordinator();
    let (asked, actions) = spent(&mut with, announcements(n, N_HOSTS));
    let n_asked = actions.iter().filter(|action| matches!(action, Action::Collect { .. })).count();
    ensure!(n_asked == n * (N_HOSTS - 1), "{n_asked} Collects of {n} groups");
    // All but the last answer of a group; the last ones have their groups' views published.
    let (early, last): (Vec<Event>, Vec<Event>) = {
        let answers: Vec<(bool, Event)> = answers(&actions).collect();
        let is_last = |(is_last, _): &(bool, Event)| *is_last;
        let (last, early): (Vec<_>, Vec<_>) = answers.into_iter().partition(is_last);
        let event = |answers: Vec<(bool, Event)>| answers.into_iter().map(|(_, event)| event).collect();
        (event(early), event(last))
    };
    let (n_early, n_last) = (early.len(), last.len());
    let early_us = per(spent(&mut with, early).0, n_early);
    let (last_ns, actions) = spent(&mut with, last);
    let n_published = actions.iter().filter(|action| matches!(action, Action::Publish(_))).count();
    ensure!(n_published == n, "{n_published} views of {n} groups");
    let reports = (0..n).map(|idx| Event::Reported { agent: first(idx), holding: holding(idx, 0, 1, 9) }).collect();
    let report_us = per(spent(&mut with, reports).0, n);
    let n_parts = with.n_parts();
    let start = thread_cpu_ns();
    while with.n_groups() > 0 {
        with.step(Nanos(3 * GROUP_LIFE.0), Event::Tick);
    }
    let end_us = per(thread_cpu_ns() - start, n_parts);
    let (small, large) = (memory(N_HOSTS)?, memory(N_HOSTS_MANY)?);
    let part_bytes = (large - small) / (N_HOSTS_MANY - N_HOSTS) as f64;
    let announce_us = per(alone, n);
    Ok(Values::from([
        ("step_announce_us", announce_us),
        ("step_collect_us", (per(asked, n) - announce_us).max(0.0) / (N_HOSTS - 1) as f64),
        ("step_answer_us", early_us),
        ("step_publish_us", (per(last_ns, n_last) - early_us).max(0.0) / N_HOSTS as f64),
        ("step_report_us", report_us),
        ("step_end_us", end_us),
        ("group_bytes", small - N_HOSTS as f64 * part_bytes),
        ("part_bytes", part_bytes),
    ]))
}

/// Returns the memory of a group with so many agents, as a process of its own tells: in one that has freed memory before, nothing grows.
fn memory(n_hosts: usize) -> Result<f64> {
    let program = std::env::current_exe().context("find this program")?;
    let output = Command::new(program).env(MEMORY_ENV, n_hosts.to_string()).output().context("start this program")?;
    ensure!(output.status.success(), "it ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().context("understand what it said")
}

/// Returns how many bytes a group with `n_hosts` agents takes in a coordinator that follows many. For a process of its own.
///
/// # Errors
/// `/proc` does not tell.
pub fn memory_of_groups(n_hosts: usize) -> Result<f64> {
    let mut coordinator = coordinator();
    let before = private_bytes(std::process::id())?;
    for idx in 0..N_GROUPS_OF_MEMORY {
        let actions = coordinator.step(Nanos(1), announcement(idx, n_hosts));
        for (_, answer) in answers(&actions) {
            coordinator.step(Nanos(1), answer);
        }
    }
    ensure!(coordinator.n_parts() == N_GROUPS_OF_MEMORY * n_hosts, "{} parts", coordinator.n_parts());
    Ok((private_bytes(std::process::id())? - before) / N_GROUPS_OF_MEMORY as f64)
}

fn coordinator() -> Coordinator {
    let mut coordinator = Coordinator::new(Limits::default(), Greeting::default());
    for idx in 0..N_AGENTS {
        coordinator.step(Nanos(0), Event::Connected { agent: agent_of(idx) });
    }
    coordinator
}

/// Has a coordinator take events; returns the CPU time and what it wants.
fn spent(coordinator: &mut Coordinator, events: Vec<Event>) -> (u64, Vec<Action>) {
    let mut actions = Vec::with_capacity(8 * events.len());
    let start = thread_cpu_ns();
    for event in events {
        actions.extend(coordinator.step(Nanos(1), event));
    }
    (thread_cpu_ns() - start, actions)
}

fn announcements(n: usize, n_hosts: usize) -> Vec<Event> {
    (0..n).map(|idx| announcement(idx, n_hosts)).collect()
}

fn announcement(idx: usize, n_hosts: usize) -> Event {
    let holdings = vec![holding(idx, 0, n_hosts, 1)];
    let base = holdings[0].trace;
    let announcement =
        Announcement { id: idx as u64, trigger: TriggerId(300), base, holdings, ..Announcement::default() };
    Event::Announced { agent: first(idx), announcement }
}

/// Returns the agent that announces group `idx`.
const fn first(idx: usize) -> backsight_core::ids::AgentId {
    agent_of(idx % N_AGENTS)
}

/// Returns what the host at `place` of group `idx` has: the first has called all others.
fn holding(idx: usize, place: usize, n_hosts: usize, revision: u64) -> Holding {
    let to =
        |place: usize, direction| CrumbTo { agent: agent_of((idx + place) % N_AGENTS), direction, span: SpanId(1) };
    let crumbs = match place {
        0 => (1..n_hosts).map(|place| to(place, CrumbDirection::To)).collect(),
        _ => vec![to(0, CrumbDirection::From)],
    };
    let trace = TraceId::new(1, (idx as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    Holding { trace, state: HoldingState::Kept, revision, n_segments: 1, bytes: 600, crumbs, ..Holding::default() }
}

/// Returns the answers to what `actions` ask, and whether each is the last of its group.
fn answers(actions: &[Action]) -> impl Iterator<Item = (bool, Event)> {
    let mut collects = actions.iter().filter_map(|action| match action {
        Action::Collect { agent, collection } => Some((*agent, collection)),
        _ => None,
    });
    let mut next = collects.next();
    std::iter::from_fn(move || {
        let (agent, collection) = next.take()?;
        next = collects.next();
        let is_last = next.is_none_or(|(_, other)| other.group != collection.group);
        let crumb = CrumbTo { agent: collection.origin, direction: CrumbDirection::From, span: SpanId(1) };
        let holding = |trace: &TraceId| Holding {
            trace: *trace,
            state: HoldingState::Kept,
            revision: 1,
            n_segments: 1,
            bytes: 600,
            crumbs: vec![crumb],
            ..Holding::default()
        };
        let answer = Answer { group: collection.group, holdings: collection.traces.iter().map(holding).collect() };
        Some((is_last, Event::Answered { agent, answer }))
    })
}
