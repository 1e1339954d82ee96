//! The book of a load: which agents each trace's question has reached, and when the last.
//!
//! Pure: times go in with what happened. Filled by the agents of this room.

use super::Planned;
use std::time::Duration;

/// The most agents; the set of them is one word.
pub const AGENTS_MAX: usize = 128;

#[derive(Clone, Copy, Debug)]
struct Traversal {
    due: Duration,
    /// The agents that know of the trigger, by bit.
    reached: u128,
    n_left: usize,
    ended: Option<Duration>,
}

/// All traversals of a load, by the index of their trigger. Times count from the load's start.
#[derive(Clone, Debug)]
pub struct Traversals {
    all: Vec<Traversal>,
    n_collects: usize,
    n_unfinished: usize,
    last_news: Duration,
    /// How long they were watched, once that is over.
    watched: Duration,
}

impl Traversals {
    /// Returns the book of what is planned on `n_live` connected agents; none of it has reached more than the agent that fires.
    #[must_use]
    pub fn new(plan: &[Planned], n_live: usize) -> Self {
        let new = |planned: &Planned| Traversal {
            due: planned.due,
            reached: 1 << planned.agent,
            n_left: n_live.saturating_sub(1),
            ended: None,
        };
        Self {
            all: plan.iter().map(new).collect(),
            n_collects: 0,
            n_unfinished: plan.len(),
            last_news: plan.last().map_or(Duration::ZERO, |planned| planned.due),
            watched: Duration::ZERO,
        }
    }

    /// Notes that agent `agent` got its Collect for trigger `idx`; returns `false` where nothing of that number was planned.
    pub fn reach(&mut self, idx: usize, agent: usize, now: Duration) -> bool {
        let Some(traversal) = self.all.get_mut(idx) else { return false };
        self.n_collects += 1;
        self.last_news = self.last_news.max(now);
        let bit = 1 << agent;
        if traversal.reached & bit == 0 {
            traversal.reached |= bit;
            traversal.n_left -= 1;
            self.end_if_done(idx, now);
        }
        true
    }

    /// Notes that the coordinator acknowledged trigger `idx`: the end where there is nobody else to ask.
    pub fn acknowledge(&mut self, idx: usize, now: Duration) {
        self.end_if_done(idx, now);
    }

    /// Ends the watch.
    #[must_use]
    pub fn watched_until(mut self, now: Duration) -> Self {
        self.watched = now;
        self
    }

    /// Returns how long each took from when it was due; of what did not end, how long it was watched.
    pub fn times(&self) -> impl Iterator<Item = Duration> {
        self.all.iter().map(|of| of.ended.unwrap_or(self.watched).saturating_sub(of.due))
    }

    /// Returns whether agent `agent` knows of trigger `idx`.
    #[must_use]
    pub fn has_reached(&self, idx: usize, agent: usize) -> bool {
        self.all.get(idx).is_some_and(|of| of.reached >> agent & 1 == 1)
    }

    /// Returns how many have not ended.
    #[must_use]
    pub const fn n_unfinished(&self) -> usize {
        self.n_unfinished
    }

    /// Returns how many Collects came.
    #[must_use]
    pub const fn n_collects(&self) -> usize {
        self.n_collects
    }

    /// Returns when the last Collect came, or the last trigger was due.
    #[must_use]
    pub const fn last_news(&self) -> Duration {
        self.last_news
    }

    /// Returns when the last one ended; zero where none did.
    #[must_use]
    pub fn last_end(&self) -> Duration {
        self.all.iter().filter_map(|of| of.ended).max().unwrap_or_default()
    }

    fn end_if_done(&mut self, idx: usize, now: Duration) {
        if let Some(traversal) = self.all.get_mut(idx)
            && traversal.n_left == 0
            && traversal.ended.is_none()
        {
            traversal.ended = Some(now);
            self.n_unfinished -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
