//! The subcommands: one file each.
//!
//! Each asks what it needs, and prints either the answer's JSON or a text made of it.

mod doctor;
mod horizon;
mod status;
mod table;
mod trace;
mod trigger;

use crate::admin::{Admin, Reply};
use crate::args::{Args, Command, TraceCommand, TriggerCommand};
use crate::output;
use anyhow::Result;
use serde::de::DeserializeOwned;
use std::process::ExitCode;

/// Runs what the command line says.
///
/// # Errors
/// The agent is not there, or says no.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let asked = Asked { admin: Admin::new(&args.agent), is_json: args.json };
    match &args.command {
        Command::Status => status::run(&asked),
        Command::Horizon => horizon::run(&asked),
        Command::Trace(TraceCommand::Get { id }) => trace::get(&asked, *id),
        Command::Trace(TraceCommand::List) => trace::list(&asked),
        Command::Trigger(TriggerCommand::List) => trigger::list(&asked),
        Command::Trigger(TriggerCommand::Fire { trace, trigger, laterals }) => {
            trigger::fire(&asked, *trace, trigger, laterals)
        }
        Command::Doctor => doctor::run(&asked),
    }
}

/// Whom to ask, and how to answer.
struct Asked {
    admin: Admin,
    is_json: bool,
}

impl Asked {
    /// Prints an answer: as it is, or as the text that `text` makes of it.
    fn print<T: DeserializeOwned>(&self, reply: &Reply, text: impl FnOnce(&T) -> String) -> Result<ExitCode> {
        let out = if self.is_json { reply.pretty()? } else { text(&reply.parse()?) };
        output::print(&out)?;
        Ok(ExitCode::SUCCESS)
    }
}
