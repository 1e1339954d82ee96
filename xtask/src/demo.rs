//! `cargo xtask demo`: the main job, from nothing: three hosts, an application of ten services under load with bad requests, a crash, and
//! what was captured of them, at what cost.
//!
//! It starts every process itself and ends each by its id. Files lie below `target/demo`; what was captured stays there, to be looked at.

mod admin;
mod agents;
mod capture;
mod child;
mod cost;
mod cpu;
mod hosts;
mod load;
mod network;
mod story;
mod verdict;

use crate::process;
use crate::workspace::Workspace;
use agents::{Recorder, Watch};
use anyhow::{Context, Result, bail};
use capture::Outcome;
use child::Interrupt;
use cost::Cost;
use hosts::{Hosts, Place};
use load::{Crash, Load, Rate, Report, Said, Tracer};
use network::{Crossed, Traffic};
use std::cell::Cell;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// What the demo builds.
const BINARIES: [&str; 4] = ["backsight-agent", "backsight-collector", "backsight", "bricks"];
/// The memory of each agent: small, so that its horizon shows.
const BUDGET_BYTES: u64 = 64 << 20;
/// Callers that ask as fast as they get answers, where the highest rate is looked for.
const CALLERS: u32 = 32;
/// The share of the highest rate at which CPU time is compared, and that of the main act: far from where requests wait for a CPU.
const COMPARED_AT: f64 = 0.5;
const MAIN_ACT_AT: f64 = 0.4;
/// The most requests a second of the main act.
const MAIN_ACT_RATE_MAX: f64 = 200.0;
/// The service that is killed, and the requests that are inside it then.
const VICTIM: &str = "cart";
const PARKED: u32 = 40;
/// Where a collector listens by default.
const USUAL_PORT: u16 = 4390;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Exit with an error unless 99.9 % of the bad requests were captured whole, and, with `all`, at no more than 1.05 of the services' CPU time
    /// without recording
    #[arg(long, value_name = "WHAT", num_args = 0..=1, default_missing_value = "all")]
    check: Option<Demand>,
    /// How long the load with the crash lasts, in seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(6..=3600))]
    seconds: u64,
    /// Fewer and shorter rounds where cost is measured
    #[arg(long)]
    quick: bool,
}

/// What is demanded of a demo.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Demand {
    /// What was captured, and what it cost.
    All,
    /// What was captured: for machines on which nobody can measure.
    Capture,
}

impl Options {
    /// Returns the options of a short demo that demands what it captures.
    pub(crate) const fn smoke(seconds: u64) -> Self {
        Self { check: Some(Demand::Capture), seconds, quick: true }
    }
}

/// How long and how often cost is measured.
struct Plan {
    rate_rounds: usize,
    rate_seconds: f64,
    cpu_rounds: usize,
    cpu_seconds: f64,
}

impl Plan {
    const fn of(options: &Options) -> Self {
        if options.quick {
            return Self { rate_rounds: 1, rate_seconds: 2.0, cpu_rounds: 2, cpu_seconds: 2.0 };
        }
        Self { rate_rounds: 3, rate_seconds: 2.5, cpu_rounds: 5, cpu_seconds: 3.0 }
    }
}

/// What all acts share.
struct Stage {
    bins: PathBuf,
    /// Where files of this demo lie.
    folder: PathBuf,
    /// Where sockets lie: the path of a unix socket is short by law, that of a checkout may be long.
    sockets: PathBuf,
    hosts: Hosts,
    interrupt: Interrupt,
    seed: Cell<u64>,
}

impl Stage {
    fn set_up(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.target.join("demo");
        let _ = std::fs::remove_dir_all(&folder); // what a demo before this one left; there may be none
        let sockets = std::env::temp_dir().join(format!("backsight-demo-{}", std::process::id()));
        for folder in [&folder, &sockets] {
            std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        let interrupt = Interrupt::catch()?;
        let hosts = Hosts::set_up();
        Ok(Self { bins: workspace.target.join("release"), folder, sockets, hosts, interrupt, seed: Cell::new(0) })
    }

    fn bin(&self, name: &str) -> PathBuf {
        self.bins.join(name)
    }

    /// Returns a seed that no run of this demo had.
    fn next_seed(&self) -> u64 {
        self.seed.set(self.seed.get() + 1);
        self.seed.get()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.sockets); // a temporary folder: the system's to clean up otherwise
    }
}

/// Runs the demo.
///
/// # Errors
/// Something did not build or start, or, with `--check`, is not as it must be.
pub(crate) fn demo(workspace: &Workspace, options: &Options) -> Result<()> {
    build(workspace)?;
    let stage = Stage::set_up(workspace)?;
    story::heading("The hosts");
    story::hosts(&stage.hosts, BUDGET_BYTES);
    let (cost, rate) = measure(&stage, &Plan::of(options))?;
    let (outcome, report) = main_act(&stage, rate, options.seconds)?;
    where_next(workspace, &stage, &outcome);
    if let Some(demand) = options.check {
        let complaints = verdict::complaints(&outcome, &report, Some(&cost).filter(|_| demand == Demand::All));
        if !complaints.is_empty() {
            bail!("the check failed: {}", complaints.join("; "));
        }
        story::line("check: passed");
    }
    Ok(())
}

fn build(workspace: &Workspace) -> Result<()> {
    story::heading("Building agent, collector, command line and application (some minutes the first time)");
    process::build(workspace, &BINARIES)
}

