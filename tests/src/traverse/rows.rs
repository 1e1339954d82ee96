//! The cases of the bench, what each is asked, and the rows that its samples give.
//!
//! Pure; called by the bench. The musts are those of the hindsight spec, section 7, on every shape.

use super::path::Shape;
use super::{Load, PastDead, Sample};
use crate::bench::report::{Better, Question, Row};
use crate::bench::runner::Series;
use crate::bench::verdict::Clock;
use crate::harness::network::links::Link;
use anyhow::Result;
use std::time::Duration;

/// The agents of the rows that must reach something.
pub const AGENTS_OF_MUST: usize = 35;
/// A moderate rate, triggers a second.
pub const RATE_LOW: f64 = 100.0;
/// The rate of a storm.
pub const RATE_HIGH: f64 = 10_000.0;
/// The agents of the rows with hosts apart.
const AGENTS_APART: usize = 10;
/// How far apart they are, each way: two halls of one region, or two regions.
const DELAY: Duration = Duration::from_millis(5);
/// Packets that a poor network loses.
const LOSS_SHARE: f64 = 0.01;
/// What the median of a traversal is held against where hosts are apart.
const DELAY_ALONE: &str = "the network's delay alone";
/// A rate of which less is followed while it lasts is too high.
const REACHED_SHARE_MIN: f64 = 0.95;

/// A load, and what its row is called.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Case {
    /// The load.
    pub load: Load,
    /// Whether the rate is the spec's, halved until it was followed.
    pub is_halved: bool,
}

/// The samples of a case.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Samples {
    /// One a round.
    pub rounds: Vec<Sample>,
    /// The same measured again in each round, where the case must reach something.
    pub again: Vec<Sample>,
}

/// A number of a sample, and what it is.
type Metric = (&'static str, &'static str, Better, Clock, fn(&Sample) -> f64);

const TIMES: [Metric; 2] = [
    ("traverse_p50_ms", "ms", Better::Lower, Clock::Wall, |sample| sample.p50_ms),
    ("traverse_p99_ms", "ms", Better::Lower, Clock::Wall, |sample| sample.p99_ms),
];
const UNFINISHED: Metric = ("unfinished", "count", Better::Lower, Clock::Count, |sample| sample.n_unfinished);
const REACHED: Metric = ("reached_per_s", "1/s", Better::Higher, Clock::Wall, |sample| sample.reached_per_s);
const COLLECT: Metric =
    ("collector_us_per_collect", "us", Better::Lower, Clock::Cpu, |sample| sample.collector_us_per_collect);

/// Returns the names of all metrics of [`Case::rows`].
pub fn timed_metrics() -> impl Iterator<Item = &'static str> {
    TIMES.into_iter().chain([UNFINISHED, REACHED, COLLECT]).map(|(name, ..)| name)
}

/// Returns the loads at the spec's rates, on each number of agents.
#[must_use]
pub fn cases(numbers: &[usize], low: Duration, high: Duration) -> Vec<Case> {
    let shapes = [Shape::Chain { n_crumbs: 1 }, Shape::Chain { n_crumbs: 3 }, Shape::FanOut];
    let mut cases = Vec::new();
    for n_agents in numbers {
        // A single host has nowhere to lead: all shapes are one.
        for shape in shapes.into_iter().take(if *n_agents > 1 { shapes.len() } else { 1 }) {
            for (triggers_per_s, duration) in [(RATE_LOW, low), (RATE_HIGH, high)] {
                let load = Load { n_agents: *n_agents, shape, triggers_per_s, duration, link: None };
                cases.push(Case { load, is_halved: false });
            }
        }
    }
    cases
}

/// Returns the loads at the moderate rate on hosts that are apart from each other and from the collector; the last one on a network that loses
/// packets.
#[must_use]
pub fn cases_apart(duration: Duration) -> Vec<Case> {
    let chain = |n_crumbs| Shape::Chain { n_crumbs };
    let of = |(shape, loss_share)| {
        let link = Some(Link { delay: DELAY, loss_share });
        let load = Load { n_agents: AGENTS_APART, shape, triggers_per_s: RATE_LOW, duration, link };
        Case { load, is_halved: false }
    };
    [(chain(1), 0.0), (chain(3), 0.0), (Shape::FanOut, 0.0), (chain(3), LOSS_SHARE)].map(of).to_vec()
}

impl Case {
    /// Returns its name: the same in each run, whatever was reached.
    #[must_use]
    pub fn name(&self) -> String {
        let Load { n_agents, shape, triggers_per_s, link, .. } = self.load;
        let rate = if self.is_halved {
            format!("{RATE_HIGH} triggers/s halved until followed")
        } else {
            format!("{triggers_per_s} triggers/s")
        };
        let apart = link.map_or_else(String::new, |link| match link.loss_share {
            0.0 => format!(" on hosts {} ms apart", link.delay.as_millis()),
            share => format!(" on hosts {} ms apart, {} % lost", link.delay.as_millis(), share * 100.0),
        });
        match n_agents {
            1 => format!("1 agent, {rate}: until acknowledged"),
            _ => format!("{n_agents} agents{apart}, {shape}, {rate}"),
        }
    }

