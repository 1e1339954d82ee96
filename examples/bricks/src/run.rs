//! `bricks run`: the supervisor. It starts the services of a topology, loads them, measures, stops them, and reports.
//!
//! Called by people, and by tasks that compare tracers. Whatever ends it ends its processes: each is killed when its handle is dropped, and
//! goes by itself when its input ends.

mod fleet;
mod options;
mod process;
mod report;

pub(crate) use options::Options;

use crate::load::ledger::Counts;
use crate::load::{Load, Pace};
use crate::plan::Plan;
use crate::topology::Topology;
use crate::truth;
use anyhow::{Context as _, Result, ensure};
use fleet::Fleet;
use report::{Killed, Report};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Threads of the supervisor: half for the load, half for whatever else.
const THREADS: usize = 2;
/// How long requests that are under way at the end are waited for: longer than any call may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// How long it may take until the requests that shall park do so.
const PARK_TIMEOUT: Duration = Duration::from_secs(3);
/// With fewer parked requests a kill shows too little.
const PARKED_MIN: u64 = 20;
/// How long a killed process stays away.
const RESTART_AFTER: Duration = Duration::from_millis(300);
/// How often the load is looked at, whether it has anything more to send.
const LOOK_PERIOD: Duration = Duration::from_millis(20);
/// The name of the load generator among the files of ground truth.
const LOAD_NAME: &str = "load-generator";

/// Runs, and writes the report.
pub(crate) fn run(options: &Options) -> Result<()> {
    options.check()?;
    let topology = crate::topology::load(&options.topology, crate::topology::SYNTHETIC_SEED)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("bricks-load")
        .enable_all()
        .build()
        .context("runtime")?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = measure(options, &topology) => report,
            signal = tokio::signal::ctrl_c() => {
                signal.context("wait for a signal")?;
                anyhow::bail!("interrupted: the services are stopped, nothing is reported")
            }
        }
    });
    runtime.shutdown_background();
    let report = report?;
    let json = serde_json::to_string_pretty(&report).context("the report as JSON")?;
    match &options.report {
        Some(file) => std::fs::write(file, json + "\n").with_context(|| format!("write {}", file.display())),
        None => {
            println!("{json}");
            Ok(())
        }
    }
}

/// Starts everything, loads it, and stops it.
async fn measure(options: &Options, topology: &Topology) -> Result<Report> {
    let plan = Arc::new(Plan::of(topology));
    let victim = options
        .kill
        .as_deref()
        .map(|name| plan.service_named(name).with_context(|| format!("--kill: the topology has no service `{name}`")));
    let victim = victim.transpose()?;
    if let Some(dir) = &options.truth {
        truth::prepare(dir)?;
    }
    let mut fleet = Fleet::start(options, topology, &plan).await?;
    let truth = options.truth.as_deref().map(|dir| truth::Writer::create(dir, LOAD_NAME, &plan.service_names()));
    let entry = fleet.address(plan.services[usize::from(plan.entry.service_idx)].process_idx);
    let load = Load::new(options.load(), Arc::clone(&plan), entry, truth.transpose().context("ground truth")?)?;
    let mut watch = Watch { start: Instant::now(), n_said: 0, is_quiet: options.quiet };
    let has_warmup = !options.warmup().is_zero();
    if has_warmup {
        load.begin()?;
        watch.wait(options.warmup(), &load, &mut fleet).await?;
    }
    fleet.begin_window().await?;
    let start_unix_ns = unix_ns();
    let own_before_ns = crate::serve::cpu_ns();
    load.end_warm_up();
    let window = Instant::now();
    if !has_warmup {
        load.begin()?;
    }
    let mut killed = None;
    if let Some(service_idx) = victim {
        watch.wait(options.seconds() / 2, &load, &mut fleet).await?;
        killed = Some(kill(options, &plan, &load, &mut fleet, service_idx).await?);
    }
    watch.wait(options.seconds().saturating_sub(window.elapsed()), &load, &mut fleet).await?;
    let elapsed = window.elapsed();
    let left = load.finish(DRAIN_TIMEOUT).await;
    ensure!(left == 0, "{left} requests are still under way {} s after the load", DRAIN_TIMEOUT.as_secs());
    let own_ns = crate::serve::cpu_ns().saturating_sub(own_before_ns);
    let services = fleet.end_window().await?;
    let window_unix_ns = [start_unix_ns, unix_ns()];
    fleet.stop().await;
    let truth_failed = load.truth_failed() + services.truth_failed;
    ensure!(truth_failed == 0, "{truth_failed} records of the ground truth could not be written");
    let counts = load.counts();
    let latency_us = |share| load.latency_us(share);
    Ok(Report {
        topology: topology.name.clone(),
        tracer: options.tracer,
        rate: options.rate,
        seconds: elapsed.as_secs_f64(),
        window_unix_ns,
        sent: counts.sent,
        answered: counts.answered,
        failed: counts.failed,
        refused: counts.refused,
        rps: counts.answered as f64 / elapsed.as_secs_f64(),
        latency_us: report::Latency::of(latency_us),
        cpu: report::Cpu::of(services.by_process, own_ns, counts.answered),
        recorded: services.recorded,
        faults: report::Faults::of(&counts),
        killed,
        edge_cases: counts.edge_cases,
    })
}

