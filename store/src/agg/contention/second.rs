//! A second of a process: where in it the number of running tasks changes.
//!
//! Called by `contention`. A list while changes are few, else one number a millisecond.

use super::SecondSums;

/// Milliseconds of a second.
pub(in crate::agg) const MS_OF_SECOND: i64 = 1000;
const PLACES: usize = MS_OF_SECOND as usize;
/// The longest list: a place is found and made in it at about the cost of a load from memory.
const LIST_MAX: usize = 128;

/// By how much the number of tasks changes, at the begin of a millisecond.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Diff {
    /// The millisecond of the second, below 1000.
    pub ms: u16,
    /// More, or less. It wraps, which takes 2^31 tasks that begin in one millisecond.
    pub by: i32,
}

#[derive(Clone, Debug)]
enum Diffs {
    /// Ascending.
    List(Vec<Diff>),
    Each(Box<[i32; PLACES]>),
}

/// A second of a process.
#[derive(Clone, Debug)]
pub(super) struct Second {
    pub(super) process: u32,
    pub(super) second: i64,
    pub(super) carry_in: u64,
    diffs: Diffs,
}

impl Second {
    pub(super) const fn new(process: u32, second: i64) -> Self {
        Self { process, second, carry_in: 0, diffs: Diffs::List(Vec::new()) }
    }

    /// Adds `by` tasks from a millisecond of the second on; nothing from one that it does not have.
    pub(super) fn add(&mut self, ms: u16, by: i32) {
        if usize::from(ms) >= PLACES {
            return;
        }
        let list = match &mut self.diffs {
            Diffs::Each(each) => {
                let sum = &mut each[usize::from(ms)];
                *sum = sum.wrapping_add(by);
                return;
            }
            Diffs::List(list) => list,
        };
        let place = match list.last() {
            Some(last) if last.ms < ms => Err(list.len()),
            _ => list.binary_search_by_key(&ms, |diff| diff.ms),
        };
        match place {
            Ok(idx) => list[idx].by = list[idx].by.wrapping_add(by),
            Err(idx) if list.len() < LIST_MAX => list.insert(idx, Diff { ms, by }),
            Err(_) => {
                let mut each = Box::new([0; PLACES]);
                list.iter().for_each(|diff| each[usize::from(diff.ms)] = diff.by);
                each[usize::from(ms)] = by;
                self.diffs = Diffs::Each(each);
            }
        }
    }

    pub(super) fn sums(&self) -> SecondSums {
        let mut diffs: Vec<Diff> = match &self.diffs {
            Diffs::List(list) => list.clone(),
            Diffs::Each(each) => (0..).zip(each.iter()).map(|(ms, by)| Diff { ms, by: *by }).collect(),
        };
        diffs.retain(|diff| diff.by != 0);
        SecondSums { carry_in: self.carry_in, diffs }
    }

    /// Returns how many tasks run in each millisecond.
    pub(super) fn counts(&self) -> impl Iterator<Item = i64> {
        let mut each = [0_i64; PLACES];
        self.sums().diffs.iter().for_each(|diff| each[usize::from(diff.ms)] = diff.by.into());
        let mut n = self.carry_in.cast_signed();
        each.into_iter().map(move |by| {
            n = n.saturating_add(by);
            n
        })
    }

    /// Returns the bytes that it takes elsewhere.
    pub(super) fn memory_bytes(&self) -> usize {
        match &self.diffs {
            Diffs::List(list) => size_of_val(list.as_slice()),
            Diffs::Each(each) => size_of_val(&**each),
        }
    }
}
