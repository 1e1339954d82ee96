//! Claims about bounds: nothing grows beyond its limit, what gives way is of the lowest priority, and it is counted.

use super::super::group::priority;
use super::super::{Action, Coordinator, Event, Limits, Refusal};
use super::model::{announcement, holding, trace};
use super::{A, B, C, announced, answered, asked, collects, ms, views};
use backsight_core::certificate::Contact;
use backsight_core::coordination::Greeting;
use backsight_core::ids::{AgentId, TraceId, TriggerId};

fn limited(limits: Limits, agents: &[AgentId]) -> Coordinator {
    let mut coordinator = Coordinator::new(limits, Greeting::default());
    for agent in agents {
        coordinator.step(ms(0), Event::Connected { agent: *agent });
    }
    coordinator
}

/// Returns the numbers of `1..=n` by the priority of their traces, the highest first.
fn ranked(n: u64) -> Vec<u64> {
    let mut numbers: Vec<_> = (1..=n).collect();
    numbers.sort_by_key(|n| std::cmp::Reverse(priority(TriggerId(300), trace(*n), 0)));
    numbers
}

#[test]
fn beyond_the_bound_the_groups_of_highest_priority_stay() {
    let mut coordinator = limited(Limits { groups_max: 8, ..Limits::default() }, &[A]);
    let mut refused = Vec::new();
    let mut last_views = 0;
    for n in 1..=100 {
        let actions = coordinator.step(ms(n), announced(A, n, vec![holding(n, 1, &[])]));
        let full = Action::Acknowledge { agent: A, id: n, refusal: Some(Refusal::GroupsFull) };
        refused.extend(actions.contains(&full).then_some(n));
        last_views += views(&actions).len();
        assert!(coordinator.n_groups() <= 8);
    }
    let stay: Vec<TraceId> = ranked(100)[..8].iter().map(|n| trace(*n)).collect();
    let mut followed: Vec<_> = coordinator.traces.keys().copied().collect();
    followed.sort_by_key(|of| stay.iter().position(|stays| stays == of));
    assert_eq!(followed, stay);
    let counts = coordinator.counts();
    assert_eq!(counts.refused_groups_full, refused.len() as u64);
    assert_eq!(counts.refused_groups_full + counts.refused_displaced, 92);
    assert_eq!(last_views as u64, 100 - counts.refused_groups_full, "who was displaced had its view published");
}

#[test]
fn a_trace_with_too_many_agents_is_overfull() {
    let mut coordinator = limited(Limits { agents_per_trace_max: 4, ..Limits::default() }, &[A]);
    let actions = coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[2, 3, 4, 5, 6])]));
    let view = &views(&actions)[0];
    assert!(view.is_overfull);
    assert_eq!(view.agents.iter().map(|of| of.agent.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((coordinator.counts().refused_agents, coordinator.n_parts()), (2, 4));
    let mut coordinator = limited(Limits { parts_max: 3, ..Limits::default() }, &[A]);
    coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[2])]));
    let actions = coordinator.step(ms(1), announced(A, 2, vec![holding(2, 1, &[2])]));
    assert!(views(&actions)[0].is_overfull, "all traces together are bounded too");
    assert_eq!(coordinator.n_parts(), 3);
}

/// With the limits that a coordinator starts with: 1024 agents of a trace are asked, and the next one makes the trace partial.
#[test]
fn the_1025th_agent_of_a_trace_is_not_asked_and_the_view_says_so() {
    for (n_agents, is_overfull) in [(1024, false), (1025, true)] {
        let agents: Vec<AgentId> = (1..=n_agents).map(AgentId).collect();
        let mut coordinator = limited(Limits::default(), &agents);
        let mut asked_of_all = Vec::new();
        // A chain: each names the next.
        let mut group = 0;
        let mut view = None;
        for agent in 1..=1024 {
            let holdings = vec![holding(1, 1, &[agent % n_agents + 1])];
            let event = match agent {
                1 => announced(A, 1, holdings),
                _ => answered(AgentId(agent), group, holdings),
            };
            let actions = coordinator.step(ms(1), event);
            for (agent, collection) in collects(&actions) {
                group = collection.group;
                asked_of_all.push(agent);
            }
            view = views(&actions).pop().or(view);
        }
        assert_eq!(asked_of_all, agents[1..1024], "each once, though the last names the first");
        let view = views(&coordinator.step(ms(100), Event::Tick)).pop().or(view).unwrap();
        assert_eq!((view.agents.len(), view.is_overfull), (1024, is_overfull));
        assert_eq!(coordinator.counts().refused_agents, u64::from(is_overfull));
    }
}

