//! Claims about triggers: who is refused, what lingers, and what a firing asks for.
use super::{Action, Event, LINGERING_MAX, Looked, Origin, Rules, Triggers};
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::units::Nanos;

const RULES: Rules = Rules { rate_per_s: 3, remote_rate_per_s: 2, linger: Nanos::from_ms(30_000), lateral_max: 2 };

fn trace(n: u64) -> TraceId {
    TraceId::new(7, n)
}

fn fired(n: u64, laterals: &[u64], origin: Origin) -> Event {
    let laterals = laterals.iter().map(|n| trace(*n)).collect();
    Event::Fired { trigger: TriggerId::MANUAL, trace: trace(n), laterals, origin }
}

const fn looked(since: u64) -> Looked {
    Looked { whole_since: since, remembers_since: since, last: since }
}

fn collected(actions: &[Action]) -> Vec<(TraceId, TraceId)> {
    let one = |action: &Action| match action {
        Action::Collect(triggered) => Some((triggered.trace, triggered.base)),
        Action::Refused { .. } => None,
    };
    actions.iter().filter_map(one).collect()
}

#[test]
fn a_firing_collects_the_trace_and_its_laterals_as_one_group() {
    let mut triggers = Triggers::new(RULES, Nanos(0));
    let actions = triggers.step(Nanos(0), fired(1, &[2, 1, 0, 3, 4], Origin::Signal));
    assert_eq!(collected(&actions), [(trace(1), trace(1)), (trace(2), trace(1)), (trace(0), trace(1))]);
    assert!(triggers.triggered(trace(2)).is_some() && triggers.triggered(trace(4)).is_none());
}

/// What a client wrote into its memory as a trigger's id goes to collectors, which end the stream of whoever announces none.
#[test]
fn no_trigger_fires_for_nothing() {
    let mut triggers = Triggers::new(RULES, Nanos(0));
    for origin in [Origin::Signal, Origin::Segment, Origin::Death] {
        let none = Event::Fired { trigger: TriggerId(0), trace: trace(1), laterals: Vec::new(), origin };
        assert_eq!(triggers.step(Nanos(0), none), []);
    }
    assert!(!triggers.knows(trace(1)) && triggers.counts().is_empty());
}

#[test]
fn a_trace_lingers_and_is_then_forgotten() {
    let mut triggers = Triggers::new(RULES, Nanos(0));
    triggers.step(Nanos(0), fired(1, &[], Origin::Signal));
    triggers.step(Nanos::from_ms(20_000), fired(1, &[], Origin::Signal));
    triggers.step(Nanos::from_ms(40_000), Event::Tick);
    assert!(triggers.triggered(trace(1)).is_some(), "the second firing prolongs it");
    triggers.step(Nanos::from_ms(50_000), Event::Tick);
    assert!(!triggers.knows(trace(1)));
}

#[test]
fn over_the_rate_a_firing_is_refused_and_counted_and_its_marked_segments_do_not_ask_again() {
    let mut triggers = Triggers::new(RULES, Nanos(0));
    for n in 1..=2 * RULES.rate_per_s {
        triggers.step(Nanos(0), fired(n, &[], Origin::Signal));
    }
    let actions = triggers.step(Nanos(0), fired(44, &[45], Origin::Signal));
    assert_eq!(actions, [Action::Refused { trigger: TriggerId::MANUAL, trace: trace(44) }]);
    assert!(triggers.step(Nanos::from_ms(5_000), fired(44, &[], Origin::Segment)).is_empty());
    assert!(triggers.triggered(trace(44)).is_none() && triggers.triggered(trace(45)).is_none());
    assert_eq!(triggers.counts()[&TriggerId::MANUAL].refused, 1);
    let again = triggers.step(Nanos::from_ms(5_000), fired(44, &[], Origin::Signal));
    assert_eq!(collected(&again), [(trace(44), trace(44))], "a new firing is a new chance");
}

#[test]
fn what_fired_elsewhere_is_kept_once_within_the_limit_of_other_hosts_and_counts_for_no_trigger_here() {
    let mut triggers = Triggers::new(RULES, Nanos(0));
    let again = triggers.step(Nanos(0), fired(1, &[], Origin::Elsewhere));
    assert_eq!(collected(&again), [(trace(1), trace(1))]);
    assert_eq!(triggers.step(Nanos(1), fired(1, &[], Origin::Elsewhere)), [], "it lingers");
    assert_eq!(collected(&triggers.step(Nanos(2), fired(1, &[], Origin::Signal))).len(), 1, "news of this host");
    for n in 2..=1 + 2 * RULES.remote_rate_per_s {
        triggers.step(Nanos(4), fired(n, &[], Origin::Elsewhere));
    }
    assert!(triggers.is_refused(trace(1 + 2 * RULES.remote_rate_per_s)));
    assert_eq!(triggers.counts().values().map(|counts| counts.fired).sum::<u64>(), 1);
}

