//! Claims about storms: what waits is said to wait, what is held is not begun, and no hold lasts for ever.

use super::{Event, Rules, TriggerId, Uplink, batches, connected, grew, ms, priority, ready, sent, tick, trace};
use crate::uplink::report::HELD_MAX;
use crate::uplink::{Action, Why};
use backsight_core::coordination::Advice;
use backsight_core::ids::TraceId;
use backsight_core::units::Nanos;

/// Nothing is acknowledged here, and no stream ends for that.
const RULES: Rules = Rules { resend: Nanos::from_ms(600_000), ..super::RULES };
/// Twice as much as a second of this takes comes in each second.
const SLOW: Rules = Rules { bytes_per_s: 1_000, ..RULES };

fn advised(n: u64, advice: Advice) -> Event {
    Event::Advised(vec![(trace(n), advice)])
}

fn order(uplink: &mut Uplink, at: u64) -> Vec<TraceId> {
    sent(&batches(&tick(uplink, ms(at)))).into_iter().map(|(trace, ..)| trace).collect()
}

fn updated(actions: &[Action]) -> Vec<TraceId> {
    let traces = actions.iter().filter_map(|action| match action {
        Action::Update { traces } => Some(traces.clone()),
        _ => None,
    });
    traces.flatten().collect()
}

/// Returns an uplink that does not keep up with a trigger, 10 s after it began to, and the traces that wait, the next first.
fn behind() -> (Uplink, Vec<u64>) {
    let mut uplink = Uplink::new(SLOW);
    uplink.step(ms(0), connected(1));
    uplink.step(ms(0), ready());
    for n in 1..=40 {
        uplink.step(ms(250 * n), Event::Collected { group: n, traces: vec![trace(n)] });
        uplink.step(ms(250 * n), grew(n, n, 8 * n as u32, 450));
        tick(&mut uplink, ms(250 * n));
        tick(&mut uplink, ms(250 * n + 40));
    }
    let mut waiting: Vec<u64> = (1..=40).filter(|n| uplink.say_waits(ms(10_040), trace(*n))).collect();
    waiting.sort_by_key(|n| std::cmp::Reverse(priority(*n)));
    (uplink, waiting)
}

#[test]
fn what_an_uplink_that_does_not_keep_up_has_not_begun_is_said_to_wait() {
    let (mut uplink, waiting) = behind();
    assert!((10..36).contains(&waiting.len()), "{waiting:?}");
    let first = order(&mut uplink, 20_000);
    assert_eq!(first.first(), Some(&trace(waiting[0])), "of what waits, the highest priority");
    assert!(!uplink.say_waits(ms(20_000), trace(waiting[0])), "it is begun");
    assert!(uplink.say_waits(ms(20_000), trace(waiting[waiting.len() - 1])));
    let rare = Why { trigger: TriggerId::CLI, ..of(grew(99, 99, 9_000, 100)) };
    let Event::Grew { piece, .. } = grew(99, 99, 9_000, 100) else { unreachable!() };
    uplink.step(ms(20_000), Event::Grew { trace: trace(99), why: rare, piece });
    tick(&mut uplink, ms(20_020));
    assert!(!uplink.say_waits(ms(20_020), trace(99)), "a rare trigger has a queue of its own");
}

fn of(event: Event) -> Why {
    let Event::Grew { why, .. } = event else { unreachable!() };
    why
}

#[test]
fn the_coordinator_is_told_once_an_uplink_falls_behind() {
    let mut uplink = Uplink::new(Rules { bytes_per_s: 100, ..RULES });
    uplink.step(ms(0), connected(1));
    uplink.step(ms(0), ready());
    for n in 1..=9 {
        uplink.step(ms(0), Event::Collected { group: n, traces: vec![trace(n)] });
        uplink.step(ms(0), grew(n, n, 8 * n as u32, 450));
    }
    let n_sent = order(&mut uplink, 20).len();
    assert!(!uplink.say_waits(ms(400), trace(1)) && n_sent < 9);
    tick(&mut uplink, ms(400)); // all that changed is told of
    let told = updated(&(500..700).flat_map(|at| tick(&mut uplink, ms(at))).collect::<Vec<_>>());
    assert_eq!(told.len(), 9 - n_sent, "each of those that wait now");
    assert!(told.iter().all(|trace| uplink.say_waits(ms(700), *trace)));
}

#[test]
fn what_is_held_is_sent_when_it_is_released_or_was_held_for_too_long() {
    let mut uplink = Uplink::new(RULES);
    uplink.step(ms(0), ready());
    for n in 1..=2 {
        uplink.step(ms(0), grew(n, n, 8 * n as u32, 80));
        uplink.step(ms(1), advised(n, Advice::Hold));
    }
    assert_eq!(order(&mut uplink, 1_000), []);
    assert!(!uplink.say_waits(ms(1_000), trace(1)), "it is others that it waits for");
    uplink.step(ms(1_001), advised(1, Advice::Send));
    assert_eq!(order(&mut uplink, 1_001), [trace(1)]);
    uplink.step(ms(1_002), advised(1, Advice::Hold));
    uplink.step(ms(1_002), grew(1, 1, 8, 90));
    assert_eq!(order(&mut uplink, 1_300), [trace(1)], "what is begun is finished");
    let end = HELD_MAX.as_ms() + 1;
    assert_eq!(order(&mut uplink, end - 1), []);
    assert_eq!(uplink.wake_at(), Some(ms(end)));
    assert_eq!(order(&mut uplink, end), [trace(2)]);
    uplink.step(ms(end), grew(3, 3, 24, 80));
    uplink.step(ms(end), advised(3, Advice::Hold));
    uplink.step(ms(end + 100), Event::Disconnected);
    uplink.step(ms(end + 100), ready());
    assert!(order(&mut uplink, end + 600).contains(&trace(3)), "without a coordinator nobody advises");
}