#[test]
fn collects_for_an_absent_agent_wait_within_the_bound_and_come_by_priority() {
    let mut coordinator = limited(Limits { collects_queued_max: 5, ..Limits::default() }, &[A]);
    for n in 1..=50 {
        coordinator.step(ms(n), announced(A, n, vec![holding(n, 1, &[2])]));
        assert!(coordinator.n_waiting(B) <= 5);
    }
    assert_eq!(coordinator.counts().refused_collects, 45);
    let actions = coordinator.step(ms(100), Event::Connected { agent: B });
    let came: Vec<_> = collects(&actions).iter().map(|(_, of)| of.traces[0]).collect();
    let best: Vec<_> = ranked(50)[..5].iter().map(|n| trace(*n)).collect();
    assert_eq!(came, best);
    coordinator.step(ms(101), Event::Disconnected { agent: B });
    let actions = coordinator.step(ms(102), Event::Connected { agent: B });
    assert_eq!(collects(&actions).len(), 5, "what was given up stays so");
}

#[test]
fn an_agent_that_does_not_answer_has_a_bounded_number_of_questions() {
    let mut coordinator = limited(Limits { collects_in_flight_max: 3, ..Limits::default() }, &[A, B]);
    let mut sent = Vec::new();
    for n in 1..=10 {
        sent.extend(collects(&coordinator.step(ms(n), announced(A, n, vec![holding(n, 1, &[2])]))));
    }
    assert_eq!((sent.len(), coordinator.n_waiting(B)), (3, 7));
    let actions = coordinator.step(ms(20), answered(B, sent[0].1.group, vec![holding(1, 1, &[])]));
    assert_eq!(asked(&actions), [B], "an answer makes room for one");
    let published = views(&coordinator.step(ms(6_000), Event::Tick));
    let n_late = published.iter().filter(|view| view.agents[1].contact == Contact::Unreachable).count();
    assert_eq!(n_late, 9, "those that wait are late too");
}

#[test]
fn a_trace_belongs_to_a_bounded_number_of_groups() {
    let mut coordinator = limited(Limits { groups_per_trace_max: 2, ..Limits::default() }, &[A]);
    let mut said = Vec::new();
    for trigger in 300..303 {
        let event = Event::Announced { agent: A, announcement: announcement(1, trigger, vec![holding(1, 1, &[])]) };
        said.extend(coordinator.step(ms(1), event));
    }
    assert!(said.contains(&Action::Acknowledge { agent: A, id: 1, refusal: Some(Refusal::TraceBusy) }));
    let lateral = announced(A, 2, vec![holding(2, 1, &[]), holding(1, 1, &[])]);
    assert_eq!(coordinator.step(ms(1), lateral)[0], Action::Acknowledge { agent: A, id: 2, refusal: None });
    assert_eq!((coordinator.counts().refused_trace_busy, coordinator.counts().refused_laterals), (1, 1));
}

#[test]
fn agents_are_remembered_within_a_bound() {
    let mut coordinator = limited(Limits { agents_max: 2, ..Limits::default() }, &[A, B, C]);
    coordinator.step(ms(1), announced(A, 1, vec![holding(1, 1, &[7])]));
    assert_eq!((coordinator.n_waiting(AgentId(7)), coordinator.counts().refused_remembered), (0, 1));
    coordinator.step(ms(2), Event::Disconnected { agent: C });
    coordinator.step(ms(2), Event::Disconnected { agent: B });
    let actions = coordinator.step(ms(3), announced(A, 2, vec![holding(2, 1, &[2, 3])]));
    let contacts: Vec<_> = views(&actions)[0].agents.iter().map(|of| of.contact).collect();
    assert_eq!(contacts, [Contact::Answered, Contact::Unreachable, Contact::Unknown], "C was forgotten, B was not");
}
