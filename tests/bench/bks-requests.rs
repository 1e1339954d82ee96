//! `bks-requests`: a process that serves requests at a rate, one of which is slow on demand; see `backsight_tests::slow`.
#![forbid(unsafe_code)]

use anyhow::Result;
use backsight::Settings;
use backsight_tests::slow::{Load, load};
use clap::Parser;

/// What a bench tells its load.
#[derive(Debug, Parser)]
struct Options {
    /// The agent's producer socket.
    #[arg(long)]
    socket: String,
    /// Threads that serve.
    #[arg(long)]
    threads: usize,
    /// Requests a second of all threads together.
    #[arg(long)]
    requests_per_s: f64,
    /// Events of a request.
    #[arg(long)]
    events: usize,
    /// How long a slow request waits, in milliseconds.
    #[arg(long)]
    slow_ms: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    backsight_tests::harness::session::join(Settings { socket: Some(&options.socket), service: Some("requests") })?;
    load::serve(Load {
        n_threads: options.threads,
        requests_per_s: options.requests_per_s,
        n_events: options.events,
        slow_ms: options.slow_ms,
    })
}
