//! Claims about clocks: corrected, callees lie in their callers; clocks that agree are left alone; what contradicts itself corrects nothing.

use super::{Bounds, ClockState, Clocks, HOSTS_MAX, PAIRS_MAX, SECOND_NS};
use crate::columns::samples::{Sample, columns};
use crate::columns::{Columns, Labels, Row, Tree, row_flags};
use crate::record::SpanKind;
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
use std::collections::BTreeMap;

const MS: u64 = 1_000_000;
/// When the traces of these tests begin.
const BEGIN_NS: u64 = 1_000 * SECOND_NS;
/// No correction is too large.
const ANY: u64 = u64::MAX;

/// Calls between hosts in the one true time, and by how much the clock of each host is ahead.
#[derive(Clone, Debug)]
struct World {
    samples: Vec<Sample>,
    ahead_ns: Vec<i64>,
}

/// A call: which of the earlier spans makes it, to which host, and how long request and answer are on their way.
type Call = (prop::sample::Index, u8, u64, u64);

/// Builds a tree of calls between `n_hosts` hosts: each is a client span and a server span inside it, delays apart.
fn world(n_hosts: u8, calls: Vec<Call>, ahead_ms: &[i64]) -> World {
    let mut samples = vec![Sample::new(1, 0, BEGIN_NS, BEGIN_NS + 60_000 * MS).of_kind(SpanKind::Server)];
    let mut servers = vec![0_usize];
    for (nth, (caller, host, there_us, back_us)) in calls.into_iter().enumerate() {
        let caller = samples[servers[caller.index(servers.len())]].clone();
        let id = 2 + 2 * nth as u64;
        let third = (caller.end_ns - caller.start_ns) / 3;
        let (from, to) = (caller.start_ns + third, caller.end_ns - third / 2);
        if to - from < 3 * MS {
            continue;
        }
        samples.push(Sample::new(id, caller.id, from, to).of_kind(SpanKind::Client).on(caller.host));
        let server = Sample::new(id + 1, id, from + 1000 * there_us, to - 1000 * back_us).of_kind(SpanKind::Server);
        servers.push(samples.len());
        samples.push(server.on(host % n_hosts));
    }
    let mut ahead_ns: Vec<i64> =
        (0..usize::from(n_hosts)).map(|host| ahead_ms[host % ahead_ms.len()] * MS as i64).collect();
    ahead_ns[0] = 0;
    World { samples, ahead_ns }
}

/// Worlds of up to eight hosts, up to 500 ms apart or not at all, with delays of up to a millisecond that differ there and back.
fn worlds() -> impl Strategy<Value = World> {
    let call = (any::<prop::sample::Index>(), 0_u8..8, 0_u64..1000, 0_u64..1000);
    let ahead_ms = (50_i64..=500, 0_u8..3).prop_map(|(ms, sign)| ms * (i64::from(sign) - 1));
    (2_u8..=8, prop::collection::vec(call, 1..60), prop::collection::vec(ahead_ms, 8))
        .prop_map(|(n_hosts, calls, ahead_ms)| world(n_hosts, calls, &ahead_ms))
}

impl World {
    /// Returns the samples as the hosts' clocks show them.
    fn shown(&self) -> Vec<Sample> {
        let mut shown = self.samples.clone();
        for sample in &mut shown {
            let ahead_ns = self.ahead_ns[usize::from(sample.host)];
            sample.start_ns = sample.start_ns.saturating_add_signed(ahead_ns);
            sample.end_ns = sample.end_ns.saturating_add_signed(ahead_ns);
        }
        shown
    }

    /// Returns the error of a host's correction.
    fn error_ns(&self, columns: &Columns, clocks: &Clocks, host: usize) -> u64 {
        let number: usize = columns.hosts()[host].trim_start_matches("host ").parse().unwrap();
        (clocks.hosts[host].offset_ns + self.ahead_ns[number]).unsigned_abs()
    }
}

