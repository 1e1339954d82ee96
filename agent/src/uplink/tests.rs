//! Claims about the uplink: everything kept is acknowledged in the end, nothing is called acknowledged that is not, all tables are bounded.

use super::announce::ANNOUNCEMENTS_MAX;
use super::report::IN_FLIGHT_MAX;
use super::updates::{CHANGED_MAX, FOLLOWED_MAX};
use super::{Action, Batch, Event, Firing, Piece, Progress, Room, Rules, Uplink, Why};
use backsight_core::coordination::Greeting;
use backsight_core::ids::{RegionId, TraceId, TriggerId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::segment::SegmentKey;
use backsight_core::units::Nanos;

mod advice;
mod model;

const RULES: Rules =
    Rules { batch_bytes: 1000, bytes_per_s: 0, resend: Nanos::from_ms(2_000), linger: Nanos::from_ms(30_000) };
const ROOM: Room = Room { coordination: 100, batches: 100 };

fn trace(n: u64) -> TraceId {
    TraceId::new(3, n)
}

fn ms(n: u64) -> Nanos {
    Nanos::from_ms(n)
}

fn connected(instance: u64) -> Event {
    Event::Connected(Greeting { instance, ..Greeting::default() })
}

fn ready() -> Event {
    Event::ReportReady { batch_max_bytes: 1 << 20 }
}

fn fired(n: u64, laterals: &[u64]) -> Event {
    let traces = std::iter::once(n).chain(laterals.iter().copied()).map(trace).collect();
    Event::Fired(Firing { trigger: TriggerId::MANUAL, base: trace(n), fired_ns: n, traces, is_elsewhere: false })
}

fn key(region: u64, offset: u32) -> SegmentKey {
    SegmentKey { region: RegionId(region), chunk: 1, generation: 1, offset }
}

/// A segment of trace `n`, which fired at `n` milliseconds for the group of `base`.
fn grew(n: u64, base: u64, offset: u32, len: u32) -> Event {
    let why = Why {
        trigger: TriggerId::MANUAL,
        fired: ms(base),
        fired_ns: base,
        base: trace(base),
        priority: priority(base),
    };
    Event::Grew { trace: trace(n), why, piece: Piece { key: key(1, offset), len, cost: len + 50 } }
}

fn priority(base: u64) -> Priority {
    Priority::of(trace(base), 0, Salt::of_trigger(TriggerId::MANUAL))
}

fn tick(uplink: &mut Uplink, now: Nanos) -> Vec<Action> {
    uplink.step(now, Event::Tick { room: ROOM })
}

fn announced(actions: &[Action]) -> Vec<(u64, Vec<TraceId>)> {
    let one = |action: &Action| match action {
        Action::Announce { id, traces, .. } => Some((*id, traces.clone())),
        _ => None,
    };
    actions.iter().filter_map(one).collect()
}

fn batches(actions: &[Action]) -> Vec<Batch> {
    let one = |action: &Action| match action {
        Action::Batch(batch) => Some(batch.clone()),
        _ => None,
    };
    actions.iter().filter_map(one).collect()
}

fn sent(batches: &[Batch]) -> Vec<(TraceId, u32, u32)> {
    let parts = batches.iter().flat_map(|batch| &batch.parts);
    parts.flat_map(|part| part.segments.iter().map(|(key, len)| (part.trace, key.offset, *len))).collect()
}

#[test]
fn an_announcement_is_said_again_at_doubling_intervals_for_a_minute_and_then_given_up() {
    let mut uplink = Uplink::new(RULES);
    uplink.step(ms(0), connected(1));
    uplink.step(ms(0), fired(1, &[2]));
    let said = |uplink: &mut Uplink, at| announced(&tick(uplink, ms(at))).len();
    let times: Vec<u64> = (0..70_000).step_by(10).filter(|at| said(&mut uplink, *at) > 0).collect();
    assert_eq!(times[..8], [0, 250, 750, 1750, 3750, 7750, 12_750, 17_750]);
    assert!(times[8..].windows(2).all(|pair| pair[1] - pair[0] == 5_000), "{times:?}");
    assert!(times.last().is_some_and(|last| *last < 60_000));
    assert_eq!((uplink.counters().announces_given_up, uplink.n_unacked_announces()), (1, 0));
}

#[test]
fn what_fired_elsewhere_is_announced_only_where_the_coordinator_has_not_asked_in_time() {
    let elsewhere = |n| {
        let (base, traces) = (trace(n), vec![trace(n)]);
        Event::Fired(Firing { trigger: TriggerId::MANUAL, base, fired_ns: n, traces, is_elsewhere: true })
    };
    let said = |uplink: &mut Uplink, at| -> Vec<Vec<TraceId>> {
        announced(&tick(uplink, ms(at))).into_iter().map(|(_, traces)| traces).collect()
    };
    let mut uplink = Uplink::new(RULES);
    uplink.step(ms(0), connected(1));
    for n in 1..=3 {
        uplink.step(ms(0), elsewhere(n));
    }
    uplink.step(ms(5), Event::Collected { group: 7, traces: vec![trace(1)] });
    uplink.step(ms(5), fired(2, &[]));
    assert_eq!(said(&mut uplink, 5), [[trace(2)]], "a trigger of this host's own is news");
    uplink.step(ms(6), elsewhere(2));
    assert!(said(&mut uplink, 249).is_empty());
    assert_eq!(uplink.counters().announces_spared, 2);
    let late = said(&mut uplink, 250);
    assert!(late.contains(&vec![trace(3)]) && !late.contains(&vec![trace(1)]), "{late:?}");
    assert_eq!(said(&mut uplink, 255), [[trace(2)]], "again, as nobody has acknowledged it");
    uplink.step(ms(256), Event::Collected { group: 8, traces: vec![trace(3)] });
    assert!(said(&mut uplink, 500).contains(&vec![trace(3)]), "what was said is said until it is acknowledged");
}

#[test]
fn what_is_acknowledged_is_said_again_to_another_coordinator_only() {
    let mut uplink = Uplink::new(RULES);
    uplink.step(ms(0), connected(1));
    uplink.step(ms(0), fired(1, &[]));
    let id = announced(&tick(&mut uplink, ms(0)))[0].0;
    uplink.step(ms(1), Event::AnnounceAck { id, is_refused: false });
    assert!(announced(&tick(&mut uplink, ms(5_000))).is_empty());
    uplink.step(ms(5_000), Event::Disconnected);
    uplink.step(ms(5_000), connected(1));
    assert!(announced(&tick(&mut uplink, ms(5_000))).is_empty(), "it knows");
    uplink.step(ms(6_000), Event::Disconnected);
    uplink.step(ms(6_000), connected(2));
    assert_eq!(announced(&tick(&mut uplink, ms(6_000))), [(id, vec![trace(1)])]);
    uplink.step(ms(61_000), Event::Disconnected);
    uplink.step(ms(61_000), connected(3));
    assert!(announced(&tick(&mut uplink, ms(61_000))).is_empty(), "after a minute it is history");
    assert_eq!(uplink.counters().announces_given_up, 1, "the second coordinator never acknowledged it");
}

#[test]
fn firings_that_say_nothing_new_are_not_announced_and_a_storm_is_bounded() {
    let mut uplink = Uplink::new(RULES);
    for _ in 0..10 {
        uplink.step(ms(0), fired(1, &[]));
    }
    uplink.step(ms(0), fired(1, &[2]));
    assert_eq!(uplink.n_unacked_announces(), 2);
    for n in 0..(ANNOUNCEMENTS_MAX as u64 + 10) {
        uplink.step(ms(1), fired(1_000 + n, &[]));
    }
    assert_eq!(uplink.n_unacked_announces(), ANNOUNCEMENTS_MAX);
    assert_eq!(uplink.counters().announces_given_up, 12, "the oldest went");
}

#[test]
fn a_group_goes_in_one_batch_and_groups_go_in_the_order_of_their_priority() {
    let mut uplink = Uplink::new(Rules { batch_bytes: 100_000, ..RULES });
    uplink.step(ms(100), ready());
    for event in [grew(9, 7, 0, 80), grew(2, 2, 8, 80), grew(7, 7, 16, 80), grew(1, 50, 24, 80)] {
        uplink.step(ms(100), event);
    }
    assert!(batches(&tick(&mut uplink, ms(110))).is_empty(), "it is gathered");
    let batch = batches(&tick(&mut uplink, ms(120)));
    let order: Vec<_> = sent(&batch).into_iter().map(|(trace, ..)| trace).collect();
    let mut groups =
        [(priority(7), vec![trace(7), trace(9)]), (priority(2), vec![trace(2)]), (priority(50), vec![trace(1)])];
    groups.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    let by_priority: Vec<_> = groups.into_iter().flat_map(|(_, traces)| traces).collect();
    assert_eq!((batch.len(), order), (1, by_priority));
}

#[test]
fn only_what_is_new_or_longer_is_sent_and_progress_says_how_far_it_is() {
    let mut uplink = Uplink::new(RULES);
    uplink.step(ms(0), ready());
    uplink.step(ms(0), grew(1, 1, 0, 100));
    assert_eq!(uplink.progress(trace(1)), Some(Progress::Queued));
    assert_eq!(sent(&batches(&tick(&mut uplink, ms(20)))), [(trace(1), 0, 100)]);
    assert_eq!((uplink.progress(trace(1)), uplink.queued_bytes()), (Some(Progress::Sent), 0));
    uplink.step(ms(21), grew(1, 1, 0, 300));
    uplink.step(ms(21), grew(1, 1, 400, 50));
    assert!(uplink.step(ms(22), Event::BatchAck { number: 1 }).is_empty(), "it has grown since");
    assert_eq!(sent(&batches(&tick(&mut uplink, ms(220)))), [(trace(1), 0, 300), (trace(1), 400, 50)]);
    assert_eq!(uplink.step(ms(221), Event::BatchAck { number: 2 }), [Action::Acked { trace: trace(1) }]);
    assert_eq!(uplink.progress(trace(1)), Some(Progress::Acked));
    uplink.step(ms(400), Event::Died { trace: trace(1), region: RegionId(1) });
    let death = batches(&tick(&mut uplink, ms(420)));
    assert_eq!((sent(&death).len(), death[0].parts[0].deaths.len()), (0, 1), "the death alone");
    assert_eq!(uplink.progress(trace(1)), Some(Progress::Sent));
    uplink.step(ms(421), Event::ReportLost);
    uplink.step(ms(421), ready());
    assert_eq!(batches(&tick(&mut uplink, ms(421)))[0].parts[0].deaths.len(), 1, "it is told again");
}

#[test]
fn small_batches_keep_their_distance_and_full_ones_do_not() {
    let mut uplink = Uplink::new(Rules { batch_bytes: 2_000, ..RULES });
    uplink.step(ms(0), ready());
    let send_at = |uplink: &mut Uplink, at, events: Vec<Event>| {
        events.into_iter().for_each(|event| drop(uplink.step(ms(at), event)));
        let wake = uplink.wake_at().unwrap();
        (wake, sent(&batches(&tick(uplink, wake))).len())
    };
    assert_eq!(
        send_at(&mut uplink, 0, vec![grew(1, 1, 0, 100)]),
        (ms(20), 1),
        "the first one goes when its group is there"
    );
    uplink.step(ms(30), grew(2, 2, 0, 100));
    assert!(batches(&tick(&mut uplink, ms(219))).is_empty());
    assert_eq!(send_at(&mut uplink, 219, vec![]), (ms(220), 1));
    let enough = vec![grew(3, 3, 0, 1_100), grew(4, 4, 0, 900)];
    assert_eq!(send_at(&mut uplink, 230, enough), (ms(250), 1), "there is enough");
    assert_eq!(send_at(&mut uplink, 250, vec![]), (ms(450), 1), "the rest is not");
}

/// A batch that a collector does not take ends its stream, and would end the next one: smaller ones get through, or show which part it is.
#[test]
fn batches_are_halved_each_time_that_a_stream_ends_under_some_and_grow_again() {
    let mut uplink = Uplink::new(Rules { batch_bytes: 8_000, ..RULES });
    uplink.step(ms(0), ready());
    let n_segments = 400;
    (0..n_segments).for_each(|n| drop(uplink.step(ms(0), grew(1, 1, n, 350))));
    let mut first_of = |at: u64, event: Event| {
        uplink.step(ms(at), event);
        batches(&tick(&mut uplink, ms(at)))[0].clone()
    };
    let len = |batch: &Batch| batch.parts[0].segments.len();
    let whole = len(&first_of(20, ready()));
    let halved = first_of(1_000, ready());
    assert!(whole == 18 && len(&halved) == 8, "{whole}, then {}", len(&halved));
    let quartered = first_of(2_000, ready());
    assert_eq!(len(&quartered), 3);
    // Each acknowledgement is of all that is on its way; two doublings take twice 64 of them.
    let mut last = quartered;
    for at in 0..200 {
        let acked = Event::BatchAck { number: last.number + 100 };
        uplink.step(ms(3_000 + at), acked);
        uplink.step(ms(3_000 + at), grew(2 + at, 1, 9_000, 9_000));
        let Some(next) = batches(&tick(&mut uplink, ms(3_100 + at))).pop() else { continue };
        last = next;
    }
    uplink.step(ms(60_000), Event::BatchAck { number: last.number + 100 });
    (0..100).for_each(|n| drop(uplink.step(ms(60_000), grew(900, 900, n, 350))));
    assert_eq!(len(&batches(&tick(&mut uplink, ms(60_100)))[0]), 18);
}

#[test]
fn what_a_report_says_is_not_said_again_in_an_update() {
    let mut uplink = Uplink::new(RULES);
    uplink.step(ms(0), connected(1));
    uplink.step(ms(0), ready());
    uplink.step(ms(0), Event::Collected { group: 1, traces: vec![trace(1)] });
    tick(&mut uplink, ms(0));
    uplink.step(ms(10), grew(1, 1, 0, 100));
    let made: Vec<Action> = (10..500).flat_map(|at| tick(&mut uplink, ms(at))).collect();
    assert!(matches!(made.as_slice(), [Action::Batch(_)]), "{made:?}");
    uplink.step(ms(500), Event::Changed { trace: trace(1) });
    let made = tick(&mut uplink, ms(500));
    assert_eq!(made, [Action::Update { traces: vec![trace(1)] }], "no report says this");
    // A coordinator that has not acknowledged may pass over what the report of a trace says that it does not follow yet.
    let updates = |actions: Vec<Action>| actions.iter().filter(|of| matches!(of, Action::Update { .. })).count();
    uplink.step(ms(1_000), fired(2, &[]));
    let id = announced(&tick(&mut uplink, ms(1_000)))[0].0;
    uplink.step(ms(1_010), grew(2, 2, 0, 100));
    assert_eq!(updates((1_010..1_500).flat_map(|at| tick(&mut uplink, ms(at))).collect()), 1);
    uplink.step(ms(1_500), Event::AnnounceAck { id, is_refused: false });
    uplink.step(ms(1_510), grew(2, 2, 0, 200));
    assert_eq!(updates((1_510..2_000).flat_map(|at| tick(&mut uplink, ms(at))).collect()), 0);
}

#[test]
fn a_change_of_the_host_is_told_for_what_lingers_and_for_the_newest_of_very_many() {
    let updated = |actions: &[Action]| -> Vec<TraceId> {
        let traces = actions.iter().filter_map(|action| match action {
            Action::Update { traces } => Some(traces.clone()),
            _ => None,
        });
        traces.flatten().collect()
    };
    let mut uplink = Uplink::new(RULES);
    uplink.step(ms(0), connected(1));
    let asked = |uplink: &mut Uplink, at, n| {
        uplink.step(ms(at), Event::Collected { group: n, traces: vec![trace(n)] });
        tick(uplink, ms(at));
    };
    asked(&mut uplink, 0, 1);
    asked(&mut uplink, 29_000, 2);
    uplink.step(ms(30_000), Event::HostChanged);
    assert_eq!(updated(&tick(&mut uplink, ms(30_000))), [trace(2)], "the other lingers no more");
    assert_eq!(uplink.counters().changes_cut, 0);
    for n in 0..CHANGED_MAX as u64 + 100 {
        asked(&mut uplink, 40_000, 1_000 + n);
    }
    uplink.step(ms(41_000), Event::HostChanged);
    let mut told = Vec::new();
    for turn in 0..100 {
        let now = updated(&tick(&mut uplink, ms(41_000 + turn)));
        assert!(now.len() <= 1_024 + 32, "a turn of the loop stays short");
        told.extend(now);
    }
    assert_eq!(told.len(), CHANGED_MAX);
    assert!(!told.contains(&trace(1_000)) && told.contains(&trace(1_000 + CHANGED_MAX as u64 + 99)));
    assert_eq!(uplink.counters().changes_cut, 1);
}

#[test]
fn traces_that_are_followed_no_more_for_others_are_counted_and_those_whose_time_is_over_are_not() {
    let mut uplink = Uplink::new(RULES);
    let ask = |uplink: &mut Uplink, at, from: u64, n| {
        let traces = (from..from + n).map(trace).collect();
        uplink.step(ms(at), Event::Collected { group: from, traces });
    };
    ask(&mut uplink, 0, 0, FOLLOWED_MAX as u64);
    assert_eq!(uplink.counters().unfollowed, 0);
    ask(&mut uplink, 1, 0, 10);
    assert_eq!(uplink.counters().unfollowed, 0, "these were followed already");
    ask(&mut uplink, 2, 1_000_000, 7);
    assert_eq!(uplink.counters().unfollowed, 7);
    ask(&mut uplink, 200_000, 2_000_000, 7);
    assert_eq!(uplink.counters().unfollowed, 7);
}

#[test]
fn without_acknowledgements_the_stream_is_ended_with_growing_patience() {
    let mut uplink = Uplink::new(RULES);
    uplink.step(ms(0), grew(1, 1, 0, 100));
    let (mut resets, mut n_sent) = (Vec::new(), 0);
    uplink.step(ms(20), ready());
    for at in (20..100_000).step_by(10) {
        let actions = tick(&mut uplink, ms(at));
        n_sent += batches(&actions).len();
        if actions.contains(&Action::ResetReports) {
            resets.push(at);
            uplink.step(ms(at), ready());
        }
    }
    let waits: Vec<_> = resets.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!((resets[0], &waits[..4]), (2_020, [4_010, 8_010, 16_010, 32_010].as_slice()), "{resets:?}");
    assert_eq!(n_sent, resets.len() + 1, "once on each stream");
    uplink.step(ms(100_000), Event::BatchAck { number: 1 });
    assert_eq!((uplink.progress(trace(1)), uplink.counters().resets), (Some(Progress::Acked), resets.len() as u64));
}

#[test]
fn batches_on_their_way_and_bytes_per_second_are_bounded() {
    let mut uplink = Uplink::new(RULES);
    uplink.step(ms(0), ready());
    for n in 0..200 {
        uplink.step(ms(0), grew(n, n, 0, 900));
    }
    assert_eq!(batches(&tick(&mut uplink, ms(500))).len(), IN_FLIGHT_MAX);
    assert!(batches(&tick(&mut uplink, ms(501))).is_empty());
    uplink.step(ms(502), Event::BatchAck { number: 10 });
    assert_eq!(batches(&tick(&mut uplink, ms(502))).len(), 10);

    let mut uplink = Uplink::new(Rules { bytes_per_s: 100_000, ..RULES });
    uplink.step(ms(0), ready());
    for n in 0..200 {
        uplink.step(ms(0), grew(n, n, 0, 900));
    }
    let (mut n, mut last) = (0, 0);
    for at in 20..1_020 {
        let made = batches(&tick(&mut uplink, ms(at)));
        n += made.len();
        made.iter().for_each(|batch| last = batch.number);
        uplink.step(ms(at), Event::BatchAck { number: last });
    }
    assert!((50..=72).contains(&n), "{n} batches of 1462 B in a second at 100 kB/s");
}

#[test]
fn no_room_on_the_link_loses_nothing() {
    let mut uplink = Uplink::new(RULES);
    uplink.step(ms(0), connected(1));
    uplink.step(ms(0), ready());
    uplink.step(ms(0), fired(1, &[]));
    uplink.step(ms(0), grew(1, 1, 0, 100));
    uplink.step(ms(0), Event::Collected { group: 4, traces: vec![trace(1)] });
    assert!(uplink.step(ms(1_000), Event::Tick { room: Room::default() }).is_empty());
    let actions = tick(&mut uplink, ms(1_001));
    assert_eq!(actions[0], Action::Answer(vec![(4, vec![trace(1)])]), "answers first");
    assert_eq!((announced(&actions).len(), batches(&actions).len()), (1, 1));
}

#[test]
fn changes_are_told_at_most_every_50_ms_while_a_trace_is_followed() {
    let mut uplink = Uplink::new(RULES);
    uplink.step(ms(0), connected(1));
    uplink.step(ms(0), Event::Collected { group: 1, traces: vec![trace(1)] });
    tick(&mut uplink, ms(0));
    let updates = |uplink: &mut Uplink, from: u64, to: u64| {
        let mut n = 0;
        for at in from..to {
            uplink.step(ms(at), Event::Changed { trace: trace(1) });
            uplink.step(ms(at), Event::Changed { trace: trace(2) });
            n += tick(uplink, ms(at)).iter().filter(|action| matches!(action, Action::Update { .. })).count();
        }
        n
    };
    assert!((18..=20).contains(&updates(&mut uplink, 0, 1_000)));
    assert_eq!(updates(&mut uplink, 95_000, 95_200), 0, "it lingers no more");
    uplink.step(ms(96_000), Event::Collected { group: 2, traces: vec![trace(1)] });
    uplink.step(ms(96_000), Event::Disconnected);
    uplink.step(ms(97_000), connected(1));
    let again = tick(&mut uplink, ms(97_000));
    assert_eq!(again, [Action::Update { traces: vec![trace(1)] }], "what may have been missed; the question is void");
}

#[test]
fn what_no_collector_takes_blocks_nothing() {
    let mut uplink = Uplink::new(RULES);
    uplink.step(ms(0), Event::ReportReady { batch_max_bytes: 1 });
    let Event::Grew { trace: of, why, piece } = grew(1, 1, 0, 100) else { return };
    uplink.step(ms(0), Event::Grew { trace: of, why, piece: Piece { cost: 1 << 20, ..piece } });
    uplink.step(ms(0), grew(2, 2, 0, 100));
    assert_eq!(sent(&batches(&tick(&mut uplink, ms(20)))), [(trace(2), 0, 100)]);
    assert_eq!((uplink.counters().too_large, uplink.queued_bytes()), (1, 0));
}
