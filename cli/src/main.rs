//! `backsight`, the command people type: asks the agent of this host, and prints what it answers.
//!
//! Each subcommand has a file below `command`; printing of traces is in `render`, which is pure. It exits with 0, with 1 where the thing
//! asked for is not there or the agent says no, and with 2 for a command line that makes no sense.
#![forbid(unsafe_code)]

mod admin;
mod args;
mod collector;
mod collectors;
mod command;
mod output;
mod render;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::read();
    match command::run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("backsight: {error:#}");
            ExitCode::FAILURE
        }
    }
}
