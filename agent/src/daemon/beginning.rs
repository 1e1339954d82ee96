//! What an agent begins with: who it is, how much memory it may have, and what its recorder is configured with.
//!
//! Called by the daemon once, at its start.

use crate::clock::HostClock;
use crate::config::{self, Budget, Config};
use crate::recorder::Settings;
use crate::triggers::Rules;
use crate::{host, ident};
use backsight_core::ids::{AgentId, RegionId};
use backsight_core::units::{Bytes, Nanos};
use backsight_ringbuf::region::CrumbRules;
use tracing::warn;

/// Returns who this agent is, and says what of it is not as it was.
pub(super) fn identify(config: &Config) -> AgentId {
    let identified = ident::identify(&config.agent);
    if let Some((file, error)) = &identified.not_kept {
        warn!(file = %file.display(), error = %error, "agent id not kept, it is derived at each start");
    }
    if let Some(other) = identified.of_another {
        let (was, now) = (other.to_string(), identified.agent.to_string());
        warn!(
            was,
            now,
            "this machine is a copy of another one, whose agent's id was in the state directory: it takes one of its own"
        );
    }
    identified.agent
}

/// Returns the budget of an agent that takes `survived` bytes over.
pub(super) fn budget(config: &Config, survived: Bytes) -> Bytes {
    let free = host::available_memory().unwrap_or(Bytes(u64::MAX));
    let available = Bytes(free.0.saturating_add(survived.0));
    let Budget { bytes: budget, clamped_by } = config::budget(&config.pool, available);
    if let Some(available) = clamped_by {
        warn!(
            configured = %Bytes(config.pool.budget_bytes),
            available = %available,
            free_memory_share = config.pool.free_memory_share,
            budget = %budget,
            "pool is smaller than configured, the host has too little free memory"
        );
    }
    let Some(limit) = host::memory_limit() else { return budget };
    let most = config::budget_within(limit);
    if most < budget {
        let (limit, budget) = (limit.to_string(), most.to_string());
        warn!(limit, budget, "pool is smaller than configured, the memory limit of the agent's group leaves no more");
    }
    most.min(budget)
}

/// Returns what a recorder is configured with.
pub(super) fn settings(config: &Config, agent: AgentId, clock: &HostClock, budget: Bytes) -> Settings {
    // Unique on this host across restarts, and exact in JSON readers that have doubles only: milliseconds, and 2^10 regions in each.
    let started_ms = clock.timeline().points().last().map_or(0, |point| point.realtime_ns / 1_000_000);
    Settings {
        agent,
        boot: ident::boot_id(),
        clock: clock.source(),
        ticks_per_second: clock.ticks_per_second(),
        first_region: RegionId(started_ms << 10),
        budget,
        kept_share: config.pool.kept_share,
        process_share: config.pool.process_share,
        user_share: config.pool.user_share,
        reserve_lasts: Nanos::from_ms(config.pool.grant_reserve_ms),
        reserve_share: config.pool.grant_reserve_share,
        slots_per_process: config.pool.slots_per_process,
        crumbs: CrumbRules { path_len: config.crumbs.path_len, in_responses: config.crumbs.response },
        horizon_target: Nanos::from_ms(config.horizon.target_ms),
        record_share: config.horizon.record_share,
        process_death: Nanos::from_ms(config.triggers.process_death_ms),
        rules: Rules {
            rate_per_s: config.triggers.rate_per_s,
            remote_rate_per_s: config.triggers.remote_rate_per_s,
            linger: Nanos::from_ms(config.triggers.linger_ms),
            lateral_max: config.triggers.lateral_max,
        },
        walk_cpu_share: config.walk.cpu_share,
        is_reporting: !config.uplink.collectors.is_empty(),
        has_predecessor: true,
    }
}
