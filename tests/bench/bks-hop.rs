//! `bks-hop`: a small service that calls others, for tests with several hosts; see `backsight_tests::hop`.
#![forbid(unsafe_code)]

use anyhow::Result;
use backsight::Settings;
use backsight_tests::hop::{self, Threads};
use clap::Parser;
use std::net::Ipv4Addr;

/// What a test tells its hop.
#[derive(Debug, Parser)]
struct Options {
    /// The agent's producer socket.
    #[arg(long)]
    socket: String,
    /// The service's name.
    #[arg(long)]
    service: String,
    /// The address at which it listens.
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST)]
    listen: Ipv4Addr,
    /// Threads that serve; a new one for each request without.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let settings = Settings { socket: Some(&options.socket), service: Some(&options.service) };
    backsight_tests::harness::session::join(settings)?;
    backsight::last_words::install();
    hop::serve(options.listen, options.threads.map_or(Threads::PerRequest, Threads::Pool))
}
