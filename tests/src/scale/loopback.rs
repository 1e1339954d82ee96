//! The bench `rec-traverse` as a simulation: what it predicts for the machine on which the costs were measured, to be held against what that
//! bench measured there.
//!
//! Called by [`super::study`]. The loads, their plans and the book of what was reached are the bench's own; agents and collector are those of
//! the study, but that all agents are one thread, as there, and that there is no network.

use super::collector::{Collector, Job, Outcome, Said, TICK_NS, Told};
use super::costs::{Costs, us};
use super::queue::{Agenda, Pool};
use crate::traverse::path::agent_id;
use crate::traverse::traversals::Traversals;
use crate::traverse::{Load, Planned, Sample, sorted};
use anyhow::{Context as _, Result};
use backsight_collector::coordinator;
use backsight_core::coordination::{Announcement, Answer};
use backsight_core::holding::{Holding, HoldingState};
use backsight_core::ids::{TraceId, TriggerId};
use std::time::Duration;

/// The longest that triggers may take to be followed.
const END_NS: u64 = 60_000_000_000;
/// Runtime threads of a collector on two cores.
const N_THREADS: usize = 1;

#[derive(Debug)]
enum Event {
    Fire(usize),
    Done(Outcome),
    Turned(usize, Vec<Said>),
    Write,
    Written,
    Tick,
}

/// The agents: one thread, which takes one connection after the other.
#[derive(Debug)]
struct Agents {
    pool: Pool<usize>,
    heard: Vec<Vec<Told>>,
    fires: Vec<Vec<usize>>,
    is_queued: Vec<bool>,
    revision: u64,
}

struct Loopback<'a> {
    costs: &'a Costs,
    plan: &'a [Planned],
    agenda: Agenda<Event>,
    collector: Collector,
    agents: Agents,
    traversals: Traversals,
}

/// Returns what the bench would show of `load` where everything costs what was measured.
///
/// # Errors
/// Nothing fired.
pub fn simulate(load: &Load, seed: u64, costs: &Costs) -> Result<Sample> {
    let plan = load.plan(seed, None);
    let n = load.n_agents;
    let mut collector = Collector::new(*costs, N_THREADS, n, 1);
    collector.connect(0..n);
    let agents = Agents {
        pool: Pool::new(1),
        heard: vec![Vec::new(); n],
        fires: vec![Vec::new(); n],
        is_queued: vec![false; n],
        revision: 1,
    };
    let traversals = Traversals::new(&plan, n);
    let mut loopback = Loopback { costs, plan: &plan, agenda: Agenda::default(), collector, agents, traversals };
    for (idx, planned) in plan.iter().enumerate() {
        loopback.agenda.plan(planned.due.as_nanos() as u64, Event::Fire(idx));
    }
    loopback.agenda.plan(TICK_NS, Event::Tick);
    while loopback.traversals.n_unfinished() > 0
        && let Some(event) = loopback.agenda.next_before(END_NS)
    {
        loopback.happen(event);
    }
    loopback.sample(load)
}

