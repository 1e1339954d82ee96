//! What is asked of the simulation at each number of hosts, and what it answers.
//!
//! Called by `bks-scale`. Deterministic: the same costs give the same answers.

use super::costs::Costs;
use super::workload::Workload;
use super::world::{Times, Totals, World};
use backsight_collector::coordinator::{GROUP_LIFE, GROUPS_MAX};

/// Hosts.
pub const SIZES: [usize; 7] = [10, 30, 100, 300, 1_000, 3_000, 10_000];
/// Cores of a collector's machine.
pub const CORES: usize = 4;
/// Its runtime threads: half of them.
pub const THREADS: usize = CORES / 2;
/// How busy the busiest part of a collector may be.
pub const SHARE_MAX: f64 = 0.6;
/// Share of requests that fail during a storm.
pub const STORM_SHARE: f64 = 0.05;
/// The most triggers a second that are simulated; a storm beyond is cut to that.
pub const TRIGGERS_MAX: f64 = 30_000.0;
/// Triggers that a window should have.
const N_TRIGGERS_MIN: f64 = 300.0;
/// Share of triggers that may not be followed at a rate that counts as followed.
const BEHIND_MAX: f64 = 0.01;
/// How far those that are followed may be behind.
const BEHIND_NS: u64 = S / 10;
/// How busy a part is that can do no more: all but what is left of the last turn.
const FULL_SHARE: f64 = 0.98;
const SEED: u64 = 20_261_128;
const S: u64 = 1_000_000_000;

/// How long things are simulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Length {
    /// Before anything is counted.
    pub warm_ns: u64,
    /// While it is.
    pub window_ns: u64,
    /// Until groups end as fast as they begin.
    pub steady_ns: u64,
    /// Rates that are tried to find the highest that is followed.
    pub n_tries: usize,
}

impl Length {
    /// Long enough for the study.
    pub const FULL: Self = Self { warm_ns: 2 * S, window_ns: 5 * S, steady_ns: 62 * S, n_tries: 4 };
    /// Long enough to see that it works.
    pub const QUICK: Self = Self { warm_ns: S, window_ns: S, steady_ns: 3 * S, n_tries: 2 };

    /// Returns the same with a window in which a few hundred triggers fire.
    fn with_triggers(self, workload: &Workload) -> Self {
        let seconds = N_TRIGGERS_MIN / workload.triggers_per_s();
        Self { window_ns: self.window_ns.max((seconds * 1e9) as u64), ..self }
    }
}

/// The parts of a collector and of an agent that may be too busy.
pub const STATIONS: [(&str, Share); 8] = [
    ("group table", |shares| shares.groups),
    ("runtime threads", |shares| shares.runtime),
    ("coordinator's task", |shares| shares.coordinator),
    ("store's thread", |shares| shares.writer),
    ("disk", |shares| shares.disk),
    ("summing up", |shares| shares.settle),
    ("agent's loop", |shares| shares.agent_loop),
    ("agent's link", |shares| shares.agent_link),
];

/// Picks the share of one part.
pub type Share = fn(&Shares) -> f64;

/// How busy each part is, of 1; of several alike the busiest.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Shares {
    /// Groups, of those that a coordinator may follow.
    pub groups: f64,
    /// The runtime's threads.
    pub runtime: f64,
    /// The task among them that runs the coordinator.
    pub coordinator: f64,
    /// The thread that writes.
    pub writer: f64,
    /// Waiting for the disk.
    pub disk: f64,
    /// The thread that sums up.
    pub settle: f64,
    /// The loop of an agent.
    pub agent_loop: f64,
    /// Its link.
    pub agent_link: f64,
}

impl Shares {
    /// Returns the busiest part that works, or the busiest at all, and how busy it is.
    #[must_use]
    pub fn busiest(&self, with_table: bool) -> (&'static str, f64) {
        let parts = STATIONS.iter().skip(usize::from(!with_table)).map(|(name, share)| (*name, share(self)));
        parts.fold(("", 0.0), |most, part| if part.1 > most.1 { part } else { most })
    }

