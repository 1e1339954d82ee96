//! Claims about the coordinator: whom it asks, what it says of them, what it forgets and what it refuses.

mod bounds;
mod convergence;
mod model;

use super::{ASK_AGAIN, Action, Coordinator, Event, GROUP_LIFE, Limits, Refusal};
use backsight_core::certificate::Contact;
use backsight_core::coordination::{Advice, Announcement, Answer, Collection, Greeting, View};
use backsight_core::holding::{Holding, HoldingState};
use backsight_core::ids::{AgentId, TraceId};
use backsight_core::names::TriggerName;
use backsight_core::units::Nanos;
use model::{announcement, holding, trace};

const A: AgentId = AgentId(1);
const B: AgentId = AgentId(2);
const C: AgentId = AgentId(3);
const D: AgentId = AgentId(4);

fn ms(n: u64) -> Nanos {
    Nanos::from_ms(n)
}

/// Returns a coordinator with agents that are connected.
fn with(agents: &[AgentId]) -> Coordinator {
    let mut coordinator = Coordinator::new(Limits::default(), Greeting::default());
    for agent in agents {
        assert_eq!(coordinator.step(ms(0), Event::Connected { agent: *agent }), []);
    }
    coordinator
}

fn announced(agent: AgentId, id: u64, holdings: Vec<Holding>) -> Event {
    Event::Announced { agent, announcement: announcement(id, 300, holdings) }
}

fn answered(agent: AgentId, group: u64, holdings: Vec<Holding>) -> Event {
    Event::Answered { agent, answer: Answer { group, holdings } }
}

fn collects(actions: &[Action]) -> Vec<(AgentId, Collection)> {
    let one = |action: &Action| match action {
        Action::Collect { agent, collection } => Some((*agent, collection.clone())),
        _ => None,
    };
    actions.iter().filter_map(one).collect()
}

fn asked(actions: &[Action]) -> Vec<AgentId> {
    collects(actions).into_iter().map(|(agent, _)| agent).collect()
}

fn views(actions: &[Action]) -> Vec<View> {
    let one = |action: &Action| match action {
        Action::Publish(view) => Some(view.clone()),
        _ => None,
    };
    actions.iter().filter_map(one).collect()
}

fn contacts(view: &View) -> Vec<(u32, Contact)> {
    view.agents.iter().map(|of| (of.agent.0, of.contact)).collect()
}

#[test]
fn what_a_report_says_before_the_announcement_counts_when_the_update_behind_it_says_it_again() {
    let mut coordinator = with(&[A, B, C]);
    // Reports travel on a stream of their own, and this one is faster: nobody follows the trace yet.
    let grown = holding(1, 2, &[2, 3]);
    assert_eq!(coordinator.step(ms(1), Event::Reported { agent: A, holding: grown.clone() }), []);
    assert_eq!(coordinator.counts().holdings_unfollowed, 1);
    assert_eq!(asked(&coordinator.step(ms(2), announced(A, 9, vec![holding(1, 1, &[2])]))), [B]);
    assert_eq!(asked(&coordinator.step(ms(3), Event::Updated { agent: A, holdings: vec![grown] })), [C]);
}

#[test]
fn an_announcement_is_acknowledged_and_its_crumbs_are_followed_in_parallel() {
    let mut coordinator = with(&[A, B, C, D]);
    let actions = coordinator.step(ms(1), announced(A, 9, vec![holding(1, 1, &[2, 3])]));
    assert_eq!(actions[0], Action::Acknowledge { agent: A, id: 9, refusal: None });
    assert_eq!(asked(&actions), [B, C]);
    let question = &collects(&actions)[0].1;
    assert_eq!((question.origin, question.trigger.0, question.fired_ns), (A, 300, 5));
    assert_eq!(question.traces, [trace(1)]);
    let actions = coordinator.step(ms(2), answered(B, question.group, vec![holding(1, 1, &[1, 3, 4])]));
    assert_eq!(asked(&actions), [D], "whoever was asked or has announced is not asked again");
    assert_eq!(views(&actions), [], "two are awaited");
    coordinator.step(ms(2), answered(C, question.group, vec![holding(1, 1, &[])]));
    let actions = coordinator.step(ms(3), answered(D, question.group, vec![holding(1, 1, &[1])]));
    let all = [1, 2, 3, 4].map(|agent| (agent, Contact::Answered));
    assert_eq!(contacts(&views(&actions)[0]), all, "the last answer publishes at once");
    assert_eq!(views(&coordinator.step(ms(100), Event::Tick)), [], "and nothing is published twice");
}

