//! The shop's orders: seeded, so that a run can be repeated.

use std::time::{Duration, Instant};

/// What becomes of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Ninety-eight in a hundred.
    Usual,
    /// One in a hundred waits for the bank.
    Slow,
    /// One in a hundred is declined.
    Failing,
}

/// An order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// Its items, 1 to 4.
    pub(crate) items: u32,
    /// Whether the customer pays for more.
    pub(crate) is_premium: bool,
    /// What becomes of it.
    pub(crate) fate: Fate,
}

/// One worker's view of the shop.
#[derive(Debug)]
pub(crate) struct Shop {
    state: u64,
}

impl Shop {
    /// Returns the shop whose orders follow from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the next order.
    pub(crate) fn next_order(&mut self) -> Order {
        // Source: splitmix64, Steele, Lea, Flood, OOPSLA 2014.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let random = mixed ^ (mixed >> 27);
        let fate = match random % 100 {
            0 => Fate::Slow,
            1 => Fate::Failing,
            _ => Fate::Usual,
        };
        Order { items: 1 + (random >> 32) as u32 % 4, is_premium: random >> 40 & 7 == 0, fate }
    }

    /// Spends `time`: computing while it is short, waiting while it is long.
    pub(crate) fn work(&self, time: Duration) {
        if time >= Duration::from_millis(1) {
            std::thread::sleep(time);
            return;
        }
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    }
}
