//! `backsight doctor`: what this host offers, and what to do about the rest.
//!
//! Each check is a function that looks at one thing and changes nothing.

use super::Asked;
use crate::admin::Unreachable;
use crate::args::value::CollectorUrl;
use crate::collector::Collector;
use crate::output;
use anyhow::{Context, Result};
use backsight_core::units::Bytes;
use backsight_proto::admin::{Status, UplinkStatus, route};
use backsight_proto::v1::StatusReply;
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Resource};
use serde::Serialize;
use std::process::ExitCode;

/// An agent's memory where it does not say how much: the default of `pool.budget_bytes`.
const BUDGET_DEFAULT_BYTES: u64 = 1 << 30;
/// What a region has before its chunks, its *fixed part*.
const REGION_FIXED_BYTES: u64 = 32 << 20;
/// The most that a region's chunks take.
const REGION_CHUNKS_BYTES_MAX: u64 = 2 << 30;

/// How a check came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// As it should be.
    Ok,
    /// Works, with less comfort, precision or safety.
    Warn,
    /// This user may not look.
    Unknown,
    /// Needed and not there.
    Missing,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    outcome: Outcome,
    /// What was found.
    why: String,
    /// What to do; empty where there is nothing to do.
    #[serde(skip_serializing_if = "str::is_empty")]
    advice: &'static str,
}

impl Check {
    fn ok(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Ok, why: why.into(), advice: "" }
    }

    fn warn(name: &'static str, why: impl Into<String>, advice: &'static str) -> Self {
        Self { name, outcome: Outcome::Warn, why: why.into(), advice }
    }

    fn unknown(name: &'static str, why: impl Into<String>, advice: &'static str) -> Self {
        Self { name, outcome: Outcome::Unknown, why: why.into(), advice }
    }

    fn missing(name: &'static str, why: impl Into<String>, advice: &'static str) -> Self {
        Self { name, outcome: Outcome::Missing, why: why.into(), advice }
    }
}

/// Runs every check; fails where something needed is missing, or cannot be looked at.
pub(super) fn run(asked: &Asked<'_>) -> Result<ExitCode> {
    let status = asked.admin.get(route::STATUS).and_then(|reply| reply.parse::<Status>());
    let on_host = [memfd(), noexec_seal(), invariant_tsc(), pidfd(), ptrace(), address_space(status.as_ref().ok())];
    let mut checks = vec![agent(&status)];
    checks.extend(status.iter().flat_map(|status| collectors(&status.uplinks)));
    let ask = |url: &CollectorUrl| Collector::new(url.clone(), asked.tls.clone()).status();
    checks.extend(asked.collectors.iter().map(|url| collector_url(url, &ask(url))));
    checks.extend(on_host);
    let text = if asked.is_json {
        serde_json::to_string_pretty(&checks).context("write the checks")? + "\n"
    } else {
        checks.iter().map(line).collect()
    };
    output::print(&text)?;
    let is_broken = checks.iter().any(|check| matches!(check.outcome, Outcome::Missing | Outcome::Unknown));
    Ok(if is_broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn line(check: &Check) -> String {
    let outcome = match check.outcome {
        Outcome::Ok => "ok",
        Outcome::Warn => "warn",
        Outcome::Unknown => "unknown",
        Outcome::Missing => "missing",
    };
    let mut line = format!("{outcome:<8} {:<14} {}\n", check.name, check.why);
    if !check.advice.is_empty() {
        line += &format!("{:23} → {}\n", "", check.advice);
    }
    line
}

fn agent(status: &Result<Status>) -> Check {
    let name = "agent";
    match status {
        Ok(status) => Check::ok(name, format!("{}, version {}, pid {}", status.agent, status.version, status.pid)),
        Err(error) if error.downcast_ref::<Unreachable>().is_some_and(|error| error.is_forbidden) => {
            Check::unknown(name, format!("{error:#}"), "whether applications record cannot be told without it")
        }
        Err(error) => Check::missing(name, format!("{error:#}"), "applications run on, but record nothing"),
    }
}

fn collectors(uplinks: &[UplinkStatus]) -> Vec<Check> {
    if uplinks.is_empty() {
        return vec![Check::ok("collector", "none: traces stay on this host (uplink.collectors)")];
    }
    uplinks.iter().map(collector).collect()
}

fn collector(uplink: &UplinkStatus) -> Check {
    let name = "collector";
    let advice = "traces stay on this host until it is reached; look at uplink.collectors and at the collector's log";
    let UplinkStatus { collector, last_error, .. } = uplink;
    match (uplink.is_connected, uplink.is_reporting) {
        (true, true) => Check::ok(name, format!("{collector}, connected")),
        (true, false) => Check::warn(name, format!("{collector} takes no reports: {last_error}"), advice),
        (false, _) => Check::warn(name, format!("{collector} is not connected: {last_error}"), advice),
    }
}

/// The collector that the command line or the environment names, which people ask.
fn collector_url(url: &CollectorUrl, status: &Result<StatusReply>) -> Check {
    let name = "collector_url";
    match status {
        Ok(status) => Check::ok(name, format!("{url} answers: version {}, {} traces", status.version, status.n_traces)),
        Err(error) => Check::missing(name, format!("{error:#}"), "is this the address that it listens on?"),
    }
}

fn memfd() -> Check {
    let name = "memfd";
    match rustix::fs::memfd_create("backsight-doctor", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING) {
        Ok(_) => Check::ok(name, "shared memory can be made and sealed"),
        Err(error) => Check::missing(
            name,
            format!("memfd_create: {error}"),
            "needs Linux 3.17; a seccomp profile of this container may forbid it",
        ),
    }
}

fn noexec_seal() -> Check {
    let name = "noexec_seal";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL;
    match rustix::fs::memfd_create("backsight-doctor", flags) {
        Ok(_) => Check::ok(name, "shared memory can never become executable"),
        Err(Errno::INVAL) => {
            Check::warn(name, "this kernel is older than 6.3", "the agent goes on without; nothing to do")
        }
        Err(error) => Check::warn(name, format!("memfd_create: {error}"), "the agent goes on without"),
    }
}

fn invariant_tsc() -> Check {
    let name = "invariant_tsc";
    let cpuinfo = match std::fs::read_to_string("/proc/cpuinfo") {
        Ok(text) => text,
        Err(error) => return Check::warn(name, format!("/proc/cpuinfo: {error}"), "mount /proc"),
    };
    if cfg!(target_arch = "aarch64") {
        return Check::ok(name, "the virtual counter has a constant rate");
    }
    let missing = missing_tsc_flags(&cpuinfo);
    if missing.is_empty() {
        return Check::ok(name, "the time-stamp counter has a constant rate and never stops");
    }
    Check::warn(
        name,
        format!("processor flags not found: {}", missing.join(", ")),
        "records are timed by CLOCK_MONOTONIC, which costs more; give the virtual machine an invariant TSC",
    )
}

/// Returns the flags of an invariant time-stamp counter that the first processor lacks.
fn missing_tsc_flags(cpuinfo: &str) -> Vec<&'static str> {
    let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == "flags"));
    let flags: Vec<&str> = line
        .and_then(|line| line.split_once(':'))
        .map(|(_, flags)| flags.split_whitespace().collect())
        .unwrap_or_default();
    ["constant_tsc", "nonstop_tsc"].into_iter().filter(|flag| !flags.contains(flag)).collect()
}

