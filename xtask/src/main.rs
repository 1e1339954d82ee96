//! `cargo xtask`: the build and check tasks of the repository, one file per task.
//!
//! Called by people and by `.ci/run`. It depends on no other crate of the workspace, so that it builds in seconds and still
//! runs when one of them does not compile.
#![forbid(unsafe_code)]

mod bench;
mod ci;
mod demo;
mod dst;
mod faults;
mod fuzz;
mod lanes;
mod process;
mod scale;
mod setup;
mod tidy;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use workspace::Workspace;

/// Build and check tasks of Backsight.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Set up what is missing and show the main job: three hosts, ten services with bad requests, a crash, what was captured, at what cost
    Demo(demo::Options),
    /// Set up what is missing and pass every test
    Test(lanes::Options),
    /// Check everything that a change must pass
    Ci(ci::Options),
    /// Check the rules that the compiler does not know
    Tidy(tidy::Options),
    /// Run one benchmark; it writes target/bench/NAME.json beside what it prints
    Bench(bench::Options),
    /// Run the fuzz targets on the stable toolchain
    Fuzz(fuzz::Options),
    /// Run seeds of the deterministic simulation: agents, clients, networks and a collector under faults
    Dst(dst::Options),
    /// Take away what each test of a fault shows, and see that it fails
    Faults(faults::Options),
    /// Simulate 10 to 10,000 hosts from what operations cost, and hold docs/scale.md to it
    Scale(scale::Options),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let workspace = Workspace::load()?;
    match &arguments.task {
        Task::Demo(options) => demo::demo(&workspace, options),
        Task::Test(options) => lanes::test(&workspace, options),
        Task::Ci(options) => ci::check(&workspace, options),
        Task::Tidy(options) => tidy::tidy(&workspace, options),
        Task::Bench(options) => bench::bench(&workspace, options),
        Task::Fuzz(options) => fuzz::fuzz(&workspace, options),
        Task::Dst(options) => dst::dst(&workspace, options),
        Task::Faults(options) => faults::faults(&workspace, options),
        Task::Scale(options) => scale::scale(&workspace, options),
    }
}
