//! What the recorder leaves to the next one on its host, and what it may vouch for itself after another.
//!
//! Called by the daemon, which has it held; how it is taken up is in `adopt`.

use super::{Now, Recorder, Settings};
use crate::journal::Journal;
use backsight_core::ids::RegionId;
use backsight_core::units::Nanos;
use backsight_ringbuf::region::SILENT_TICKS;
use backsight_ringbuf::shm::ShmError;
use std::os::fd::BorrowedFd;

/// How long after [`SILENT_TICKS`] a process has looked whether its agent is gone, and has another: it looks once a second.
const REJOIN: Nanos = Nanos::from_ms(2_000);

impl Recorder {
    /// Returns all regions with their descriptors.
    pub fn regions(&self) -> impl Iterator<Item = (RegionId, BorrowedFd<'_>)> {
        self.members.iter().flatten().map(|member| (member.region.id(), member.region.fd()))
    }

    /// Has what a successor needs to know written down from now on; returns the descriptor to be held for it.
    ///
    /// # Errors
    /// No memory for it.
    pub fn keep_journal(&mut self) -> Result<BorrowedFd<'_>, ShmError> {
        let Settings { agent, boot, .. } = self.settings;
        let journal = match self.journal.take() {
            Some(journal) => journal,
            None => Journal::create(agent, boot, self.started_ticks)?,
        };
        Ok(self.journal.insert(journal).fd())
    }

    /// Notes that a region will not be there for a successor.
    pub fn note_unheld(&self) {
        if let Some(journal) = &self.journal {
            journal.note_unheld();
        }
    }

    /// Returns the regions that hold nothing any more, each once.
    pub fn take_forgotten(&mut self) -> Vec<RegionId> {
        std::mem::take(&mut self.forgotten)
    }

    /// Has nothing called whole that is recorded until all processes have joined this agent: some may go on in regions that nobody has.
    pub(super) fn distrust(&mut self, now: Now) {
        self.started_ticks = self.started_ticks.max(now.ticks + SILENT_TICKS + self.ticks_of(REJOIN));
    }
}