/// What agents are told about trace 1.
fn advised(actions: &[Action]) -> Vec<(AgentId, Advice)> {
    let one = |action: &Action| match action {
        Action::Advise { agent, trace: of, advice } if *of == trace(1) => Some((*agent, *advice)),
        _ => None,
    };
    actions.iter().filter_map(one).collect()
}

#[test]
fn when_one_host_gives_its_part_up_those_that_keep_theirs_are_told_once() {
    for (state, advice) in [
        (HoldingState::Evicted, Advice::Last),
        (HoldingState::Refused, Advice::GiveUp),
        (HoldingState::Abandoned, Advice::GiveUp),
    ] {
        let mut coordinator = with(&[A, B, C]);
        let actions = coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[2, 3])]));
        let group = collects(&actions)[0].1.group;
        let lost = Holding { state, ..holding(1, 1, &[]) };
        assert_eq!(advised(&coordinator.step(ms(2), answered(B, group, vec![lost]))), [(A, advice)]);
        let later = coordinator.step(ms(3), answered(C, group, vec![holding(1, 1, &[])]));
        assert_eq!(advised(&later), [(C, advice)]);
        let updated = Event::Updated { agent: A, holdings: vec![holding(1, 2, &[])] };
        assert_eq!(advised(&coordinator.step(ms(4), updated)), []);
        assert_eq!(coordinator.counts().advice, 2);
    }
}

#[test]
fn while_one_hosts_part_waits_for_its_uplink_the_others_hold_theirs() {
    let waiting = |revision| Holding { waits: true, ..holding(1, revision, &[2, 3]) };
    let mut coordinator = with(&[A, B, C]);
    let actions = coordinator.step(ms(1), announced(A, 1, vec![waiting(1)]));
    let group = collects(&actions)[0].1.group;
    assert_eq!(advised(&actions), [], "it waits for nobody");
    let hold = |agent| (agent, Advice::Hold);
    assert_eq!(advised(&coordinator.step(ms(2), answered(B, group, vec![holding(1, 1, &[])]))), [hold(B)]);
    assert_eq!(advised(&coordinator.step(ms(3), answered(C, group, vec![waiting(1)]))), [hold(A), hold(C)]);
    let sent = |agent, revision| Event::Reported { agent, holding: holding(1, revision, &[2, 3]) };
    assert_eq!(advised(&coordinator.step(ms(4), sent(A, 2))), [(C, Advice::Send)], "it alone is waited for");
    assert_eq!(advised(&coordinator.step(ms(5), sent(C, 2))), [(A, Advice::Send), (B, Advice::Send)]);
    let updated = Event::Updated { agent: C, holdings: vec![Holding { state: HoldingState::Abandoned, ..waiting(3) }] };
    let given_up = [(A, Advice::GiveUp), (B, Advice::GiveUp)];
    assert_eq!(advised(&coordinator.step(ms(6), updated)), given_up, "whatever was said before");
}

#[test]
fn nobody_waits_for_the_uplink_of_an_agent_that_has_gone() {
    let mut coordinator = with(&[A, B]);
    let actions = coordinator.step(ms(1), announced(A, 1, vec![Holding { waits: true, ..holding(1, 1, &[2]) }]));
    let group = collects(&actions)[0].1.group;
    coordinator.step(ms(2), answered(B, group, vec![holding(1, 1, &[])]));
    assert_eq!(advised(&coordinator.step(ms(3), Event::Disconnected { agent: A })), [(B, Advice::Send)]);
    assert_eq!(advised(&coordinator.step(ms(4), Event::Disconnected { agent: A })), []);
}

#[test]
fn views_of_one_tick_are_one() {
    let mut coordinator = with(&[A, B]);
    coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[2])]));
    for revision in 2..20 {
        let updated = Event::Updated { agent: A, holdings: vec![holding(1, revision, &[2])] };
        assert_eq!(coordinator.step(ms(revision), updated), []);
    }
    let published = views(&coordinator.step(ms(100), Event::Tick));
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].agents[0].holding.as_ref().unwrap().revision, 19);
}

