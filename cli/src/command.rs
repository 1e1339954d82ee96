//! The subcommands: one file each.
//!
//! Each asks what it needs, and prints either the answer's JSON or a text made of it.

mod compare;
mod doctor;
mod horizon;
mod search;
mod status;
mod summary;
mod table;
mod trace;
mod trigger;

use crate::admin::{Admin, Reply};
use crate::args::value::CollectorUrl;
use crate::args::{Args, Command, TraceCommand, TriggerCommand};
use crate::collectors::Collectors;
use crate::output;
use anyhow::{Result, anyhow};
use backsight_proto::admin::{Status, route};
use backsight_proto::tls::TlsFiles;
use serde::de::DeserializeOwned;
use std::process::ExitCode;
use trace::Whom;

/// Runs what the command line says.
///
/// # Errors
/// The agent is not there, or says no.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let (admin, tls) = (Admin::new(args.agent()), args.certificates());
    let asked = Asked { admin, collectors: args.collectors(), tls, is_json: args.json };
    match &args.command {
        Command::Status => status::run(&asked),
        Command::Horizon => horizon::run(&asked),
        Command::Trace(TraceCommand::Get { ids, format, local, output }) => {
            let whom = if *local { Whom::Agent } else { Whom::All };
            trace::get(&asked, ids, whom, *format, output.as_deref())
        }
        Command::Trace(TraceCommand::Compare { a, b, limit }) => compare::compare(&asked, [*a, *b], *limit as usize),
        Command::Trace(TraceCommand::List) => trace::list(&asked),
        Command::Trace(TraceCommand::Search { filter, limit }) => search::search(&asked, filter, *limit),
        Command::Trace(TraceCommand::Tail { filter }) => search::tail(&asked, filter),
        Command::Trigger(TriggerCommand::List) => trigger::list(&asked),
        Command::Trigger(TriggerCommand::Fire { trace, trigger, laterals }) => {
            trigger::fire(&asked, *trace, trigger, laterals)
        }
        Command::Trigger(TriggerCommand::Set { name, when, .. }) => trigger::set(&asked, name, when.as_deref()),
        Command::Trigger(TriggerCommand::Test { when, traces }) => trigger::test(&asked, when, *traces),
        Command::Doctor => doctor::run(&asked),
    }
}

/// Whom to ask, and how to answer.
struct Asked<'a> {
    admin: Admin,
    /// The collectors' addresses, where the command line names any.
    collectors: &'a [CollectorUrl],
    /// The certificates that they are shown.
    tls: Option<TlsFiles>,
    is_json: bool,
}

impl Asked<'_> {
    /// Returns the collectors: those that the command line names, or those that the agent reports to; `None` where there is neither.
    ///
    /// # Errors
    /// None is named, and the agent cannot be asked for its own.
    fn find_collectors(&self) -> Result<Option<Collectors>> {
        if let Some(named) = Collectors::new(self.collectors, self.tls.as_ref()) {
            return Ok(Some(named));
        }
        let reply = self.admin.get(route::STATUS).map_err(|error| {
            anyhow!("{error:#}; without an agent, name a collector with --collector or BACKSIGHT_COLLECTOR")
        })?;
        let status: Status = reply.parse()?;
        let uplinks = status.uplinks.into_iter().map(|uplink| {
            let url: CollectorUrl = uplink.collector.parse().map_err(anyhow::Error::msg)?;
            url.goes_with(self.tls.is_some())
                .map_err(|(_, error)| anyhow!("{url}, to which the agent reports: {error}"))?;
            Ok(url)
        });
        Ok(Collectors::new(&uplinks.collect::<Result<Vec<_>>>()?, self.tls.as_ref()))
    }

    /// Returns the collectors, without which there is nothing to say.
    ///
    /// # Errors
    /// As [`Asked::find_collectors`], or the agent reports to none.
    fn collectors(&self) -> Result<Collectors> {
        self.find_collectors()?.ok_or_else(|| {
            anyhow!("the agent reports to no collector; name one with --collector or BACKSIGHT_COLLECTOR, or in uplink.collectors of its configuration")
        })
    }

    /// Prints an answer: as it is, or as the text that `text` makes of it.
    fn print<T: DeserializeOwned>(&self, reply: &Reply, text: impl FnOnce(&T) -> String) -> Result<ExitCode> {
        let out = if self.is_json { reply.pretty()? } else { text(&reply.parse()?) };
        output::print(&out)?;
        Ok(ExitCode::SUCCESS)
    }
}
