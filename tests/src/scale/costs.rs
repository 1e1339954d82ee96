//! What one operation of the real code costs: all that the simulation knows of the machine.
//!
//! Measured by [`super::measure`], named by the rows of the bench `scale-costs`, and read back from its file or from `docs/scale.md`. Times are
//! of CPU unless they say otherwise.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

macro_rules! costs {
    ($($name:ident: $unit:literal, $what:literal;)*) => {
        /// The costs, each named as its row is, with its unit last.
        #[derive(Clone, Copy, PartialEq, Debug, Default, Deserialize)]
        pub struct Costs {
            $(#[doc = $what] pub $name: f64,)*
        }

        /// Their names, units, and what they are of.
        pub const TABLE: &[(&str, &str, &str)] = &[$((stringify!($name), $unit, $what),)*];
    };
}

costs! {
    wake_latency_us: "us", "Machine: how long a thread that slept takes until it runs, by the clock on the wall.";
    wake_us: "us", "Collector: a runtime thread that slept wakes for a message.";
    read_turn_us: "us", "Collector: a connection is read, beside what is read.";
    read_message_us: "us", "Collector: a message to the coordinator with one holding is decoded, checked and handed on.";
    read_holding_us: "us", "Collector: each further holding of it.";
    write_turn_us: "us", "Collector: a connection is written, beside what is written.";
    write_message_us: "us", "Collector: a message of the coordinator is encoded.";
    greet_us: "us", "Collector: an agent dials, until it is greeted on both streams.";
    idle_connection_us_per_s: "us/s", "Collector: a connection on which nobody says anything is kept alive, each second.";
    connection_bytes: "B", "Collector: memory of such a connection.";
    step_announce_us: "us", "Coordinator: an announcement of a new group, without whom it asks.";
    step_collect_us: "us", "Coordinator: one more agent is asked.";
    step_answer_us: "us", "Coordinator: an answer of one holding.";
    step_report_us: "us", "Coordinator: a holding of a report.";
    step_publish_us: "us", "Coordinator: a view of one agent more is published.";
    step_end_us: "us", "Coordinator: a group ends, each agent of it.";
    group_bytes: "B", "Coordinator: memory of a group with one trace.";
    part_bytes: "B", "Coordinator: memory of each agent of it.";
    batch_us: "us", "Intake: a batch is unpacked and acknowledged, beside what it holds.";
    batch_trace_us: "us", "Intake: each trace of a batch.";
    batch_byte_ns: "ns", "Intake: each byte of records.";
    store_write_us: "us", "Store: one write with its sync, without what is written.";
    store_trace_us: "us", "Store: each trace of a report.";
    store_byte_ns: "ns", "Store: each byte of records.";
    store_view_us: "us", "Store: a view, each agent of it.";
    sync_ms: "ms", "Store: how long a sync takes, by the clock on the wall.";
    settle_us: "us", "Summing up: a report of a trace that has come to rest.";
    stored_trace_bytes: "B", "Library: memory of a stored trace with one report.";
    report_disk_bytes: "B", "On disk: a report with a segment of 600 bytes of records.";
    report_wire_bytes: "B", "On the wire: such a report, packed.";
    agent_visit_us: "us", "Agent: a visit of 600 bytes that nobody asks for is indexed and overwritten.";
    agent_turn_us: "us", "Agent: a turn of the loop in which the collector asked for something.";
    agent_collect_us: "us", "Agent: each trace that is asked for: found, copied out and answered.";
    agent_report_us: "us", "Agent: each trace that is reported, put into its batch.";
    agent_pack_us: "us", "Agent: each reported trace is packed.";
    agent_idle_us_per_s: "us/s", "Agent: a connected one with nothing to do, each second.";
    agent_bytes: "B", "Agent: its own memory, without the pool.";
    link_wake_us: "us", "Agent's link: a thread that slept wakes for a message.";
    link_turn_us: "us", "Agent's link: the connection is read or written, beside the messages.";
    link_send_us: "us", "Agent's link: a message is sent.";
    link_receive_us: "us", "Agent's link: a message is received.";
}

impl Costs {
    /// Returns the costs of named values.
    ///
    /// # Errors
    /// One is missing.
    pub fn of(values: impl IntoIterator<Item = (String, f64)>) -> Result<Self> {
        let values: Map<String, Value> = values.into_iter().map(|(name, value)| (name, json!(value))).collect();
        serde_json::from_value(Value::Object(values)).context("the costs are not those of this version")
    }
}

/// Returns microseconds in nanoseconds.
#[must_use]
pub fn us(us: f64) -> u64 {
    (us * 1e3).max(0.0).round() as u64
}