/// Parks requests in a service, kills its process with all of them in it, and starts it again where it was.
async fn kill(options: &Options, plan: &Plan, load: &Arc<Load>, fleet: &mut Fleet, service_idx: u16) -> Result<Killed> {
    let service = &plan.services[usize::from(service_idx)];
    load.park(options.park, service_idx)?;
    let (deadline, wanted) = (Instant::now() + PARK_TIMEOUT, options.park);
    let mut parked = 0;
    while parked < wanted && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
        parked = fleet.parked(service.process_idx).await?;
    }
    let enough = wanted.min(PARKED_MIN);
    ensure!(parked >= enough, "only {parked} requests are parked in {} of at least {enough}", service.name);
    let (process, pid) = fleet.kill(service.process_idx).await?;
    if let Some(dir) = &options.truth {
        truth::mark_killed(dir, &process, pid)?;
    }
    say(options, &format!("killed service={} pid={pid} parked={parked}", service.name));
    tokio::time::sleep(RESTART_AFTER).await;
    fleet.start_again(service.process_idx).await?;
    say(options, &format!("restarted service={}", service.name));
    Ok(Killed { service: service.name.clone(), parked })
}

/// Says what has happened, unless nobody wants to know.
fn say(options: &Options, what: &str) {
    if !options.quiet {
        eprintln!("{what}");
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Watches the run: says how it goes once a second, and notices processes that end.
#[derive(Debug)]
struct Watch {
    start: Instant,
    n_said: u64,
    is_quiet: bool,
}

impl Watch {
    /// Lets `time` pass, or less where the load has nothing more to send.
    async fn wait(&mut self, time: Duration, load: &Load, fleet: &mut Fleet) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let line_due = self.start + Duration::from_secs(self.n_said + 1);
            tokio::time::sleep_until(line_due.min(end).min(Instant::now() + LOOK_PERIOD).into()).await;
            fleet.check()?;
            if Instant::now() >= line_due {
                self.n_said += 1;
                self.say(&load.counts(), load.in_flight());
            }
            if Instant::now() >= end || load.is_spent() {
                return Ok(());
            }
        }
    }

    fn say(&self, counts: &Counts, in_flight: u64) {
        if !self.is_quiet {
            let Counts { answered, failed, refused, .. } = counts;
            eprintln!(
                "{:>6} s  {answered:>9} answered · {failed:>6} failed · {refused:>6} refused · {in_flight:>4} under way",
                self.n_said
            );
        }
    }
}

impl Options {
    /// Returns what the load generator is told.
    fn load(&self) -> crate::load::Settings {
        let pace = match self.rate {
            options::Rate::PerSecond(rate) => Pace::Rate(rate),
            options::Rate::Max => Pace::Callers(self.concurrency),
        };
        // Callers bound themselves.
        let in_flight_max = if matches!(pace, Pace::Rate(_)) { self.in_flight_max } else { u64::MAX };
        let requests_max = self.requests.unwrap_or(u64::MAX);
        crate::load::Settings { pace, seed: self.seed, shares: self.shares(), in_flight_max, requests_max }
    }
}
