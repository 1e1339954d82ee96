//! What is between an agent and a collector: two ordered streams that break together, and messages on their way.

use backsight_agent::uplink::Room;
use backsight_agent::uplink::driver::Port;
use backsight_agent::uplink::link::{Heard, Outgoing};
use backsight_proto::v1::agent_says;
use std::cell::RefCell;
use std::collections::VecDeque;

/// Messages that an agent's end takes at a time.
const ROOM: Room = Room { coordination: 256, batches: 8 };

/// What an agent says.
#[derive(Debug)]
pub enum Said {
    /// To the coordinator.
    What(agent_says::What),
    /// Segments.
    Batch(Outgoing),
    /// The stream of reports is stuck: it ends, and another follows.
    ResetReports,
}

/// An agent's end of its connection.
#[derive(Debug, Default)]
pub struct SimPort {
    inbox: RefCell<VecDeque<Heard>>,
    outbox: RefCell<VecDeque<Said>>,
}

impl SimPort {
    /// Lets the agent hear something in its next turn.
    pub fn hear(&self, heard: Heard) {
        self.inbox.borrow_mut().push_back(heard);
    }

    /// Takes what the agent said.
    pub fn take_said(&self) -> VecDeque<Said> {
        self.outbox.take()
    }
}

impl Port for SimPort {
    fn take(&mut self) -> Option<Heard> {
        self.inbox.borrow_mut().pop_front()
    }

    fn remind(&self) {}

    fn room(&self) -> Room {
        ROOM
    }

    fn say(&self, what: agent_says::What) {
        self.outbox.borrow_mut().push_back(Said::What(what));
    }

    fn send(&self, batch: Outgoing) {
        self.outbox.borrow_mut().push_back(Said::Batch(batch));
    }

    fn reset_reports(&self) {
        self.outbox.borrow_mut().push_back(Said::ResetReports);
    }

    fn sent_bytes(&self) -> u64 {
        0
    }
}

/// Between whom a connection is, by their positions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// The agent's host.
    pub host: usize,
    /// The collector.
    pub collector: usize,
}

/// One connection, as the world keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Connection {
    /// Whether both ends are there.
    pub is_up: bool,
    /// Raised whenever it breaks: what was on its way is lost.
    pub epoch: u64,
    /// As `epoch`, of the stream of reports.
    pub reports_epoch: u64,
    /// Until when the two are cut off from each other.
    pub cut_until: u64,
    /// When the last message of each stream arrives: they stay in order.
    pub last_said: u64,
    /// See `last_said`.
    pub last_reported: u64,
    /// See `last_said`.
    pub last_told: u64,
}
