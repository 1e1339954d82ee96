//! A stored trace, as a collector hands it out: what its hosts wrote, and its certificate.

use super::{Fired, WireError, name_texts, names, trace_bytes, trace_id};
use crate::trace_json::TraceJson;
use crate::v1;
use backsight_core::certificate::Certificate;
use backsight_core::ids::{AgentId, TraceId};
use backsight_core::names::TriggerNames;
use backsight_core::segment::Slice;
use backsight_core::trace::{Trace, assemble};
use std::collections::BTreeMap;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoredTrace {
    /// The trace.
    pub trace: TraceId,
    /// What processes wrote for it.
    pub slices: Vec<Slice>,
    /// What is known of its completeness.
    pub certificate: Certificate,
    /// Why it is stored.
    pub fired: Vec<Fired>,
    /// Names of triggers that fired for it, as far as they are known.
    pub names: TriggerNames,
}

impl StoredTrace {
    /// Returns its spans.
    pub fn assemble(&self) -> Trace {
        Trace { names: self.names.clone(), ..assemble(self.trace, &self.slices) }
    }

    /// Returns it as JSON, certificate included.
    pub fn to_json(&self) -> TraceJson {
        TraceJson { certificate: Some((&self.certificate).into()), ..TraceJson::from(&self.assemble()) }
    }
}

impl From<&StoredTrace> for v1::GetReply {
    fn from(stored: &StoredTrace) -> Self {
        let mut hosts: BTreeMap<AgentId, Vec<v1::Slice>> = BTreeMap::new();
        for slice in &stored.slices {
            hosts.entry(slice.process.agent).or_default().push(slice.into());
        }
        Self {
            trace: trace_bytes(stored.trace),
            hosts: hosts.into_iter().map(|(agent, slices)| v1::HostSlices { agent: agent.0, slices }).collect(),
            certificate: Some((&stored.certificate).into()),
            fired: stored.fired.iter().map(Into::into).collect(),
            trigger_names: name_texts(&stored.names),
        }
    }
}

impl TryFrom<v1::GetReply> for StoredTrace {
    type Error = WireError;

    fn try_from(reply: v1::GetReply) -> Result<Self, WireError> {
        let mut slices = Vec::new();
        for host in reply.hosts {
            let agent = AgentId(host.agent);
            for slice in host.slices {
                slices.push(slice.into_slice(agent)?);
            }
        }
        Ok(Self {
            trace: trace_id("reply.trace", &reply.trace)?,
            slices,
            certificate: reply.certificate.map(Into::into).unwrap_or_default(),
            fired: reply.fired.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            names: names("reply.trigger_names", &reply.trigger_names)?,
        })
    }
}
