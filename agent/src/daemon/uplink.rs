//! The loop's connection to the collector: dialled at the start, watched like any descriptor, driven once a turn.

use super::{Daemon, Source, StartError};
use crate::config::Config;
use crate::uplink::Rules;
use crate::uplink::driver::Driver;
use crate::uplink::link::{Identity, Link};
use backsight_core::ids::AgentId;
use backsight_core::units::Nanos;
use std::hash::{BuildHasher, Hasher};

/// The collector, as the loop knows it.
pub(super) type Collector = Driver<Link>;

/// Starts dialling the collector, if one is configured.
pub(super) fn dial(config: &Config, agent: AgentId, now: Nanos) -> Result<Option<Collector>, StartError> {
    let Some(url) = config.uplink.collectors.first() else { return Ok(None) };
    let instance = std::hash::RandomState::new().build_hasher().finish(); // random for each process
    let link = Link::start(Identity { agent, instance, collector: url.clone() })
        .map_err(|source| StartError::System { what: "start the uplink's thread", source })?;
    let rules = Rules {
        batch_bytes: config.report.batch_bytes,
        bytes_per_s: config.report.bytes_per_s,
        resend: Nanos::from_ms(config.report.resend_ms),
        linger: Nanos::from_ms(config.triggers.linger_ms),
    };
    Ok(Some(Driver::new(link, rules, url.clone(), now)))
}

impl Daemon {
    /// Quiets the collector's bell; what it said is taken when the turn ends.
    pub(super) fn collector_rang(&self) {
        if let Some(collector) = &self.collector {
            collector.port().acknowledge();
        }
    }

    /// Takes what the collector said, tells it what has happened and sends what is due; returns how long the loop may sleep.
    pub(super) fn serve_collector(&mut self) -> Option<Nanos> {
        let now = self.now();
        let Self { collector: Some(collector), recorder, clock, .. } = self else { return None };
        collector.turn(recorder, clock.timeline(), now);
        Some(collector.sleep(now.time, crate::recorder::SWEEP_EVERY))
    }

    /// Watches for what the collector says.
    pub(super) fn watch_collector(&self) -> Result<(), rustix::io::Errno> {
        let eventfd = self.collector.as_ref().map(|collector| collector.port().eventfd());
        eventfd.map_or(Ok(()), |eventfd| self.watch(eventfd, Source::Collector))
    }
}
