//! Clocks of hosts that disagree: what calls between hosts say about it, and what to add to each host's times.
//!
//! Called by whoever shows a trace; times as recorded stay as they are. A call says that the callee began after its caller and, where that waited, ended
//! before it: bounds for the difference between two clocks, the tighter the more calls there are.

mod solve;
#[cfg(test)]
mod tests;

use crate::columns::{Columns, Row, Tree, row_flags};
use solve::Net;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Ordered pairs of hosts of which bounds are kept; for further ones nothing is learnt.
pub const PAIRS_MAX: usize = 4096;
/// Hosts of one trace whose clocks are held against each other: that of the root, then by name.
pub const HOSTS_MAX: usize = 128;
/// How long a bound is kept.
const WINDOW_S: u64 = 60;
/// How much a bound widens in a second: clocks drift, by 50 millionths at most.
const WIDENING_NS_PER_S: i64 = 50_000;
const SECOND_NS: u64 = 1_000_000_000;
/// Differences count no further than 146 years, so that sums of them fit.
const DIFFERENCE_NS_MAX: i128 = 1 << 62;

/// Bounds of a difference between two clocks in nanoseconds; `None` where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Interval {
    low: Option<i64>,
    high: Option<i64>,
}

impl Interval {
    /// Returns what lies in both.
    fn and(self, other: Self) -> Self {
        let low = self.low.max(other.low);
        let high = self.high.into_iter().chain(other.high).min();
        Self { low, high }
    }

    fn widened(self, by: i64) -> Self {
        Self { low: self.low.map(|low| low.saturating_sub(by)), high: self.high.map(|high| high.saturating_add(by)) }
    }

    /// Returns the same seen from the other clock.
    fn reversed(self) -> Self {
        Self { low: self.high.map(i64::saturating_neg), high: self.low.map(i64::saturating_neg) }
    }

    fn is_empty(self) -> bool {
        matches!((self.low, self.high), (Some(low), Some(high)) if low > high)
    }

    fn width(self) -> u128 {
        match (self.low, self.high) {
            (Some(low), Some(high)) => u128::from(high.abs_diff(low)),
            _ => u128::MAX,
        }
    }
}

/// What one ordered pair of hosts has said: the tightest bounds of each second, at most one more than [`WINDOW_S`] of them.
#[derive(Clone, Debug, Default)]
struct Pair {
    seconds: BTreeMap<u64, Interval>,
}

impl Pair {
    fn newest(&self) -> u64 {
        self.seconds.last_key_value().map_or(0, |(second, _)| *second)
    }

    fn observe(&mut self, second: u64, interval: Interval) {
        let oldest = self.newest().max(second).saturating_sub(WINDOW_S);
        self.seconds.retain(|second, _| *second >= oldest);
        if second >= oldest {
            let bounds = self.seconds.entry(second).or_default();
            *bounds = bounds.and(interval);
        }
    }

    fn at(&self, second: u64) -> Interval {
        let aged = self.seconds.iter().map(|(of, bounds)| (second.abs_diff(*of), bounds));
        let valid = aged.filter(|(age_s, _)| *age_s <= WINDOW_S);
        let widened = valid.map(|(age_s, bounds)| bounds.widened(age_s as i64 * WIDENING_NS_PER_S));
        widened.fold(Interval::default(), Interval::and)
    }
}

/// What calls between hosts have said about their clocks lately.
///
/// # Shape
/// For at most [`PAIRS_MAX`] pairs of caller and callee: the tightest bounds of the last 60 s of the pair, widened by 50 us for each second of age;
/// below 5 KiB a pair.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    pairs: BTreeMap<(Arc<str>, Arc<str>), Pair>,
    swept_at: u64,
    n_refused: u64,
}

impl Bounds {
    /// Learns from the calls of a trace.
    ///
    /// A child on another host than its parent starts after it; where it is synchronous, and lasts no longer than its parent, it ends before it too.
    /// A server that lasts longer was not waited for, and bounds from below alone, as do messages. Rows of which a time was repaired say nothing, ends
    /// that nobody saw do not bound.
    ///
    /// # Cost
    /// One ordered lookup for each child on another host, about 60 steps more.
    pub fn observe(&mut self, columns: &Columns, tree: &Tree<'_>) {
        let name = |host: u32| columns.hosts().get(host as usize).cloned();
        for call in calls(tree) {
            if let (Some(from), Some(to)) = (name(call.from), name(call.to)) {
                self.learn((from, to), call.second, call.interval);
            }
        }
    }

    fn learn(&mut self, hosts: (Arc<str>, Arc<str>), second: u64, interval: Interval) {
        if let Some(pair) = self.pairs.get_mut(&hosts) {
            return pair.observe(second, interval);
        }
        if self.pairs.len() >= PAIRS_MAX && second.abs_diff(self.swept_at) > 0 {
            self.swept_at = second;
            self.pairs.retain(|_, pair| pair.newest() >= second.saturating_sub(WINDOW_S));
        }
        if self.pairs.len() >= PAIRS_MAX {
            self.n_refused += 1;
            return;
        }
        self.pairs.entry(hosts).or_default().observe(second, interval);
    }

