//! Agents, the collectors, and what is between them.

use super::{BATCH_MAX_BYTES, Event, TICK_NS, World};
use crate::network::{Connection, Ends, Said, SimPort};
use crate::plan::{MS, S};
use backsight_agent::uplink::link::{Heard, Outgoing};
use backsight_collector::coordinator::{Action, Event as Told};
use backsight_core::coordination::{Announcement, Answer};
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
        let said: Vec<_> = agent.cluster.ports().map(SimPort::take_said).collect();
        for (collector, said) in said.into_iter().enumerate() {
            said.into_iter().for_each(|said| self.post_to(Ends { host, collector }, said));
        }
    }

    fn post_to(&mut self, ends: Ends, said: Said) {
        let arrives = self.now + self.delay();
        let now = self.now;
        let connection = self.connection(ends);
        match said {
            Said::What(what) => {
                connection.last_said = arrives.max(connection.last_said);
                let (epoch, after) = (connection.epoch, connection.last_said - now);
                self.at(after, Event::Say(ends, epoch, what));
            }
            Said::Batch(batch) => {
                connection.last_reported = arrives.max(connection.last_reported);
                let (epoch, after) = (connection.reports_epoch, connection.last_reported - now);
                self.at(after, Event::Report(ends, epoch, batch));
            }
            Said::ResetReports => {
                connection.reports_epoch += 1;
                let epoch = connection.reports_epoch;
                self.hear(ends, Heard::ReportLost("it was stuck".to_owned()));
                self.at(10 * MS, Event::HearOfReports(ends, epoch, Heard::ReportReady(BATCH_MAX_BYTES)));
            }
        }
    }

    pub(super) fn hear(&self, ends: Ends, heard: Heard) {
        let port = self.hosts[ends.host].agent.as_ref().and_then(|agent| agent.cluster.ports().nth(ends.collector));
        if let Some(port) = port {
            port.hear(heard);
        }
    }

    /// Tells an agent something over its ordered stream.
    fn tell(&mut self, ends: Ends, heard: Heard) {
        let arrives = self.now + self.delay();
        let now = self.now;
        let connection = self.connection(ends);
        connection.last_told = arrives.max(connection.last_told);
        let (epoch, after) = (connection.epoch, connection.last_told - now);
        self.at(after, Event::Hear(ends, epoch, heard));
    }

    pub(super) fn dial(&mut self, ends: Ends) {
        let now = self.now;
        let connection = *self.connection(ends);
        if connection.is_up {
            return;
        }
        let greeting = self.collectors[ends.collector].greeting().filter(|_| connection.cut_until <= now);
        let (Some(greeting), Some(_)) = (greeting, &self.hosts[ends.host].agent) else {
            let after = self.rng.between(50 * MS, 500 * MS);
            return self.at(after, Event::Dial(ends));
        };
        self.connection(ends).is_up = true;
        self.tell(ends, Heard::Connected(greeting));
        self.tell(ends, Heard::ReportReady(BATCH_MAX_BYTES));
        let agent = self.hosts[ends.host].id;
        self.coordinate(ends.collector, Told::Connected { agent });
    }

    /// Breaks a connection: what is on its way is lost, and both ends see that.
    pub(super) fn break_off(&mut self, ends: Ends) {
        let connection = self.connection(ends);
        connection.epoch += 1;
        connection.reports_epoch += 1;
        if !std::mem::replace(&mut connection.is_up, false) {
            return;
        }
        self.hear(ends, Heard::Disconnected("it broke".to_owned()));
        let agent = self.hosts[ends.host].id;
        self.coordinate(ends.collector, Told::Disconnected { agent });
        let after = self.rng.between(50 * MS, 500 * MS);
        self.at(after, Event::Dial(ends));
    }

    pub(super) fn say(&mut self, ends: Ends, what: What) {
        let agent = self.hosts[ends.host].id;
        let told = match what {
            What::Announce(said) => {
                Announcement::try_from(said).map(|announcement| vec![Told::Announced { agent, announcement }])
            }
            What::Answers(said) => Vec::<Answer>::try_from(said)
                .map(|answers| answers.into_iter().map(|answer| Told::Answered { agent, answer }).collect()),
            What::Update(said) => Vec::try_from(said).map(|holdings| vec![Told::Updated { agent, holdings }]),
            What::Hello(_) => return,
        };
        for told in told.unwrap_or_else(|error| panic!("an agent says what no agent may say: {error}")) {
            self.tell_what_was_said(ends.host, &told);
            self.coordinate(ends.collector, told);
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

    fn coordinate(&mut self, collector: usize, told: Told) {
        let actions = self.collectors[collector].step(Nanos(self.now), told);
        self.carry_out(collector, actions);
    }

    fn carry_out(&mut self, collector: usize, actions: Vec<Action>) {
        for action in actions {
            let (agent, heard) = match action {
                Action::Acknowledge { agent, id, refusal } => {
                    let refusal = refusal.map(|refusal| refusal.to_string()).unwrap_or_default();
                    (agent, Heard::AnnounceAck { id, refusal })
                }
                Action::Collect { agent, collection } => {
                    let sent = Vec::try_from(v1::Collects::from(&[collection][..]));
                    (agent, Heard::Collects(sent.expect("what the coordinator asks can be read")))
                }
                Action::Advise { agent, trace, advice } => (agent, Heard::Advise(vec![(trace, advice)])),
                Action::Publish(_) => continue, // stored already
            };
            let ends = Ends { host: agent.0 as usize - 1, collector };
            if ends.host < self.hosts.len() && self.connection(ends).is_up {
                self.tell(ends, heard);
            }
        }
        if !std::mem::replace(&mut self.is_syncing[collector], true) {
            self.at(50 * MS, Event::Sync(collector));
        }
    }

    /// Takes a batch, which is acknowledged once it is on the disk.
    pub(super) fn report(&mut self, ends: Ends, batch: Outgoing) {
        let epoch = self.connection(ends).reports_epoch;
        self.collectors[ends.collector].report(self.hosts[ends.host].id, epoch, batch);
        if !std::mem::replace(&mut self.is_syncing[ends.collector], true) {
            let after = self.rng.between(MS, 60 * MS);
            self.at(after, Event::Sync(ends.collector));
        }
    }

    pub(super) fn tick(&mut self) {
        (0..self.collectors.len()).for_each(|collector| self.coordinate(collector, Told::Tick));
        self.at(TICK_NS, Event::Tick);
    }

    pub(super) fn sync(&mut self, collector: usize) {
        self.is_syncing[collector] = false;
        let (stored, actions) = self.collectors[collector].sync(Nanos(self.now));
        for batch in stored {
            let ends = Ends { host: batch.agent.0 as usize - 1, collector };
            if self.connection(ends).reports_epoch == batch.reports_epoch {
                let delay = self.delay();
                self.at(delay, Event::HearOfReports(ends, batch.reports_epoch, Heard::BatchAck(batch.number)));
            }
        }
        self.carry_out(collector, actions);
    }

    pub(super) fn connection(&mut self, ends: Ends) -> &mut Connection {
        &mut self.connections[ends.host * self.collectors.len() + ends.collector]
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