/// Measures what recording costs; returns that, and the rate for the main act.
fn measure(stage: &Stage, plan: &Plan) -> Result<(Cost, u32)> {
    // Agents and collector of their own: what these rounds record is not what the main act is about.
    let recorder = Recorder::start(stage, "cost")?;
    story::heading("How fast it goes: an application of ten services, 1 % of its requests slow, 1 % failing");
    let rates = cost::highest_rates(stage, &recorder, CALLERS, plan.rate_rounds, plan.rate_seconds)?;
    story::rates(&rates);
    let rate = |share: f64| (rates.without.median * share).max(10.0) as u32 / 10 * 10;
    let compared_at = rate(COMPARED_AT);
    story::heading(&format!("What it costs: {compared_at} requests/s, by turns without and with recording"));
    let hear = |idx: usize, rounds: &cost::Rounds| story::line(&story::round(idx, rounds));
    let rounds = cost::cpu_rounds(stage, &recorder, compared_at, plan.cpu_rounds, plan.cpu_seconds, hear)?;
    let cost = Cost::of(&rounds).context("no round was asked for")?;
    story::cost(&cost);
    let main_act = rate(MAIN_ACT_AT).min(MAIN_ACT_RATE_MAX as u32);
    Ok((cost, main_act))
}

/// Loads the application, kills one of its processes, and says what was captured.
fn main_act(stage: &Stage, rate: u32, seconds: u64) -> Result<(Outcome, Report)> {
    let recorder = Recorder::start(stage, "main")?;
    let truth = stage.folder.join("truth");
    std::fs::create_dir_all(&truth).with_context(|| format!("make {}", truth.display()))?;
    story::heading(&format!(
        "The main act: {rate} requests/s for {seconds} s, 1 % slow, 1 % failing; `{VICTIM}` is killed half-way"
    ));
    let before = Traffic::read(&stage.hosts, &recorder)?;
    let mut watch = Watch::default();
    let load = Load {
        tracer: Tracer::Backsight,
        rate: Rate::PerSecond(rate),
        seconds: seconds as f64,
        crash: Some(Crash { service: VICTIM, parked: PARKED, truth: &truth }),
    };
    let report = load::run(stage, &recorder, &load, |said| {
        watch.look(&recorder.status()?);
        tell(stage, &truth, said, &watch);
        Ok(())
    })?;
    let horizons = watch.horizons.clone(); // while anything is written: an idle host looks back for ever
    story::heading("What was captured");
    let outcome = capture::capture(stage, &recorder, &truth)?;
    let after = Traffic::read(&stage.hosts, &recorder)?;
    watch.look(&recorder.status()?);
    story::captured(&outcome, &report);
    story::crossed(&Crossed::new(after.zip(before).map(|(after, before)| after.since(before)), &watch));
    story::horizons(&horizons);
    show(stage, &recorder, &outcome)?;
    Ok((outcome, report))
}

/// Prints what the run says, with what the agents have by then.
fn tell(stage: &Stage, truth: &Path, said: &Said, watch: &Watch) {
    match said {
        Said::Progress { second, .. } if *second <= load::WARM_UP_SECONDS => {}
        Said::Progress { second, sent } => {
            // While processes write it, the truth may not be readable at an instant; the next one will do.
            let n_bad = capture::edge_cases(stage, truth).map_or(0, |ids| ids.len());
            story::line(&story::progress(*second - load::WARM_UP_SECONDS, *sent, n_bad, watch));
        }
        Said::Killed { service, parked } => {
            story::line(&format!("       SIGKILL to the process of `{service}`, with {parked} requests inside"));
        }
        Said::Restarted { service } => story::line(&format!("       `{service}` runs again")),
    }
}

/// Prints a slow request and one that the crash cut, as anyone would look at them.
fn show(stage: &Stage, recorder: &Recorder, outcome: &Outcome) -> Result<()> {
    let chosen = [("A slow request", &outcome.slow), ("A request that the crash cut short", &outcome.cut)];
    for (title, trace) in chosen {
        let Some(trace) = trace else { continue };
        story::heading(title);
        let mut get = stage.hosts.command(Place::Hub, &stage.bin("backsight"));
        get.args(["--collector", &recorder.url, "trace", "get", trace]);
        print!("{}", process::output(&mut get)?);
    }
    Ok(())
}

/// Prints commands that look at what was captured, after the demo has ended.
fn where_next(workspace: &Workspace, stage: &Stage, outcome: &Outcome) {
    story::heading("Where to look next");
    let shown = |path: &Path| workspace.relative(path);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).and_then(|socket| socket.local_addr());
    // One that somebody uses is no good; any other is.
    let address =
        free(USUAL_PORT).or_else(|_| free(0)).map_or_else(|_| format!("127.0.0.1:{USUAL_PORT}"), |at| at.to_string());
    let backsight = format!("{} --collector http://{address}", shown(&stage.bin("backsight")));
    let data = shown(&stage.folder.join("main/collector"));
    story::line("agents and services have ended; the traces are on the collector's disk. Start it again, and ask:");
    println!();
    println!("{} --data-dir {data} --listen {address} &", shown(&stage.bin("backsight-collector")));
    println!("{backsight} trace search --error --service {VICTIM} --limit 5");
    if let Some(trace) = outcome.cut.as_ref().or(outcome.slow.as_ref()) {
        println!("{backsight} trace get {trace}");
        println!("{backsight} trace get {trace} --format perfetto --output trace.perfetto    # for ui.perfetto.dev");
    }
    if let (Some(slow), Some(cut)) = (&outcome.slow, &outcome.cut) {
        println!("{backsight} trace compare {cut} {slow}    # where the one spent longer than the other");
    }
    println!(
        "curl 'http://127.0.0.1:16686/api/services'    # Jaeger's API, for Jaeger's page and Grafana: docs/api.md"
    );
    println!();
    story::line(&format!("what agents and collector said: {}/*.log", shown(&stage.folder.join("main"))));
    story::line(
        "all that an application has to say: examples/checkout/src/main.rs; with gRPC: examples/bricks; the map: ARCHITECTURE.md",
    );
}