/// Hands what is found for samples, by their own calls alone, to `check`.
fn with_clocks<R>(samples: &[Sample], max_ns: u64, check: impl FnOnce(&Columns, &Tree<'_>, &Clocks) -> R) -> R {
    let mut labels = Labels::default();
    let columns = columns(samples, &mut labels);
    let tree = Tree::new(&columns, &labels);
    let mut bounds = Bounds::default();
    bounds.observe(&columns, &tree);
    check(&columns, &tree, &bounds.clocks(&columns, &tree, max_ns))
}

/// Returns how many synchronous calls to other hosts there are, and how many of them end up outside their callers.
fn outside(columns: &Columns, clocks: &Clocks, tree: &Tree<'_>) -> (usize, usize) {
    let corrected = columns.shifted(|host| clocks.offset_ns(host));
    let rows = corrected.rows();
    let calls = tree.order().iter().filter_map(|node| Some((tree.parent(*node)? as usize, *node as usize)));
    let calls = calls.filter(|(parent, child)| rows[*parent].host != rows[*child].host && tree.is_sync(*child as u32));
    let is_outside = |parent: &Row, child: &Row| child.start_ns < parent.start_ns || child.end_ns > parent.end_ns;
    let outside = calls.clone().filter(|(parent, child)| is_outside(&rows[*parent], &rows[*child]));
    (calls.count(), outside.count())
}

proptest! {
    /// For any offsets and delays: once corrected, every synchronous callee lies inside its caller.
    #[test]
    fn corrected_callees_lie_inside_their_callers(world in worlds()) {
        with_clocks(&world.shown(), ANY, |columns, tree, clocks| {
            let (n_calls, n_outside) = outside(columns, clocks, tree);
            prop_assert_eq!(n_outside, 0, "of {}", n_calls);
            Ok(())
        })?;
    }

    /// For any offsets and delays: a host whose clock agrees with the root's is not corrected, however it is reached, and no host is doubtful.
    #[test]
    fn clocks_that_agree_are_left_alone(world in worlds()) {
        with_clocks(&world.shown(), ANY, |columns, _, clocks| {
            for (clock, host) in clocks.hosts.iter().zip(columns.hosts()) {
                let number: usize = host.trim_start_matches("host ").parse().unwrap();
                prop_assert!(world.ahead_ns[number] != 0 || clock.offset_ns == 0, "{:?}", clock);
                prop_assert!(!clock.is_doubtful);
            }
            Ok(())
        })?;
    }

    /// For any offsets and delays: the error is at most half of the least round trip between the root's host and another.
    #[test]
    fn the_error_is_at_most_half_the_least_round_trip(world in worlds()) {
        with_clocks(&world.shown(), ANY, |columns, tree, clocks| {
            let mut round_trips: BTreeMap<u32, u64> = BTreeMap::new();
            for node in tree.order() {
                let Some(parent) = tree.parent(*node) else { continue };
                let (caller, callee) = (tree.row(parent), tree.row(*node));
                let other = if caller.host == 0 { callee.host } else { caller.host };
                if (caller.host == 0) != (callee.host == 0) {
                    let round_trip = caller.duration_ns() - callee.duration_ns();
                    round_trips.entry(other).and_modify(|least| *least = round_trip.min(*least)).or_insert(round_trip);
                }
            }
            for (host, round_trip_ns) in round_trips {
                let error_ns = world.error_ns(columns, clocks, host as usize);
                prop_assert!(error_ns <= round_trip_ns.div_ceil(2), "{} of {}", error_ns, round_trip_ns);
            }
            Ok(())
        })?;
    }

    /// For any rows at all: an answer for each host, nothing else.
    #[test]
    fn any_rows_have_clocks(samples in crate::columns::samples::any_samples(), max_ns in any::<u64>()) {
        with_clocks(&samples, max_ns, |columns, _, clocks| {
            prop_assert_eq!(clocks.hosts.len(), columns.hosts().len());
            Ok(())
        })?;
    }
}

/// A call from host 0 to host 1 whose server clock shows these times, in ms after the begin.
fn call(id: u64, client: (u64, u64), server: (u64, u64)) -> [Sample; 2] {
    let at = |ms: u64| BEGIN_NS + ms * MS;
    [
        Sample::new(id, 1, at(client.0), at(client.1)).of_kind(SpanKind::Client),
        Sample::new(id + 1, id, at(server.0), at(server.1)).of_kind(SpanKind::Server).on(1),
    ]
}

fn calls(calls: &[[Sample; 2]]) -> Vec<Sample> {
    let root = Sample::new(1, 0, BEGIN_NS, BEGIN_NS + 10_000 * MS).of_kind(SpanKind::Server);
    std::iter::once(root).chain(calls.iter().flatten().cloned()).collect()
}

#[test]
fn the_offset_is_the_middle_of_what_all_calls_allow() {
    let samples = calls(&[call(10, (100, 200), (150, 210)), call(20, (300, 400), (370, 440))]);
    with_clocks(&samples, ANY, |_, _, clocks| {
        let clock = &clocks.hosts[1];
        assert_eq!((clock.low_ns, clock.high_ns), (Some(-50 * MS as i64), Some(-40 * MS as i64)));
        assert_eq!((clock.offset_ns, clock.state, clock.n_calls), (-45 * MS as i64, ClockState::Corrected, 2));
        assert_eq!(clocks.hosts[0].state, ClockState::Reference);
    });
}

#[test]
fn calls_that_contradict_each_other_correct_nothing() {
    let samples = calls(&[call(10, (100, 200), (150, 210)), call(20, (300, 400), (250, 340))]);
    with_clocks(&samples, ANY, |_, _, clocks| {
        let clock = &clocks.hosts[1];
        assert_eq!((clock.offset_ns, clock.state, clock.is_doubtful), (0, ClockState::Unknown, true));
    });
}

#[test]
fn calls_of_a_trace_correct_it_also_where_nothing_was_learnt() {
    let of = |samples: &[Sample]| {
        let mut labels = Labels::default();
        let columns = columns(samples, &mut labels);
        Bounds::default().clocks(&columns, &Tree::new(&columns, &labels), ANY).hosts[1].clone()
    };
    assert_eq!(of(&calls(&[call(10, (100, 200), (150, 210))])).offset_ns, -30 * MS as i64);
    assert!(of(&calls(&[call(10, (100, 200), (150, 210)), call(20, (300, 400), (250, 340))])).is_doubtful);
}

#[test]
fn a_correction_that_nobody_believes_is_not_applied() {
    let samples = calls(&[call(10, (100, 200), (1120, 1210))]);
    with_clocks(&samples, 1000 * MS, |_, _, clocks| {
        assert_eq!((clocks.hosts[1].offset_ns, clocks.hosts[1].state), (0, ClockState::TooFar));
    });
    with_clocks(&samples, 1015 * MS, |_, _, clocks| assert_eq!(clocks.hosts[1].offset_ns, -1015 * MS as i64));
}

#[test]
fn a_message_or_a_server_that_was_not_waited_for_bounds_from_below_alone() {
    let message = |server: (u64, u64)| {
        let [client, server] = call(10, (100, 200), server);
        calls(&[[client.of_kind(SpanKind::Producer), server.of_kind(SpanKind::Consumer)]])
    };
    let offset = |samples: &[Sample]| with_clocks(samples, ANY, |_, _, clocks| clocks.hosts[1].offset_ns);
    assert_eq!(offset(&message((120, 130))), 0);
    assert_eq!(offset(&message((40, 50))), 60 * MS as i64, "no earlier than its message");
    assert_eq!(offset(&calls(&[call(10, (100, 200), (190, 500))])), 0);
}

#[test]
fn rows_whose_times_are_not_known_say_nothing() {
    let mut labels = Labels::default();
    let sound = columns(&calls(&[call(10, (100, 200), (150, 220))]), &mut labels);
    let with_flags = |flags: u32| {
        let mut columns = Columns::default();
        sound.hosts().iter().for_each(|host| _ = columns.host(host));
        for row in sound.rows() {
            columns.push(Row { flags: if row.host == 1 { flags } else { 0 }, ..*row });
        }
        let tree = Tree::new(&columns, &labels);
        let mut bounds = Bounds::default();
        bounds.observe(&columns, &tree);
        bounds.clocks(&columns, &tree, ANY).hosts[1].clone()
    };
    assert_eq!(with_flags(0).offset_ns, -35 * MS as i64);
    assert_eq!(with_flags(row_flags::OPEN).state, ClockState::Agrees, "no end bounds it");
    assert_eq!(with_flags(row_flags::REPAIRED).state, ClockState::Unknown);
}

/// Returns the bounds of host 1 at a trace that begins so many seconds after one with a call.
fn bounds_after(age_s: u64) -> (Option<i64>, Option<i64>) {
    let mut labels = Labels::default();
    let first = columns(&calls(&[call(10, (0, 100), (50, 110))]), &mut labels);
    let later = |sample: Sample| Sample {
        start_ns: sample.start_ns + age_s * SECOND_NS,
        end_ns: sample.end_ns + age_s * SECOND_NS,
        ..sample
    };
    let silent = [Sample::new(1, 0, BEGIN_NS, BEGIN_NS + MS), Sample::new(2, 99, BEGIN_NS, BEGIN_NS).on(1)];
    let second = columns(&silent.map(later), &mut labels);
    let mut bounds = Bounds::default();
    bounds.observe(&first, &Tree::new(&first, &labels));
    let clocks = bounds.clocks(&second, &Tree::new(&second, &labels), ANY);
    (clocks.hosts[1].low_ns, clocks.hosts[1].high_ns)
}

#[test]
fn bounds_widen_with_age_and_end() {
    let ms = |ms: i64| ms * MS as i64;
    assert_eq!(bounds_after(0), (Some(ms(-50)), Some(ms(-10))));
    assert_eq!(bounds_after(20), (Some(ms(-51)), Some(ms(-9))));
    assert_eq!(bounds_after(60), (Some(ms(-53)), Some(ms(-7))));
    assert_eq!(bounds_after(61), (None, None));
}

/// A root on host "root" that calls servers on so many others, each 100 ms off.
fn star(n_hosts: usize, begin_ns: u64, name: &str, labels: &mut Labels) -> Columns {
    let mut columns = Columns::default();
    let (root, server) = (labels.intern("s", "root", SpanKind::Client), labels.intern("s", "call", SpanKind::Server));
    let host = columns.host("root");
    let end_ns = begin_ns + 10 * MS;
    columns.push(Row { id: crate::ids::SpanId(1), start_ns: begin_ns, end_ns, label: root, host, ..Row::default() });
    for nth in 0..n_hosts {
        let host = columns.host(&format!("{name} {nth:05}"));
        let (start_ns, end_ns) = (begin_ns + 100 * MS + MS, end_ns + 100 * MS - MS);
        let (id, parent) = (crate::ids::SpanId(2 + nth as u64), crate::ids::SpanId(1));
        columns.push(Row { id, parent, start_ns, end_ns, label: server, host, flags: 0 });
    }
    columns
}

#[test]
fn pairs_of_hosts_are_bounded_and_old_ones_make_room() {
    let mut labels = Labels::default();
    let mut bounds = Bounds::default();
    let first = star(PAIRS_MAX + 5, BEGIN_NS, "a", &mut labels);
    bounds.observe(&first, &Tree::new(&first, &labels));
    assert_eq!((bounds.pairs.len(), bounds.n_refused()), (PAIRS_MAX, 5));
    let second = star(7, BEGIN_NS + 100 * SECOND_NS, "b", &mut labels);
    bounds.observe(&second, &Tree::new(&second, &labels));
    assert_eq!((bounds.pairs.len(), bounds.n_refused()), (7, 5));
}

#[test]
fn hosts_of_one_trace_are_bounded() {
    let mut labels = Labels::default();
    let columns = star(HOSTS_MAX + 10, BEGIN_NS, "a", &mut labels);
    let tree = Tree::new(&columns, &labels);
    let mut bounds = Bounds::default();
    bounds.observe(&columns, &tree);
    let clocks = bounds.clocks(&columns, &tree, ANY);
    let n_corrected = clocks.hosts.iter().filter(|clock| clock.state == ClockState::Corrected).count();
    assert_eq!(n_corrected, HOSTS_MAX - 1);
    assert!(clocks.hosts.iter().all(|clock| clock.offset_ns == 0 || clock.offset_ns == -100 * MS as i64));
}
