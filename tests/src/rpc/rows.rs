//! The rows of `rec-rpc`: which numbers of the samples are compared with whom, and what the spec asks.
//!
//! Called by the bench with what was measured; pure.

use super::{
    Tracer, bulk,
    coherence::Coherence,
    cost::{NONE_AGAIN, Sample},
};
use crate::bench::{
    report::{Better, Question, Row},
    runner::Series,
    verdict::Clock,
};
use anyhow::Result;
use std::collections::BTreeMap;

/// Cores from which on a must about the 99th percentile means something.
const P99_CORES_MIN: usize = 4;

/// A number of a sample, and what is asked of it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in the rows.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    better: Better,
    clock: Clock,
    /// The number.
    pub of: fn(&Sample) -> f64,
    /// Who it is compared with.
    peers: &'static [Tracer],
    /// What it must reach against nobody recording, or by itself, and what is hoped for.
    must: Option<(&'static str, Option<&'static str>)>,
    /// Where that must holds.
    holds: Holds,
}

/// Where a must holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holds {
    /// In every case.
    Always,
    /// Where services compute nothing: there, the cost of recording is largest beside the work.
    Two,
    /// The same, with enough cores.
    TwoWithCores,
}

const OTHERS: &[Tracer] = &[Tracer::None, Tracer::Headers, Tracer::OtelHead, Tracer::OtelTailModel];
const SENDERS: &[Tracer] = &[Tracer::OtelHead, Tracer::OtelTailModel];

/// What a request costs the application, at whatever rate.
const SERVICES_CPU: Metric = Metric {
    name: "cpu_us_per_request",
    unit: "us",
    better: Better::Lower,
    clock: Clock::Cpu,
    of: |sample| sample.services_us,
    peers: OTHERS,
    must: Some(("ratio<=1.03", None)),
    holds: Holds::Two,
};

/// What is read off runs at the highest rate.
pub const AT_HIGHEST: [Metric; 6] = [
    SERVICES_CPU,
    Metric {
        name: "cpu_us_per_request_all",
        unit: "us",
        better: Better::Lower,
        clock: Clock::Cpu,
        of: |sample| sample.all_us,
        peers: OTHERS,
        must: None,
        holds: Holds::Always,
    },
    Metric {
        name: "rps",
        unit: "1/s",
        better: Better::Higher,
        clock: Clock::Wall,
        of: |sample| sample.rps,
        peers: OTHERS,
        must: Some(("ratio>=0.99", Some("ratio>=0.997"))),
        holds: Holds::Two,
    },
    Metric {
        name: "collector_core",
        unit: "cores",
        better: Better::Lower,
        clock: Clock::Cpu,
        of: |sample| sample.collector_core,
        peers: SENDERS,
        must: None,
        holds: Holds::Always,
    },
    Metric {
        name: "agent_core",
        unit: "cores",
        better: Better::Lower,
        clock: Clock::Cpu,
        of: |sample| sample.agent_core,
        peers: &[],
        must: None,
        holds: Holds::Always,
    },
    Metric {
        name: "agent_core_per_100mb",
        unit: "cores",
        better: Better::Lower,
        clock: Clock::Cpu,
        of: |sample| sample.agent_core_per_100mb,
        peers: &[],
        must: None, // asked in bulk: see `of_bulk`
        holds: Holds::Always,
    },
];

/// What is read off runs at a moderate rate.
pub const AT_MODERATE: [Metric; 3] = [
    Metric {
        name: "p50_us",
        unit: "us",
        better: Better::Lower,
        clock: Clock::Wall,
        of: |sample| sample.p50_us,
        peers: OTHERS,
        must: None,
        holds: Holds::Always,
    },
    Metric {
        name: "p99_us",
        unit: "us",
        better: Better::Lower,
        clock: Clock::Wall,
        of: |sample| sample.p99_us,
        peers: OTHERS,
        must: Some(("ratio<=1.05", None)),
        holds: Holds::TwoWithCores,
    },
    SERVICES_CPU,
];

/// What a series of samples was measured on.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The topology.
    pub topology: &'a str,
    /// The load in words.
    pub load: &'a str,
    /// The cores of the machine.
    pub cores: usize,
}

impl Setting<'_> {
    fn case(&self) -> String {
        format!("{}, {}", self.topology, self.load)
    }

    fn must(&self, metric: &Metric) -> Option<(&'static str, Option<&'static str>)> {
        let is_two = self.topology == "two";
        let holds = match metric.holds {
            Holds::Always => true,
            Holds::Two => is_two,
            Holds::TwoWithCores => is_two && self.cores >= P99_CORES_MIN,
        };
        metric.must.filter(|_| holds)
    }
}

