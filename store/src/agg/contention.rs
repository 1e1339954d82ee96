//! Table `contention`: how many spans of a process run in each millisecond.
//!
//! Called by `tables`. A second holds how many run into it and where the number changes in it, so that seconds of many tables add up and one is read without
//! those before it. Of too many processes those of the least hashes stay.

mod second;
#[cfg(test)]
mod tests;

pub use second::Diff;
pub(super) use second::MS_OF_SECOND;

use super::index::Index;
use super::labels::{GONE, NAME_MAX_BYTES, Rank, places_in};
use super::mask::clipped;
use super::slot::{Hour, Task};
use super::sums::{COUNT_MAX, add};
use foldhash::HashMap;
use foldhash::fast::RandomState;
use second::Second;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Range;

/// A task that takes longer than this is kept as an interval: it would stand in too many seconds.
pub const SHORT_MAX_MS: u64 = 64_000;
/// The most intervals of a process and hour.
pub const INTERVALS_MAX: usize = 10_000;
/// Roughly what one takes.
const INTERVAL_BYTES: usize = 40;

/// Tasks by how long they take and when they begin, the longest first, and how many are the same.
type Intervals = BTreeMap<(Reverse<u64>, i64), u64>;

#[derive(Clone, Debug)]
struct Process {
    name: Box<str>,
    rank: Rank,
    n_tasks: u64,
    intervals: Intervals,
    n_intervals_other: u64,
    /// The second that was asked for last.
    last: u32,
}

/// What is known of a process in an hour beside its seconds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProcessSums {
    /// Tasks that began.
    pub n_tasks: u64,
    /// Those that take more than 64 s, the longest first, and how many have these milliseconds.
    pub intervals: Vec<(Task, u64)>,
    /// Those of them beyond the 10,000 longest.
    pub n_intervals_other: u64,
}

/// What is known of a second of a process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SecondSums {
    /// Tasks that began before it and run in its first millisecond.
    pub carry_in: u64,
    /// Where the number of tasks changes, ascending, none of them 0.
    pub diffs: Vec<Diff>,
}

impl SecondSums {
    /// Returns the most tasks that run in one millisecond.
    pub fn peak(&self) -> u64 {
        let mut n = i128::from(self.carry_in);
        let after = self.diffs.iter().map(|diff| {
            n += i128::from(diff.by);
            n
        });
        let peak = after.fold(i128::from(self.carry_in), i128::max);
        u64::try_from(peak).unwrap_or_default()
    }
}

/// The processes, and the seconds in which they did something.
#[derive(Clone, Debug, Default)]
pub(super) struct Contention {
    processes: Vec<Process>,
    index: Index,
    hasher: RandomState,
    /// As of `labels`.
    worst: Option<Rank>,
    seconds: Vec<Second>,
    known: HashMap<(u32, i64), u32>,
    /// Tasks of processes that did not stay, and of hours that have no seconds.
    pub(super) n_tasks_other: u64,
    /// Of names, intervals and seconds.
    held_bytes: usize,
}

impl Contention {
    pub(super) fn n_processes(&self) -> usize {
        self.processes.len()
    }

    /// Counts a task: that it is there, where it begins in this hour, and the milliseconds of this hour that it takes.
    pub(super) fn add_task(&mut self, process: &str, task: Task, hour: Hour) {
        let begins = u64::from(hour.has_second(task.first_ms.div_euclid(MS_OF_SECOND)));
        if hour == Hour::Far {
            return add(&mut self.n_tasks_other, 1);
        }
        let Some(process) = self.process(process) else { return add(&mut self.n_tasks_other, begins) };
        add(&mut self.processes[process as usize].n_tasks, begins);
        match task.len_ms() > SHORT_MAX_MS {
            true if begins == 1 => self.add_interval(process, task, 1),
            true => {}
            false => self.add_short(process, task, hour),
        }
    }

    /// Counts tasks whose process has no place.
    pub(super) fn merge_other(&mut self, n_tasks: u64) {
        add(&mut self.n_tasks_other, n_tasks);
    }

    fn add_short(&mut self, process: u32, task: Task, hour: Hour) {
        let (first, last) = (task.first_ms.div_euclid(MS_OF_SECOND), task.last_ms.div_euclid(MS_OF_SECOND));
        for second in (first..=last).filter(|second| hour.has_second(*second)) {
            let row = self.second(process, second);
            let n_before = row.memory_bytes();
            if second == first {
                row.add(task.first_ms.rem_euclid(MS_OF_SECOND) as u16, 1);
            } else {
                row.carry_in = row.carry_in.saturating_add(1);
            }
            // One that runs to the end of a second is not carried into the next.
            let after = task.last_ms.rem_euclid(MS_OF_SECOND) + 1;
            if second == last && after < MS_OF_SECOND {
                row.add(after as u16, -1);
            }
            let n_after = row.memory_bytes();
            self.held_bytes += n_after - n_before;
        }
    }

