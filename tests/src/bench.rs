//! The bench harness: interleaved rounds, medians with their spread, verdicts, and the JSON of DESIGN section 4.
//!
//! Called by every bin in `tests/bench`. It knows numbers and names, not what is measured; the peers are in [`crate::peers`].

pub mod cli;
pub mod clock;
pub mod host;
pub mod pace;
pub mod report;
pub mod runner;
pub mod stats;
pub mod table;
pub mod threads;
pub mod verdict;
