//! A long run at full load, and whether anything grows by it.
//!
//! Called by the bench. All processes below this one are looked at now and then: the agents, the collector, and the services that record.

use crate::rpc::{
    Tracer,
    bricks::{self, Length, Run, RunReport},
    cases::{Faults, Load},
    hosts::Hosts,
};
use anyhow::{Context as _, Result, anyhow};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Callers that ask as fast as they get answers.
const CONCURRENCY: u32 = 32;
/// One request in a hundred is slow, one fails.
const FAULTS: Faults = Faults { slow: 0.01, error: 0.01, panic: 0.0 };
/// The share of a run at its beginning that does not count: tables fill.
const BEGINNING: f64 = 0.2;

/// What is watched of the processes of one program, all of them together.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Default)]
pub struct Use {
    /// Memory that is theirs alone, in bytes.
    pub private_bytes: f64,
    /// Open descriptors.
    pub descriptors: f64,
    /// Threads.
    pub threads: f64,
}

/// What a run showed.
#[derive(Debug)]
pub struct Soaked {
    /// What each program used, from look to look.
    pub uses: BTreeMap<String, Vec<Use>>,
    /// The shortest horizon of the hosts, in milliseconds, from look to look.
    pub horizon_ms: Vec<f64>,
    /// What the load says.
    pub report: RunReport,
}

/// Runs ten services at full load for `length`, with a look each `period`.
///
/// # Errors
/// A host or a service fails.
pub fn run(length: Duration, period: Duration) -> Result<Soaked> {
    let hosts = Hosts::start()?;
    let (sockets, seed) = (hosts.sockets(), hosts.next_seed());
    let is_over = AtomicBool::new(false);
    let load = || {
        let report = bricks::run(&Run {
            topology: "ten",
            tracer: Tracer::Backsight,
            load: Load::Highest { concurrency: CONCURRENCY },
            length: Length::Seconds { warmup: 2.0, counted: length.as_secs_f64() },
            under: None,
            faults: FAULTS,
            seed,
            agents: &sockets,
            sink: None,
            truth: None,
        });
        is_over.store(true, Ordering::Relaxed); // only a flag
        report
    };
    std::thread::scope(|scope| {
        let load = scope.spawn(load);
        let (uses, horizon_ms) = watch(&hosts, period, length, &is_over);
        let report = load.join().map_err(|_| anyhow!("the load panicked"))??;
        Ok(Soaked { uses, horizon_ms, report })
    })
}

fn watch(
    hosts: &Hosts,
    period: Duration,
    length: Duration,
    is_over: &AtomicBool,
) -> (BTreeMap<String, Vec<Use>>, Vec<f64>) {
    let (start, mut uses, mut horizon_ms) = (Instant::now(), BTreeMap::<String, Vec<Use>>::new(), Vec::new());
    while !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(period);
        eprint!("\r{} of {} s ", start.elapsed().as_secs(), length.as_secs());
        if start.elapsed() > length {
            break; // the services are being ended
        }
        for (program, of) in below(std::process::id()) {
            uses.entry(program).or_default().push(of);
        }
        // None before anything was overwritten.
        horizon_ms.extend(hosts.lowest("backsight_agent_horizon_ms"));
    }
    eprintln!();
    (uses, horizon_ms)
}

/// Returns what each program of the processes below `root` uses.
fn below(root: u32) -> BTreeMap<String, Use> {
    let processes: Vec<(u32, u32, String)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| parent_and_name(pid).map(|(parent, name)| (pid, parent, name)))
        .collect();
    let mut family = BTreeSet::from([root]);
    loop {
        let n_before = family.len();
        let children = processes.iter().filter(|(_, parent, _)| family.contains(parent)).map(|(pid, ..)| *pid);
        family.extend(children.collect::<Vec<_>>());
        if family.len() == n_before {
            break;
        }
    }
    family.remove(&root);
    let mut uses = BTreeMap::<String, Use>::new();
    for (pid, _, name) in processes.into_iter().filter(|(pid, ..)| family.contains(pid)) {
        if let Ok(of) = use_of(pid) {
            let sum = uses.entry(name).or_default();
            sum.private_bytes += of.private_bytes;
            sum.descriptors += of.descriptors;
            sum.threads += of.threads;
        }
    }
    uses
}

fn parent_and_name(pid: u32) -> Option<(u32, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (front, fields) = stat.rsplit_once(')')?;
    let name = front.split_once('(')?.1.to_owned();
    Some((fields.split_whitespace().nth(1)?.parse().ok()?, name))
}

fn use_of(pid: u32) -> Result<Use> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read a process's status")?;
    let field = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).context("find a field of the status")
    };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).context("read a process's descriptors")?.count();
    Ok(Use { private_bytes: field("RssAnon")? * 1024.0, descriptors: descriptors as f64, threads: field("Threads")? })
}

/// Returns by what share the last fifth of the samples lies above the first that counts.
#[must_use]
pub fn growth(samples: &[f64]) -> Option<f64> {
    let counted = &samples[(samples.len() as f64 * BEGINNING) as usize..];
    let part = counted.len() / 4;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    (part > 0).then(|| mean(&counted[counted.len() - part..]) / mean(&counted[..part]) - 1.0)
}

/// Returns the lowest sample that counts, as a share of their median.
#[must_use]
pub fn lowest_of_median(samples: &[f64]) -> Option<f64> {
    let mut counted = samples[(samples.len() as f64 * BEGINNING) as usize..].to_vec();
    counted.sort_by(f64::total_cmp);
    Some(counted.first()? / counted.get(counted.len() / 2)?)
}

#[cfg(test)]
mod tests {
    use super::{below, growth, lowest_of_median};

    #[test]
    fn growth_is_seen_and_the_beginning_is_not() {
        let filling = [1.0, 2.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0];
        assert_eq!(growth(&filling), Some(0.0));
        let growing: Vec<f64> = (100..200).map(f64::from).collect();
        assert!(growth(&growing).unwrap() > 0.4);
        assert_eq!(growth(&[1.0]), None);
        assert_eq!(lowest_of_median(&[1.0, 8.0, 8.0, 4.0, 8.0]), Some(0.5));
    }

    #[test]
    fn children_are_found_with_what_they_use() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let uses = below(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        let of = uses["sleep"];
        assert!(of.private_bytes > 0.0 && of.descriptors >= 3.0 && of.threads == 1.0, "{of:?}");
    }
}
