//! Asking: who is sent a Collect, when it is late, and what happens when agents come and go.
//!
//! The part of the coordinator that talks to agents; called by its `step`. An agent is asked once for each trace of a group, once
//! more each time that it comes back without having answered, and once more where a crumb leads to it after it has said that it has nothing.

use super::peers::Queued;
use super::view::GroupId;
use super::{Action, Coordinator, Source, later};
use backsight_core::certificate::Contact;
use backsight_core::coordination::Answer;
use backsight_core::holding::Holding;
use backsight_core::ids::{AgentId, TraceId};
use backsight_core::units::Nanos;
use std::collections::BTreeSet;

impl Coordinator {
    pub(super) fn connected(&mut self, now: Nanos, agent: AgentId) {
        for id in self.peers.connect(agent) {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            if let Some(ask) = group.asks.get_mut(&agent) {
                ask.requested &= ask.covered;
            }
            self.counts.collects_resent += u64::from(group.needed(agent) != 0);
        }
        self.send_next(now, agent);
    }

    pub(super) fn disconnected(&mut self, agent: AgentId) {
        let (awaited, is_forgotten) = self.peers.disconnect(agent, self.limits.agents_max);
        self.counts.refused_remembered += u64::from(is_forgotten);
        for id in awaited {
            self.await_until(id, agent, None);
            self.mark(id, agent);
        }
        self.stop_waiting(agent);
    }

    pub(super) fn answered(&mut self, now: Nanos, agent: AgentId, answer: Answer) {
        let id = answer.group;
        if self.groups.get(&id).is_some_and(|group| group.asks.contains_key(&agent)) {
            self.cover(id, agent, &answer.holdings);
            self.peers.answered(agent, id);
        } else {
            self.counts.answers_unasked += 1;
        }
        for holding in answer.holdings {
            self.learn(now, agent, holding, Source::Told);
        }
        self.send_next(now, agent);
    }