    /// Returns how busy the busiest part of a collector is.
    #[must_use]
    pub fn of_collector(&self) -> f64 {
        STATIONS[..6].iter().map(|(_, share)| share(self)).fold(0.0, f64::max)
    }
}

/// What a load showed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Run {
    /// How busy everything was.
    pub shares: Shares,
    /// What was done, of the busiest collector and of all hosts, in a second.
    pub per_s: Totals,
    /// How long triggers took.
    pub times: Times,
}

/// What a scenario showed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Scenario {
    /// Triggers that fired meanwhile.
    pub times: Times,
    /// The most messages that waited for a coordinator.
    pub mailbox_max: usize,
    /// Groups refused, or ended for others.
    pub n_refused: u64,
    /// How long until a coordinator that was started again knew what it had known.
    pub rebuilt_ms: Option<f64>,
}

/// What the study says of one number of hosts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Size {
    /// Hosts.
    pub workload: Workload,
    /// With one collector.
    pub one: Run,
    /// The highest rate of triggers that one collector follows, and how busy everything is then.
    pub highest: (f64, Shares),
    /// How many collectors keep below [`SHARE_MAX`].
    pub n_collectors: usize,
    /// With so many.
    pub enough: Run,
    /// Groups, parts and memory of the largest coordinator then, after a minute.
    pub memory: (usize, usize, f64),
    /// A second in which many requests fail.
    pub storm: Scenario,
    /// A coordinator that is started again.
    pub restart: Scenario,
    /// A collector that is lost, where there is another; these triggers fired in the second before agents turn to that, and those in the next two.
    pub outage: (Scenario, Times),
}

/// Studies `n_hosts`.
#[must_use]
pub fn size(n_hosts: usize, costs: &Costs, length: Length) -> Size {
    let workload = Workload::of(n_hosts);
    let one = run(&workload, 1, costs, length);
    let highest = highest(&workload, costs, length);
    let mut n_collectors = 1;
    let mut enough = one;
    while enough.shares.of_collector() > SHARE_MAX && n_collectors < 32 {
        n_collectors += 1;
        enough = run(&workload, n_collectors, costs, length);
    }
    let storm = storm(&workload, n_collectors, costs, length);
    let (memory, restart) = restart(&workload, n_collectors, costs, length);
    let outage = outage(&workload, n_collectors.max(2), costs, length);
    Size { workload, one, highest, n_collectors, enough, memory, storm, restart, outage }
}

fn world(workload: &Workload, n_collectors: usize, costs: &Costs) -> World {
    World::new(*costs, *workload, n_collectors, THREADS, SEED)
}

/// Runs a load on so many collectors.
#[must_use]
pub fn run(workload: &Workload, n_collectors: usize, costs: &Costs, length: Length) -> Run {
    let length = length.with_triggers(workload);
    let mut world = world(workload, n_collectors, costs);
    world.run_until(length.warm_ns);
    let before = world.totals();
    let end = length.warm_ns + length.window_ns;
    world.run_until(end);
    let per_s = world.totals().since(&before, length.window_ns as f64 / 1e9);
    world.set_triggers(0.0);
    world.run_until(end + 2 * S);
    let times = world.book.times(length.warm_ns, end, world.now());
    Run { shares: shares(workload, n_collectors, costs, &per_s), per_s, times }
}

fn shares(workload: &Workload, n_collectors: usize, costs: &Costs, per_s: &Totals) -> Shares {
    let of = |ns: u64| ns as f64 / 1e9;
    let n_hosts = workload.n_hosts as f64;
    let idle = n_hosts * costs.idle_connection_us_per_s / 1e6;
    let groups = workload.triggers_per_s() * GROUP_LIFE.0 as f64 / 1e9;
    let visits = workload.visits_per_s() * costs.agent_visit_us / 1e6;
    Shares {
        groups: groups / n_collectors as f64 / GROUPS_MAX as f64,
        runtime: (of(per_s.runtime_ns) + idle) / THREADS as f64,
        coordinator: of(per_s.coordinator_ns),
        writer: of(per_s.writer_ns),
        disk: of(per_s.sync_ns),
        settle: of(per_s.settle_ns),
        agent_loop: of(per_s.loop_max_ns) + visits + costs.agent_idle_us_per_s / 1e6,
        agent_link: of(per_s.link_ns) / n_hosts,
    }
}

