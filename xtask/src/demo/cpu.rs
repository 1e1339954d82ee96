//! CPU time of running processes, sampled beside a load, so that it can be read for any window in it.
//!
//! Called by the rounds that measure cost. It reads `/proc` alone: the nanoseconds of each thread's `schedstat`.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often is sampled; between two samples the time is taken to grow evenly.
const PERIOD: Duration = Duration::from_millis(100);

/// Samples processes on a thread of its own until it is stopped.
pub(crate) struct Sampler {
    stop: Sender<()>,
    thread: JoinHandle<Series>,
}

impl Sampler {
    /// Starts to sample the processes `pids`.
    pub(crate) fn start(pids: Vec<u32>) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let (mut series, mut threads) = (Series::default(), BTreeMap::new());
            let mut is_over = false;
            loop {
                pids.iter().for_each(|pid| look(*pid, &mut threads));
                if !threads.is_empty() {
                    series.0.push((unix_ns(), threads.values().sum()));
                }
                if is_over {
                    return series;
                }
                // Once more after the end: the window may reach up to it.
                is_over = stopped.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout);
            }
        });
        Self { stop, thread }
    }

    /// Stops, and returns all samples.
    pub(crate) fn stop(self) -> Series {
        drop(self.stop);
        self.thread.join().unwrap_or_default() // it has no way to panic; no samples is what that would be
    }
}

/// Takes in the CPU time of each thread of a process; what a thread that has ended had used stays.
fn look(pid: u32, threads: &mut BTreeMap<(u32, String), u64>) {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return };
    for task in tasks.flatten() {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        if let Some(ns) = text.split(' ').next().and_then(|ns| ns.parse().ok()) {
            threads.insert((pid, task.file_name().to_string_lossy().into_owned()), ns);
        }
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Samples in the order of time: nanoseconds since 1970, and the CPU time so far in nanoseconds.
#[derive(Default)]
pub(crate) struct Series(Vec<(u64, u64)>);

impl Series {
    /// Returns the CPU time between the two instants of `window`, in nanoseconds; `None` without samples.
    pub(crate) fn between(&self, window: [u64; 2]) -> Option<f64> {
        Some(self.at(window[1])? - self.at(window[0])?)
    }

    /// Returns the CPU time at an instant; that of the first or last sample beyond them.
    fn at(&self, ns: u64) -> Option<f64> {
        let next = self.0.iter().position(|(at, _)| *at >= ns).unwrap_or(self.0.len());
        let before = self.0.get(next.saturating_sub(1))?;
        let after = self.0.get(next).unwrap_or(before);
        let share = ns.saturating_sub(before.0) as f64 / after.0.saturating_sub(before.0).max(1) as f64;
        Some(before.1 as f64 + after.1.saturating_sub(before.1) as f64 * share.min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Sampler, Series};

    #[test]
    fn time_grows_evenly_between_samples_and_not_beyond_them() {
        let series = Series(vec![(100, 1000), (200, 2000), (300, 2000)]);
        assert_eq!(series.between([150, 200]), Some(500.0));
        assert_eq!(series.between([0, 110]), Some(100.0));
        assert_eq!(series.between([250, 900]), Some(0.0));
        assert_eq!(Series::default().between([0, 1]), None);
    }

    #[test]
    fn a_busy_process_is_seen_to_work() {
        let sampler = Sampler::start(vec![std::process::id()]);
        let start = std::time::Instant::now();
        while start.elapsed() < std::time::Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        assert!(sampler.stop().between([0, u64::MAX]).unwrap() > 0.0);
    }
}
