//! Agents, the collector, and what is between them.

use super::{BATCH_MAX_BYTES, Event, TICK_NS, World};
use crate::network::Said;
use crate::plan::{MS, S};
use backsight_agent::uplink::link::Heard;
use backsight_collector::coordinator::{Action, Event as Told};
use backsight_core::coordination::{Announcement, Answer as Answered, Collection};
use backsight_core::holding::Holding;
use backsight_core::units::Nanos;
use backsight_proto::v1;
use backsight_proto::v1::agent_says::What;

impl World {
    pub(super) fn turn(&mut self, host: usize) {
        self.hosts[host].turn(self.now);
        self.post(host);
        let is_busy = self.now < S + self.plan.load_ns + 5 * S;
        let after = if is_busy { self.rng.between(4 * MS, 24 * MS) } else { 100 * MS };
        self.at(after, Event::Turn(host));
    }

    /// Puts on its way what an agent said.
    fn post(&mut self, host: usize) {
        let Some(agent) = &self.hosts[host].agent else { return };
        for said in agent.driver.port().take_said() {
            let arrives = self.now + self.delay();
            let connection = &mut self.connections[host];
            match said {
                Said::What(what) => {
                    connection.last_said = arrives.max(connection.last_said);
                    let (epoch, after) = (connection.epoch, connection.last_said - self.now);
                    self.at(after, Event::Say(host, epoch, what));
                }
                Said::Batch(batch) => {
                    connection.last_reported = arrives.max(connection.last_reported);
                    let (epoch, after) = (connection.reports_epoch, connection.last_reported - self.now);
                    self.at(after, Event::Report(host, epoch, batch));
                }
                Said::ResetReports => {
                    connection.reports_epoch += 1;
                    let epoch = connection.reports_epoch;
                    self.hear(host, Heard::ReportLost("it was stuck".to_owned()));
                    self.at(10 * MS, Event::HearOfReports(host, epoch, Heard::ReportReady(BATCH_MAX_BYTES)));
                }
            }
        }
    }

    pub(super) fn hear(&self, host: usize, heard: Heard) {
        if let Some(agent) = &self.hosts[host].agent {
            agent.driver.port().hear(heard);
        }
    }

    /// Tells an agent something over its ordered stream.
    fn tell(&mut self, host: usize, heard: Heard) {
        let arrives = self.now + self.delay();
        let connection = &mut self.connections[host];
        connection.last_told = arrives.max(connection.last_told);
        let (epoch, after) = (connection.epoch, connection.last_told - self.now);
        self.at(after, Event::Hear(host, epoch, heard));
    }

    pub(super) fn dial(&mut self, host: usize) {
        let connection = self.connections[host];
        if connection.is_up {
            return;
        }
        let greeting = self.collector.greeting().filter(|_| connection.cut_until <= self.now);
        let (Some(greeting), Some(_)) = (greeting, &self.hosts[host].agent) else {
            let after = self.rng.between(50 * MS, 500 * MS);
            return self.at(after, Event::Dial(host));
        };
        self.connections[host].is_up = true;
        self.tell(host, Heard::Connected(greeting));
        self.tell(host, Heard::ReportReady(BATCH_MAX_BYTES));
        let agent = self.hosts[host].id;
        self.coordinate(Told::Connected { agent });
    }

    /// Breaks a connection: what is on its way is lost, and both ends see that.
    pub(super) fn break_off(&mut self, host: usize) {
        let connection = &mut self.connections[host];
        connection.epoch += 1;
        connection.reports_epoch += 1;
        if !std::mem::replace(&mut connection.is_up, false) {
            return;
        }
        self.hear(host, Heard::Disconnected("it broke".to_owned()));
        let agent = self.hosts[host].id;
        self.coordinate(Told::Disconnected { agent });
        let after = self.rng.between(50 * MS, 500 * MS);
        self.at(after, Event::Dial(host));
    }

    pub(super) fn say(&mut self, host: usize, what: What) {
        let agent = self.hosts[host].id;
        let told = match what {
            What::Announce(said) => {
                Announcement::try_from(said).map(|announcement| Told::Announced { agent, announcement })
            }
            What::Answer(said) => Answered::try_from(said).map(|answer| Told::Answered { agent, answer }),
            What::Update(said) => Vec::<Holding>::try_from(said).map(|holdings| Told::Updated { agent, holdings }),
            What::Hello(_) => return,
        };
        if let Ok(told) = &told {
            self.tell_what_was_said(host, told);
        }
        match told {
            Ok(told) => self.coordinate(told),
            Err(error) => panic!("an agent says what no agent may say: {error}"),
        }
    }

    fn tell_what_was_said(&self, host: usize, told: &Told) {
        let (verb, holdings) = match told {
            Told::Announced { announcement, .. } => ("announces", &announcement.holdings),
            Told::Answered { answer, .. } => ("answers", &answer.holdings),
            Told::Updated { holdings, .. } => ("updates", holdings),
            _ => return,
        };
        for holding in holdings {
            self.tell_story(holding.trace, || format!("host {host} {verb}: {}", short(holding)));
        }
    }

    fn coordinate(&mut self, told: Told) {
        let actions = self.collector.step(Nanos(self.now), told);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            let (agent, heard) = match action {
                Action::Acknowledge { agent, id, refusal } => {
                    let refusal = refusal.map(|refusal| refusal.to_string()).unwrap_or_default();
                    (agent, Heard::AnnounceAck { id, refusal })
                }
                Action::Collect { agent, collection } => {
                    let sent = Collection::try_from(v1::Collect::from(&collection));
                    (agent, Heard::Collect(sent.expect("what the coordinator asks can be read")))
                }
                Action::Advise { agent, trace, advice } => (agent, Heard::Advise(vec![(trace, advice)])),
                Action::Publish(_) => continue, // stored already
            };
            let host = agent.0 as usize - 1;
            if self.connections.get(host).is_some_and(|connection| connection.is_up) {
                self.tell(host, heard);
            }
        }
        if !std::mem::replace(&mut self.is_syncing, true) {
            self.at(50 * MS, Event::Sync);
        }
    }

    pub(super) fn tick(&mut self) {
        self.coordinate(Told::Tick);
        self.at(TICK_NS, Event::Tick);
    }

    pub(super) fn sync(&mut self) {
        self.is_syncing = false;
        let (stored, actions) = self.collector.sync(Nanos(self.now));
        for batch in stored {
            let host = batch.agent.0 as usize - 1;
            if self.connections[host].reports_epoch == batch.reports_epoch {
                let delay = self.delay();
                self.at(delay, Event::HearOfReports(host, batch.reports_epoch, Heard::BatchAck(batch.number)));
            }
        }
        self.carry_out(actions);
    }
}

/// Returns a holding in a line.
fn short(holding: &Holding) -> String {
    let crumbs: Vec<String> = holding.crumbs.iter().map(|crumb| format!("{}", crumb.agent)).collect();
    format!(
        "{}, {} segments, {} B, {} open, {} evicted, remembers since {}, leads to {}",
        holding.state.name(),
        holding.n_segments,
        holding.bytes,
        holding.n_open,
        holding.n_evicted,
        holding.remembers_since_ns,
        crumbs.join(" ")
    )
}
