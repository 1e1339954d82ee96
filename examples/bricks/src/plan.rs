//! The plan of a run: positions instead of names, which process hosts which services, on which host it runs, and which calls a request makes.
//!
//! Supervisor, load generator and services make the same plan of the same topology. Pure: what a request does follows from its trace id
//! alone, so that the load generator knows where it will come, and a run can be repeated.

use crate::hash;
use crate::topology::{self, Topology};

/// The most processes of a run; more services share them.
const PROCESSES_MAX: usize = 12;
/// The path of the call that enters the topology.
pub(crate) const ENTRY_PATH: u64 = 0;

/// One API of one service, by positions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Place {
    /// The service.
    pub(crate) service_idx: u16,
    /// Its API.
    pub(crate) api_idx: u16,
}

/// All that a run needs to know of its topology.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The services, in the topology's order.
    pub(crate) services: Vec<Service>,
    /// The processes that host them.
    pub(crate) processes: Vec<Process>,
    /// Where requests come in.
    pub(crate) entry: Place,
}

/// A service and where it runs.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: String,
    /// The process that hosts it.
    pub(crate) process_idx: usize,
    /// What it offers.
    pub(crate) apis: Vec<Api>,
}

/// What a visit does.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    /// `<service>/<api>`: what its spans are called.
    pub(crate) span_name: String,
    /// Its own work.
    pub(crate) exec_us: u64,
    /// What it may call, in order.
    pub(crate) children: Vec<Child>,
}

/// A call that a visit may make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child {
    /// What it calls.
    pub(crate) place: Place,
    /// How often.
    probability: f64,
}

/// A process of the run.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// Its name: that of its service, where it hosts one.
    pub(crate) name: String,
    /// The services that it hosts.
    pub(crate) service_idxs: Vec<u16>,
}

impl Process {
    /// Says whether it hosts several services.
    pub(crate) fn is_shared(&self) -> bool {
        self.service_idxs.len() > 1
    }
}

impl Plan {
    /// Returns the plan of a topology that has been checked.
    pub(crate) fn of(topology: &Topology) -> Self {
        let n_processes = topology.services.len().min(PROCESSES_MAX);
        let services: Vec<Service> = (0..topology.services.len())
            .map(|idx| Service {
                name: topology.services[idx].name.clone(),
                process_idx: idx % n_processes,
                apis: apis_of(topology, idx),
            })
            .collect();
        let processes = (0..n_processes).map(|process_idx| process(&services, process_idx)).collect();
        Self { services, processes, entry: place_of(topology, &topology.entry.service, &topology.entry.api) }
    }

    /// Returns the API at `place`, `None` where there is no such place: requests come from outside.
    pub(crate) fn api(&self, place: Place) -> Option<&Api> {
        self.services.get(usize::from(place.service_idx))?.apis.get(usize::from(place.api_idx))
    }

    /// Returns the position of the service of that name.
    pub(crate) fn service_named(&self, name: &str) -> Option<u16> {
        self.services.iter().position(|service| service.name == name).map(|idx| idx as u16)
    }

    /// Returns the names of all services, in order.
    pub(crate) fn service_names(&self) -> Vec<String> {
        self.services.iter().map(|service| service.name.clone()).collect()
    }

    /// Returns the services that request `trace` visits, each as often as it does, in the order in which their visits begin.
    pub(crate) fn walk(&self, trace: u128) -> Vec<u16> {
        let mut visited = Vec::new();
        self.walk_from(trace, self.entry, ENTRY_PATH, &mut visited);
        visited
    }

    fn walk_from(&self, trace: u128, place: Place, path: u64, visited: &mut Vec<u16>) {
        let Some(api) = self.api(place) else { return };
        visited.push(place.service_idx);
        for (child, child_path) in api.calls(trace, path) {
            self.walk_from(trace, child.place, child_path, visited);
        }
    }
}

impl Api {
    /// Returns the calls that the visit of `trace` that came by `path` makes, each with its own path.
    pub(crate) fn calls(&self, trace: u128, path: u64) -> impl Iterator<Item = (Child, u64)> {
        let key = hash::join((trace >> 64) as u64, trace as u64);
        self.children.iter().enumerate().filter_map(move |(idx, child)| {
            let child_path = hash::join(path, idx as u64 + 1);
            (hash::share(hash::join(key, child_path)) < child.probability).then_some((*child, child_path))
        })
    }
}

fn process(services: &[Service], process_idx: usize) -> Process {
    let hosted = |(_, service): &(usize, &Service)| service.process_idx == process_idx;
    let service_idxs: Vec<u16> = services.iter().enumerate().filter(hosted).map(|(idx, _)| idx as u16).collect();
    let name = match service_idxs.as_slice() {
        [only] => services[usize::from(*only)].name.clone(),
        _ => format!("shared-{process_idx}"),
    };
    Process { name, service_idxs }
}

fn apis_of(topology: &Topology, service_idx: usize) -> Vec<Api> {
    let service = &topology.services[service_idx];
    let child = |child: &topology::Child| Child {
        place: place_of(topology, &child.service, &child.api),
        probability: child.probability,
    };
    let api = |api: &topology::Api| Api {
        span_name: format!("{}/{}", service.name, api.name),
        exec_us: api.exec_us,
        children: api.children.iter().map(child).collect(),
    };
    service.apis.iter().map(api).collect()
}

/// Returns the positions of names that the topology's check has found.
fn place_of(topology: &Topology, service: &str, api: &str) -> Place {
    let service_idx = topology.services.iter().position(|listed| listed.name == service);
    let service_idx = service_idx.expect("the topology was checked: its services exist");
    let api_idx = topology.services[service_idx].apis.iter().position(|listed| listed.name == api);
    let api_idx = api_idx.expect("the topology was checked: its APIs exist");
    Place { service_idx: service_idx as u16, api_idx: api_idx as u16 }
}

#[cfg(test)]
mod tests;
