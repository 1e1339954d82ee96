//! The loop's connections to the collectors: dialled at the start, watched like any descriptor, driven once a turn.

use super::{Daemon, Source, StartError};
use crate::config::Config;
use crate::uplink::Rules;
use crate::uplink::cluster::Cluster;
use crate::uplink::driver::Driver;
use crate::uplink::link::{Identity, Link};
use backsight_core::ids::AgentId;
use backsight_core::shard::Member;
use backsight_core::units::Nanos;
use std::hash::{BuildHasher, Hasher};

/// The collectors, as the loop knows them.
pub(super) type Collectors = Cluster<Link>;

/// Starts dialling the collectors, if any are configured.
pub(super) fn dial(config: &Config, agent: AgentId, now: Nanos) -> Result<Option<Collectors>, StartError> {
    let urls = &config.uplink.collectors;
    let instance = std::hash::RandomState::new().build_hasher().finish(); // random for each process
    let rules = Rules {
        batch_bytes: config.report.batch_bytes,
        // A limit is the host's: each collector has its share of it.
        bytes_per_s: config.report.bytes_per_s.div_ceil(urls.len().max(1) as u64),
        resend: Nanos::from_ms(config.report.resend_ms),
        linger: Nanos::from_ms(config.triggers.linger_ms),
    };
    let connect = |url: &String| {
        let link = Link::start(Identity { agent, instance, collector: url.clone(), tls: config.uplink.tls.clone() })
            .map_err(|source| StartError::System { what: "start the uplink's thread", source })?;
        let mut driver = Driver::new(link, rules, url.clone(), now);
        driver.set_weights(config.triggers.weights());
        Ok((Member::from_name(url.trim_end_matches('/')), driver))
    };
    let connected: Vec<_> = urls.iter().map(connect).collect::<Result<_, StartError>>()?;
    Ok(Some(connected).filter(|connected| !connected.is_empty()).map(Cluster::new))
}

impl Daemon {
    /// Quiets the collectors' bells; what they said is taken when the turn ends.
    pub(super) fn collectors_rang(&self) {
        self.collectors.iter().flat_map(Cluster::ports).for_each(Link::acknowledge);
    }

    /// Takes what the collectors said, tells them what has happened and sends what is due; returns how long the loop may sleep.
    pub(super) fn serve_collectors(&mut self) -> Option<Nanos> {
        let now = self.now();
        let Self { collectors: Some(collectors), recorder, clock, .. } = self else { return None };
        collectors.turn(recorder, clock.timeline(), now);
        Some(collectors.sleep(now.time, crate::recorder::SWEEP_EVERY))
    }

    /// Watches for what the collectors say.
    pub(super) fn watch_collectors(&self) -> Result<(), rustix::io::Errno> {
        let mut ports = self.collectors.iter().flat_map(Cluster::ports);
        ports.try_for_each(|port| self.watch(port.eventfd(), Source::Collectors))
    }
}