    /// Returns how many calls taught nothing because there were too many pairs of hosts.
    pub const fn n_refused(&self) -> u64 {
        self.n_refused
    }

    /// Returns what to add to the times of each host of a trace, in the order of [`Columns::hosts`], so that they agree with those of its root's host.
    /// A correction of more than `skew_max_ns` is not applied.
    ///
    /// What the trace's own calls say counts as it is, unless they contradict each other (a long trace, on clocks that drift), what was learnt by its
    /// age. All bounds between its hosts are taken together, the tightest pair first (ties by name). A pair that contradicts what is known by then is
    /// left out, and both its hosts are doubtful. A clock that may agree with the root's is left as it is. Of the others each is put into the middle
    /// of what is possible for it, and all together keep all bounds; one that is bounded from one side only is put at its bound.
    ///
    /// The error is at most half of what is possible for the host: half the least round trip of a call from the root's host to it, if the hosts that
    /// are left as they are are right.
    ///
    /// # Cost
    /// Up to `2 h^2` steps for each pair of the trace's `h` hosts of which there are bounds: for ten hosts that all call each other 9,000, for
    /// [`HOSTS_MAX`] 270 million.
    /// # Source
    /// Simple temporal problems (Dechter, Meiri, Pearl, 1991): the greatest and the least solution of difference bounds, and so their middle, keep them all.
    pub fn clocks(&self, columns: &Columns, tree: &Tree<'_>, skew_max_ns: u64) -> Clocks {
        let mut clocks = Clocks { hosts: columns.hosts().iter().cloned().map(HostClock::unknown).collect() };
        let Some((root, at_ns)) = reference(tree).filter(|(root, _)| (*root as usize) < clocks.hosts.len()) else {
            return clocks;
        };
        let hosts = Hosts::considered(columns, root as usize);
        let mut net = Net::new(hosts.order.len());
        for call in calls(tree) {
            let places = (hosts.place_of(call.from), hosts.place_of(call.to));
            if let (Some(from), Some(to)) = places {
                [from, to].into_iter().for_each(|place| clocks.hosts[hosts.order[place]].n_calls += 1);
            }
        }
        for ((from, to), interval) in self.tightest_first(&hosts, tree, at_ns / SECOND_NS) {
            let is_kept = !interval.is_empty() && net.bound(from, to, (interval.low, interval.high));
            for place in [from, to].into_iter().filter(|_| !is_kept) {
                clocks.hosts[hosts.order[place]].is_doubtful = true;
            }
        }
        for (place, solved) in net.solve().into_iter().enumerate() {
            clocks.hosts[hosts.order[place]].set(solved, skew_max_ns);
        }
        clocks.hosts[root as usize].state = ClockState::Reference;
        clocks
    }

    /// Returns the bounds between hosts by their places, each unordered pair once.
    fn tightest_first(&self, hosts: &Hosts<'_>, tree: &Tree<'_>, second: u64) -> Vec<((usize, usize), Interval)> {
        let (mut joint, mut own) = (Joint::default(), Joint::default());
        for call in calls(tree) {
            own.add(hosts.place_of(call.from), hosts.place_of(call.to), call.interval);
        }
        for ((from, to), pair) in &self.pairs {
            joint.add(hosts.place_of_name(from), hosts.place_of_name(to), pair.at(second));
        }
        for (places, interval) in own.by_places {
            if !interval.is_empty() || !joint.by_places.contains_key(&places) {
                joint.add(Some(places.0), Some(places.1), interval);
            }
        }
        let mut all: Vec<_> = joint.by_places.into_iter().collect();
        all.sort_by_key(|(places, interval)| (interval.width(), *places));
        all
    }
}

/// The hosts of a trace whose clocks are held against each other.
struct Hosts<'c> {
    columns: &'c Columns,
    /// Their positions in [`Columns::hosts`], the root's first, then by name. A *place* is a position here.
    order: Vec<usize>,
    places: BTreeMap<&'c str, usize>,
}

impl<'c> Hosts<'c> {
    fn considered(columns: &'c Columns, root: usize) -> Self {
        let names = columns.hosts();
        let mut others: Vec<usize> = (0..names.len()).filter(|host| *host != root).collect();
        others.sort_by_key(|host| &names[*host]);
        let order: Vec<usize> = std::iter::once(root).chain(others).take(HOSTS_MAX).collect();
        let places = order.iter().enumerate().map(|(place, host)| (&*names[*host], place)).collect();
        Self { columns, order, places }
    }