#[test]
fn a_trigger_that_was_only_heard_of_gives_way_to_the_one_that_fired() {
    let mut triggers = Triggers::new(RULES, Nanos(0));
    let elsewhere = Event::Fired {
        trigger: TriggerId::ELSEWHERE,
        trace: trace(1),
        laterals: Vec::new(),
        origin: Origin::Elsewhere,
    };
    triggers.step(Nanos(0), elsewhere);
    let of = |triggers: &Triggers| triggers.triggered(trace(1)).map(|triggered| triggered.trigger);
    assert_eq!(of(&triggers), Some(TriggerId::ELSEWHERE));
    triggers.step(Nanos(1), fired(1, &[], Origin::Remote { base: trace(1), fired_ns: 5 }));
    assert_eq!(of(&triggers), Some(TriggerId::MANUAL));
    let cli = Event::Fired { trigger: TriggerId::CLI, trace: trace(1), laterals: Vec::new(), origin: Origin::Admin };
    triggers.step(Nanos(2), cli);
    assert_eq!(of(&triggers), Some(TriggerId::MANUAL), "the first that is known");
}

#[test]
fn the_first_look_says_since_when_nothing_is_missing_until_what_it_found_is_given_up() {
    let mut triggers = Triggers::new(RULES, Nanos(0));
    triggers.note_looked(trace(1), looked(5));
    assert_eq!(triggers.looked(trace(1)), None, "nobody asked for it");
    triggers.step(Nanos(0), fired(1, &[], Origin::Signal));
    triggers.note_looked(trace(1), looked(10));
    triggers.step(Nanos(1), fired(1, &[], Origin::Admin));
    triggers.note_looked(trace(1), looked(20));
    assert_eq!(
        triggers.looked(trace(1)),
        Some(Looked { last: 20, ..looked(10) }),
        "the last look only says when it was"
    );
    triggers.step(Nanos(2), Event::Abandoned { trace: trace(1) });
    triggers.note_looked(trace(1), looked(30));
    assert_eq!(triggers.looked(trace(1)), None);
    triggers.step(Nanos::from_ms(5_000), fired(1, &[], Origin::Signal));
    triggers.note_looked(trace(1), looked(40));
    assert_eq!(triggers.looked(trace(1)), Some(looked(40)));
}

#[test]
fn an_abandoned_trace_is_not_collected_again_by_its_own_segments() {
    let mut triggers = Triggers::new(RULES, Nanos(0));
    triggers.step(Nanos(0), fired(1, &[], Origin::Signal));
    triggers.step(Nanos(0), Event::Abandoned { trace: trace(1) });
    assert!(triggers.triggered(trace(1)).is_none());
    assert!(triggers.step(Nanos(1), fired(1, &[], Origin::Segment)).is_empty());
}

#[test]
fn no_storm_of_traces_grows_the_tables_beyond_their_bounds() {
    let mut triggers = Triggers::new(Rules { rate_per_s: 1_000_000, ..RULES }, Nanos(0));
    let n = LINGERING_MAX as u64 * 2;
    for i in 0..n {
        triggers.step(
            Nanos(i),
            Event::Fired {
                trigger: TriggerId(i as u32 + 1),
                trace: trace(i + 1),
                laterals: Vec::new(),
                origin: Origin::Signal,
            },
        );
    }
    assert!(triggers.n_lingering() <= LINGERING_MAX && triggers.lingering.queue.len() <= 2 * LINGERING_MAX);
    assert_eq!(triggers.n_cut_short(), n - LINGERING_MAX as u64);
    assert!(triggers.counts().len() <= crate::limits::TRIGGERS_MAX + 1);
}

#[test]
fn a_storm_that_is_refused_has_nothing_stop_lingering() {
    let mut triggers = Triggers::new(Rules { rate_per_s: 1, ..RULES }, Nanos(0));
    triggers.step(Nanos(0), fired(1, &[], Origin::Signal));
    let n = LINGERING_MAX as u64 * 2;
    for i in 2..2 + n {
        triggers.step(Nanos(1), fired(i, &[], Origin::Signal));
    }
    assert!(triggers.triggered(trace(1)).is_some());
    assert_eq!((triggers.n_cut_short(), triggers.is_refused(trace(1 + n))), (0, true));
    let turned_down = &triggers.turned_down;
    assert!(turned_down.n_entries <= LINGERING_MAX && turned_down.queue.len() <= 2 * LINGERING_MAX);
    triggers.step(Nanos(RULES.linger.0 + 1), Event::Tick);
    assert_eq!((triggers.entries.len(), triggers.lingering.n_entries, triggers.turned_down.n_entries), (0, 0, 0));
}

#[test]
fn what_the_coordinator_asks_for_has_a_limit_of_its_own() {
    let mut triggers = Triggers::new(Rules { rate_per_s: 1, ..RULES }, Nanos(0));
    let remote = Origin::Remote { base: trace(9), fired_ns: 5 };
    let asked = triggers.step(Nanos(0), fired(1, &[2, 3, 4], remote));
    let of_base = [1, 2, 3, 4].map(|n| (trace(n), trace(9)));
    assert_eq!(collected(&asked), of_base, "its laterals are not cut, and another coordinator asks for their base");
    assert_eq!(triggers.triggered(trace(3)).and_then(|triggered| triggered.fired_ns), Some(5));
    triggers.step(Nanos(0), fired(5, &[], Origin::Signal));
    assert!(triggers.triggered(trace(5)).is_some(), "the local limit is untouched");
    for n in 1..2 * RULES.remote_rate_per_s {
        triggers.step(Nanos(0), fired(60 + n, &[], remote));
    }
    triggers.step(Nanos(0), fired(7, &[1, 8], remote));
    assert!(triggers.is_refused(trace(7)) && triggers.is_refused(trace(8)) && triggers.triggered(trace(1)).is_some());
    assert_eq!((triggers.remote_counts().fired, triggers.remote_counts().refused), (5, 1));
}
