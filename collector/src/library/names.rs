//! Names that many traces share, held once.
//!
//! Called by the index, which would otherwise hold each service, operation and trigger a million times. Bounded by [`NAMES_MAX`]: further names are
//! held by their traces.

use super::line::Line;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Names that are shared.
const NAMES_MAX: usize = 65_536;

/// Lines between two looks for names that nobody has any more, while the table is full.
const PRUNE_EVERY: u32 = 4096;

#[derive(Debug, Default)]
pub(super) struct Names {
    shared: BTreeSet<Arc<str>>,
    n_since_prune: u32,
}

impl Names {
    /// Makes the names of `line` those that others have too.
    pub(super) fn share(&mut self, line: &mut Line) {
        self.n_since_prune = self.n_since_prune.saturating_add(1);
        if self.shared.len() >= NAMES_MAX && self.n_since_prune >= PRUNE_EVERY {
            self.shared.retain(|name| Arc::strong_count(name) > 1);
            self.n_since_prune = 0;
        }
        for name in line.facts.iter_mut().flat_map(|fact| [&mut fact.service, &mut fact.operation]) {
            match self.shared.get(name) {
                Some(shared) => *name = shared.clone(),
                None if self.shared.len() < NAMES_MAX => drop(self.shared.insert(name.clone())),
                None => {}
            }
        }
        for name in line.summary.names.iter_mut() {
            match self.shared.get(name.shared()) {
                Some(shared) => name.share(shared),
                None if self.shared.len() < NAMES_MAX => drop(self.shared.insert(name.shared().clone())),
                None => {}
            }
        }
    }
}
