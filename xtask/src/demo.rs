//! `cargo xtask demo`: the main job, from nothing: an agent, a service under load with bad requests, a crash, and what was captured.
//!
//! It starts every process itself, in a folder of its own below `target/demo`, and ends each by its id.

mod admin;
mod service;

use crate::process;
use crate::workspace::Workspace;
use admin::Admin;
use anyhow::{Context, Result, bail, ensure};
use service::{Report, Service};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The share of bad requests that may be missing before `--check` fails.
const MISSED_SHARE_MAX: f64 = 0.001;
/// The agent's memory in the demo: small, so that its horizon shows.
const BUDGET_BYTES: u64 = 64 << 20;
/// Missed requests that are explained one by one.
const MISSES_SHOWN: usize = 5;
const START_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Exit with an error unless 99.9 % of the bad requests were captured whole
    #[arg(long)]
    check: bool,
    /// How long the service serves, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// Runs the demo.
///
/// # Errors
/// Something did not build or start, or, with `--check`, too much was missed.
pub(crate) fn demo(workspace: &Workspace, options: &Options) -> Result<()> {
    let bins = build(workspace)?;
    let folder = workspace.root.join("target/demo");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).with_context(|| format!("make the demo's folder {}", folder.display()))?;
    println!("\n== A host: one agent with {} MiB for everything its processes record", BUDGET_BYTES >> 20);
    let agent = Agent::start(&bins, &folder)?;
    println!(
        "== A service: 8 threads, 4000 requests a second, 1 % slow, 1 % failing; and a second one that will be killed"
    );
    let service = Service::start(&bins, &agent.socket, options.seconds, 1)?;
    let victim = Service::start(&bins, &agent.socket, options.seconds, 2)?;
    watch(&agent.admin, &service, &victim, options.seconds)?;
    let (served, died) = (service.finish()?, victim.reports());
    let captured = Captured::check(&agent.admin, &served, &died)?;
    captured.print(&agent.admin)?;
    show(&bins, &agent, &served)?;
    println!("\n== Where to look next");
    println!("   README.md, ARCHITECTURE.md; examples/checkout/src/main.rs is all that the service had to say");
    println!("   target/demo/agent.log is what the agent said; it has ended with the demo");
    if options.check && captured.missed_share() > MISSED_SHARE_MAX {
        bail!("{} of {} bad requests were not captured whole", captured.missed, captured.wanted);
    }
    Ok(())
}

/// The binaries of the demo.
struct Bins(PathBuf);

impl Bins {
    fn command(&self, name: &str) -> Command {
        Command::new(self.0.join(name))
    }
}

fn build(workspace: &Workspace) -> Result<Bins> {
    println!("== Building the agent, the service and the command line (some minutes the first time)");
    let mut cargo = process::cargo(&workspace.root);
    let packages = ["backsight-agent", "backsight-cli", "checkout"];
    cargo.args(["build", "--release"]).args(packages.iter().flat_map(|package| ["--package", package]));
    process::run(&mut cargo)?;
    Ok(Bins(workspace.target.join("release")))
}

/// The demo's agent; it ends when this drops.
struct Agent {
    process: Child,
    socket: PathBuf,
    admin_socket: PathBuf,
    admin: Admin,
}

