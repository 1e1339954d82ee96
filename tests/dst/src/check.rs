//! What must hold once everything has settled.

use crate::Outcome;
use crate::collector::Collector;
use crate::request::Happened;
use crate::world::World;
use backsight_collector::library::Stored;
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
    let stored = world.collectors.iter().flat_map(Collector::traces);
    let traces: BTreeSet<TraceId> = stored.chain(world.truth.triggered.keys().copied()).collect();
    for trace in traces {
        let copies: Vec<(Trace, Certificate)> = match copies(world, trace) {
            Ok(copies) => copies.iter().map(Stored::examine).collect(),
            Err(why) => {
                outcome.violations.push(format!("{trace}: what was stored cannot be read: {why}"));
                continue;
            }
        };
        let visits = world.truth.visits.get(&trace).cloned().unwrap_or_default();
        for (assembled, certificate) in &copies {
            look_at(world, trace, assembled, certificate);
            if certificate.verdict == Verdict::Complete && !world.truth.cut.contains(&trace) {
                outcome.violations.extend(lacking(trace, &visits, assembled));
            }
        }
        let is_triggered = world.truth.triggered.contains_key(&trace);
        let is_complete = copies.iter().any(|(_, certificate)| certificate.verdict == Verdict::Complete);
        outcome.n_complete += usize::from(is_complete && is_triggered);
        if is_triggered && !is_complete && world.is_lossless() {
            let all: Vec<String> = copies.iter().map(|(_, certificate)| said(certificate)).collect();
            outcome.violations.push(format!("{trace}: no host lost anything, and it is {}", all.join(", elsewhere ")));
        }
    }
    bounded(world, &mut outcome);
    acknowledged(world, now, &mut outcome);
    outcome.violations.truncate(TOLD_MAX);
    outcome
}

/// Returns what each collector has of a trace, of those that have anything; of none where nobody does.
fn copies(world: &World, trace: TraceId) -> Result<Vec<Stored>, String> {
    let having = world.collectors.iter().filter(|collector| collector.has(trace));
    having.map(|collector| collector.stored(trace)).collect()
}

/// Prints what a collector has of a trace that is watched.
fn look_at(world: &World, trace: TraceId, assembled: &Trace, certificate: &Certificate) {
    if world.watched == Some(trace) {
        println!("{trace} is {}", said(certificate));
        certificate.agents.iter().for_each(|part| println!("  {part:?}"));
        let crumbs = &assembled.crumbs;
        println!("  {} spans, crumbs {crumbs:?}, open {:?}", assembled.spans.len(), assembled.open_edges);
    }
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
        for status in agent.cluster.status(host.now(now).time) {
            if status.is_reporting && status.queued_bytes > 0 {
                outcome.violations.push(format!("{}: {} B are never sent", host.id, status.queued_bytes));
            }
        }
    }
}

/// What agents call acknowledged is on the disks of the collectors.
fn acknowledged(world: &mut World, now: u64, outcome: &mut Outcome) {
    for host in &mut world.hosts {
        let now = host.now(now);
        let Some(agent) = &mut host.agent else { continue };
        let traces: Vec<TraceId> = world.truth.visits.keys().copied().collect();
        for trace in traces {
            let state = agent.cluster.state_of(trace, &agent.recorder);
            if !matches!(state, KeptState::Acked | KeptState::Lingering) {
                continue;
            }
            let kept = agent.kept(trace, now);
            let kept = lengths(kept.iter().flat_map(|slice| &slice.segments));
            let stored: Vec<_> = world.collectors.iter().filter_map(|of| of.stored(trace).ok()).collect();
            let slices = stored.iter().filter_map(|stored| stored.slices.get(&host.id)).flatten();
            let stored = lengths(slices.flat_map(|slice| &slice.segments));
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
    let mut lengths = BTreeMap::new();
    for segment in segments {
        let longest = lengths.entry(segment.key).or_default();
        *longest = segment.bytes.len().max(*longest);
    }
    lengths
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
