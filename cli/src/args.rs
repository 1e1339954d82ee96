//! The command line, as it is typed.
//!
//! Called by `main`. What makes no sense ends the process here, with 2: subcommands get values that are checked. Reading of single values is
//! in [`value`].

pub(crate) mod value;

use backsight_core::ids::{TraceId, TriggerId};
use backsight_proto::tls::TlsFiles;
use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;
use value::{CollectorUrl, duration, expression, expression_name, trigger_id, trigger_name};

/// The admin socket where none is named.
const AGENT_DEFAULT: &str = "/run/backsight/admin.sock";
/// What names the admin socket where `--agent` does not.
const AGENT_VARIABLE: &str = "BACKSIGHT_ADMIN";
/// What names the collectors where `--collector` does not.
const COLLECTOR_VARIABLE: &str = "BACKSIGHT_COLLECTOR";
/// What names the files of certificates where no flag does.
const TLS_VARIABLES: [&str; 3] = ["BACKSIGHT_TLS_CA", "BACKSIGHT_TLS_CERT", "BACKSIGHT_TLS_KEY"];
/// Traces that a trigger may collect with its own.
const LATERALS_MAX: usize = 32;
/// The heading of options that every subcommand has.
const GLOBAL: &str = "Global options";

/// Asks the flight recorder of this host.
#[derive(Parser, Debug)]
#[command(name = "backsight", version, about)]
pub(crate) struct Args {
    /// Admin socket of the agent [env: BACKSIGHT_ADMIN] [default: /run/backsight/admin.sock]
    // Read from the environment by hand: clap would show in `Usage:` what stands there, as if it had to be typed.
    #[arg(long, global = true, value_name = "SOCKET", help_heading = GLOBAL)]
    agent: Option<PathBuf>,
    /// Addresses of all collectors, with commas between them, as http://host:4390, or https://host:4390 with certificates; where none is given, those that the agent reports to [env: BACKSIGHT_COLLECTOR]
    #[arg(long = "collector", global = true, value_name = "URL", value_delimiter = ',', help_heading = GLOBAL)]
    collectors: Vec<CollectorUrl>,
    #[command(flatten)]
    tls: TlsArgs,
    /// Print JSON instead of text
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Reads the command line and the environment. What makes no sense ends the process.
    pub(crate) fn read() -> Self {
        let mut args = Self::parse();
        let named = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty());
        if args.agent.is_none() {
            args.agent = named(AGENT_VARIABLE).map(PathBuf::from);
        }
        if let (true, Some(urls)) = (args.collectors.is_empty(), named(COLLECTOR_VARIABLE)) {
            match urls.to_string_lossy().split(',').map(str::parse).collect() {
                Ok(urls) => args.collectors = urls,
                Err(error) => usage_error(ErrorKind::ValueValidation, &format!("{COLLECTOR_VARIABLE}: {error}")),
            }
        }
        for (file, variable) in args.tls.files_mut().into_iter().zip(TLS_VARIABLES) {
            *file = file.take().or_else(|| named(variable).map(PathBuf::from));
        }
        if let Err((kind, error)) = args.check(std::io::stdout().is_terminal()) {
            usage_error(kind, error);
        }
        args
    }

    /// Returns the admin socket of the agent.
    pub(crate) fn agent(&self) -> &Path {
        self.agent.as_deref().unwrap_or(Path::new(AGENT_DEFAULT))
    }

    /// Returns the addresses of the collectors, where any are named.
    pub(crate) fn collectors(&self) -> &[CollectorUrl] {
        &self.collectors
    }

    /// Returns the certificates that are shown to the collector, where they are named.
    pub(crate) fn certificates(&self) -> Option<TlsFiles> {
        let TlsArgs { tls_ca: Some(ca), tls_cert: Some(cert), tls_key: Some(key) } = self.tls.clone() else {
            return None;
        };
        Some(TlsFiles { ca, cert, key })
    }

    /// Returns why the arguments do not go together, if they do not.
    fn check(&self, is_terminal: bool) -> Result<(), (ErrorKind, &'static str)> {
        if self.tls != TlsArgs::default() && self.certificates().is_none() {
            let error =
                "--tls-ca, --tls-cert and --tls-key go together (BACKSIGHT_TLS_CA, _CERT and _KEY): name all or none";
            return Err((ErrorKind::MissingRequiredArgument, error));
        }
        for url in &self.collectors {
            url.goes_with(self.certificates().is_some())?;
        }
        match &self.command {
            Command::Trace(TraceCommand::Get { format: Some(_), .. }) if self.json => {
                Err((ErrorKind::ArgumentConflict, "the argument '--json' cannot be used with '--format'"))
            }
            Command::Trace(TraceCommand::Get {
                format: Some(Format::Perfetto | Format::Otlp), local: true, ..
            }) => Err((ErrorKind::ArgumentConflict, "--local cannot be exported: only stored traces are")),
            Command::Trace(TraceCommand::Get { format: Some(Format::Perfetto), ids, .. }) if ids.len() > 1 => {
                Err((ErrorKind::TooManyValues, "a Perfetto file holds one trace; name one id"))
            }
            Command::Trace(TraceCommand::Get { format: Some(Format::Perfetto), output: None, .. }) if is_terminal => {
                let error =
                    "a Perfetto file is not text: name a file with --output, and open it at https://ui.perfetto.dev";
                Err((ErrorKind::MissingRequiredArgument, error))
            }
            Command::Trigger(TriggerCommand::Fire { laterals, .. }) if laterals.len() > LATERALS_MAX => {
                Err((ErrorKind::TooManyValues, "--lateral may be given at most 32 times"))
            }
            _ => Ok(()),
        }
    }
}

