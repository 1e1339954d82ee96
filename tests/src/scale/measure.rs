//! What one operation of the real code costs on this machine.
//!
//! Called by the bench `scale-costs`. The coordinator and the recorder run in this process, where their own time can be told; what is between
//! them runs as it ships, a collector process with stand-ins for agents, and the time of its threads is read from `/proc`. What is not seen
//! alone is a difference of two loads.

pub mod agent;
pub mod coordinator;
pub mod intake;
pub mod lines;
pub mod machine;
pub mod threads;

use anyhow::{Context as _, Result};
use std::collections::BTreeMap;

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effort {
    /// Enough to see that it works.
    Quick,
    /// Enough for the study.
    Full,
}

impl Effort {
    /// Returns how often to do what is done `n` times in full.
    #[must_use]
    pub const fn of(self, n: usize) -> usize {
        match self {
            Self::Quick => n.div_ceil(10),
            Self::Full => n,
        }
    }
}

/// Values by the names of [`super::costs::Costs`].
pub type Values = BTreeMap<&'static str, f64>;

/// Measures every cost once.
///
/// # Errors
/// A process cannot be started or ends, or `/proc` does not tell.
pub fn once(effort: Effort) -> Result<Values> {
    let mut values = machine::measure(effort).context("measure the machine")?;
    values.extend(coordinator::measure(effort).context("measure the coordinator")?);
    let (of_agent, reports) = agent::measure(effort).context("measure an agent")?;
    values.extend(of_agent);
    let step_collect_us = values.get("step_collect_us").copied().unwrap_or_default();
    values.extend(lines::measure(effort, step_collect_us).context("measure connections")?);
    values.extend(intake::measure(effort, &reports).context("measure the intake")?);
    Ok(values)
}