    fn add_interval(&mut self, process: u32, task: Task, n: u64) {
        let process = &mut self.processes[process as usize];
        let n_before = process.intervals.len();
        add(process.intervals.entry((Reverse(task.len_ms()), task.first_ms)).or_default(), n);
        if process.intervals.len() > 2 * INTERVALS_MAX {
            process.shrink_intervals();
        }
        self.held_bytes += process.intervals.len() * INTERVAL_BYTES;
        self.held_bytes -= n_before * INTERVAL_BYTES;
    }

    /// Adds sums of a process.
    pub(super) fn merge_process(&mut self, name: &str, sums: &ProcessSums) {
        let Some(idx) = self.process(name) else { return add(&mut self.n_tasks_other, sums.n_tasks) };
        add(&mut self.processes[idx as usize].n_tasks, sums.n_tasks);
        add(&mut self.processes[idx as usize].n_intervals_other, sums.n_intervals_other);
        sums.intervals.iter().for_each(|(task, n)| self.add_interval(idx, *task, *n));
    }

    /// Adds sums of a second of a process; those of a process that has no place are in its tasks.
    pub(super) fn merge_second(&mut self, name: &str, second: i64, sums: &SecondSums) {
        let Some(process) = self.process(name) else { return };
        let row = self.second(process, second);
        let n_before = row.memory_bytes();
        row.carry_in = row.carry_in.saturating_add(sums.carry_in).min(COUNT_MAX);
        sums.diffs.iter().for_each(|diff| row.add(diff.ms, diff.by));
        let n_after = row.memory_bytes();
        self.held_bytes += n_after - n_before;
    }

    /// Returns the number of a process; it is made where it is new and can stay.
    fn process(&mut self, name: &str) -> Option<u32> {
        let name = clipped(name, NAME_MAX_BYTES);
        let hash = self.hasher.hash_one(name);
        let found = self.index.find(hash, |idx| *self.processes[idx as usize].name == *name);
        found.or_else(|| self.add_process(name, hash))
    }

    #[cold]
    fn add_process(&mut self, name: &str, hash: u64) -> Option<u32> {
        let rank = Rank::of_text(name);
        if self.worst.is_some_and(|worst| rank > worst) {
            return None;
        }
        let idx = self.processes.len() as u32;
        let (intervals, n_tasks, n_intervals_other) = (Intervals::new(), 0, 0);
        self.processes.push(Process { name: name.into(), rank, n_tasks, intervals, n_intervals_other, last: GONE });
        self.index.insert(hash, idx);
        self.held_bytes += name.len();
        Some(idx)
    }

    fn second(&mut self, process: u32, second: i64) -> &mut Second {
        let last = self.processes[process as usize].last;
        if self.seconds.get(last as usize).is_some_and(|row| row.second == second) {
            return &mut self.seconds[last as usize];
        }
        let next = self.seconds.len() as u32;
        let idx = *self.known.entry((process, second)).or_insert(next);
        if idx == next {
            self.seconds.push(Second::new(process, second));
        }
        self.processes[process as usize].last = idx;
        &mut self.seconds[idx as usize]
    }

    /// Keeps the `n_max` processes of the least ranks, at least one, and of each the longest intervals.
    pub(super) fn shrink(&mut self, n_max: usize) {
        self.processes.iter_mut().for_each(Process::shrink_intervals);
        if self.processes.len() <= n_max.max(1) {
            return self.reindex();
        }
        let mut sorted: Vec<u32> = (0..self.processes.len() as u32).collect();
        let key = |idx: &u32| {
            let process = &self.processes[*idx as usize];
            (process.rank, &process.name)
        };
        sorted.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        let places = places_in(&sorted);
        let mut kept: Vec<(u32, Process)> = places.iter().copied().zip(std::mem::take(&mut self.processes)).collect();
        kept.retain(|(place, process)| {
            let stays = (*place as usize) < n_max.max(1);
            if !stays {
                add(&mut self.n_tasks_other, process.n_tasks);
            }
            stays
        });
        kept.sort_unstable_by_key(|(place, _)| *place);
        self.processes = kept.into_iter().map(|(_, process)| process).collect();
        self.worst = self.processes.last().map(|process| process.rank);
        self.seconds.retain_mut(|second| {
            second.process = places[second.process as usize];
            (second.process as usize) < self.processes.len()
        });
        self.reindex();
    }

