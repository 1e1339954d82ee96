//! What a seed is about: how large the cluster is, what is asked of it, and what goes wrong.

use crate::rng::Rng;
use backsight_core::units::Bytes;

/// A millisecond, in the nanoseconds of the simulated clock.
pub const MS: u64 = 1_000_000;
/// A second.
pub const S: u64 = 1000 * MS;

/// Something that goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// A process is killed, and comes back.
    KillProcess,
    /// An agent is killed, and comes back without what it held.
    KillAgent,
    /// An agent is killed, and the next one takes over what it held.
    RestartAgent,
    /// A collector is killed, and comes back with what was on its disk.
    KillCollector,
    /// A host is cut off from a collector for a while, or from all of them.
    Partition,
    /// A connection breaks, and is made again.
    Break,
}

/// Everything that follows from a seed before anything happens.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Hosts, each with an agent.
    pub n_hosts: usize,
    /// Collectors.
    pub n_collectors: usize,
    /// Processes of each host.
    pub n_processes: usize,
    /// Requests in all.
    pub n_requests: usize,
    /// Over how long they begin.
    pub load_ns: u64,
    /// Of a thousand visits, those that end with a trigger.
    pub trigger_permille: u64,
    /// Payload of a visit, at most.
    pub payload_max: u64,
    /// The pool of each agent.
    pub budget: Bytes,
    /// How old data should get before it is overwritten: what cannot be has threads leave something out.
    pub horizon_target_ms: u64,
    /// How often a trigger may fire in a second.
    pub rate_per_s: u64,
    /// What an agent may send in a second, 0 for no limit.
    pub report_bytes_per_s: u64,
    /// The longest that a message takes.
    pub delay_max_ns: u64,
    /// When what goes wrong.
    pub faults: Vec<(u64, Fault)>,
}

impl Plan {
    /// Returns the plan of a seed. One in eight is calm: nothing goes wrong, and nothing is scarce. One in 32 has 20 hosts and three collectors.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0xb0c5_1947);
        let is_calm = seed.is_multiple_of(8);
        let load_ns = rng.between(S, 4 * S);
        let mut faults = Vec::new();
        if !is_calm {
            for _ in 0..rng.below(7) {
                let fault = match rng.below(6) {
                    0 => Fault::KillProcess,
                    1 => Fault::KillAgent,
                    2 => Fault::RestartAgent,
                    3 => Fault::KillCollector,
                    4 => Fault::Partition,
                    _ => Fault::Break,
                };
                faults.push((rng.below(load_ns + S), fault));
            }
            faults.sort_unstable();
        }
        let is_wide = seed % 32 == 5;
        let is_scarce = |rng: &mut Rng, permille| !is_calm && rng.permille(permille);
        Self {
            seed,
            n_hosts: rng.between(2, 7) as usize,
            n_processes: rng.between(1, 3) as usize,
            n_requests: rng.between(20, 250) as usize,
            load_ns,
            trigger_permille: rng.between(5, 60),
            payload_max: if is_scarce(&mut rng, 400) { 60_000 } else { 600 },
            budget: Bytes::mib(8),
            horizon_target_ms: if is_calm { 1 } else { 10_000 },
            rate_per_s: if is_scarce(&mut rng, 200) { 3 } else { 10_000 },
            report_bytes_per_s: if is_scarce(&mut rng, 200) { 20_000 } else { 0 },
            delay_max_ns: rng.between(MS, 80 * MS),
            n_collectors: rng.between(1, 4) as usize, // drawn last: what else a seed means stays the same
            faults,
        }
        .widened(is_wide)
    }

    fn widened(self, is_wide: bool) -> Self {
        if is_wide { Self { n_hosts: 20, n_collectors: 3, ..self } } else { self }
    }

    /// Returns whether no host loses anything, and nothing is scarce: every triggered trace must then be complete in the end, however often
    /// connections broke and collectors were away, unless a burst outlasts what an agent that is away had granted ahead ([`crate::reserve`]).
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        let has_room = self.payload_max <= 600 && self.rate_per_s >= 10_000 && self.report_bytes_per_s == 0;
        let is_harmless = |fault: &Fault| !matches!(fault, Fault::KillProcess | Fault::KillAgent);
        self.faults.iter().all(|(_, fault)| is_harmless(fault)) && has_room
    }
}
