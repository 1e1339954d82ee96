//! The CPU time of processes that run beside a measurement: agents, collectors, sinks.
//!
//! Called by benches. It reads `/proc`, and changes nothing of what it watches.

use anyhow::{Context as _, Result, anyhow};
use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Between two looks: often enough to cut a window of a second out of them, and a thousandth of a core.
const PERIOD: Duration = Duration::from_millis(100);

/// The CPU time of one process, the time of threads that ended between two looks included.
#[derive(Debug)]
pub struct CpuMeter {
    pid: u32,
    by_thread: BTreeMap<String, u64>,
}

impl CpuMeter {
    /// Returns a meter of process `pid`.
    #[must_use]
    pub fn new(pid: u32) -> Self {
        Self { pid, by_thread: BTreeMap::new() }
    }

    /// Looks at every thread, and returns the nanoseconds that they have run since they began.
    ///
    /// # Errors
    /// The process is gone.
    /// # Cost
    /// One small file per thread.
    pub fn cpu_ns(&mut self) -> Result<u64> {
        let folder = format!("/proc/{}/task", self.pid);
        for thread in fs::read_dir(&folder).with_context(|| format!("read {folder}"))? {
            let thread = thread.with_context(|| format!("read {folder}"))?;
            // A thread may end between the two reads; what it had used is known from the look before.
            let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
            if let Some(ran_ns) = ran_ns(&text) {
                self.by_thread.insert(thread.file_name().to_string_lossy().into_owned(), ran_ns);
            }
        }
        Ok(self.by_thread.values().sum())
    }
}

/// Returns the time on a core in a thread's `schedstat`.
fn ran_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// The CPU time of a group of processes over wall time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuHistory {
    /// Nanoseconds since 1970, and what the group had used by then.
    points: Vec<(u64, u64)>,
}

impl CpuHistory {
    /// Returns the history of `points`: nanoseconds since 1970, ascending, and the CPU nanoseconds used by then.
    #[must_use]
    pub fn from_points(points: &[(u64, u64)]) -> Self {
        Self { points: points.to_vec() }
    }

    /// Returns the CPU nanoseconds that were used between two moments, between two looks by proportion.
    ///
    /// Moments outside of what was watched count as its ends.
    #[must_use]
    pub fn between_ns(&self, from_unix_ns: u64, to_unix_ns: u64) -> f64 {
        self.at(to_unix_ns) - self.at(from_unix_ns)
    }

    fn at(&self, unix_ns: u64) -> f64 {
        let after = self.points.partition_point(|(at, _)| *at <= unix_ns);
        let Some(&(before_ns, before_cpu)) = after.checked_sub(1).and_then(|idx| self.points.get(idx)) else {
            return self.points.first().map_or(0.0, |(_, cpu)| *cpu as f64);
        };
        let Some(&(after_ns, after_cpu)) = self.points.get(after) else { return before_cpu as f64 };
        let share = (unix_ns - before_ns) as f64 / (after_ns - before_ns) as f64;
        before_cpu as f64 + share * (after_cpu - before_cpu) as f64
    }
}

/// A thread that looks at groups of processes ten times a second.
#[derive(Debug)]
pub struct CpuWatch {
    stop: Sender<()>,
    thread: JoinHandle<Result<Vec<CpuHistory>>>,
}

impl CpuWatch {
    /// Starts to watch the processes of each group.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(groups: &[&[u32]]) -> Result<Self> {
        let (stop, stopped) = channel();
        let meter_all = |pids: &&[u32]| pids.iter().copied().map(CpuMeter::new).collect();
        let mut meters: Vec<Vec<CpuMeter>> = groups.iter().map(meter_all).collect();
        let mut histories = vec![CpuHistory::default(); groups.len()];
        let watch = move || -> Result<Vec<CpuHistory>> {
            loop {
                for (group, history) in meters.iter_mut().zip(&mut histories) {
                    history.points.push((unix_ns()?, group.iter_mut().map(CpuMeter::cpu_ns).sum::<Result<u64>>()?));
                }
                match stopped.recv_timeout(PERIOD) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            Ok(histories)
        };
        let thread = std::thread::Builder::new().name("cpu-watch".into()).spawn(watch).context("watch CPU time")?;
        Ok(Self { stop, thread })
    }

    /// Ends, and returns what was seen of each group.
    ///
    /// # Errors
    /// A process that was watched ended meanwhile.
    pub fn finish(self) -> Result<Vec<CpuHistory>> {
        drop(self.stop);
        self.thread.join().map_err(|_| anyhow!("the thread that watches CPU time panicked"))?
    }
}

fn unix_ns() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the wall clock stands before 1970")?;
    Ok(since.as_nanos() as u64)
}

#[cfg(test)]
mod tests;