    fn reindex(&mut self) {
        self.index = Index::default();
        self.held_bytes = self.seconds.iter().map(Second::memory_bytes).sum();
        for (idx, process) in (0_u32..).zip(&mut self.processes) {
            process.last = GONE;
            self.held_bytes += process.name.len() + process.intervals.len() * INTERVAL_BYTES;
            self.index.insert(self.hasher.hash_one(&*process.name), idx);
        }
        self.known = (0_u32..).zip(&self.seconds).map(|(idx, row)| ((row.process, row.second), idx)).collect();
    }

    /// Returns the number of a process that is there.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let name = clipped(name, NAME_MAX_BYTES);
        self.index.find(self.hasher.hash_one(name), |idx| *self.processes[idx as usize].name == *name)
    }

    /// Returns the processes in the order of their names.
    pub(super) fn processes_by_name(&self) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..self.processes.len() as u32).collect();
        sorted.sort_unstable_by_key(|idx| &self.processes[*idx as usize].name);
        sorted
    }

    /// Returns the places of the seconds that `is_wanted`, in the order of the processes that `places` has.
    pub(super) fn seconds(&self, is_wanted: impl Fn(u32, i64) -> bool, places: &[u32]) -> Vec<u32> {
        let wanted = (0_u32..).zip(&self.seconds).filter(|(_, row)| is_wanted(row.process, row.second));
        let mut seconds: Vec<u32> = wanted.map(|(idx, _)| idx).collect();
        seconds.sort_unstable_by_key(|idx| {
            let row = &self.seconds[*idx as usize];
            (places[row.process as usize], row.second)
        });
        seconds
    }

    /// Returns the name and the sums of a process.
    pub(super) fn process_sums(&self, idx: u32) -> Option<(&str, ProcessSums)> {
        let process = self.processes.get(idx as usize)?;
        let interval = |(key, n): (&(Reverse<u64>, i64), &u64)| {
            let (Reverse(len_ms), first_ms) = *key;
            (Task { first_ms, last_ms: first_ms.saturating_add_unsigned(len_ms - 1) }, *n)
        };
        let intervals = process.intervals.iter().map(interval).collect();
        let (n_tasks, n_intervals_other) = (process.n_tasks, process.n_intervals_other);
        Some((&process.name, ProcessSums { n_tasks, intervals, n_intervals_other }))
    }

    /// Returns the process, the second and the sums at a place.
    pub(super) fn second_sums(&self, place: u32) -> Option<(&str, i64, SecondSums)> {
        let row = self.seconds.get(place as usize)?;
        Some((&self.processes.get(row.process as usize)?.name, row.second, row.sums()))
    }

    /// Returns how many tasks of a process run in each of these milliseconds.
    pub(super) fn counts(&self, name: &str, range_ms: Range<i64>) -> Vec<u64> {
        let n_ms = usize::try_from(range_ms.end.saturating_sub(range_ms.start)).unwrap_or(0);
        let Some(process) = self.find(name).filter(|_| n_ms > 0) else { return vec![0; n_ms] };
        // Where it lies in the range: at its end what lies behind it.
        let place = |ms: i64| usize::try_from(ms.saturating_sub(range_ms.start)).unwrap_or(0).min(n_ms);
        let mut counts = vec![0_i64; n_ms + 1];
        for ((Reverse(len_ms), first_ms), n) in &self.processes[process as usize].intervals {
            counts[place(*first_ms)] += n.cast_signed();
            counts[place(first_ms.saturating_add_unsigned(*len_ms))] -= n.cast_signed();
        }
        let mut n = 0_i64;
        for count in &mut counts {
            n = n.saturating_add(*count);
            *count = n;
        }
        for second in range_ms.start.div_euclid(MS_OF_SECOND)..=(range_ms.end - 1).div_euclid(MS_OF_SECOND) {
            let Some(row) = self.known.get(&(process, second)) else { continue };
            let times = second.saturating_mul(MS_OF_SECOND)..;
            for (ms, n) in times.zip(self.seconds[*row as usize].counts()).filter(|(ms, _)| range_ms.contains(ms)) {
                let count = &mut counts[place(ms)];
                *count = count.saturating_add(n);
            }
        }
        counts.truncate(n_ms);
        counts.into_iter().map(|count| count.max(0).cast_unsigned()).collect()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.processes.len() * size_of::<Process>()
            + self.seconds.len() * (size_of::<Second>() + 40)
            + self.held_bytes
            + self.index.memory_bytes()
    }
}

impl Process {
    fn shrink_intervals(&mut self) {
        while self.intervals.len() > INTERVALS_MAX {
            if let Some((_, n)) = self.intervals.pop_last() {
                add(&mut self.n_intervals_other, n);
            }
        }
    }
}
