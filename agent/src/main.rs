//! `backsight-agent`: reads the configuration, starts the daemon, and stops it on SIGTERM or SIGINT.
//!
//! Everything else is the library's.
#![forbid(unsafe_code)]

use anyhow::Context;
use backsight_agent::config::{Config, Overrides};
use backsight_agent::daemon::{Daemon, Stop};
use backsight_agent::host;
use backsight_agent::keep::keeper;
use backsight_agent::uplink::tls;
use backsight_core::cause::chain;
use backsight_core::sync::AtomicBool;
use clap::{Parser, Subcommand};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The recorder daemon of a host: keeps what processes record, and holds on to what triggers ask for.
#[derive(Debug, Parser)]
#[command(name = "backsight-agent", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

/// What else the binary is.
#[derive(Debug, Subcommand)]
enum Command {
    /// Holds what processes recorded while there is no agent. Agents start it, with a socket in the place of the standard input.
    #[command(name = keeper::SUBCOMMAND)]
    Keeper {
        /// How long to wait for the next agent.
        #[arg(long, value_name = "SECONDS")]
        hold_s: u64,
    },
}

#[derive(Debug, clap::Args)]
struct Options {
    /// The configuration file; the defaults where none is given.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where producers connect (agent.socket).
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Where metrics, health and commands are served (agent.admin_socket).
    #[arg(long, value_name = "PATH")]
    admin_socket: Option<PathBuf>,
    /// Where the agent keeps its id (agent.state_dir).
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// How long what was recorded is held for the next agent, 0 for not at all (agent.keep_s).
    #[arg(long, value_name = "SECONDS")]
    keep_s: Option<u64>,
    /// The most memory for recorded data (pool.budget_bytes).
    #[arg(long, value_name = "BYTES")]
    budget_bytes: Option<u64>,
    /// The collectors to which triggered traces go, with commas between them, as http://host:port, or https://host:port with the certificates of
    /// uplink.tls (uplink.collectors).
    #[arg(long = "collector", value_name = "URL", value_delimiter = ',')]
    collectors: Vec<String>,
    /// Reads and checks the configuration, and ends.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let Arguments { command, options } = Arguments::parse();
    if let Some(Command::Keeper { hold_s }) = command {
        let ended = keeper::run(std::io::stdin().as_fd(), Duration::from_secs(hold_s));
        return if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(cause = format_args!("{error:#}"), "agent ends");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> anyhow::Result<()> {
    let Options { config, socket, admin_socket, state_dir, keep_s, budget_bytes, collectors, check } = options;
    let overrides = Overrides { socket, admin_socket, state_dir, keep_s, budget_bytes, collectors };
    let config = Config::load(config.as_deref(), overrides)?;
    let certificates = tls::check(&config.uplink);
    if check {
        return Ok(certificates?);
    }
    if let Err(error) = certificates {
        // They are read for each attempt to reach a collector, and what is recorded waits for them.
        tracing::warn!(cause = chain(&error), "no collector can be reached with these certificates");
    }
    host::raise_descriptor_limit();
    // Who interrupts an agent at a terminal does not mean to start another one.
    let for_good = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, for_good.clone()).context("catch SIGINT")?;
    // There is nothing to read again: certificates are read for each attempt, and settings at a start, which an agent goes through without loss.
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::default()).context("ignore SIGHUP")?;
    let (stop, signalled) = UnixStream::pair().context("make a socket pair")?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let end = signalled.try_clone().context("copy a descriptor")?;
        signal_hook::low_level::pipe::register(signal, end).context("catch SIGTERM and SIGINT")?;
    }
    let daemon = Daemon::start(&config, Stop { fd: stop.into(), for_good })?;
    let thread = std::thread::Builder::new().name("bks-agent".into()).spawn(move || daemon.run());
    let ended = thread.context("start the agent's thread")?.join();
    Ok(ended.map_err(|_| anyhow::anyhow!("the agent's thread panicked"))??)
}