/// Finds the highest rate of triggers that one collector follows, were its table of groups no limit.
fn highest(workload: &Workload, costs: &Costs, length: Length) -> (f64, Shares) {
    let short = Length { warm_ns: S / 2, window_ns: S, ..length };
    let at = |per_s: f64| run_under_load(&workload.at(per_s), costs, short);
    let mut low = 100.0_f64.min(workload.triggers_per_s());
    let mut best = (low, at(low).1);
    let mut high = low;
    while high < TRIGGERS_MAX {
        high = (4.0 * high).min(TRIGGERS_MAX);
        let (is_followed, shares) = at(high);
        if !is_followed {
            break;
        }
        (low, best) = (high, (high, shares));
    }
    for _ in 0..length.n_tries {
        let middle = (low * high).sqrt();
        let (is_followed, shares) = at(middle);
        if is_followed {
            (low, best) = (middle, (middle, shares));
        } else {
            high = middle;
        }
    }
    best
}

/// Runs a load; returns whether it was followed while it lasted, and how busy everything was.
fn run_under_load(workload: &Workload, costs: &Costs, length: Length) -> (bool, Shares) {
    let mut world = world(workload, 1, costs);
    world.run_until(length.warm_ns);
    let before = world.totals();
    let end = length.warm_ns + length.window_ns;
    world.run_until(end);
    let per_s = world.totals().since(&before, length.window_ns as f64 / 1e9);
    let shares = shares(workload, 1, costs, &per_s);
    let times = world.book.times(length.warm_ns, end - BEHIND_NS, end);
    (times.unreached_share <= BEHIND_MAX && shares.busiest(false).1 < FULL_SHARE, shares)
}

fn storm(workload: &Workload, n_collectors: usize, costs: &Costs, length: Length) -> Scenario {
    let mut world = world(workload, n_collectors, costs);
    let begins = length.warm_ns;
    world.run_until(begins);
    let per_s = workload.n_hosts as f64 * workload.requests_per_s * STORM_SHARE;
    world.set_triggers(per_s.min(TRIGGERS_MAX));
    world.run_until(begins + S);
    world.set_triggers(workload.triggers_per_s());
    world.run_until(begins + 2 * length.window_ns);
    scenario(&world, begins, begins + S)
}

fn restart(workload: &Workload, n_collectors: usize, costs: &Costs, length: Length) -> ((usize, usize, f64), Scenario) {
    let mut world = world(workload, n_collectors, costs);
    let begins = length.steady_ns;
    world.run_until(begins);
    let largest = world.collectors().iter().max_by_key(|of| of.n_groups());
    let memory = largest.map_or((0, 0, 0.0), |of| (of.n_groups(), of.n_parts(), of.memory_bytes()));
    world.restart(0);
    world.run_until(begins + 2 * length.window_ns);
    let rebuilt_ms = world.rebuilt_ns.map(|at| (at - begins - super::world::RESTART_NS) as f64 / 1e6);
    (memory, Scenario { rebuilt_ms, ..scenario(&world, begins, begins + length.window_ns) })
}

fn outage(workload: &Workload, n_collectors: usize, costs: &Costs, length: Length) -> (Scenario, Times) {
    let mut world = world(workload, n_collectors, costs);
    let begins = length.steady_ns / 3;
    world.run_until(begins);
    world.lose(0);
    world.run_until(begins + 3 * S + 2 * length.window_ns);
    let moved = begins + super::world::MOVE_NS;
    (scenario(&world, begins, moved), world.book.times(moved + S / 10, moved + 2 * S, world.now()))
}

/// Returns what became of what fired in a time.
fn scenario(world: &World, from: u64, to: u64) -> Scenario {
    let counts = || world.collectors().iter().map(|of| of.counts());
    Scenario {
        times: world.book.times(from, to, world.now()),
        mailbox_max: world.collectors().iter().map(|of| of.mailbox_max).max().unwrap_or(0),
        n_refused: counts().map(|of| of.refused_displaced + of.refused_groups_full).sum(),
        rebuilt_ms: None,
    }
}

#[cfg(test)]
mod tests;