#[test]
fn a_later_announcement_is_an_answer_for_what_it_covers_and_laterals_are_still_collected() {
    let mut coordinator = with(&[A]);
    let both = vec![holding(1, 1, &[2, 3]), holding(8, 1, &[])];
    coordinator.step(ms(1), announced(A, 1, both));
    coordinator.step(ms(1), announced(B, 1, vec![holding(1, 1, &[])]));
    let actions = coordinator.step(ms(2), Event::Connected { agent: B });
    let asked_for = &collects(&actions)[0].1;
    assert_eq!(
        (asked_for.base, &asked_for.traces[..]),
        (trace(1), &[trace(8)][..]),
        "the lateral, with its base's name"
    );
    coordinator.step(ms(2), announced(C, 1, vec![holding(1, 1, &[]), holding(8, 1, &[])]));
    assert_eq!(asked(&coordinator.step(ms(3), Event::Connected { agent: C })), [], "it has told of everything");
    assert_eq!(coordinator.n_groups(), 1, "the same trigger on the same trace is one group");
}

#[test]
fn laterals_that_join_later_are_asked_of_those_who_answered() {
    let mut coordinator = with(&[A, B, C]);
    let actions = coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[2])]));
    let group = collects(&actions)[0].1.group;
    coordinator.step(ms(2), answered(B, group, vec![holding(1, 1, &[])]));
    let actions = coordinator.step(ms(3), announced(C, 1, vec![holding(1, 1, &[]), holding(8, 1, &[])]));
    let traces: Vec<_> = collects(&actions).into_iter().map(|(agent, of)| (agent, of.traces)).collect();
    assert_eq!(traces, [(A, vec![trace(8)]), (B, vec![trace(8)])]);
}

#[test]
fn who_had_nothing_of_a_lateral_has_no_part_in_it_and_is_asked_again_once_a_crumb_names_it() {
    let mut coordinator = with(&[A, B, C]);
    let actions = coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[2]), holding(2, 1, &[3])]));
    let group = collects(&actions)[0].1.group;
    let nothing = |n| Holding { state: HoldingState::NeverSeen, ..holding(n, 1, &[]) };
    coordinator.step(ms(2), answered(B, group, vec![holding(1, 1, &[]), nothing(2)]));
    assert_eq!(coordinator.n_parts(), 4, "two of each trace");
    let actions = coordinator.step(ms(3), answered(C, group, vec![nothing(1), holding(2, 1, &[2])]));
    let again: Vec<_> = collects(&actions).into_iter().map(|(agent, of)| (agent, of.traces)).collect();
    assert_eq!(again, [(B, vec![trace(2)])]);
    let actions = coordinator.step(ms(4), answered(B, group, vec![nothing(2)]));
    assert_eq!(contacts(&views(&actions)[0]), [1, 2, 3].map(|agent| (agent, Contact::Answered)));
    assert_eq!(collects(&actions), []);
}

#[test]
fn after_a_death_all_agents_of_a_trace_are_asked_once_more() {
    let mut coordinator = with(&[A, B]);
    let deadly = |revision| Holding { deaths_ns: vec![7], ..holding(1, revision, &[2]) };
    let actions = coordinator.step(ms(1), announced(A, 1, vec![deadly(1)]));
    let group = collects(&actions)[0].1.group;
    coordinator.step(ms(2), answered(B, group, vec![holding(1, 1, &[])]));
    coordinator.step(ms(3), Event::Updated { agent: A, holdings: vec![deadly(2)] });
    assert_eq!(asked(&coordinator.step(ms(1), Event::Tick)), []);
    let again = coordinator.step(Nanos(ms(1).0 + ASK_AGAIN.0), Event::Tick);
    assert_eq!(asked(&again), [A, B]);
    assert!(views(&again).iter().flat_map(|view| &view.agents).all(|agent| agent.contact == Contact::Answered));
    for agent in [A, B] {
        coordinator.step(ms(3_000), answered(agent, group, vec![deadly(3)]));
    }
    assert_eq!(asked(&coordinator.step(ms(20_000), Event::Tick)), [], "that death is known");
}

