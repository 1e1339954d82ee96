//! What happens when, and who waits for whom: a queue of events by time, and servers with a queue before them.
//!
//! The parts of the simulation; they know no collector and no agent. Times are nanoseconds.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// What will happen, in the order in which it does; of one instant in the order in which it was planned.
#[derive(Debug)]
pub struct Agenda<E> {
    now: u64,
    n_planned: u64,
    places: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<E>>,
    free: Vec<usize>,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self { now: 0, n_planned: 0, places: BinaryHeap::new(), events: Vec::new(), free: Vec::new() }
    }
}

impl<E> Agenda<E> {
    /// Returns the present instant: that of the event that was taken last.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Plans an event; one for an instant that has passed happens now.
    pub fn plan(&mut self, at: u64, event: E) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[place] = Some(event);
        self.n_planned += 1;
        self.places.push(Reverse((at.max(self.now), self.n_planned, place)));
    }

    /// Takes the next event that happens before `end`, and goes on to its instant; to `end` where there is none.
    pub fn next_before(&mut self, end: u64) -> Option<E> {
        let Some(Reverse((at, _, place))) = self.places.peek().copied().filter(|Reverse((at, ..))| *at < end) else {
            self.now = self.now.max(end);
            return None;
        };
        self.places.pop();
        self.now = at;
        self.free.push(place);
        self.events[place].take()
    }
}

/// Servers that share one queue: whoever comes first is served first.
#[derive(Debug)]
pub struct Pool<J> {
    n_idle: usize,
    waiting: VecDeque<J>,
}

impl<J> Pool<J> {
    /// Returns a pool of idle servers.
    #[must_use]
    pub const fn new(n_servers: usize) -> Self {
        Self { n_idle: n_servers, waiting: VecDeque::new() }
    }

    /// Takes a job: returns it where a server that was idle begins with it.
    pub fn offer(&mut self, job: J) -> Option<J> {
        if self.n_idle == 0 {
            self.waiting.push_back(job);
            return None;
        }
        self.n_idle -= 1;
        Some(job)
    }

    /// A server has finished: returns the job that it goes on with.
    pub fn finish(&mut self) -> Option<J> {
        let next = self.waiting.pop_front();
        self.n_idle += usize::from(next.is_none());
        next
    }
}

#[cfg(test)]
mod tests;
