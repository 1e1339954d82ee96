//! `backsight-collector`: reads the configuration, starts the collector, has it read its certificates and tokens again on SIGHUP, and stops it on
//! SIGTERM or SIGINT.
//!
//! Everything else is the library's.
#![forbid(unsafe_code)]

use anyhow::Context;
use backsight_collector::auth::{self, Role, Tokens};
use backsight_collector::config::{Config, Overrides};
use backsight_collector::daemon::Collector;
use backsight_collector::otlp::Rules;
use backsight_collector::tls::{self, Tls};
use backsight_core::cause::chain;
use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Most of what is allocated here is freed by another thread: a connection reads a message, the coordinator's task keeps what it says, the library
/// writes it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Follows triggers from host to host, and stores what hosts report.
#[derive(Debug, Parser)]
#[command(name = "backsight-collector", version)]
struct Arguments {
    /// The configuration file; the defaults where none is given.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where agents and people connect (collector.listen).
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where traces are stored (collector.data_dir).
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Lets others than this host connect without certificates: whoever reaches the port may read and write traces (collector.insecure).
    #[arg(long)]
    insecure: bool,
    /// Reads and checks the configuration, and ends.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tokens by which people and programs are let in (auth.tokens).
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Makes a token: prints it, and the line to add to the file of tokens.
    New {
        /// What it is for: ingest, read or admin.
        #[arg(long)]
        role: Role,
        /// What it is called in the file.
        #[arg(long, default_value = "unnamed", value_parser = name)]
        name: String,
    },
}

/// Returns a name that can stand in a line.
fn name(text: &str) -> Result<String, String> {
    let is_plain = !text.trim().is_empty() && !text.chars().any(char::is_control);
    if is_plain { Ok(text.trim().to_owned()) } else { Err("expected a name in one line".to_owned()) }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if let Some(Command::Token { command: TokenCommand::New { role, name } }) = arguments.command.take() {
        return make_token(role, &name);
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(cause = format_args!("{error:#}"), "collector ends");
            ExitCode::FAILURE
        }
    }
}

/// Prints a token to the one who wants it, and its line to be added to the file.
fn make_token(role: Role, name: &str) -> ExitCode {
    match auth::make(role, name) {
        Ok(made) => {
            println!("token, shown this once:\n{}\n\nline for auth.tokens:\n{}", made.token, made.line);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("backsight-collector: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { config, listen, data_dir, insecure, check, command: _ } = arguments;
    let config = Config::load(config.as_deref(), Overrides { listen, data_dir, insecure })?;
    if check {
        config.collector.tls.as_ref().map_or(Ok(()), tls::check)?;
        Rules::read(&config.intake)?;
        config.auth.tokens.as_deref().map(Tokens::read).transpose()?;
        return Ok(());
    }
    raise_descriptor_limit();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(n_workers()).thread_name("bks-collector").enable_all();
    runtime.build().context("start the runtime")?.block_on(serve(&config))
}

/// Returns how many threads serve: half of the cores. Messages are small, and a second thread costs more to wake than it takes over; the disk
/// and those who search have threads of their own.
fn n_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("catch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("catch SIGINT")?;
    let hangup = signal(SignalKind::hangup()).context("catch SIGHUP")?; // without certificates and tokens it says nothing
    let collector = Collector::start(config).await?;
    tokio::spawn(renew(collector.tls().cloned(), collector.tokens().cloned(), hangup));
    tell_manager(NotifyState::Ready);
    let broken = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        what = collector.broken() => Some(what),
    };
    tell_manager(NotifyState::Stopping);
    collector.stop().await;
    broken.map_or(Ok(()), |what| anyhow::bail!("{what}; what was said before tells why"))
}

/// Has this process keep as many descriptors as it may: it has one for each agent and reader.
fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }); // else it accepts fewer
}

/// Reads certificates and tokens again on each SIGHUP; what cannot be used leaves those that are in use.
async fn renew(tls: Option<Arc<Tls>>, tokens: Option<Arc<Tokens>>, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        match tls.as_ref().map(|tls| tls.read_again()) {
            Some(Ok(())) => tracing::info!("certificates read again"),
            Some(Err(error)) => {
                tracing::error!(cause = chain(&error), "certificates not read again, those in use stay")
            }
            None => {}
        }
        match tokens.as_ref().map(|tokens| tokens.read_again()) {
            Some(Ok(())) => tracing::info!("tokens read again"),
            Some(Err(error)) => tracing::error!(cause = chain(&error), "tokens not read again, those in use stay"),
            None => {}
        }
    }
}

/// Tells the service manager, where one asked to be told.
fn tell_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(error = %error, "service manager not told");
    }
}