#[test]
fn laterals_are_followed_for_a_base_that_another_coordinator_follows() {
    let mut coordinator = with(&[A, B]);
    let said = |id, base| Announcement { base, ..announcement(id, 300, vec![holding(1, 1, &[2])]) };
    let actions = coordinator.step(ms(1), Event::Announced { agent: A, announcement: said(1, trace(9)) });
    let (to, question) = &collects(&actions)[0];
    assert_eq!((*to, question.base, &question.traces[..]), (B, trace(9), &[trace(1)][..]));
    let actions = coordinator.step(ms(2), answered(B, question.group, vec![holding(1, 1, &[])]));
    let views = views(&actions);
    assert_eq!(views.len(), 1, "of the base there is no view here");
    assert_eq!((views[0].trace, views[0].fired[0].base), (trace(1), Some(trace(9))));
    let refused = coordinator.step(ms(3), Event::Announced { agent: A, announcement: said(2, TraceId::NONE) });
    assert_eq!(refused, [Action::Acknowledge { agent: A, id: 2, refusal: Some(Refusal::NoTrace) }]);
    coordinator.step(ms(3), Event::Tick);
    coordinator.step(Nanos(ms(3).0 + GROUP_LIFE.0), Event::Tick);
    assert_eq!((coordinator.n_groups(), coordinator.n_traces(), coordinator.n_parts()), (0, 0, 0));
}

#[test]
fn groups_that_share_a_trace_share_its_view_and_each_asks_for_itself() {
    let mut coordinator = with(&[A, B]);
    coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[2])]));
    let second = Event::Announced {
        agent: A,
        announcement: announcement(2, 301, vec![holding(5, 1, &[]), holding(1, 1, &[2])]),
    };
    let actions = coordinator.step(ms(2), second);
    assert_eq!(asked(&actions), [B], "whom the trace's crumbs name, the other group's trigger concerns too");
    assert_eq!(coordinator.n_groups(), 2);
    let group = collects(&actions)[0].1.group;
    let nothing = Holding { trace: trace(5), state: HoldingState::NeverSeen, revision: 1, ..Holding::default() };
    let actions = coordinator.step(ms(3), answered(B, group, vec![nothing, holding(1, 1, &[])]));
    assert_eq!(contacts(&views(&actions)[0]), [(1, Contact::Answered), (2, Contact::Answered)]);
    let published = views(&coordinator.step(ms(100), Event::Tick));
    assert!(published.iter().all(|view| view.trace != trace(5) || view.agents.len() == 1), "B has no part in 5");
    let fired = |actions: &[Action]| {
        let of = views(actions).into_iter().filter(|view| view.trace == trace(1)).flat_map(|view| view.fired);
        of.map(|fired| (fired.trigger.0, fired.base)).collect::<Vec<_>>()
    };
    assert_eq!(
        fired(&actions),
        [(300, None), (301, Some(trace(5)))],
        "each trigger is told, also where a base is another"
    );
}

#[test]
fn another_trigger_for_a_trace_of_which_all_is_known_is_published_with_the_next_tick() {
    let mut coordinator = with(&[A]);
    assert_eq!(views(&coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[])]))).len(), 1);
    let announcement = announcement(2, 301, vec![holding(1, 1, &[])]);
    coordinator.step(ms(2), Event::Announced { agent: A, announcement });
    let published = views(&coordinator.step(ms(100), Event::Tick));
    assert_eq!(published[0].fired.iter().map(|fired| fired.trigger.0).collect::<Vec<_>>(), [300, 301]);
}

#[test]
fn an_agent_that_does_not_answer_is_unreachable_and_its_answer_still_counts() {
    let mut coordinator = with(&[A, B]);
    let actions = coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[2])]));
    let group = collects(&actions)[0].1.group;
    let published = views(&coordinator.step(ms(5_000), Event::Tick));
    assert_eq!(contacts(&published[0]), [(1, Contact::Answered), (2, Contact::Asked)]);
    let published = views(&coordinator.step(ms(5_001), Event::Tick));
    assert_eq!(contacts(&published[0]), [(1, Contact::Answered), (2, Contact::Unreachable)]);
    let actions = coordinator.step(ms(9_000), answered(B, group, vec![holding(1, 1, &[3])]));
    assert_eq!(asked(&actions), [], "the third is not here");
    let published = views(&coordinator.step(ms(9_001), Event::Tick));
    let third = (3, Contact::Unknown);
    assert_eq!(contacts(&published[0]), [(1, Contact::Answered), (2, Contact::Answered), third]);
    assert_eq!(coordinator.counts().timeouts, 1);
}

