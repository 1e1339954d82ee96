//! What goes wrong, and how it is mended.

use super::{Event, World};
use crate::network::Ends;
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
                self.lines_of(host).for_each(|ends| self.break_off(ends));
                self.hosts[host].kill_agent(fault == Fault::RestartAgent);
                // What was granted ahead lasts that long, where the next one goes on.
                let longest = if fault == Fault::RestartAgent { 250 * MS } else { 2 * S };
                let after = self.rng.between(10 * MS, longest);
                self.at(after, Event::StartAgent(host));
            }
            Fault::KillCollector => {
                let collector = self.any_collector();
                self.collectors[collector].kill();
                (0..self.hosts.len()).for_each(|host| self.break_off(Ends { host, collector }));
                let after = self.rng.between(10 * MS, 2 * S);
                self.at(after, Event::StartCollector(collector));
            }
            Fault::Partition => {
                let until = self.now + self.rng.between(100 * MS, 3 * S);
                let one = Ends { host, collector: self.any_collector() };
                let is_alone = self.rng.permille(500);
                for ends in self.lines_of(host).filter(|ends| is_alone || *ends == one) {
                    self.connection(ends).cut_until = until;
                    self.break_off(ends);
                }
            }
            Fault::Break => {
                let collector = self.any_collector();
                self.break_off(Ends { host, collector });
            }
        }
    }

    fn any_collector(&mut self) -> usize {
        self.rng.below(self.collectors.len() as u64) as usize
    }

    /// Returns the connections of a host.
    fn lines_of(&self, host: usize) -> impl Iterator<Item = Ends> + use<> {
        (0..self.collectors.len()).map(move |collector| Ends { host, collector })
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
        self.lines_of(host).for_each(|ends| self.at(0, Event::Dial(ends)));
        for process in 0..self.plan.n_processes {
            // They write into memory that nobody reads, until they notice.
            let after = self.rng.between(MS, 4 * S);
            self.at(after, Event::Join(host, process));
        }
    }
}