/// The certificates by which `backsight` and a collector know each other.
#[derive(clap::Args, Clone, PartialEq, Eq, Default, Debug)]
struct TlsArgs {
    /// Certificate of who signs the collector's, in PEM [env: BACKSIGHT_TLS_CA]
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    tls_ca: Option<PathBuf>,
    /// Certificate to show to the collector, in PEM [env: BACKSIGHT_TLS_CERT]
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    tls_cert: Option<PathBuf>,
    /// Key of that certificate, in PEM [env: BACKSIGHT_TLS_KEY]
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// Returns its files, in the order of [`TLS_VARIABLES`].
    const fn files_mut(&mut self) -> [&mut Option<PathBuf>; 3] {
        [&mut self.tls_ca, &mut self.tls_cert, &mut self.tls_key]
    }
}

/// Says what is wrong with the command line, and ends the process with 2.
fn usage_error(kind: ErrorKind, error: &str) -> ! {
    Args::command().error(kind, error).exit()
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
    /// Look at triggers, set, test or fire one
    #[command(subcommand)]
    Trigger(TriggerCommand),
    /// Check what this host offers, and say what to do about the rest
    ///
    /// Exits with 1 where something needed is missing or cannot be looked at.
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor,
}

const DOCTOR_EXAMPLES: &str = "\
Examples:
  backsight doctor                                      this host, its agent, and the agent's collector
  backsight doctor --collector http://collector:4390    and whether that collector answers
  backsight doctor --json | jq '.[] | select(.outcome != \"ok\")'";

/// What to do with traces.
#[derive(Subcommand, Debug)]
pub(crate) enum TraceCommand {
    /// Print traces: all of each from the collector, or as far as this host has it
    ///
    /// Where the collector cannot be reached or has nothing of a trace, what this host's agent keeps or retains of it is printed.
    #[command(after_help = GET_EXAMPLES)]
    Get {
        /// Trace ids, 32 hex digits each; a shorter one is padded with zeros on its left, it is no prefix
        #[arg(required = true, value_name = "ID")]
        ids: Vec<TraceId>,
        /// What to print; text where nothing is said
        #[arg(long, value_enum)]
        format: Option<Format>,
        /// Ask only the agent of this host, not the collector
        #[arg(long)]
        local: bool,
        /// Write to a file instead
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Say where the difference between the durations of two stored traces comes from
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare {
        /// Trace id of the first, 32 hex digits; a shorter one is padded with zeros on its left, it is no prefix
        #[arg(value_name = "A")]
        a: TraceId,
        /// Trace id of the second
        #[arg(value_name = "B")]
        b: TraceId,
        /// The most rows to print; the others are summed up
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// List the traces that this host keeps because a trigger fired
    #[command(after_help = LIST_STATES)]
    List,
    /// List stored traces, newest first
    #[command(after_help = SEARCH_EXAMPLES)]
    Search {
        #[command(flatten)]
        filter: FilterArgs,
        /// The most to list, up to 1000
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Print stored traces as they come to rest, until interrupted
    ///
    /// Where the connection to the collector breaks, it is made again.
    #[command(after_help = TAIL_EXAMPLES)]
    Tail {
        #[command(flatten)]
        filter: FilterArgs,
    },
}

const GET_EXAMPLES: &str = "\
Several ids: --json prints one array, --format json one document after another, --format otlp one export request a line.
The certificate says whether all of the trace is here; each reason why not is explained beside its name.

Examples:
  backsight trace get 4bf92f3577b34da6a3ce929d0e0e4736
  backsight trace get --local 4bf92f3577b34da6a3ce929d0e0e4736          what this host has, without a collector
  backsight trace get 4bf92f3577b34da6a3ce929d0e0e4736 --format perfetto --output trace.perfetto
  backsight trace get 4bf92f3577b34da6a3ce929d0e0e4736 --format otlp > trace.json";

const COMPARE_EXAMPLES: &str = "\
Spans are paired by what they are called and where they stand; each nanosecond of a trace belongs to the span that it waited for, so that the rows sum to
the difference. Clocks of hosts are corrected first, as far as the calls between them say how.

Examples:
  backsight trace compare 4bf92f3577b34da6a3ce929d0e0e4736 0af7651916cd43dd8448eb211c80319c
  backsight trace compare 4bf9… 0af7… --json | jq '.rows[0]'";

const LIST_STATES: &str = "\
States:
  kept        copied out of the memory that is overwritten; stays on this host
  queued      waits to be sent to a collector
  sent        sent, not yet acknowledged
  acked       a collector has it on its disk
  lingering   acknowledged; what comes late is still sent
  abandoned   given up again for traces of higher priority
  refused     the trigger fired more often than its limit
  evicted     it was here, and has left the horizon
  never_seen  nothing of it was ever seen here";

const SEARCH_EXAMPLES: &str = "\
CERTIFICATE is complete, or partial or unknown with the reasons; `backsight trace get` explains those of a trace.

Examples:
  backsight trace search --service cart --error --since 10m
  backsight trace search --operation 'GET /checkout' --min-duration 150ms --limit 100
  backsight trace search --trigger checkout.slow --json";

const TAIL_EXAMPLES: &str = "\
CERTIFICATE is complete, or partial or unknown with the reasons; `backsight trace get` explains those of a trace.

Examples:
  backsight trace tail --error
  backsight trace tail --service cart --min-duration 1s
  backsight trace tail --json | jq -r .trace";

/// What a trace is printed as.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// A tree for people
    Text,
    /// Our JSON, one document after another
    Json,
    /// OpenTelemetry's JSON (OTLP), one export request a line for each trace
    Otlp,
    /// A file for ui.perfetto.dev
    Perfetto,
}

/// Which traces. The service, the operation, the duration and the error must belong to one span.
#[derive(clap::Args, Debug)]
pub(crate) struct FilterArgs {
    /// Service that took part, by its exact name
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) service: Option<String>,
    /// Span by its exact name
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) operation: Option<String>,
    /// Span that took at least so long: a whole number and ns, us, ms, s, m or h, as 150ms or 2s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) min_duration: Option<Duration>,
    /// Span that ended in an error
    #[arg(long)]
    pub(crate) error: bool,
    /// Trace that was active within so long before now: a whole number and its unit, as 10m or 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// Trace for which this trigger fired, by name or 0x and the id in hex
    #[arg(long, value_name = "NAME", value_parser = trigger_id)]
    pub(crate) trigger: Option<TriggerId>,
}

