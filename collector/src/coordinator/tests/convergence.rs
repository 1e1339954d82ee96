//! Claims over random networks: who is reachable by crumbs is asked once and is in the view, whatever the streams do.

use super::super::Limits;
use super::model::{Network, Rng, holding, trace};
use backsight_core::certificate::Contact;
use backsight_core::ids::{AgentId, TraceId};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use std::collections::{BTreeMap, BTreeSet};

/// What a view says of each agent: its contact and the revision it told.
type Known = BTreeMap<AgentId, (Contact, Option<u64>)>;
/// Whom a group, by its trigger and base, has to ask.
type Asked = BTreeMap<(u32, TraceId), BTreeSet<AgentId>>;

/// Random agents, random call graphs with cycles, triggers that share traces.
fn random(seed: u64) -> Network {
    let mut rng = Rng(seed);
    let mut network = Network::new(seed ^ 1, Limits::default());
    let n_agents = 2 + rng.below(12);
    let n_traces = 1 + rng.below(5);
    for agent in 1..=n_agents as u32 {
        let host = network.hosts.entry(AgentId(agent)).or_default();
        for n in 1..=n_traces {
            if rng.below(3) > 0 {
                let next: Vec<_> = (0..rng.below(3)).map(|_| 1 + rng.below(n_agents) as u32).collect();
                host.has.insert(trace(n), holding(n, 1, &next));
            }
        }
    }
    for n in 1..=n_traces {
        for _ in 0..1 + rng.below(2) {
            let mut traces = vec![trace(n)];
            traces.extend((1..=n_traces).filter(|lateral| *lateral != n && rng.below(3) == 0).map(trace));
            let agent = AgentId(1 + rng.below(n_agents) as u32);
            network.fire(agent, 300 + rng.below(2) as u32, traces);
        }
    }
    for agent in 1..=n_agents as u32 {
        network.connect(AgentId(agent));
    }
    network
}

/// Returns the agents that each group has to ask, and who has a part in each trace: the rules once more, as a fixpoint.
fn expected(network: &Network) -> (Asked, BTreeMap<TraceId, Known>) {
    let mut groups: BTreeMap<(u32, TraceId), BTreeSet<TraceId>> = BTreeMap::new();
    let mut parts: BTreeMap<TraceId, BTreeSet<AgentId>> = BTreeMap::new();
    for (agent, host) in &network.hosts {
        for (trigger, traces) in host.fired.values() {
            groups.entry((trigger.0, traces[0])).or_default().extend(traces);
            for trace in traces {
                parts.entry(*trace).or_default().insert(*agent);
            }
        }
    }
    let mut asked = Asked::new();
    loop {
        let before = (asked.clone(), parts.clone());
        for (key, traces) in &groups {
            let known: BTreeSet<_> = traces.iter().flat_map(|trace| parts[trace].clone()).collect();
            for (agent, of) in known.iter().flat_map(|agent| traces.iter().map(move |of| (agent, of))) {
                let Some(holding) = network.hosts[agent].has.get(of) else { continue };
                let part = parts.entry(*of).or_default();
                part.insert(*agent);
                part.extend(holding.crumbs.iter().map(|crumb| crumb.agent));
            }
            asked.insert(*key, known);
        }
        if before == (asked.clone(), parts.clone()) {
            break;
        }
    }
    let told =
        |agent: AgentId, of| (Contact::Answered, Some(network.hosts[&agent].has.get(&of).map_or(0, |h| h.revision)));
    let views = parts.into_iter();
    let views = views.map(|(of, agents)| (of, agents.into_iter().map(|agent| (agent, told(agent, of))).collect()));
    let views = views.collect();
    (asked, views)
}

/// Returns what certificates are made of: the views, and what is stored beside them with reports.
fn known(network: &Network) -> BTreeMap<TraceId, Known> {
    let views = network.views.iter();
    let views = views.map(|(trace, view)| {
        let parts = view.agents.iter().map(|of| {
            let told = of.holding.as_ref().map(|holding| holding.revision);
            let stored = network.stored.get(&(*trace, of.agent)).copied();
            (of.agent, (of.contact, told.map(|told| stored.map_or(told, |stored| told.max(stored)))))
        });
        (*trace, parts.collect())
    });
    views.collect()
}