/// Returns the rows of ours about `metrics`: one for each peer that was entered, or one alone where there is nobody to compare with.
///
/// # Errors
/// A must is no threshold.
pub fn of_cost(metrics: &[Metric], setting: Setting<'_>, measured: &[Series<Sample>]) -> Result<Vec<Row>> {
    let find = |name: &str, metric: &Metric| {
        measured.iter().find(|series| series.name == name).map(|series| series.map(metric.of))
    };
    let mut rows = Vec::new();
    for metric in metrics {
        let Some(ours) = find(Tracer::Backsight.name(), metric) else { continue };
        let same = find(Tracer::None.name(), metric).zip(find(NONE_AGAIN, metric));
        let entered = metric.peers.iter().filter(|peer| measured.iter().any(|series| series.name == peer.name()));
        let mut peers: Vec<Option<Tracer>> = entered.copied().map(Some).collect();
        if metric.peers.is_empty() {
            peers.push(None);
        }
        for peer in peers {
            let demand = setting.must(metric).filter(|_| peer.is_none_or(|peer| is_judged_by(peer, metric)));
            let question = Question {
                metric: metric.name.to_owned(),
                case: setting.case(),
                unit: metric.unit,
                better: metric.better,
                clock: metric.clock,
                peer: peer.map(|peer| peer.name().to_owned()),
                must: demand.map(|(must, _)| must.parse()).transpose()?,
                stretch: demand.and_then(|(_, stretch)| stretch).map(str::parse).transpose()?,
            };
            let theirs = peer.and_then(|peer| find(peer.name(), metric));
            let same = same.as_ref().map(|(one, again)| (one, again));
            rows.extend(Row::paired(question, &ours, theirs.as_ref(), same));
        }
    }
    Ok(rows)
}

/// Returns whether what a metric must reach is asked against `peer`: nobody recording, and for CPU time also those who pass the same headers
/// on (ADR 0010). Other peers are there to see.
fn is_judged_by(peer: Tracer, metric: &Metric) -> bool {
    peer == Tracer::None || (peer == Tracer::Headers && metric.clock == Clock::Cpu)
}

/// Returns the row about what an agent uses in bulk; none where that could not be measured.
///
/// # Errors
/// The must is no threshold.
pub fn of_bulk(measured: &Series) -> Result<Option<Row>> {
    let question = Question {
        metric: "agent_core_per_100mb".to_owned(),
        case: bulk::CASE.to_owned(),
        unit: "cores",
        better: Better::Lower,
        clock: Clock::Cpu,
        peer: None,
        must: Some("value<=0.15".parse()?),
        stretch: Some("value<=0.05".parse()?),
    };
    Ok(Row::answer(question, measured, None, None))
}

/// The peer of the row about bytes: the edge cases themselves.
const EDGE_CASES: &str = "edge cases";

/// Returns the rows of ours about what was captured and sent; none where ours was not measured.
///
/// # Errors
/// A must is no threshold.
pub fn of_coherence(topology: &str, measured: &BTreeMap<&'static str, Coherence>) -> Result<Vec<Row>> {
    let Some(ours) = measured.get(Tracer::Backsight.name()) else { return Ok(Vec::new()) };
    let counted = |metric: &str, unit, better, demand: Option<(&str, Option<&str>)>, peer: Option<&str>| {
        anyhow::Ok(Question {
            metric: metric.to_owned(),
            case: format!("{topology}, highest rate"),
            unit,
            better,
            clock: Clock::Count,
            peer: peer.map(str::to_owned),
            must: demand.map(|(must, _)| must.parse()).transpose()?,
            stretch: demand.and_then(|(_, stretch)| stretch).map(str::parse).transpose()?,
        })
    };
    let (share, mb_per_s) = (one("ours", ours.share()), one("ours", ours.sent_mb_per_s()));
    let asked = Some(("value>=0.999", Some("value>=0.9999")));
    let mut answers = vec![
        Row::answer(counted("coherent_share", "share", Better::Higher, asked, None)?, &share, None, None),
        Row::answer(
            counted("false_complete", "count", Better::Lower, Some(("value==0", None)), None)?,
            &one("ours", ours.false_complete as f64),
            None,
            None,
        ),
        Row::answer(
            counted("mb_per_s", "MB/s", Better::Lower, Some(("ratio<=1.5", None)), Some(EDGE_CASES))?,
            &mb_per_s,
            None,
            Some(&one(EDGE_CASES, ours.edge_mb_per_s())),
        ),
    ];
    for peer in SENDERS.iter().map(|peer| peer.name()) {
        let theirs = measured.get(peer);
        let their_share = theirs.map(|theirs| one(peer, theirs.share()));
        let question = counted("coherent_share", "share", Better::Higher, None, Some(peer))?;
        answers.push(Row::answer(question, &share, None, their_share.as_ref()));
        let their_mb_per_s = theirs.map(|theirs| one(peer, theirs.sent_mb_per_s()));
        let question = counted("mb_per_s", "MB/s", Better::Lower, None, Some(peer))?;
        answers.push(Row::answer(question, &mb_per_s, None, their_mb_per_s.as_ref()));
    }
    Ok(answers.into_iter().flatten().collect())
}

fn one(name: &str, value: f64) -> Series {
    Series { name: name.to_owned(), samples: vec![value], failure: None }
}

#[cfg(test)]
mod tests;
