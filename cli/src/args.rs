//! The command line, as it is typed.

use backsight_core::ids::TraceId;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Asks the flight recorder of this host.
#[derive(Parser, Debug)]
#[command(name = "backsight", version, about)]
pub(crate) struct Args {
    /// Admin socket of the agent
    #[arg(
        long,
        global = true,
        env = "BACKSIGHT_ADMIN",
        value_name = "SOCKET",
        default_value = "/run/backsight/admin.sock"
    )]
    pub(crate) agent: PathBuf,
    /// Print the agent's JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Show the agent, its memory and the processes that record
    Status,
    /// Show how far back the agent can look
    Horizon,
    /// Look at traces
    #[command(subcommand)]
    Trace(TraceCommand),
    /// Look at triggers, or fire one
    #[command(subcommand)]
    Trigger(TriggerCommand),
    /// Check what this host offers, and say what to do about the rest
    Doctor,
}

/// What to do with traces.
#[derive(Subcommand, Debug)]
pub(crate) enum TraceCommand {
    /// Print one trace, as far as this host has it
    Get {
        /// Trace id, 1 to 32 hex digits
        id: TraceId,
    },
    /// List the traces that are kept because a trigger fired
    List,
}

/// What to do with triggers.
#[derive(Subcommand, Debug)]
pub(crate) enum TriggerCommand {
    /// List the triggers that the agent knows
    List,
    /// Fire a trigger: keep a trace, here and wherever it has been
    Fire {
        /// Trace id, 1 to 32 hex digits
        trace: TraceId,
        /// Name of the trigger
        #[arg(long, value_name = "NAME", default_value = "cli")]
        trigger: String,
        /// Another trace to collect with it, at most 32 times
        #[arg(long = "lateral", value_name = "ID")]
        laterals: Vec<TraceId>,
    },
}

#[cfg(test)]
mod tests {
    use super::Args;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }
}
