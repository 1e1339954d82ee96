//! Whether recording works here, and what was given up.

use crate::process::{self, Missing};
use backsight_core::ids::{AgentId, RegionId};
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::{region, slot};

/// How this process's recording stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stats {
    /// The session's agent and region, or why there is no session.
    pub session: Result<(AgentId, RegionId), Missing>,
    /// The agent's words where it refused the session, else empty.
    pub refusal: String,
    /// Whether the agent wants records.
    pub recording: bool,
    /// Thread slots in use.
    pub threads: u32,
    /// What was given up, by reason, of live threads and of the process; reasons that never occurred are left out.
    pub drops: Vec<(DropReason, u64)>,
}

/// Returns how this process's recording stands.
///
/// # Cost
/// Reads every thread slot in use: for people and health checks, not for the write path.
pub fn stats() -> Stats {
    let session = process::session();
    let view = session.as_ref().map(|session| session.view);
    let slots: Vec<u32> = view.as_ref().map_or_else(Vec::new, |view| slot::taken(view).collect());
    let of_slots = |reason: DropReason| -> u64 {
        let Some(view) = &view else { return 0 };
        slots.iter().map(|number| slot::drops(view, *number)[reason as usize]).sum()
    };
    let counted = |reason: &DropReason| (*reason, of_slots(*reason) + process::counted(*reason));
    Stats {
        refusal: Missing::refusal(),
        recording: view.as_ref().is_some_and(region::is_recording),
        threads: slots.len() as u32,
        drops: DropReason::ALL.iter().map(counted).filter(|(_, n)| *n > 0).collect(),
        session: session.map(|session| (session.agent, session.region)).ok_or_else(process::missing),
    }
}