/// Returns how often each agent was asked for each trace of each group, the base where it only leads not counted.
fn questions(network: &Network) -> BTreeMap<(u64, AgentId, TraceId), u64> {
    let mut questions = BTreeMap::new();
    for (agent, of) in &network.collects {
        for trace in of.traces.iter().skip(usize::from(of.traces.len() > 1)) {
            *questions.entry((of.group, *agent, *trace)).or_insert(0) += 1;
        }
    }
    questions
}

/// Crumbs come late and streams break, on random agents at random times.
fn disturb(network: &mut Network, rng: &mut Rng) {
    let n_agents = network.hosts.len() as u64;
    for _ in 0..rng.below(30) {
        let agent = AgentId(1 + rng.below(n_agents) as u32);
        match rng.below(3) {
            0 => network.disconnect(agent),
            1 => network.connect(agent),
            _ => network.grow(agent, trace(1 + rng.below(5)), AgentId(1 + rng.below(n_agents) as u32)),
        }
        network.run(100 * rng.below(4));
    }
    for agent in 1..=n_agents as u32 {
        if !network.hosts[&AgentId(agent)].is_connected {
            network.connect(AgentId(agent));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// For every network whose streams hold: each agent is asked at most once for each trace of each group, or twice for one of which it has nothing
    /// and that a crumb leads to it; those that the crumbs reach are asked or have announced, nobody else is, and the views say what all of them have.
    #[test]
    fn who_is_reachable_is_asked_exactly_once(seed in any::<u64>()) {
        let mut network = random(seed);
        network.repeated = 30;
        network.run(3_000);
        let (asked, views) = expected(&network);
        prop_assert_eq!(known(&network), views);
        for ((group, agent, of), n) in questions(&network) {
            let has_nothing = !network.hosts[&agent].has.contains_key(&of);
            prop_assert!(n == 1 || n == 2 && has_nothing, "{group} {agent} {of}: {n}");
        }
        let mut reached = Asked::new();
        for (agent, of) in &network.collects {
            reached.entry((of.trigger.0, of.base)).or_default().insert(*agent);
        }
        for (agent, host) in &network.hosts {
            for (trigger, traces) in host.fired.values() {
                reached.entry((trigger.0, traces[0])).or_default().insert(*agent);
            }
        }
        prop_assert_eq!(reached, asked);
    }

    /// For every network and whatever happens to it: once all are here again the views say what all have, an agent was asked again only
    /// after it had come back or been named, and all groups end and leave nothing behind.
    #[test]
    fn views_converge_and_groups_end(seed in any::<u64>()) {
        let mut network = random(seed);
        network.repeated = 10;
        disturb(&mut network, &mut Rng(seed ^ 2));
        network.run(3_000);
        prop_assert_eq!(known(&network), expected(&network).1);
        for ((_, agent, _), n) in questions(&network) {
            prop_assert!(n <= 2 * network.hosts[&agent].n_connects);
        }
        network.run(70_000);
        let coordinator = &network.coordinator;
        prop_assert_eq!((coordinator.n_groups(), coordinator.n_traces(), coordinator.n_parts()), (0, 0, 0));
        prop_assert!(network.hosts.keys().all(|agent| coordinator.n_waiting(*agent) == 0));
        prop_assert_eq!(known(&network), expected(&network).1, "the last views stay");
    }

    /// For every network and every moment: a coordinator that knows nothing, and to which the agents announce again, says the same in the end.
    #[test]
    fn a_fresh_coordinator_reaches_the_same_end(seed in any::<u64>()) {
        let mut network = random(seed);
        network.run(Rng(seed ^ 3).below(4) * 100);
        network.restart(2);
        network.run(3_000);
        prop_assert_eq!(known(&network), expected(&network).1);
    }
}