impl Agent {
    fn start(bins: &Bins, folder: &Path) -> Result<Self> {
        // The path of a unix socket is short by law; a checkout's may be long.
        let sockets = std::env::temp_dir().join(format!("backsight-demo-{}", std::process::id()));
        std::fs::create_dir_all(&sockets).with_context(|| format!("make {}", sockets.display()))?;
        let (socket, admin_socket) = (sockets.join("agent.sock"), sockets.join("admin.sock"));
        let log = std::fs::File::create(folder.join("agent.log")).context("create the agent's log")?;
        let mut command = bins.command("backsight-agent");
        command.arg("--socket").arg(&socket).arg("--admin-socket").arg(&admin_socket);
        command.arg("--state-dir").arg(folder.join("state")).arg("--budget-bytes").arg(BUDGET_BYTES.to_string());
        let process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().context("start the agent")?;
        let mut agent = Self { process, socket, admin: Admin::new(admin_socket.clone()), admin_socket };
        let deadline = Instant::now() + START_TIMEOUT;
        while agent.admin.get("/healthz").is_err() {
            ensure!(agent.process.try_wait()?.is_none(), "the agent ended; see {}", folder.join("agent.log").display());
            ensure!(Instant::now() < deadline, "the agent does not answer; see {}", folder.join("agent.log").display());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(sockets) = self.socket.parent() {
            let _ = std::fs::remove_dir_all(sockets);
        }
    }
}

/// Prints a line a second while the services serve, and kills the victim half-way.
fn watch(admin: &Admin, service: &Service, victim: &Service, seconds: u64) -> Result<()> {
    for second in 1..=seconds {
        std::thread::sleep(Duration::from_secs(1));
        if second == seconds.div_ceil(2) {
            victim.kill()?;
            println!("   {second:>3} s  SIGKILL to the second service, in the middle of its requests");
        }
        let status = admin.json("/v1/status")?;
        let bad = service.reports().len() + victim.reports().len();
        println!(
            "   {second:>3} s  {bad:>5} bad requests so far · {:>6.1} MiB kept of {:>6.1} MiB written · {}",
            mib(&status["pool"]["kept_bytes"]),
            status["sessions"].as_array().map_or(0.0, |all| all.iter().map(|one| mib(&one["bytes_written"])).sum()),
            horizon(&status)
        );
    }
    Ok(())
}

fn mib(bytes: &serde_json::Value) -> f64 {
    bytes.as_f64().unwrap_or(0.0) / f64::from(1 << 20)
}

fn horizon(status: &serde_json::Value) -> String {
    let seconds = |field: &str| status["horizon"][field].as_f64().map(|ms| ms / 1e3);
    match (seconds("horizon_ms"), seconds("predicted_ms")) {
        (Some(now), _) => format!("horizon {now:.1} s"),
        (None, Some(predicted)) => format!("nothing overwritten yet, horizon will be {predicted:.0} s"),
        (None, None) => "nothing overwritten yet".to_owned(),
    }
}

/// What became of the bad requests.
struct Captured {
    wanted: usize,
    missed: usize,
    of_the_dead: usize,
}

impl Captured {
    /// Asks for every trace that the services reported; those of the dead one, too.
    fn check(admin: &Admin, served: &[Report], died: &[Report]) -> Result<Self> {
        let mut missed = 0;
        for report in served.iter().chain(died) {
            let why = match admin.json(&format!("/v1/traces/{}", report.trace)) {
                Ok(trace) if is_whole(&trace) => continue,
                Ok(trace) => {
                    format!("{} spans, losses {}", trace["spans"].as_array().map_or(0, Vec::len), trace["losses"])
                }
                Err(error) => format!("{error:#}"),
            };
            missed += 1;
            if missed <= MISSES_SHOWN {
                println!("   missed {} {}: {why}", report.what, report.trace);
            }
        }
        let kept = admin.json("/v1/traces")?;
        let death = |trace: &&serde_json::Value| trace["trigger"] == "process_death";
        let of_the_dead = kept["traces"].as_array().map_or(0, |all| all.iter().filter(death).count());
        Ok(Self { wanted: served.len() + died.len(), missed, of_the_dead })
    }

    fn missed_share(&self) -> f64 {
        self.missed as f64 / self.wanted.max(1) as f64
    }

    fn print(&self, admin: &Admin) -> Result<()> {
        let status = admin.json("/v1/status")?;
        println!("\n== What was captured");
        let share = 100.0 * (1.0 - self.missed_share());
        println!("   {} of {} slow and failing requests, whole ({share:.2} %)", self.wanted - self.missed, self.wanted);
        println!("   {} requests that the killed service was serving when it died", self.of_the_dead);
        println!("   {:.1} MiB kept; {}", mib(&status["pool"]["kept_bytes"]), horizon(&status));
        Ok(())
    }
}

/// Returns whether a trace has its request and the call to the bank, each up to its end or up to its process's, and lost nothing.
fn is_whole(trace: &serde_json::Value) -> bool {
    let spans = trace["spans"].as_array().map_or(&[][..], Vec::as_slice);
    let ends = |span: &serde_json::Value| span["duration_ns"].is_u64() || span["is_cut"] == true;
    let has = |name: &str| spans.iter().any(|span| span["name"] == name && ends(span));
    let lost = trace["losses"].as_array().is_some_and(|losses| !losses.is_empty());
    has("POST /checkout") && has("reserve stock") && has("charge card") && !lost
}

/// Prints a slow request and one that the crash cut, as anyone would look at them.
fn show(bins: &Bins, agent: &Agent, served: &[Report]) -> Result<()> {
    let kept = agent.admin.json("/v1/traces")?;
    let cut = kept["traces"].as_array().and_then(|all| all.iter().find(|one| one["trigger"] == "process_death"));
    let slow = served.iter().rev().find(|report| report.what == "slow").map(|report| report.trace.clone());
    let cut = cut.and_then(|one| one["trace"].as_str()).map(str::to_owned);
    for (title, trace) in [("A slow request", slow), ("A request that the crash cut short", cut)] {
        let Some(trace) = trace else { continue };
        println!("\n== {title}");
        let mut command = bins.command("backsight");
        process::run(command.arg("--agent").arg(&agent.admin_socket).args(["trace", "get", &trace]))?;
    }
    Ok(())
}
