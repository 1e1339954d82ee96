//! `bks-dst`: runs seeds, and says which broke what. `cargo xtask dst` builds and calls it.
#![forbid(unsafe_code)]

use backsight_core::ids::TraceId;
use backsight_dst::{Outcome, run, run_watched};
use clap::Parser;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs seeds of the simulation
#[derive(Debug, Parser)]
struct Options {
    /// How many
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// A trace of the first seed: print everything that happens to it, and end
    #[arg(long, value_name = "TRACE")]
    watch: Option<TraceId>,
    /// Threads that run them (default: one a core)
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.watch.is_some() {
        let outcome = run_watched(options.from, options.watch);
        outcome.violations.iter().for_each(|violation| println!("{violation}"));
        return if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let n_threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let (next, sum) = (AtomicU64::new(options.from), Mutex::new(Sum::default()));
    let end = options.from + options.seeds;
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {})); // a seed that panics says so in its outcome
    }
    std::thread::scope(|scope| {
        for _ in 0..n_threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = run(seed);
                    sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(seed, &outcome, options.seeds);
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).finish()
}

#[derive(Debug, Default)]
struct Sum {
    n_seeds: u64,
    n_triggered: usize,
    n_complete: usize,
    n_faults: usize,
    broken: Vec<u64>,
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: &Outcome, n_seeds: u64) {
        self.n_seeds += 1;
        self.n_triggered += outcome.n_triggered;
        self.n_complete += outcome.n_complete;
        self.n_faults += outcome.n_faults;
        let mut stderr = std::io::stderr();
        if !outcome.violations.is_empty() {
            self.broken.push(seed);
            let told = outcome.violations.iter().map(|violation| format!("  {violation}\n")).collect::<String>();
            let _ = write!(stderr, "\rseed {seed}:\n{told}"); // a closed terminal stops no run
        }
        if stderr.is_terminal() && self.n_seeds.is_multiple_of(16) {
            let _ = write!(stderr, "\r{} of {n_seeds} seeds, {} broken", self.n_seeds, self.broken.len()); // as above
        }
    }

    fn finish(self) -> ExitCode {
        println!(
            "\r{} seeds, {} faults; of {} triggered traces {} complete; {} seeds broken",
            self.n_seeds,
            self.n_faults,
            self.n_triggered,
            self.n_complete,
            self.broken.len()
        );
        if self.broken.is_empty() {
            return ExitCode::SUCCESS;
        }
        println!("again: cargo xtask dst --from {} --seeds 1", self.broken[0]);
        ExitCode::FAILURE
    }
}
