//! `bricks`: an RPC benchmark in the manner of MicroBricks: services after a topology, each a process that speaks gRPC, open-loop load,
//! faults, and the truth about them in files of its own.
//!
//! `bricks run` is what people and other tasks call; it starts `bricks serve` once for each process. `bricks check` says afterwards how much
//! of the truth a tracer captured. The command line stands here; each subcommand has its file.
#![forbid(unsafe_code)]

mod check;
mod faults;
mod hash;
mod load;
mod plan;
mod protocol;
mod rpc;
mod run;
mod serve;
mod sink;
mod topology;
mod tracer;
mod truth;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// What the command line says.
#[derive(Debug, Parser)]
#[command(name = "bricks", version, about = "An RPC benchmark with faults, and the truth about them")]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints a topology as JSON.
    Topology(topology::Options),
    /// Starts the services of a topology, loads them, measures, stops them.
    Run(Box<run::Options>),
    /// One process with its services; started by `run`.
    Serve(serve::Options),
    /// Takes in the spans of OpenTelemetry's exporters and counts them.
    Sink(sink::Options),
    /// Prints the trace ids of the edge cases, one a line.
    Edges {
        /// The folder of ground truth that `bricks run --truth` wrote.
        #[arg(long, value_name = "DIR")]
        truth: PathBuf,
    },
    /// Compares what was captured with the truth, and prints one JSON object.
    Check(check::CheckArgs),
}

fn main() -> Result<()> {
    match Options::parse().command {
        Command::Topology(options) => topology::print(&options),
        Command::Run(options) => run::run(&options),
        Command::Serve(options) => serve::serve(options),
        Command::Sink(options) => sink::listen(options),
        Command::Edges { truth } => check::edges(&truth),
        Command::Check(options) => check::check(&options),
    }
}
