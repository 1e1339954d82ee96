//! What crossed the network: the counters of each host's interfaces, or what the agents say where all hosts are one.
//!
//! Called around the main act.

use super::agents::{Recorder, Watch};
use super::hosts::{APPLICATION_INTERFACE, Hosts, RECORDING_INTERFACE};
use anyhow::{Context, Result};

/// Bytes between hosts since the interfaces were made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Traffic {
    /// Between agents and collector, both ways, headers of all layers included.
    pub(crate) recording_bytes: u64,
    /// Sent by services.
    pub(crate) application_bytes: u64,
}

impl Traffic {
    /// Reads the interfaces of all hosts; `None` where these are one.
    ///
    /// # Errors
    /// An agent, through which its host's interfaces are seen, is gone.
    pub(crate) fn read(hosts: &Hosts, recorder: &Recorder) -> Result<Option<Self>> {
        if !matches!(hosts, Hosts::Apart(_)) {
            return Ok(None);
        }
        let mut all = Self::default();
        for pid in recorder.agent_pids() {
            let path = format!("/proc/{pid}/net/dev");
            let table = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
            let (received, sent) = counted(&table, RECORDING_INTERFACE).context("find the agents' interface")?;
            all.recording_bytes += received + sent;
            // What one host sends another receives: counting both would double it.
            all.application_bytes += counted(&table, APPLICATION_INTERFACE).context("find the services' interface")?.1;
        }
        Ok(Some(all))
    }

    /// Returns what was added since `before`.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            recording_bytes: self.recording_bytes.saturating_sub(before.recording_bytes),
            application_bytes: self.application_bytes.saturating_sub(before.application_bytes),
        }
    }
}

/// Returns the bytes that an interface received and sent, from a table as in `/proc/net/dev`.
fn counted(table: &str, interface: &str) -> Option<(u64, u64)> {
    let line = table.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
    let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
    Some((numbers.next()??, numbers.nth(7)??))
}

/// What crossed the network during the main act, beside what was recorded in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossed {
    /// Between agents and collector.
    pub(crate) recording_bytes: u64,
    /// Sent by services; nothing where all hosts are one.
    pub(crate) application_bytes: Option<u64>,
    /// Written by the services into their logs.
    pub(crate) written_bytes: u64,
}

impl Crossed {
    /// Puts together what interfaces and agents counted.
    pub(crate) fn new(traffic: Option<Traffic>, watch: &Watch) -> Self {
        Self {
            recording_bytes: traffic.map_or(watch.sent_bytes, |traffic| traffic.recording_bytes),
            application_bytes: traffic.map(|traffic| traffic.application_bytes),
            written_bytes: watch.written_bytes(),
        }
    }

    /// Returns the share of what was recorded that crossed.
    pub(crate) fn share(&self) -> f64 {
        self.recording_bytes as f64 / self.written_bytes.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn an_interface_is_found_by_its_whole_name() {
        let table = "Inter-|   Receive                            |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n    \
            lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n \
            recx:       9       3    0    0    0     0          0         0        9       2    0    0    0     0       0          0\n   \
            rec:     230       3    0    0    0     0          0         0      176       2    0    0    0     0       0          0\n";
        assert_eq!(counted(table, "rec"), Some((230, 176)));
        assert_eq!(counted(table, "app"), None);
    }
}
