//! What all exports of a trace share beside its flat form ([`backsight_core::flat`]): what is known beside the trace.
//!
//! Called by `otlp` and `perfetto`, and by the read side for its rows. It knows no outside format.

use backsight_core::certificate::Certificate;
use backsight_core::ids::AgentId;
use std::collections::BTreeMap;

/// What is known beside a trace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// What it says of its own completeness.
    pub certificate: Option<&'a Certificate>,
    /// Names of hosts, by agent, as far as they are known.
    pub hosts: Option<&'a BTreeMap<AgentId, String>>,
}

impl<'a> Extras<'a> {
    /// Returns the name of an agent's host.
    pub fn host(self, agent: AgentId) -> Option<&'a str> {
        self.hosts?.get(&agent).map(String::as_str)
    }
}

#[cfg(test)]
pub(crate) mod sample;
