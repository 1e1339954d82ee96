//! What must hold once everything has settled.

use crate::Outcome;
use crate::request::Happened;
use crate::world::World;
use backsight_core::certificate::{Certificate, Verdict};
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::segment::{Segment, SegmentKey};
use backsight_core::trace::Trace;
use backsight_proto::admin::KeptState;
use std::collections::{BTreeMap, BTreeSet};

/// Violations that are told of; a broken build has thousands.
const TOLD_MAX: usize = 20;

/// Looks at everything at time `now`.
pub(crate) fn settled(world: &mut World, now: u64) -> Outcome {
    let mut outcome = Outcome { n_triggered: world.truth.triggered.len(), ..Outcome::default() };
    let traces: BTreeSet<TraceId> = world.collector.traces().chain(world.truth.triggered.keys().copied()).collect();
    for trace in traces {
        let (assembled, certificate) = match world.collector.stored(trace) {
            Ok(stored) => stored.examine(),
            Err(why) => {
                outcome.violations.push(format!("{trace}: what was stored cannot be read: {why}"));
                continue;
            }
        };
        if world.watched == Some(trace) {
            println!("{trace} is {}", said(&certificate));
            certificate.agents.iter().for_each(|part| println!("  {part:?}"));
            let crumbs = &assembled.crumbs;
            println!("  {} spans, crumbs {crumbs:?}, open {:?}", assembled.spans.len(), assembled.open_edges);
        }
        let is_complete = certificate.verdict == Verdict::Complete;
        outcome.n_complete += usize::from(is_complete && world.truth.triggered.contains_key(&trace));
        let visits = world.truth.visits.get(&trace).cloned().unwrap_or_default();
        if is_complete && !world.truth.cut.contains(&trace) {
            outcome.violations.extend(lacking(trace, &visits, &assembled));
        } else if !is_complete && world.plan().is_lossless() && world.truth.triggered.contains_key(&trace) {
            outcome.violations.push(format!("{trace}: no host lost anything, and it is {}", said(&certificate)));
        }
    }
    bounded(world, &mut outcome);
    acknowledged(world, now, &mut outcome);
    outcome.violations.truncate(TOLD_MAX);
    outcome
}

/// Returns what a trace that is called complete lacks.
fn lacking(trace: TraceId, visits: &BTreeMap<SpanId, Happened>, assembled: &Trace) -> Option<String> {
    let stored: BTreeMap<SpanId, bool> = assembled.spans.iter().map(|span| (span.id, span.end_ns.is_some())).collect();
    let lacks = |(span, happened): &(&SpanId, &Happened)| match stored.get(*span) {
        None => true,
        Some(has_end) => happened.is_over && !has_end,
    };
    let lacking: Vec<String> =
        visits.iter().filter(lacks).map(|(span, happened)| format!("{span} of host {}", happened.host)).collect();
    (!lacking.is_empty()).then(|| format!("{trace}: called complete, and lacks {}", lacking.join(", ")))
}

fn said(certificate: &Certificate) -> String {
    let gaps = certificate.gaps.iter().map(|gap| format!("{} at {} ({})", gap.kind.name(), gap.agent, gap.n));
    format!("{}: {}", certificate.verdict.name(), gaps.collect::<Vec<_>>().join(", "))
}

/// Whatever agents kept has been sent, however long they held it for others.
pub(crate) fn drained(world: &World, now: u64, outcome: &mut Outcome) {
    for host in &world.hosts {
        let Some(agent) = &host.agent else { continue };
        let status = agent.driver.status(host.now(now).time);
        if status.is_reporting && status.queued_bytes > 0 {
            outcome.violations.push(format!("{}: {} B are never sent", host.id, status.queued_bytes));
        }
    }
}

/// What agents call acknowledged is on the collector's disk.
fn acknowledged(world: &mut World, now: u64, outcome: &mut Outcome) {
    for host in &mut world.hosts {
        let now = host.now(now);
        let Some(agent) = &mut host.agent else { continue };
        let traces: Vec<TraceId> = world.truth.visits.keys().copied().collect();
        for trace in traces {
            let state = agent.driver.state_of(trace, &agent.recorder);
            if !matches!(state, KeptState::Acked | KeptState::Lingering) {
                continue;
            }
            let kept = agent.kept(trace, now);
            let stored = world.collector.stored(trace).unwrap_or_default();
            let stored = lengths(stored.slices.get(&host.id).into_iter().flatten().flat_map(|slice| &slice.segments));
            let kept = lengths(kept.iter().flat_map(|slice| &slice.segments));
            let missing = kept.iter().filter(|(key, len)| stored.get(key).is_none_or(|stored| stored < len)).count();
            if missing > 0 {
                let host = host.id;
                outcome
                    .violations
                    .push(format!("{trace}: acknowledged to {host}, and {missing} segments are not stored"));
            }
        }
    }
}

fn lengths<'s>(segments: impl Iterator<Item = &'s Segment>) -> BTreeMap<SegmentKey, usize> {
    segments.map(|segment| (segment.key, segment.bytes.len())).collect()
}

/// No agent takes more than it may.
fn bounded(world: &World, outcome: &mut Outcome) {
    for host in &world.hosts {
        let Some(agent) = &host.agent else { continue };
        let pool = agent.recorder.pool_status();
        let used =
            pool.populated_bytes + pool.kept_bytes + pool.index_bytes + pool.carried_bytes + pool.afterlife_bytes;
        if used > pool.budget_bytes {
            outcome.violations.push(format!("{}: {used} B are used of {}: {pool:?}", host.id, pool.budget_bytes));
        }
    }
}