    /// Returns whether it must reach something, and is therefore measured twice a round.
    #[must_use]
    pub fn has_must(&self) -> bool {
        self.must_p99().is_some()
    }

    /// Returns whether `sample` shows that the load is more than can be followed; the low rate is judged by its times alone.
    #[must_use]
    pub fn is_too_much(&self, sample: &Sample) -> bool {
        let Load { n_agents, triggers_per_s, .. } = self.load;
        // One agent asks nobody: what it waits for is the coordinator's tick.
        let is_asked = n_agents > 1 && triggers_per_s > RATE_LOW;
        is_asked && sample.reached_per_s < triggers_per_s * REACHED_SHARE_MIN
    }

    /// Returns the case at half of its rate, or at a half of that and so on until it is at most twice what `sample` reached: an overload takes
    /// long to be followed, and one that is far too high again would show nothing new.
    #[must_use]
    pub fn halved(&self, sample: &Sample) -> Self {
        let mut triggers_per_s = self.load.triggers_per_s / 2.0;
        while triggers_per_s > (2.0 * sample.reached_per_s).max(RATE_LOW) {
            triggers_per_s /= 2.0;
        }
        Self { load: Load { triggers_per_s, ..self.load }, is_halved: true }
    }

    fn must_p99(&self) -> Option<&'static str> {
        let is_asked = self.load.n_agents == AGENTS_OF_MUST && !self.is_halved;
        is_asked.then_some(if self.is_low() { "value<=13" } else { "value<=86" })
    }

    fn is_low(&self) -> bool {
        !self.is_halved && self.load.triggers_per_s <= RATE_LOW
    }

    /// Returns the rows of the case.
    ///
    /// # Errors
    /// A must is no threshold.
    pub fn rows(&self, samples: &Samples) -> Result<Vec<Row>> {
        let series =
            |name: &str, samples: &[Sample]| Series { name: name.to_owned(), samples: samples.to_vec(), failure: None };
        let (ours, again) = (series("backsight", &samples.rounds), series("again", &samples.again));
        let mut metrics: Vec<Metric> = TIMES.into_iter().chain([UNFINISHED]).collect();
        metrics.extend((!self.is_low()).then_some(REACHED));
        metrics.extend((self.load.n_agents > 1).then_some(COLLECT));
        let mut rows = Vec::new();
        for (metric, unit, better, clock, of) in metrics {
            let (must, stretch) = match metric {
                "traverse_p99_ms" => {
                    (self.must_p99(), Some("value<=5").filter(|_| self.is_low() && self.load.n_agents > 1))
                }
                "unfinished" => (Some("value==0"), None),
                _ => (None, None),
            };
            // Where packets are lost, the delay is not what it takes at least.
            let is_bounded = self.load.link.is_some_and(|link| link.loss_share == 0.0);
            let delay = (metric == "traverse_p50_ms" && is_bounded).then(|| ours.map(|sample| sample.delay_p50_ms));
            let question = Question {
                metric: metric.to_owned(),
                case: self.name(),
                unit,
                better,
                clock,
                peer: delay.is_some().then(|| DELAY_ALONE.to_owned()),
                must: must.map(str::parse).transpose()?,
                stretch: stretch.map(str::parse).transpose()?,
            };
            let again = Some(again.map(of)).filter(|again| clock == Clock::Wall && !again.samples.is_empty());
            rows.extend(Row::answer(question, &ours.map(of), again.as_ref(), delay.as_ref()));
        }
        Ok(rows)
    }
}

/// Returns the rows of chains in which one agent is not connected, for requests that carry `n_crumbs`. At three both sides must be reached:
/// the crumbs that requests carry lead back, and those that answers carry lead on.
///
/// # Errors
/// The must is no threshold.
pub fn of_dead(n_crumbs: usize, samples: &[PastDead]) -> Result<Vec<Row>> {
    let of = |side: fn(&PastDead) -> f64| samples.iter().map(side).collect();
    let sides = [("after", of(|sample| sample.fired_after)), ("before", of(|sample| sample.fired_before))];
    let shape = Shape::Chain { n_crumbs };
    let mut rows = Vec::new();
    for (side, samples) in sides {
        let question = Question {
            metric: "dead_hop_share".to_owned(),
            case: format!("{AGENTS_OF_MUST} agents, {shape}, fired {side} the dead one"),
            unit: "share",
            better: Better::Higher,
            clock: Clock::Count,
            peer: None,
            must: (n_crumbs >= 3).then(|| "value==1".parse()).transpose()?,
            stretch: None,
        };
        let series = Series { name: side.to_owned(), samples, failure: None };
        rows.extend(Row::answer(question, &series, None, None));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
