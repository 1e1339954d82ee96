//! Requests: where they go, and what their visits do.

use super::{DEPTH_MAX, Event, RECENT_MAX, World};
use crate::plan::MS;
use crate::request::{Answer, Happened, Place, Visit};
use backsight_core::ids::{AgentId, SpanId, TraceId};

impl World {
    pub(super) fn place(&mut self) -> Place {
        let (n_hosts, n_processes) = (self.hosts.len() as u64, self.plan.n_processes as u64);
        (self.rng.below(n_hosts) as usize, self.rng.below(n_processes) as usize)
    }

    pub(super) fn request(&mut self) {
        let trace = TraceId::new(self.plan.seed + 1, self.rng.next() | 1);
        let place = self.place();
        let visit = self.visit(trace, None, (AgentId::NONE, SpanId::NONE), place, 0);
        self.at(0, Event::Arrive(visit));
    }

    fn visit(
        &mut self,
        trace: TraceId,
        caller: Option<usize>,
        from: (AgentId, SpanId),
        place: Place,
        depth: usize,
    ) -> usize {
        let n_calls = if depth < DEPTH_MAX { self.rng.below(4) } else { 0 };
        let calls = (0..n_calls).map(|_| self.place()).collect();
        let fires = self.rng.permille(self.plan.trigger_permille);
        let payload = self.rng.below(self.plan.payload_max);
        let span = SpanId(self.visits.len() as u64 + 1);
        self.depths.push(depth);
        self.visits.push(Visit {
            trace,
            span,
            caller,
            from,
            place,
            life: 0,
            writer: None,
            calls,
            n_called: 0,
            fires,
            payload,
        });
        self.visits.len() - 1
    }

    fn is_alive(&self, visit: usize) -> bool {
        let visit = &self.visits[visit];
        visit.life != 0 && self.hosts[visit.place.0].processes[visit.place.1].life == visit.life
    }

    pub(super) fn arrive(&mut self, number: usize) {
        let (host, process) = self.visits[number].place;
        if self.hosts[host].processes[process].life == 0 {
            return self.reply(number, Answer::Unsent);
        }
        let visit = &mut self.visits[number];
        visit.begin(&mut self.hosts[host], self.now);
        let recent = &mut self.hosts[host].recent;
        recent.push_back(visit.trace);
        if recent.len() > RECENT_MAX {
            recent.pop_front();
        }
        let (trace, said) = (visit.trace, format!("{} begins at host {host}, process {process}", visit.span));
        let is_recorded = visit.writer.is_some();
        if !is_recorded {
            self.truth.cut.insert(visit.trace);
        }
        if is_recorded {
            let visits = self.truth.visits.entry(visit.trace).or_default();
            visits.insert(visit.span, Happened { host, is_over: false });
        }
        self.tell_story(trace, || format!("{said}{}", if is_recorded { "" } else { ", unrecorded" }));
        let work = self.rng.between(50_000, 10 * MS);
        self.at(work, Event::Step(number));
    }

    /// Lets a visit call whom it has not called yet, or end.
    pub(super) fn step(&mut self, number: usize) {
        if !self.is_alive(number) {
            return;
        }
        let host = self.visits[number].place.0;
        let visit = &mut self.visits[number];
        if let Some(callee) = visit.calls.get(visit.n_called).copied() {
            visit.n_called += 1;
            visit.call(callee, &mut self.hosts[host], self.now);
            let own = if visit.writer.is_some() { (self.hosts[host].id, visit.span) } else { visit.from };
            let (trace, depth) = (visit.trace, self.depths[number] + 1);
            let child = self.visit(trace, Some(number), own, callee, depth);
            let delay = self.delay();
            return self.at(delay, Event::Arrive(child));
        }
        let trace = visit.trace;
        let (has_fired, laterals) = (visit.fires && visit.writer.is_some(), self.laterals(host));
        let visit = &mut self.visits[number];
        if has_fired {
            // Of one that was never here nobody can say where it was.
            let here = |trace: &TraceId| self.hosts[host].recent.contains(trace);
            for trace in laterals.iter().copied().filter(here).chain([trace]) {
                self.truth.triggered.entry(trace).or_insert(self.now);
            }
        }
        let agent = visit.end(&mut self.hosts[host], &laterals, self.now);
        visit.life = 0;
        let (trace, span) = (visit.trace, visit.span);
        self.tell_story(trace, || format!("{span} ends{}", if has_fired { " and fires" } else { "" }));
        if let Some(happened) = self.truth.visits.get_mut(&trace).and_then(|visits| visits.get_mut(&span)) {
            happened.is_over = true;
        }
        self.reply(number, Answer::Came(agent));
    }

    /// Returns what goes along with a trigger of a host: requests that were there lately, now and then one that was not.
    fn laterals(&mut self, host: usize) -> Vec<TraceId> {
        let n = if self.rng.permille(200) { self.rng.below(4) as usize } else { 0 };
        let from = if self.rng.permille(100) { self.place().0 } else { host };
        self.hosts[from].recent.iter().rev().take(n).copied().collect()
    }

    pub(super) fn reply(&mut self, number: usize, answer: Answer) {
        if let Some(caller) = self.visits[number].caller {
            let delay = self.delay();
            self.at(delay, Event::Answer(caller, answer));
        }
    }

    pub(super) fn answer(&mut self, number: usize, answer: Answer) {
        if !self.is_alive(number) {
            return;
        }
        let visit = &self.visits[number];
        self.tell_story(visit.trace, || format!("{} hears {answer:?}", visit.span));
        let visit = &mut self.visits[number];
        let callee = visit.calls[visit.n_called - 1];
        visit.answered(answer, callee, &mut self.hosts[visit.place.0], self.now);
        let work = self.rng.between(20_000, 3 * MS);
        self.at(work, Event::Step(number));
    }
}
