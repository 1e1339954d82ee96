//! What agents and the coordinator tell each other.

use super::{ADVISED_MAX, ANSWERED_MAX, COLLECTS_MAX, GROUP_MAX, WireError, at_most};
use super::{name_of, name_text, name_texts, names, trace_bytes, trace_id};
use crate::v1;
use backsight_core::certificate::Contact;
use backsight_core::coordination::{Advice, AgentView, Announcement, Answer, Collection, Greeting, View};
use backsight_core::holding::Holding;
use backsight_core::ids::{AgentId, TraceId, TriggerId};
use std::sync::Arc;

impl v1::Announce {
    /// Returns the message for an announcement, sent to the owner by the list of members of epoch `shard_epoch`.
    pub fn of(announcement: &Announcement, shard_epoch: u64) -> Self {
        Self {
            id: announcement.id,
            trigger: announcement.trigger.0,
            fired_ns: announcement.fired_ns,
            holdings: announcement.holdings.iter().map(Into::into).collect(),
            shard_epoch,
            trigger_name: name_text(announcement.name.as_ref()),
            base: trace_bytes(announcement.base),
        }
    }
}

impl TryFrom<v1::Announce> for Announcement {
    type Error = WireError;

    fn try_from(announce: v1::Announce) -> Result<Self, WireError> {
        let trigger = trigger("announce.trigger", announce.trigger)?;
        Ok(Self {
            id: announce.id,
            trigger,
            name: name_of("announce.trigger_name", trigger, &announce.trigger_name)?,
            fired_ns: announce.fired_ns,
            base: trace_id("announce.base", &announce.base)?,
            holdings: holdings("announce.holdings", announce.holdings)?,
        })
    }
}

impl From<&Collection> for v1::Collect {
    fn from(collection: &Collection) -> Self {
        Self {
            group: collection.group,
            trigger: collection.trigger.0,
            origin: collection.origin.0,
            fired_ns: collection.fired_ns,
            traces: collection.traces.iter().copied().map(trace_bytes).collect(),
            trigger_name: name_text(collection.name.as_ref()),
            base: trace_bytes(collection.base),
        }
    }
}

impl TryFrom<v1::Collect> for Collection {
    type Error = WireError;

    fn try_from(collect: v1::Collect) -> Result<Self, WireError> {
        group("collect.traces", collect.traces.len())?;
        let traces = collect.traces.iter().map(|bytes| trace_id("collect.traces", bytes));
        let trigger = trigger("collect.trigger", collect.trigger)?;
        Ok(Self {
            group: collect.group,
            trigger,
            name: name_of("collect.trigger_name", trigger, &collect.trigger_name)?,
            origin: AgentId(collect.origin),
            fired_ns: collect.fired_ns,
            base: trace_id("collect.base", &collect.base)?,
            traces: traces.collect::<Result<_, _>>()?,
        })
    }
}

impl From<&[Collection]> for v1::Collects {
    fn from(collections: &[Collection]) -> Self {
        Self { collects: collections.iter().map(Into::into).collect() }
    }
}

impl TryFrom<v1::Collects> for Vec<Collection> {
    type Error = WireError;

    fn try_from(collects: v1::Collects) -> Result<Self, WireError> {
        at_most("collects", &collects.collects, COLLECTS_MAX, "at most 256")?;
        collects.collects.into_iter().map(TryInto::try_into).collect()
    }
}

impl From<&[(TraceId, Advice)]> for v1::Advise {
    fn from(advised: &[(TraceId, Advice)]) -> Self {
        let one = |(trace, advice): &(TraceId, Advice)| v1::TraceAdvice {
            trace: trace_bytes(*trace),
            advice: *advice as u32,
        };
        Self { traces: advised.iter().map(one).collect() }
    }
}

impl TryFrom<v1::Advise> for Vec<(TraceId, Advice)> {
    type Error = WireError;

    fn try_from(advise: v1::Advise) -> Result<Self, WireError> {
        at_most("advise.traces", &advise.traces, ADVISED_MAX, "at most 1024")?;
        let known = advise.traces.iter().filter_map(|of| {
            let advice = Advice::from_code(u8::try_from(of.advice).ok()?)?;
            Some(trace_id("advise.traces.trace", &of.trace).map(|trace| (trace, advice)))
        });
        known.collect()
    }
}

impl From<&Answer> for v1::Answer {
    fn from(answer: &Answer) -> Self {
        Self { group: answer.group, holdings: answer.holdings.iter().map(Into::into).collect() }
    }
}

impl TryFrom<v1::Answer> for Answer {
    type Error = WireError;