/// A report may overtake the announcement of its trace, so that a coordinator that has just started passes over what it says.
#[test]
fn a_coordinator_that_does_not_follow_a_trace_yet_is_told_that_it_waits_no_more() {
    let (mut uplink, waiting) = behind();
    uplink.step(ms(10_050), connected(2));
    let said = tick(&mut uplink, ms(10_100));
    assert!(updated(&said).contains(&trace(waiting[0])) && uplink.say_waits(ms(10_100), trace(waiting[0])));
    let sends = tick(&mut uplink, ms(20_000));
    assert_eq!(sent(&batches(&sends)).first().map(|of| of.0), Some(trace(waiting[0])));
    let later = [sends, tick(&mut uplink, ms(20_050))].concat();
    assert!(updated(&later).contains(&trace(waiting[0])), "{later:?}");
}

/// Two hosts that both do not keep up hold for each other what neither has sent: each says of it when its turn comes.
#[test]
fn what_is_held_and_waits_is_called_when_its_turn_comes() {
    let (mut uplink, waiting) = behind();
    for n in &waiting {
        uplink.step(ms(20_000), advised(*n, Advice::Hold));
    }
    let [next, last] = [waiting[0], waiting[waiting.len() - 1]].map(trace);
    assert!(uplink.say_waits(ms(20_000), next) && uplink.say_waits(ms(20_000), last));
    uplink.step(ms(20_000), advised(waiting[1], Advice::Send));
    let actions = [tick(&mut uplink, ms(20_100)), tick(&mut uplink, ms(20_200))].concat();
    assert_eq!(sent(&batches(&actions)).first().map(|of| of.0), Some(trace(waiting[1])));
    let (told, mut others) = (updated(&actions), waiting.iter().filter(|n| **n != waiting[1]));
    assert!(others.all(|n| told.contains(&trace(*n))), "nothing that may be sent is left: all are called");
    assert!(waiting.iter().all(|n| !uplink.say_waits(ms(20_200), trace(*n))));
    uplink.step(ms(20_200), Event::Advised(waiting.iter().map(|n| (trace(*n), Advice::Send)).collect()));
    let all: Vec<_> = (21..120).flat_map(|s| order(&mut uplink, s * 1_000)).collect();
    assert_eq!(all.len(), waiting.len() - 1);
}

#[test]
fn what_another_host_lost_is_sent_after_everything_else_and_given_up_in_a_storm() {
    let mut uplink = Uplink::new(Rules { batch_bytes: 100_000, ..RULES });
    uplink.step(ms(100), ready());
    let mut by_priority: Vec<u64> = (1..9).collect();
    by_priority.sort_by_key(|n| std::cmp::Reverse(priority(*n)));
    for n in 1..9 {
        uplink.step(ms(100), grew(n, n, 8 * n as u32, 80));
    }
    let highest = trace(by_priority[0]);
    let demote = |trace| vec![Action::Demote { trace }];
    assert_eq!(uplink.step(ms(101), advised(by_priority[0], Advice::GiveUp)), demote(highest), "one is no storm");
    let sent = order(&mut uplink, 120);
    assert_eq!((sent.len(), sent.last()), (8, Some(&highest)));
    uplink.step(ms(130), grew(10, 10, 80, 80));
    let give_up = vec![Action::GiveUp { trace: trace(10) }];
    assert_eq!(uplink.step(ms(131), advised(10, Advice::GiveUp)), give_up);
    assert_eq!(uplink.step(ms(132), advised(by_priority[1], Advice::GiveUp)), demote(trace(by_priority[1])), "begun");
    assert_eq!(uplink.step(ms(133), advised(10, Advice::Last)), demote(trace(10)), "lost to the horizon");
    assert_eq!(uplink.step(ms(5_000), advised(10, Advice::GiveUp)), demote(trace(10)), "the storm is over");
}

#[test]
fn in_a_storm_traces_are_gathered_until_a_hold_could_have_come() {
    let mut uplink = Uplink::new(RULES);
    uplink.step(ms(0), ready());
    uplink.step(ms(0), grew(1, 1, 8, 80));
    uplink.step(ms(0), advised(1, Advice::Hold));
    uplink.step(ms(100), grew(2, 2, 16, 80));
    assert_eq!(order(&mut uplink, 599), []);
    assert_eq!(order(&mut uplink, 600), [trace(2)]);
    uplink.step(ms(3_000), grew(3, 3, 24, 80));
    assert_eq!(order(&mut uplink, 3_020), [trace(3)], "it is over");
}