#[test]
fn agents_that_are_away_are_told_apart_and_asked_when_they_come() {
    let mut coordinator = with(&[A, B]);
    coordinator.step(ms(1), Event::Disconnected { agent: B });
    let actions = coordinator.step(ms(2), announced(A, 1, vec![holding(1, 1, &[2, 3])]));
    let known = [(1, Contact::Answered), (2, Contact::Unreachable), (3, Contact::Unknown)];
    assert_eq!(contacts(&views(&actions)[0]), known, "nobody is awaited");
    assert_eq!((coordinator.n_waiting(B), coordinator.n_waiting(C)), (1, 1));
    assert_eq!(asked(&coordinator.step(ms(3), Event::Connected { agent: C })), [C]);
    assert_eq!(asked(&coordinator.step(ms(59_000), Event::Connected { agent: B })), [B]);
    let published = views(&coordinator.step(ms(59_100), Event::Tick));
    assert_eq!(contacts(&published[0])[1..], [(2, Contact::Asked), (3, Contact::Unreachable)]);
}

#[test]
fn what_was_not_answered_is_asked_again_on_reconnect_and_what_was_is_not() {
    let mut coordinator = with(&[A, B, C]);
    let actions = coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[2, 3])]));
    let group = collects(&actions)[0].1.group;
    coordinator.step(ms(2), answered(C, group, vec![holding(1, 1, &[])]));
    let actions = coordinator.step(ms(3), Event::Disconnected { agent: B });
    assert_eq!(contacts(&views(&actions)[0])[1], (2, Contact::Unreachable));
    coordinator.step(ms(3), Event::Disconnected { agent: C });
    assert_eq!(asked(&coordinator.step(ms(4), Event::Connected { agent: B })), [B]);
    assert_eq!(asked(&coordinator.step(ms(4), Event::Connected { agent: C })), []);
    assert_eq!(asked(&coordinator.step(ms(5), Event::Connected { agent: B })), [B], "a stream that replaces another");
    assert_eq!(coordinator.counts().collects_resent, 2);
}

#[test]
fn who_announces_instead_of_answering_is_not_asked_again_on_reconnect() {
    let mut coordinator = with(&[A, B]);
    assert_eq!(asked(&coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[2])]))), [B]);
    coordinator.step(ms(2), announced(B, 1, vec![holding(1, 1, &[])]));
    assert_eq!(coordinator.step(ms(3), Event::Disconnected { agent: B }), []);
    assert_eq!(coordinator.step(ms(4), Event::Connected { agent: B }), []);
}

#[test]
fn holdings_of_lower_revision_are_passed_over() {
    let mut coordinator = with(&[A, B]);
    coordinator.step(ms(1), announced(A, 1, vec![holding(1, 7, &[])]));
    let reported = |revision, next: &[u32]| Event::Reported { agent: A, holding: holding(1, revision, next) };
    assert_eq!(asked(&coordinator.step(ms(2), reported(6, &[2]))), []);
    assert_eq!(coordinator.counts().holdings_stale, 1);
    assert_eq!(views(&coordinator.step(ms(100), Event::Tick)), []);
    assert_eq!(asked(&coordinator.step(ms(200), reported(8, &[2]))), [B], "late crumbs are followed");
}

/// For every length and every dead agent of a chain: with three crumbs in each holding all others are reached, with one they are not.
#[test]
fn three_crumbs_pass_a_dead_agent() {
    let reached = |len: u32, dead: u32, n_crumbs: u32| {
        let limits = Limits::default();
        let mut network = model::Network::new(1, limits);
        for agent in 1..=len {
            // An agent knows the last callers from the request's path: the trail holds them.
            let callers: Vec<_> = (agent.saturating_sub(n_crumbs).max(1)..agent).collect();
            let host = network.hosts.entry(AgentId(agent)).or_default();
            host.has.insert(trace(1), holding(1, 1, &callers));
            if agent != dead {
                network.connect(AgentId(agent));
            }
        }
        network.fire(AgentId(len), 300, vec![trace(1)]);
        network.run(6_000);
        let view = &network.views[&trace(1)];
        view.agents.iter().filter(|of| of.contact == Contact::Answered).count() as u32
    };
    for len in 4..9 {
        for dead in 2..len {
            assert_eq!(reached(len, dead, 3), len - 1, "{dead} of {len} is dead");
            assert_eq!(reached(len, dead, 1), len - dead, "one crumb ends at the dead agent");
        }
    }
}

