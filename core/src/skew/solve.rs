//! Bounds of differences between many clocks, taken together.
//!
//! Called by [`super::Bounds::clocks`]. It knows numbers, no hosts; the first clock is the one that the others are held against.

/// No bound. Sums of a hundred differences stay far below.
const UNBOUNDED: i128 = i128::MAX / 4;

/// What was found of one clock against the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Solved {
    /// What to add to its times; `None` where nothing bounds it.
    pub(super) offset: Option<i64>,
    /// The least that all bounds allow.
    pub(super) low: Option<i64>,
    /// The most.
    pub(super) high: Option<i64>,
}

/// The tightest bounds between all clocks that follow from those given, never contradictory.
pub(super) struct Net {
    n: usize,
    /// At `from * n + to`: the most by which what is added to `to` may exceed what is added to `from`.
    most: Vec<i128>,
}

impl Net {
    pub(super) fn new(n: usize) -> Self {
        let mut most = vec![UNBOUNDED; n * n];
        for idx in 0..n {
            most[idx * n + idx] = 0;
        }
        Self { n, most }
    }

    /// Bounds the difference `to - from`, and returns `true`; or changes nothing and returns `false`, where that contradicts what is known.
    ///
    /// # Cost
    /// `n^2` steps for each bound that is tighter than what is known.
    pub(super) fn bound(&mut self, from: usize, to: usize, (low, high): (Option<i64>, Option<i64>)) -> bool {
        let most = high.map_or(UNBOUNDED, i128::from);
        let most_back = low.map_or(UNBOUNDED, |low| -i128::from(low));
        let contradicts = |most: i128, back: i128| most < UNBOUNDED && back < UNBOUNDED && most + back < 0;
        if contradicts(most, self.most(to, from))
            || contradicts(most_back, self.most(from, to))
            || contradicts(most, most_back)
        {
            return false;
        }
        self.tighten(from, to, most);
        self.tighten(to, from, most_back);
        true
    }

    fn most(&self, from: usize, to: usize) -> i128 {
        self.most[from * self.n + to]
    }

    fn tighten(&mut self, from: usize, to: usize, most: i128) {
        if most >= self.most(from, to) {
            return;
        }
        let after: Vec<i128> = (0..self.n).map(|idx| self.most(to, idx)).collect();
        for row in 0..self.n {
            let before = self.most(row, from);
            if before >= UNBOUNDED {
                continue;
            }
            for (known, after) in self.most[row * self.n..(row + 1) * self.n].iter_mut().zip(&after) {
                if *after < UNBOUNDED {
                    *known = (*known).min(before + most + after);
                }
            }
        }
    }

    /// Returns what to add to each clock: nothing where that is possible, else the middle of what is, else the one bound that there is.
    ///
    /// The middles go together: the greatest values that all bounds allow keep each bound of a difference, so do the least, and so does half of both.
    pub(super) fn solve(mut self) -> Vec<Solved> {
        let limits: Vec<_> = (0..self.n).map(|idx| self.limits(idx)).collect();
        for idx in 0..self.n {
            let (low, high) = self.limits(idx);
            let is_bounded = low.is_some() || high.is_some();
            if is_bounded && low.is_none_or(|low| low <= 0) && high.is_none_or(|high| high >= 0) {
                self.fix(idx, 0);
            }
        }
        let middles: Vec<_> = (0..self.n).map(|idx| middle(self.limits(idx))).collect();
        for (idx, middle) in middles.into_iter().enumerate() {
            middle.into_iter().for_each(|middle| self.fix(idx, middle));
        }
        for idx in 0..self.n {
            if let (Some(only), None) | (None, Some(only)) = self.limits(idx) {
                self.fix(idx, only);
            }
        }
        let solved = limits.into_iter().enumerate().map(|(idx, (low, high))| Solved {
            offset: self.limits(idx).0.map(within_i64),
            low: low.map(within_i64),
            high: high.map(within_i64),
        });
        solved.collect()
    }

    fn fix(&mut self, idx: usize, value: i128) {
        self.tighten(0, idx, value);
        self.tighten(idx, 0, -value);
    }

    /// Returns the least and the most that may be added to a clock.
    fn limits(&self, idx: usize) -> (Option<i128>, Option<i128>) {
        let finite = |most: i128| (most < UNBOUNDED).then_some(most);
        (finite(self.most(idx, 0)).map(|most| -most), finite(self.most(0, idx)))
    }
}

fn middle((low, high): (Option<i128>, Option<i128>)) -> Option<i128> {
    Some((low? + high?).div_euclid(2))
}

fn within_i64(ns: i128) -> i64 {
    ns.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}
