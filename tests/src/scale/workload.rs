//! What the hosts of the study do, and how requests go over them.
//!
//! Pure, and seeded; called by [`super::world`]. Requests that nobody asks for are not simulated: what they cost an agent is a product.

use super::collector::agent_of;
use crate::bench::stats::SplitMix;
use backsight_core::holding::CrumbTo;
use backsight_core::ids::SpanId;
use backsight_core::record::CrumbDirection;

/// Crumbs that a request carries (`crumbs.path_len`).
const CRUMBS: usize = 3;

/// What the hosts do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Workload {
    /// How many there are.
    pub n_hosts: usize,
    /// Requests that begin on each of them in a second.
    pub requests_per_s: f64,
    /// Hosts that each request visits; all of them where there are fewer.
    pub hosts_per_request: usize,
    /// Bytes of records of a visit, one segment.
    pub visit_bytes: u64,
    /// The share of requests for which a trigger fires.
    pub triggered_share: f64,
    /// The share of triggers that bring laterals.
    pub lateral_share: f64,
    /// How many these bring.
    pub n_laterals: usize,
}

impl Workload {
    /// Returns the workload of the study on `n_hosts`.
    #[must_use]
    pub const fn of(n_hosts: usize) -> Self {
        Self {
            n_hosts,
            requests_per_s: 100.0,
            hosts_per_request: 8,
            visit_bytes: 600,
            triggered_share: 0.001,
            lateral_share: 0.1,
            n_laterals: 10,
        }
    }

    /// Returns how many triggers fire on all hosts in a second.
    #[must_use]
    pub const fn triggers_per_s(&self) -> f64 {
        self.n_hosts as f64 * self.requests_per_s * self.triggered_share
    }

    /// Returns the same workload with so many triggers on all hosts in a second.
    #[must_use]
    pub const fn at(self, triggers_per_s: f64) -> Self {
        Self { triggered_share: triggers_per_s / (self.n_hosts as f64 * self.requests_per_s), ..self }
    }

    /// Returns how many visits each host serves in a second.
    #[must_use]
    pub fn visits_per_s(&self) -> f64 {
        self.requests_per_s * self.hosts_per_request.min(self.n_hosts) as f64
    }

    /// Returns the way of a request that visits host `on`, among others.
    #[must_use]
    pub fn path(&self, on: usize, random: &mut SplitMix) -> Path {
        let n_visited = self.hosts_per_request.min(self.n_hosts);
        let mut hosts = vec![on];
        while hosts.len() < n_visited {
            let host = random.below(self.n_hosts);
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts.swap(0, random.below(n_visited));
        let caller = |idx: usize, random: &mut SplitMix| if idx == 0 { 0 } else { random.below(idx) };
        let callers = (0..n_visited).map(|idx| caller(idx, random)).collect();
        Path { hosts, callers }
    }
}

/// The way of one request: a tree of hosts, in which each was called by one that the request had reached before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    /// The hosts, in the order in which they were reached.
    pub hosts: Vec<usize>,
    callers: Vec<usize>,
}

impl Path {
    /// Returns the crumbs on `host`, ascending; `None` where the request has not been there.
    #[must_use]
    pub fn crumbs(&self, host: usize) -> Option<Vec<CrumbTo>> {
        let at = self.hosts.iter().position(|of| *of == host)?;
        let to = |idx: usize, direction| CrumbTo { agent: agent_of(self.hosts[idx]), direction, span: SpanId(1) };
        let called = (1..self.hosts.len()).filter(|idx| self.callers[*idx] == at);
        let mut crumbs: Vec<CrumbTo> = called.map(|idx| to(idx, CrumbDirection::To)).collect();
        let mut back = at;
        for n in 0..CRUMBS {
            if back == 0 {
                break;
            }
            back = self.callers[back];
            crumbs.push(to(back, if n == 0 { CrumbDirection::From } else { CrumbDirection::Before }));
        }
        crumbs.sort_unstable();
        Some(crumbs)
    }
}

#[cfg(test)]
mod tests {
    use super::Workload;
    use crate::bench::stats::SplitMix;
    use crate::scale::collector::line_of;
    use std::collections::BTreeSet;

    #[test]
    fn crumbs_lead_from_any_host_of_a_request_to_all_of_it() {
        let mut random = SplitMix(1);
        for n_hosts in [1, 2, 5, 300] {
            let workload = Workload::of(n_hosts);
            for _ in 0..50 {
                let on = random.below(n_hosts);
                let path = workload.path(on, &mut random);
                let all: BTreeSet<usize> = path.hosts.iter().copied().collect();
                assert_eq!((all.len(), all.contains(&on)), (n_hosts.min(8), true));
                let (mut reached, mut next) = (BTreeSet::from([on]), vec![on]);
                while let Some(host) = next.pop() {
                    let led = path.crumbs(host).unwrap().into_iter().map(|crumb| line_of(crumb.agent));
                    next.extend(led.filter(|led| reached.insert(*led)));
                }
                assert_eq!(reached, all);
                assert_eq!(path.crumbs(n_hosts), None);
            }
        }
    }
}
