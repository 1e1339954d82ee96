//! `backsight-agent`: reads the configuration, starts the daemon, and stops it on SIGTERM or SIGINT.
//!
//! Everything else is the library's.
#![forbid(unsafe_code)]

use anyhow::Context;
use backsight_agent::config::{Config, Overrides};
use backsight_agent::daemon::Daemon;
use clap::Parser;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

/// The recorder daemon of a host: keeps what processes record, and holds on to what triggers ask for.
#[derive(Debug, Parser)]
#[command(name = "backsight-agent", version)]
struct Arguments {
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
    /// The most memory for recorded data (pool.budget_bytes).
    #[arg(long, value_name = "BYTES")]
    budget_bytes: Option<u64>,
    /// The collector to which triggered traces go, as http://host:port (uplink.collectors).
    #[arg(long, value_name = "URL")]
    collector: Option<String>,
    /// Reads and checks the configuration, and ends.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(cause = format_args!("{error:#}"), "agent ends");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { config, socket, admin_socket, state_dir, budget_bytes, collector, check } = arguments;
    let overrides = Overrides { socket, admin_socket, state_dir, budget_bytes, collector };
    let config = Config::load(config.as_deref(), overrides)?;
    if check {
        return Ok(());
    }
    let (stop, signalled) = UnixStream::pair().context("make a socket pair")?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let end = signalled.try_clone().context("copy a descriptor")?;
        signal_hook::low_level::pipe::register(signal, end).context("catch SIGTERM and SIGINT")?;
    }
    let daemon = Daemon::start(&config, stop.into())?;
    let thread = std::thread::Builder::new().name("bks-agent".into()).spawn(move || daemon.run());
    let ended = thread.context("start the agent's thread")?.join();
    Ok(ended.map_err(|_| anyhow::anyhow!("the agent's thread panicked"))??)
}
