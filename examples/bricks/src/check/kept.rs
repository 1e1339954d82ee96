//! What `bricks sink --kept` wrote: one line for each trace, with its visits by service.
//!
//! Called by `check`, for peers whose traces say nothing of their own completeness.

use super::stored::parse_id;
use super::verdict::{Captured, Claim};
use crate::truth::Truth;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::BufRead;

/// A line of the file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct KeptLine {
    /// The trace, 32 hex digits.
    pub(crate) trace: String,
    /// Server spans by service.
    pub(crate) spans: BTreeMap<String, u64>,
}

/// Reads the lines of edge cases; those of one trace add up.
pub(crate) fn read(lines: impl BufRead, truth: &Truth) -> Result<BTreeMap<u128, Captured>> {
    let mut captured = BTreeMap::<u128, Captured>::new();
    for (idx, line) in lines.lines().enumerate() {
        let line = line.with_context(|| format!("line {}", idx + 1))?;
        let kept: KeptLine = serde_json::from_str(&line).with_context(|| format!("line {}", idx + 1))?;
        let id = parse_id(&kept.trace).with_context(|| format!("line {}", idx + 1))?;
        if !truth.edge_cases.contains_key(&id) {
            continue;
        }
        let visits =
            &mut captured.entry(id).or_insert(Captured { visits: BTreeMap::new(), claim: Claim::Silent }).visits;
        for (service, n) in kept.spans {
            let sum = visits.entry(service).or_default();
            *sum = u64::saturating_add(*sum, n);
        }
    }
    Ok(captured)
}