#[test]
fn a_group_ends_when_nothing_new_is_heard_and_leaves_its_last_view() {
    let mut coordinator = with(&[A, B]);
    coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[2])]));
    coordinator.step(ms(30_000), Event::Reported { agent: A, holding: holding(1, 2, &[2]) });
    coordinator.step(ms(61_000), Event::Tick);
    assert_eq!(coordinator.n_groups(), 1, "the report was news");
    coordinator.step(ms(80_000), Event::Reported { agent: A, holding: holding(1, 2, &[2]) });
    coordinator.step(ms(89_999), Event::Reported { agent: A, holding: holding(1, 1, &[2]) });
    let actions = coordinator.step(ms(90_000), Event::Tick);
    assert_eq!((coordinator.n_groups(), coordinator.n_traces(), coordinator.n_parts()), (0, 0, 0));
    assert_eq!(views(&actions), [], "its last view had been published");
    assert_eq!(coordinator.step(ms(90_001), Event::Reported { agent: A, holding: holding(1, 3, &[2]) }), []);
    assert_eq!(coordinator.counts().holdings_unfollowed, 1);
    coordinator.step(ms(90_002), announced(A, 2, vec![holding(1, 4, &[3, 4])]));
    assert_eq!((coordinator.n_waiting(C), coordinator.n_waiting(D)), (1, 1));
    coordinator.step(ms(190_000), Event::Tick);
    assert_eq!((coordinator.n_waiting(C), coordinator.n_waiting(D)), (0, 0), "nor does anything wait for it");
}

#[test]
fn nobody_speaks_for_another_and_unknown_groups_are_no_harm() {
    let mut coordinator = with(&[A, B, C]);
    let actions = coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[2])]));
    let group = collects(&actions)[0].1.group;
    let actions = coordinator.step(ms(2), answered(C, group, vec![holding(1, 9, &[])]));
    assert_eq!(coordinator.counts().answers_unasked, 1);
    assert_eq!(asked(&actions), [C], "but it has a part in the trace, and is asked like any other");
    assert_eq!(coordinator.step(ms(2), answered(B, group + 1, vec![holding(2, 9, &[])])), []);
    let empty = coordinator.step(ms(3), announced(A, 4, Vec::new()));
    assert_eq!(empty, [Action::Acknowledge { agent: A, id: 4, refusal: Some(Refusal::NoTrace) }]);
}

#[test]
fn the_name_of_a_trigger_goes_to_whoever_is_asked_and_into_the_view_whenever_it_is_told() {
    let slow = TriggerName::new("bricks.slow").unwrap();
    let mut coordinator = with(&[A, B, C]);
    let announced = |agent, id, name: Option<&TriggerName>, next: &[u32]| {
        let announcement = announcement(id, slow.id().0, vec![holding(1, id, next), holding(2, id, &[])]);
        Event::Announced { agent, announcement: Announcement { name: name.cloned(), ..announcement } }
    };
    let actions = coordinator.step(ms(1), announced(A, 1, None, &[2]));
    assert_eq!(collects(&actions).into_iter().map(|(_, of)| of.name).collect::<Vec<_>>(), [None]);
    let views_of = |actions: &[Action]| views(actions).into_iter().map(|view| view.names).collect::<Vec<_>>();
    assert!(views_of(&coordinator.step(ms(100), Event::Tick)).iter().all(|names| names.is_empty()));
    let actions = coordinator.step(ms(101), announced(A, 2, Some(&slow), &[2, 3]));
    assert_eq!(
        collects(&actions).into_iter().map(|(to, of)| (to, of.name)).collect::<Vec<_>>(),
        [(C, Some(slow.clone()))]
    );
    let names = views_of(&coordinator.step(ms(200), Event::Tick));
    assert_eq!(names.len(), 2, "the base's and the lateral's");
    assert!(names.iter().all(|names| names.get(slow.id()) == Some("bricks.slow")));
    coordinator.step(ms(201), announced(A, 2, Some(&slow), &[2, 3]));
    assert_eq!(views(&coordinator.step(ms(300), Event::Tick)), [], "said again it is no news");
}