/// What to do with triggers.
#[derive(Subcommand, Debug)]
pub(crate) enum TriggerCommand {
    /// List the triggers that the agent knows
    List,
    /// Fire a trigger: keep a trace, here and wherever it has been
    ///
    /// Exits with 0 if this host keeps the trace then.
    #[command(after_help = FIRE_EXAMPLES)]
    Fire {
        /// Trace id, 32 hex digits; a shorter one is padded with zeros on its left, it is no prefix
        #[arg(value_name = "ID")]
        trace: TraceId,
        /// Name of the trigger
        #[arg(long, value_name = "NAME", default_value = "cli", value_parser = trigger_name)]
        trigger: String,
        /// Another trace to collect with it, at most 32 times
        #[arg(long = "lateral", value_name = "ID")]
        laterals: Vec<TraceId>,
    },
    /// Have the agent of this host fire a trigger by itself, for spans that are as an expression says
    #[command(after_help = SET_EXAMPLES)]
    Set {
        /// Name of the trigger
        #[arg(value_name = "NAME", value_parser = expression_name)]
        name: String,
        /// The expression
        #[arg(value_name = "EXPRESSION", required_unless_present = "remove", value_parser = expression)]
        when: Option<String>,
        /// Have it fire by no expression any more
        #[arg(long, conflicts_with = "when")]
        remove: bool,
    },
    /// Try an expression on what the agent of this host retains: how often it would fire, and what that would take
    #[command(after_help = TEST_EXAMPLES)]
    Test {
        /// The expression
        #[arg(value_name = "EXPRESSION", value_parser = expression)]
        when: String,
        /// Matching traces to name, the newest, up to 1000
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
        traces: u32,
    },
}

const SET_EXAMPLES: &str = "\
Name, service, kind, duration, status, attributes and events of one span are compared; docs/spec/trigger-expressions.md has all of it.
What is set here is forgotten when the agent ends: what is to stay belongs in its configuration, as [[trigger]].

Examples:
  backsight trigger set checkout.slow 'name = \"POST /checkout\" and duration > 250ms'
  backsight trigger set failing 'attr(\"http.status_code\") >= 500 rate > 5/s'
  backsight trigger set checkout.slow --remove";

const TEST_EXAMPLES: &str = "\
Nothing is kept by it. The agent reads what it retains at no more than walk.cpu_share of a core, so this may take a minute.

Examples:
  backsight trigger test 'duration > p99.9'
  backsight trigger test 'kind = server and (status = error or event = \"exception\")' --traces 100
  backsight trigger test 'status = error' --json | jq .fires_per_s";

const FIRE_EXAMPLES: &str = "\
Examples:
  backsight trigger fire 4bf92f3577b34da6a3ce929d0e0e4736
  backsight trigger fire 4bf92f3577b34da6a3ce929d0e0e4736 --trigger checkout.slow
  backsight trigger fire 4bf92f3577b34da6a3ce929d0e0e4736 --lateral 7d3c1c8f0b8e4a06b1e2a9d3f5c60718    and its neighbour";

#[cfg(test)]
mod tests;