    /// Notes of which traces of a group an agent has told.
    pub(super) fn cover(&mut self, id: GroupId, agent: AgentId, holdings: &[Holding]) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let told = holdings.iter().fold(0, |bits, holding| bits | group.bit(holding.trace));
        let ask = group.asks.entry(agent).or_default();
        ask.covered |= told;
        let is_awaited = ask.requested & !ask.covered != 0;
        if group.needed(agent) == 0 {
            self.peers.unqueue(agent, (group.priority, id));
            if !is_awaited {
                self.await_until(id, agent, None);
            }
        }
    }

    /// Lets an agent be asked again of a trace in which it has a part now: it may have told that it has nothing of it while nobody had named it, which
    /// was not kept.
    pub(super) fn uncover(&mut self, id: GroupId, agent: AgentId, trace: TraceId) {
        if self.traces.get(&trace).is_some_and(|followed| followed.has_told(agent)) {
            return;
        }
        let Some(group) = self.groups.get_mut(&id) else { return };
        let bit = group.bit(trace);
        if let Some(ask) = group.asks.get_mut(&agent).filter(|ask| ask.covered & bit != 0) {
            (ask.covered, ask.requested) = (ask.covered & !bit, ask.requested & !bit);
        }
    }

    /// Asks every agent that is known of any trace of the group.
    pub(super) fn ask_all(&mut self, now: Nanos, id: GroupId) {
        let Some(group) = self.groups.get(&id) else { return };
        let mut known: BTreeSet<AgentId> = group.asks.keys().copied().collect();
        for followed in group.traces.iter().filter_map(|trace| self.traces.get(trace)) {
            known.extend(followed.members());
        }
        for agent in known {
            self.ask(now, id, agent);
        }
    }

    /// Asks an agent for what it has not been asked for in this group.
    pub(super) fn ask(&mut self, now: Nanos, id: GroupId, agent: AgentId) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.asks.entry(agent).or_default();
        if group.needed(agent) != 0 {
            let rank = (group.priority, id);
            match self.peers.queue(agent, rank, &self.limits) {
                Queued::Next => return self.send(now, id, agent),
                Queued::Waits => self.begin_to_wait(now, id, agent),
                Queued::Already => {}
                Queued::Instead(other) => {
                    self.counts.refused_collects += 1;
                    self.begin_to_wait(now, id, agent);
                    self.give_up(other, agent);
                }
                Queued::Refused => {
                    self.counts.refused_remembered += 1;
                    self.give_up(id, agent);
                }
            }
            self.send_next(now, agent);
        }
        self.mark(id, agent);
    }

    fn begin_to_wait(&mut self, now: Nanos, id: GroupId, agent: AgentId) {
        let is_here = self.peers.contact(agent) == Contact::Asked;
        self.await_until(id, agent, is_here.then(|| later(now, self.limits.answer_timeout)));
    }

    fn give_up(&mut self, id: GroupId, agent: AgentId) {
        self.await_until(id, agent, None);
        if let Some(ask) = self.groups.get_mut(&id).and_then(|group| group.asks.get_mut(&agent)) {
            ask.requested = u64::MAX;
        }
        self.mark(id, agent);
    }

    /// Sends an agent what waits for it, as far as it may have more.
    pub(super) fn send_next(&mut self, now: Nanos, agent: AgentId) {
        while let Some(id) = self.peers.next(agent, self.limits.collects_in_flight_max) {
            self.send(now, id, agent);
        }
    }

    /// Sends an agent what it has not been asked for in a group, if there is anything.
    fn send(&mut self, now: Nanos, id: GroupId, agent: AgentId) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let bits = group.needed(agent);
        if bits == 0 {
            self.peers.answered(agent, id);
            return;
        }
        let collection = group.collection(id, bits);
        if let Some(ask) = group.asks.get_mut(&agent) {
            ask.requested |= bits;
        }
        self.counts.collects_sent += 1;
        self.await_until(id, agent, Some(later(now, self.limits.answer_timeout)));
        self.mark(id, agent);
        self.actions.push(Action::Collect { agent, collection });
    }

    /// Sets when an agent is late.
    fn await_until(&mut self, id: GroupId, agent: AgentId, due: Option<Nanos>) {
        let Some(ask) = self.groups.get_mut(&id).and_then(|group| group.asks.get_mut(&agent)) else { return };
        if let Some(earlier) = std::mem::replace(&mut ask.due, due) {
            self.lates.remove(&(earlier, id, agent));
        }
        self.lates.extend(due.map(|due| (due, id, agent)));
    }

    /// Finds the agents that did not answer in time.
    pub(super) fn pass_late(&mut self, now: Nanos) {
        while let Some((_, id, agent)) = self.lates.first().copied().filter(|(due, ..)| *due <= now) {
            self.counts.timeouts += 1;
            self.await_until(id, agent, None);
            self.mark(id, agent);
        }
    }

    /// Asks all agents of a trace once more, some time after a process died on one of their hosts: calls that it left open reach others late, and
    /// what an agent said before it looked for them says nothing of them (ADR 0004).
    pub(super) fn ask_again(&mut self, now: Nanos) {
        while let Some((due, trace)) = self.again.first().copied().filter(|(due, _)| *due <= now) {
            self.again.remove(&(due, trace));
            let Some(followed) = self.traces.get_mut(&trace) else { continue };
            followed.is_asked_again = false;
            let Some(id) = followed.groups.first().copied() else { continue };
            for agent in followed.members().collect::<Vec<_>>() {
                let Some(group) = self.groups.get_mut(&id) else { break };
                let bit = group.bit(trace);
                let ask = group.asks.entry(agent).or_default();
                (ask.covered, ask.requested) = (ask.covered & !bit, ask.requested & !bit);
                self.counts.collects_again += 1;
                self.ask(now, id, agent);
            }
        }
    }

    /// Notes in the views of a group's traces whether an agent that has not told of them can be reached.
    fn mark(&mut self, id: GroupId, agent: AgentId) {
        let Some(group) = self.groups.get(&id) else { return };
        let Some(ask) = group.asks.get(&agent) else { return };
        let contact = match self.peers.contact(agent) {
            Contact::Asked if ask.due.is_none() => Contact::Unreachable,
            contact => contact,
        };
        for trace in group.traces_of(!ask.covered) {
            if self.traces.get_mut(&trace).is_some_and(|followed| followed.set_contact(agent, contact)) {
                self.touched.push(trace);
            }
        }
    }
}
