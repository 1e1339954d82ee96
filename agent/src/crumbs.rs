//! Breadcrumbs that came through signal rings: of which trace, where they point, bounded.
//!
//! Called by the recorder. Pure. Crumbs that stand in the log are read from the kept segments (`kept`), not here.

use backsight_core::holding::CrumbTo;
use backsight_core::ids::TraceId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Traces of which crumbs are held at a time; beyond, the one that came first goes.
pub const TRACES_MAX: usize = 16_384;
/// Crumbs of one trace; beyond, later ones are left out.
pub const CRUMBS_PER_TRACE: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub struct RingCrumbs {
    traces: BTreeMap<TraceId, BTreeSet<CrumbTo>>,
    order: VecDeque<TraceId>,
}

/// What became of a crumb.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Added {
    /// It says something new.
    New,
    /// It was known.
    Known,
    /// It was left out: its trace has too many.
    LeftOut,
}

impl RingCrumbs {
    /// Takes a crumb of `trace`; returns what became of it, and how many crumbs of another trace went for it.
    pub fn add(&mut self, trace: TraceId, crumb: CrumbTo) -> (Added, u64) {
        let mut n_gone = 0;
        if !self.traces.contains_key(&trace) {
            if self.order.len() >= TRACES_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                n_gone = self.traces.remove(&oldest).map_or(0, |crumbs| crumbs.len() as u64);
            }
            self.order.push_back(trace);
        }
        let crumbs = self.traces.entry(trace).or_default();
        if crumbs.contains(&crumb) {
            return (Added::Known, n_gone);
        }
        if crumbs.len() >= CRUMBS_PER_TRACE {
            return (Added::LeftOut, n_gone);
        }
        crumbs.insert(crumb);
        (Added::New, n_gone)
    }

    /// Returns the crumbs of `trace`, ascending.
    pub fn of(&self, trace: TraceId) -> impl Iterator<Item = &CrumbTo> {
        self.traces.get(&trace).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::{Added, CRUMBS_PER_TRACE, RingCrumbs, TRACES_MAX};
    use backsight_core::holding::CrumbTo;
    use backsight_core::ids::{AgentId, SpanId, TraceId};
    use backsight_core::record::CrumbDirection;

    fn crumb(agent: u32) -> CrumbTo {
        CrumbTo { agent: AgentId(agent), direction: CrumbDirection::To, span: SpanId(7) }
    }

    #[test]
    fn the_tables_are_bounded_and_what_goes_is_counted() {
        let mut crumbs = RingCrumbs::default();
        let trace = |n| TraceId::new(1, n);
        for agent in 1..=CRUMBS_PER_TRACE as u32 {
            assert_eq!(crumbs.add(trace(0), crumb(agent)), (Added::New, 0));
        }
        assert_eq!(crumbs.add(trace(0), crumb(1)), (Added::Known, 0));
        assert_eq!(crumbs.add(trace(0), crumb(1 << 20)), (Added::LeftOut, 0));
        let n_gone: u64 = (1..=TRACES_MAX as u64).map(|n| crumbs.add(trace(n), crumb(1)).1).sum();
        assert_eq!(n_gone, CRUMBS_PER_TRACE as u64);
        assert_eq!((crumbs.of(trace(0)).count(), crumbs.of(trace(9)).count()), (0, 1));
        assert!(crumbs.traces.len() <= TRACES_MAX && crumbs.order.len() <= TRACES_MAX);
    }
}