fn pidfd() -> Check {
    let name = "pidfd";
    match rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()) {
        Ok(_) => Check::ok(name, "the agent sees processes die"),
        Err(error) => Check::missing(
            name,
            format!("pidfd_open: {error}"),
            "needs Linux 5.3; a seccomp profile of this container may forbid it",
        ),
    }
}

/// The agent needs no ptrace; people who attach a debugger or read `/proc/<pid>` beside it do.
fn ptrace() -> Check {
    let name = "ptrace";
    match std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope") {
        Ok(scope) if matches!(scope.trim(), "2" | "3") => Check::warn(
            name,
            format!("kernel.yama.ptrace_scope is {}: only administrators may look into other processes", scope.trim()),
            "recording needs no ptrace; lower it only to debug",
        ),
        Ok(scope) => Check::ok(name, format!("kernel.yama.ptrace_scope is {}", scope.trim())),
        Err(_) => Check::ok(name, "not restricted by Yama"),
    }
}

/// Returns the addresses that a region of an agent with this budget maps: twice the budget, as a process may move from one class of chunks
/// to another.
fn region_bytes(budget: Bytes) -> Bytes {
    Bytes(budget.0.saturating_mul(2).min(REGION_CHUNKS_BYTES_MAX) + REGION_FIXED_BYTES)
}

fn address_space(status: Option<&Status>) -> Check {
    let budget = Bytes(status.map_or(BUDGET_DEFAULT_BYTES, |status| status.pool.budget_bytes));
    limited(rustix::process::getrlimit(Resource::As).current.map(Bytes), region_bytes(budget))
}

/// Returns what a limit of addresses means for processes that map a region.
fn limited(limit: Option<Bytes>, region: Bytes) -> Check {
    let name = "address_space";
    match limit {
        None => Check::ok(name, "RLIMIT_AS is unlimited"),
        Some(limit) if limit.0 >= 2 * region.0 => {
            Check::ok(name, format!("RLIMIT_AS is {limit}, a region maps {region} of addresses"))
        }
        Some(limit) => Check::warn(
            name,
            format!("RLIMIT_AS is {limit}, a region maps {region} of addresses"),
            "raise it (`ulimit -v unlimited`), or lower pool.budget_bytes",
        ),
    }
}

#[cfg(test)]
mod tests;