impl Loopback<'_> {
    fn sample(self, load: &Load) -> Result<Sample> {
        let Self { collector, traversals, agenda, plan, .. } = self;
        let traversals = traversals.watched_until(Duration::from_nanos(agenda.now()));
        let times_ms = sorted(traversals.times().map(|time| time.as_secs_f64() * 1e3));
        let quantile = |share| crate::bench::stats::quantile(&times_ms, share).context("no trigger fired");
        let n_ended = (plan.len() - traversals.n_unfinished()) as f64;
        let n_collects = traversals.n_collects() as f64;
        let works_ns = (collector.runtime_ns + collector.store.writer_ns) as f64;
        Ok(Sample {
            p50_ms: quantile(0.5)?,
            p99_ms: quantile(0.99)?,
            n_unfinished: traversals.n_unfinished() as f64,
            reached_per_s: n_ended / traversals.last_end().as_secs_f64().max(load.duration.as_secs_f64()),
            collector_us_per_collect: if n_collects > 0.0 { works_ns / 1e3 / n_collects } else { 0.0 },
            delay_p50_ms: 0.0,
        })
    }

    fn happen(&mut self, event: Event) {
        let now = self.agenda.now();
        match event {
            Event::Fire(idx) => {
                let agent = self.plan[idx].agent;
                self.agents.fires[agent].push(idx);
                self.serve(agent);
            }
            Event::Done(outcome) => {
                let (jobs, reaches) = self.collector.end(outcome);
                let next = self.collector.free();
                self.run(next, false);
                self.run(jobs, true);
                if let Some((agent, told)) = reaches {
                    self.agents.heard[agent].extend(told);
                    self.serve(agent);
                }
            }
            Event::Turned(agent, said) => {
                if !said.is_empty() {
                    let job = self.collector.receive(agent, said);
                    self.run(job, true);
                }
                let next = self.agents.pool.finish();
                next.into_iter().for_each(|agent| self.turn(agent, false));
            }
            Event::Tick => {
                let jobs = self.collector.tick();
                self.run(jobs, true);
                self.agenda.plan(now + TICK_NS, Event::Tick);
            }
            Event::Write => {
                let (_, works) = self.collector.store.write(self.costs);
                self.agenda.plan(now + works, Event::Written);
            }
            Event::Written => self.collector.store.finish(now),
        }
        let begins = self.collector.store.plan(now);
        begins.into_iter().for_each(|at| self.agenda.plan(at, Event::Write));
    }

    fn run(&mut self, jobs: impl IntoIterator<Item = Job>, wakes: bool) {
        for job in jobs {
            let (works, outcome) = self.collector.begin(self.agenda.now(), job, wakes);
            self.agenda.plan(self.agenda.now() + works, Event::Done(outcome));
        }
    }

    /// Has the agents' thread take a connection, now or when its turn comes.
    fn serve(&mut self, agent: usize) {
        if !std::mem::replace(&mut self.agents.is_queued[agent], true) {
            let begins = self.agents.pool.offer(agent);
            begins.into_iter().for_each(|agent| self.turn(agent, true));
        }
    }

    fn turn(&mut self, agent: usize, wakes: bool) {
        let now = self.agenda.now();
        let costs = self.costs;
        self.agents.is_queued[agent] = false;
        let heard = std::mem::take(&mut self.agents.heard[agent]);
        let mut works = if heard.is_empty() { 0.0 } else { costs.link_turn_us };
        works += heard.len() as f64 * costs.link_receive_us;
        let mut said: Vec<Said> = Vec::new();
        for told in heard {
            said.extend(self.hear(agent, told, now));
        }
        let fires = std::mem::take(&mut self.agents.fires[agent]);
        said.extend(fires.into_iter().map(|idx| self.announce(idx)));
        works += if said.is_empty() { 0.0 } else { costs.link_turn_us };
        works += said.len() as f64 * costs.link_send_us;
        works += if wakes { costs.link_wake_us + costs.wake_latency_us } else { 0.0 };
        self.agenda.plan(now + us(works), Event::Turned(agent, said));
    }

    fn hear(&mut self, agent: usize, told: Told, now: u64) -> Option<Said> {
        let now = Duration::from_nanos(now);
        match told {
            Told::Collect(collection) => {
                let idx = (collection.traces[0].lo as usize).wrapping_sub(1);
                self.traversals.reach(idx, agent, now);
                self.agents.revision += 1;
                let answer = Answer { group: collection.group, holdings: vec![self.holding(idx, agent)] };
                Some(Said::Event(coordinator::Event::Answered { agent: agent_id(agent), answer }))
            }
            Told::Ack { id, is_refused: false } => {
                self.traversals.acknowledge((id as usize).wrapping_sub(1), now);
                None
            }
            Told::Ack { .. } | Told::Advise(_) | Told::BatchAck(_) | Told::Greeted(_) => None,
        }
    }

    fn announce(&self, idx: usize) -> Said {
        let agent = self.plan[idx].agent;
        let holdings = vec![self.holding(idx, agent)];
        let base = holdings[0].trace;
        let announcement =
            Announcement { id: idx as u64 + 1, trigger: TriggerId(0x7e57), base, holdings, ..Announcement::default() };
        Said::Event(coordinator::Event::Announced { agent: agent_id(agent), announcement })
    }

    fn holding(&self, idx: usize, agent: usize) -> Holding {
        Holding {
            trace: TraceId::new(1, idx as u64 + 1),
            state: HoldingState::Kept,
            revision: self.agents.revision,
            n_segments: 1,
            bytes: 600,
            crumbs: self.plan[idx].path.crumbs(agent),
            ..Holding::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::simulate;
    use crate::scale::costs::Costs;
    use crate::traverse::Load;
    use crate::traverse::path::Shape;
    use std::time::Duration;

    fn load(shape: Shape, triggers_per_s: f64) -> Load {
        Load { n_agents: 10, shape, triggers_per_s, duration: Duration::from_millis(500), link: None }
    }

    /// A chain of ten in which every step costs the coordinator alone, 10 us: whoever fires at one end has its question answered nine steps
    /// later, and a thread that has to do all of it does 1/(9 x 10 us) of them a second.
    #[test]
    fn a_chain_takes_its_steps_and_saturates_where_they_fill_the_thread() {
        let costs = Costs { step_collect_us: 10.0, ..Costs::default() };
        let chain = Shape::Chain { n_crumbs: 1 };
        let calm = simulate(&load(chain, 100.0), 1, &costs).unwrap();
        assert_eq!(calm.n_unfinished, 0.0);
        assert!((0.05..=0.095).contains(&calm.p50_ms) && calm.p99_ms <= 0.1, "{calm:?}");
        let flooded = simulate(&load(chain, 20_000.0), 1, &costs).unwrap();
        let expected = 1e6 / (9.0 * 10.0);
        assert!((flooded.reached_per_s / expected - 1.0).abs() < 0.05, "{flooded:?}, expected {expected}");
    }

    #[test]
    fn one_agent_waits_for_the_tick() {
        let alone = Load { n_agents: 1, ..load(Shape::FanOut, 100.0) };
        let sample = simulate(&alone, 1, &Costs::default()).unwrap();
        assert!((20.0..=30.0).contains(&sample.p50_ms), "{sample:?}");
    }
}