    fn try_from(answer: v1::Answer) -> Result<Self, WireError> {
        Ok(Self { group: answer.group, holdings: holdings("answer.holdings", answer.holdings)? })
    }
}

impl From<&[Answer]> for v1::Answers {
    fn from(answers: &[Answer]) -> Self {
        Self { answers: answers.iter().map(Into::into).collect() }
    }
}

impl TryFrom<v1::Answers> for Vec<Answer> {
    type Error = WireError;

    fn try_from(answers: v1::Answers) -> Result<Self, WireError> {
        at_most("answers", &answers.answers, ANSWERED_MAX, "at most 256")?;
        let len: usize = answers.answers.iter().map(|answer| answer.holdings.len()).sum();
        if len > ANSWERED_MAX {
            return Err(WireError::Length { field: "answers.holdings", len, allowed: "at most 256" });
        }
        answers.answers.into_iter().map(TryInto::try_into).collect()
    }
}

impl From<&[Holding]> for v1::Update {
    fn from(holdings: &[Holding]) -> Self {
        Self { holdings: holdings.iter().map(Into::into).collect() }
    }
}

impl TryFrom<v1::Update> for Vec<Holding> {
    type Error = WireError;

    fn try_from(update: v1::Update) -> Result<Self, WireError> {
        update.holdings.into_iter().map(TryInto::try_into).collect()
    }
}

impl From<Greeting> for v1::Welcome {
    fn from(greeting: Greeting) -> Self {
        Self {
            protocol: v1::PROTOCOL,
            instance: greeting.instance,
            cluster_seed: greeting.cluster_seed,
            seed_epoch: greeting.seed_epoch,
            shard_epoch: greeting.shard_epoch,
        }
    }
}

impl From<v1::Welcome> for Greeting {
    fn from(welcome: v1::Welcome) -> Self {
        Self {
            instance: welcome.instance,
            cluster_seed: welcome.cluster_seed,
            seed_epoch: welcome.seed_epoch,
            shard_epoch: welcome.shard_epoch,
        }
    }
}

impl From<&View> for v1::View {
    fn from(view: &View) -> Self {
        let agent = |of: &AgentView| v1::AgentView {
            agent: of.agent.0,
            contact: of.contact as u32,
            holding: of.holding.as_deref().map(Into::into),
        };
        Self {
            trace: trace_bytes(view.trace),
            agents: view.agents.iter().map(agent).collect(),
            is_overfull: view.is_overfull,
            seed_epoch: view.seed_epoch,
            fired: view.fired.iter().map(Into::into).collect(),
            trigger_names: name_texts(&view.names),
        }
    }
}

impl TryFrom<v1::View> for View {
    type Error = WireError;

    fn try_from(view: v1::View) -> Result<Self, WireError> {
        let agent = |of: v1::AgentView| {
            let contact = u8::try_from(of.contact).ok().and_then(Contact::from_code).unwrap_or_default();
            let holding: Option<Holding> = of.holding.map(TryInto::try_into).transpose()?;
            Ok(AgentView { agent: AgentId(of.agent), contact, holding: holding.map(Arc::new) })
        };
        Ok(Self {
            trace: trace_id("view.trace", &view.trace)?,
            agents: view.agents.into_iter().map(agent).collect::<Result<_, _>>()?,
            is_overfull: view.is_overfull,
            seed_epoch: view.seed_epoch,
            fired: view.fired.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            names: names("view.trigger_names", &view.trigger_names)?,
        })
    }
}

impl v1::Hello {
    /// Checks who says hello.
    ///
    /// # Errors
    /// Another protocol, or no agent.
    pub fn check(&self) -> Result<AgentId, WireError> {
        if self.protocol != v1::PROTOCOL {
            let value = self.protocol.into();
            return Err(WireError::Value { field: "hello.protocol", value, allowed: "1" });
        }
        if self.agent == 0 {
            return Err(WireError::Value { field: "hello.agent", value: 0, allowed: "any agent but none" });
        }
        Ok(AgentId(self.agent))
    }
}

fn trigger(field: &'static str, id: u32) -> Result<TriggerId, WireError> {
    if id == 0 {
        return Err(WireError::Value { field, value: 0, allowed: "any trigger but none" });
    }
    Ok(TriggerId(id))
}

fn holdings(field: &'static str, holdings: Vec<v1::Holding>) -> Result<Vec<Holding>, WireError> {
    group(field, holdings.len())?;
    holdings.into_iter().map(TryInto::try_into).collect()
}

fn group(field: &'static str, len: usize) -> Result<(), WireError> {
    if (1..=GROUP_MAX).contains(&len) {
        return Ok(());
    }
    Err(WireError::Length { field, len, allowed: "1 to 33" })
}