    fn place_of_name(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    fn place_of(&self, host: u32) -> Option<usize> {
        self.place_of_name(self.columns.hosts().get(host as usize)?)
    }
}

/// What all calls between two hosts say, in either direction.
#[derive(Default)]
struct Joint {
    by_places: BTreeMap<(usize, usize), Interval>,
}

impl Joint {
    /// Adds what calls between two hosts say, if both are considered.
    fn add(&mut self, from: Option<usize>, to: Option<usize>, interval: Interval) {
        let (Some(from), Some(to)) = (from, to) else { return };
        let (places, interval) = if from < to { ((from, to), interval) } else { ((to, from), interval.reversed()) };
        let known = self.by_places.entry(places).or_default();
        *known = known.and(interval);
    }
}

/// A call from one host to another, and what it says of their clocks.
struct Call {
    from: u32,
    to: u32,
    /// When it went out.
    second: u64,
    interval: Interval,
}

/// Returns the calls of a trace from which something can be learnt.
fn calls<'t>(tree: &'t Tree<'_>) -> impl Iterator<Item = Call> + 't {
    let edges = tree.order().iter().filter_map(|node| Some((tree.parent(*node)?, *node)));
    let named =
        edges.filter(|(parent, node)| !tree.is_synthetic(*parent) && !tree.is_orphan(*node) && !tree.is_cut(*node));
    named.filter_map(|(parent, node)| {
        let (caller, callee) = (tree.row(parent), tree.row(node));
        let is_known = (caller.flags | callee.flags) & row_flags::REPAIRED == 0;
        let call = Call {
            from: caller.host,
            to: callee.host,
            second: caller.start_ns / SECOND_NS,
            interval: interval_of(caller, callee, tree.is_sync(node)),
        };
        (is_known && caller.host != callee.host).then_some(call)
    })
}

/// Returns what a call says of the difference between its hosts' clocks: what has to be added to the callee's times.
fn interval_of(caller: &Row, callee: &Row, is_sync: bool) -> Interval {
    let difference = |a: u64, b: u64| {
        let ns = i128::from(a) - i128::from(b);
        ns.clamp(-DIFFERENCE_NS_MAX, DIFFERENCE_NS_MAX) as i64
    };
    let is_open = (caller.flags | callee.flags) & row_flags::OPEN != 0;
    let ends_in = is_sync && !is_open && callee.duration_ns() <= caller.duration_ns();
    Interval {
        low: Some(difference(caller.start_ns, callee.start_ns)),
        high: ends_in.then(|| difference(caller.end_ns, callee.end_ns)),
    }
}

/// Returns the host whose clock the others are held against, and when: those of the root, or of the first of several.
fn reference(tree: &Tree<'_>) -> Option<(u32, u64)> {
    let root = tree.root()?;
    let first = if tree.is_synthetic(root) { *tree.children(root).first()? } else { root };
    Some((tree.row(first).host, tree.row(first).start_ns))
}

/// What a host's clock was found to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ClockState {
    /// It is that of the root's host.
    Reference,
    /// It may agree with that: not corrected.
    Agrees,
    /// It is corrected.
    Corrected,
    /// It is off by more than is believed: not corrected.
    TooFar,
    /// Nothing is known of it: not corrected.
    #[default]
    Unknown,
}

/// The clock of one host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostClock {
    /// The host.
    pub host: Arc<str>,
    /// What to add to its times, in nanoseconds.
    pub offset_ns: i64,
    /// The least that is possible, where there is a bound.
    pub low_ns: Option<i64>,
    /// The most.
    pub high_ns: Option<i64>,
    /// How many calls of the trace between it and other hosts say something about it.
    pub n_calls: u64,
    /// What was found.
    pub state: ClockState,
    /// Whether calls contradict each other, as where a clock was set meanwhile: no correction comes from those that do.
    pub is_doubtful: bool,
}

impl HostClock {
    fn unknown(host: Arc<str>) -> Self {
        Self { host, ..Self::default() }
    }

    fn set(&mut self, solved: solve::Solved, skew_max_ns: u64) {
        (self.low_ns, self.high_ns) = (solved.low, solved.high);
        let (offset_ns, state) = match solved.offset {
            None => (0, ClockState::Unknown),
            Some(0) => (0, ClockState::Agrees),
            Some(offset) if offset.unsigned_abs() > skew_max_ns => (0, ClockState::TooFar),
            Some(offset) => (offset, ClockState::Corrected),
        };
        (self.offset_ns, self.state) = (offset_ns, state);
    }
}

/// The clocks of the hosts of a trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Clocks {
    /// Those of [`Columns::hosts`], in that order.
    pub hosts: Vec<HostClock>,
}

impl Clocks {
    /// Returns what to add to the times of a host in nanoseconds: what [`Columns::shifted`] asks.
    pub fn offset_ns(&self, host: u32) -> i64 {
        self.hosts.get(host as usize).map_or(0, |clock| clock.offset_ns)
    }
}
