//! Triggers that come late: how long after a request one may still fire, against what the agents predict (`rec-delay`).
//!
//! Called by the bench of that name. Requests go over three hosts whose pools a writer fills; each gets its trigger a share of the predicted
//! horizon after it ended, by hand, on one of the hosts in turn. What became of it is then read from the collector.

use self::hosts::{Horizon, Hosts};
use self::outcome::Outcome;
use crate::hop::Threads;
use anyhow::Result;
use backsight_core::ids::TraceId;
use backsight_core::units::Bytes;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

pub mod hosts;
pub mod outcome;

/// The delays, as shares of the horizon that is predicted when the request ends.
pub const SHARES: [f64; 8] = [0.0, 0.3, 0.6, 0.8, 0.9, 1.2, 1.6, 2.0];
/// A trigger that fires later than it should by more than this share of the horizon says nothing about its delay.
const LATE_SHARE: f64 = 0.02;
/// How often the agents are asked for their prediction.
const ASK_PERIOD: Duration = Duration::from_millis(200);
/// How long the collector may take to store what has been acknowledged, and to hear the last answers.
const QUIET: Duration = Duration::from_secs(6);
/// How often a pool is written over before the first request.
const TURNS: f64 = 1.5;

/// A pool, and what is done on its hosts.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The pool of each host.
    pub budget: Bytes,
    /// The horizon that the writers aim at, in seconds; what it is, the agents say.
    pub horizon_s: f64,
    /// The threads of the services.
    pub threads: Threads,
    /// Requests in a second.
    pub requests_per_s: f64,
    /// How long there are requests.
    pub duration: Duration,
}

/// What became of the requests of a case.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// A request each: the share of the horizon that its delay was, `None` where the trigger came too late to say, and what came of it.
    pub outcomes: Vec<(Option<f64>, Outcome)>,
    /// What the agents said of their horizon, one after another.
    pub horizons: Vec<Horizon>,
}

/// A request whose trigger is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Due {
    /// When; the first field, so that it orders.
    at: Instant,
    /// The last moment at which it counts.
    until: Instant,
    trace: TraceId,
    share_idx: usize,
}

/// A request whose trigger was fired.
#[derive(Clone, Copy, Debug)]
struct Fired {
    trace: TraceId,
    share: Option<f64>,
}

impl Case {
    /// Returns its name in rows.
    #[must_use]
    pub fn name(&self) -> String {
        let threads = if self.threads == Threads::PerRequest { ", a thread for each request" } else { "" };
        format!("{} pool, 3 hosts{threads}", self.budget)
    }

    /// Returns how long it takes.
    #[must_use]
    pub fn total(&self) -> Duration {
        let longest = SHARES.into_iter().fold(0.0, f64::max);
        self.fill() + self.duration + Duration::from_secs_f64(longest * self.horizon_s) + QUIET
    }

    fn fill(&self) -> Duration {
        Duration::from_secs_f64(TURNS * self.horizon_s) + Duration::from_secs(2)
    }

    /// Runs it, on hosts of its own.
    ///
    /// # Errors
    /// A host fails, or a request is not answered.
    pub fn run(&self) -> Result<Seen> {
        let mut hosts = Hosts::start(self)?;
        std::thread::sleep(self.fill());
        let (fired, mut seen) = self.send_and_fire(&hosts)?;
        hosts.check_writers()?;
        std::thread::sleep(QUIET);
        let traces: Vec<TraceId> = fired.iter().map(|fired| fired.trace).collect();
        let stored = hosts.stored(&traces)?;
        seen.outcomes = fired.iter().map(|fired| (fired.share, Outcome::of(stored.get(&fired.trace)))).collect();
        Ok(seen)
    }

    /// Sends requests at the case's rate, and fires the trigger of each when it is due.
    fn send_and_fire(&self, hosts: &Hosts) -> Result<(Vec<Fired>, Seen)> {
        let (start, mut seen, mut fired) = (Instant::now(), Seen::default(), Vec::new());
        let mut waiting: BinaryHeap<Reverse<Due>> = BinaryHeap::new();
        let mut asked: Option<(Instant, Horizon)> = None;
        let period = Duration::from_secs_f64(1.0 / self.requests_per_s);
        let mut n_sent = 0_u32;
        loop {
            let next_send = Some(start + period * n_sent).filter(|at| *at < start + self.duration);
            let next_fire = waiting.peek().map(|Reverse(due)| due.at);
            let Some(next) = [next_send, next_fire].into_iter().flatten().min() else { return Ok((fired, seen)) };
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            if next_fire == Some(next) {
                let Some(Reverse(due)) = waiting.pop() else { continue };
                hosts.fire(due.trace, fired.len())?;
                let share = (Instant::now() <= due.until).then_some(SHARES[due.share_idx]);
                fired.push(Fired { trace: due.trace, share });
                continue;
            }
            let horizon = match asked.filter(|(at, _)| at.elapsed() < ASK_PERIOD) {
                Some((_, horizon)) => horizon,
                None => {
                    let horizon = hosts.horizon()?;
                    seen.horizons.push(horizon);
                    asked.insert((Instant::now(), horizon)).1
                }
            };
            let (trace, share_idx) = (hosts.send()?, n_sent as usize % SHARES.len());
            let delay = |share: f64| Duration::from_secs_f64(share * horizon.predicted_ms / 1e3);
            let at = Instant::now() + delay(SHARES[share_idx]);
            waiting.push(Reverse(Due { at, until: at + delay(LATE_SHARE), trace, share_idx }));
            n_sent += 1;
        }
    }
}
