//! `bricks sink`: takes in what OpenTelemetry's exporters send, and counts it.

use anyhow::Result;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where to listen, and what to keep.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where to listen for OTLP over gRPC.
    #[arg(long)]
    listen: SocketAddr,
    /// Decides trace by trace what to keep, as a model of tail sampling.
    #[arg(long)]
    tail: bool,
    /// Where to write what was kept, as JSON lines.
    #[arg(long)]
    kept: Option<PathBuf>,
}

/// Listens until standard input ends or a signal comes.
pub(crate) fn listen(options: Options) -> Result<()> {
    anyhow::bail!("`bricks sink --listen {}` is not built yet", options.listen)
}
