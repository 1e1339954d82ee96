//! The command line, as it is typed.

use backsight_core::ids::TraceId;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

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
    /// Address of the collector; the one that the agent reports to where none is given
    #[arg(long, global = true, env = "BACKSIGHT_COLLECTOR", value_name = "URL")]
    pub(crate) collector: Option<String>,
    /// Print JSON instead of text
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
    /// Print traces: all of each from the collector, or as far as this host has it
    Get {
        /// Trace ids, 1 to 32 hex digits each
        #[arg(required = true, value_name = "ID")]
        ids: Vec<TraceId>,
        /// What to print
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Write to a file instead
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// List the traces that this host keeps because a trigger fired
    List,
    /// List stored traces, newest first
    Search {
        #[command(flatten)]
        filter: FilterArgs,
        /// The most to list, up to 1000
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Print stored traces as they come to rest, until interrupted
    Tail {
        #[command(flatten)]
        filter: FilterArgs,
    },
}

/// What a trace is printed as.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// A tree for people
    Text,
    /// Our JSON
    Json,
    /// OpenTelemetry's JSON (OTLP)
    Otlp,
    /// A file for ui.perfetto.dev
    Perfetto,
}

/// Which traces. The service, the operation, the duration and the error must belong to one span.
#[derive(clap::Args, Debug)]
pub(crate) struct FilterArgs {
    /// Service that took part
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// Span by name
    #[arg(long, value_name = "NAME")]
    pub(crate) operation: Option<String>,
    /// Span that took at least so long, as 150ms or 2s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) min_duration: Option<Duration>,
    /// Span that ended in an error
    #[arg(long)]
    pub(crate) error: bool,
    /// Trace that was active within so long before now, as 10m or 2h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) since: Option<Duration>,
    /// Trace for which this trigger fired, by name
    #[arg(long, value_name = "NAME")]
    pub(crate) trigger: Option<String>,
}

/// Reads a duration: a whole number and one of ns, us, ms, s, m, h.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let ns_per_unit = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err("expected a whole number and ns, us, ms, s, m or h, as 150ms".to_owned()),
    };
    let ns = number.parse::<u64>().ok().and_then(|number| number.checked_mul(ns_per_unit));
    ns.map(Duration::from_nanos).ok_or_else(|| "expected a whole number and its unit, as 150ms".to_owned())
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
    use super::{Args, parse_duration};
    use clap::CommandFactory;
    use std::time::Duration;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("150ms"), Ok(Duration::from_millis(150)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["", "5", "ms", "1.5s", "-1s", "5 s", "99999999999999999999s", "9999999999999h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
