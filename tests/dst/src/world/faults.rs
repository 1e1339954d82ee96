//! What goes wrong, and how it is mended.

use super::{Event, World};
use crate::plan::{Fault, MS, S};
use crate::request::{Answer, Visit};

impl World {
    pub(super) fn fault(&mut self, fault: Fault) {
        let (host, process) = self.place();
        if let Some(watched) = self.watched {
            self.tell_story(watched, || format!("{fault:?} at host {host}, process {process}"));
        }
        match fault {
            Fault::KillProcess => self.kill_process(host, process),
            Fault::KillAgent | Fault::RestartAgent => {
                self.break_off(host);
                self.hosts[host].kill_agent(fault == Fault::RestartAgent);
                // What was granted ahead lasts that long, where the next one goes on.
                let longest = if fault == Fault::RestartAgent { 250 * MS } else { 2 * S };
                let after = self.rng.between(10 * MS, longest);
                self.at(after, Event::StartAgent(host));
            }
            Fault::KillCollector => {
                self.collector.kill();
                (0..self.hosts.len()).for_each(|host| self.break_off(host));
                let after = self.rng.between(10 * MS, 2 * S);
                self.at(after, Event::StartCollector);
            }
            Fault::Partition => {
                self.connections[host].cut_until = self.now + self.rng.between(100 * MS, 3 * S);
                self.break_off(host);
            }
            Fault::Break => self.break_off(host),
        }
    }

    fn kill_process(&mut self, host: usize, process: usize) {
        let life = self.hosts[host].processes[process].life;
        if life == 0 {
            return;
        }
        let is_there = |visit: &Visit| visit.place == (host, process) && visit.life == life;
        let cut: Vec<usize> = (0..self.visits.len()).filter(|number| is_there(&self.visits[*number])).collect();
        self.hosts[host].kill_process(process, self.now);
        for number in cut {
            self.visits[number].writer = None;
            self.visits[number].life = 0;
            self.reply(number, Answer::Lost);
        }
        let after = self.rng.between(10 * MS, 2 * S);
        self.at(after, Event::StartProcess(host, process));
    }

    pub(super) fn start_agent(&mut self, host: usize) {
        if self.hosts[host].agent.is_some() {
            return;
        }
        self.hosts[host].start_agent(&self.plan, self.now);
        self.at(0, Event::Dial(host));
        for process in 0..self.plan.n_processes {
            // They write into memory that nobody reads, until they notice.
            let after = self.rng.between(MS, 4 * S);
            self.at(after, Event::Join(host, process));
        }
    }
}
