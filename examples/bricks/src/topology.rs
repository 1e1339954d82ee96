//! Topologies: which services there are, what each of their APIs costs, and which others it calls, how probably.
//!
//! Read from JSON (two are committed beside this crate) or generated ([`synthetic`]); checked once, here, so that everybody else can follow
//! names and positions without a doubt. [`crate::plan`] makes positions of the names.

pub(crate) mod synthetic;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write as _;

const TWO: &str = include_str!("../topologies/two.json");
const TEN: &str = include_str!("../topologies/ten.json");
/// The seed of `synthetic93` where none is given: what `bricks run` runs.
pub(crate) const SYNTHETIC_SEED: u64 = 1;
/// The most services that a topology may have: far more than one machine runs, and positions stay small.
const SERVICES_MAX: usize = 4096;

/// Which topology to print.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// `two`, `ten`, `synthetic93`, or a file.
    topology: String,
    /// Decides what is generated; `two` and `ten` are not.
    #[arg(long, default_value_t = SYNTHETIC_SEED)]
    seed: u64,
}

/// Services and who calls whom.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Topology {
    /// What it is called in reports.
    pub(crate) name: String,
    /// Where requests come in.
    pub(crate) entry: Endpoint,
    /// All services; their order gives them their positions.
    pub(crate) services: Vec<Service>,
}

/// One API of one service, by names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoint {
    /// The service.
    pub(crate) service: String,
    /// Its API.
    pub(crate) api: String,
}

/// A service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// Its name, unique in the topology.
    pub(crate) name: String,
    /// What it offers.
    pub(crate) apis: Vec<Api>,
}

/// What a service does when it is called.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Api {
    /// Its name, unique in the service.
    pub(crate) name: String,
    /// Its own work: computed below a millisecond, waited for above.
    pub(crate) exec_us: u64,
    /// What it calls, one after the other.
    pub(crate) children: Vec<Child>,
}

/// A call that a visit may make.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Child {
    /// The service that is called.
    pub(crate) service: String,
    /// Its API.
    pub(crate) api: String,
    /// How often the call is made, 0 to 1.
    pub(crate) probability: f64,
}

/// Why a topology cannot be run; each names the service and the value at fault.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub(crate) enum TopologyError {
    /// There is nothing to call.
    #[error("it has {n} services, and must have 1 to {SERVICES_MAX}")]
    ServiceCount {
        /// How many there are.
        n: usize,
    },
    /// Two services would be one.
    #[error("service `{service}` is listed twice")]
    ServiceTwice {
        /// The name.
        service: String,
    },
    /// Two APIs would be one.
    #[error("service `{service}` lists API `{api}` twice")]
    ApiTwice {
        /// The service.
        service: String,
        /// The name.
        api: String,
    },
    /// A name is empty, or would break the names of spans and files.
    #[error("`{name}` is no name for a service or an API: use letters, digits, `-` and `_`")]
    Name {
        /// The name.
        name: String,
    },
    /// Somebody calls a service that does not exist.
    #[error("{caller} calls service `{service}`, which does not exist")]
    UnknownService {
        /// Who calls.
        caller: String,
        /// What it calls.
        service: String,
    },
    /// Somebody calls an API that its service does not have.
    #[error("{caller} calls API `{api}` of service `{service}`, which does not have it")]
    UnknownApi {
        /// Who calls.
        caller: String,
        /// The service that it calls.
        service: String,
        /// What it asks for there.
        api: String,
    },
    /// A probability is none.
    #[error("{caller} calls `{service}` with probability {probability}, which must be from 0 to 1")]
    Probability {
        /// Who calls.
        caller: String,
        /// What it calls.
        service: String,
        /// The value.
        probability: f64,
    },
    /// A request could go round for ever.
    #[error("calls go in a circle: {path}")]
    Cycle {
        /// The APIs on the way round.
        path: String,
    },
}

/// Prints a topology as JSON.
pub(crate) fn print(options: &Options) -> Result<()> {
    let topology = load(&options.topology, options.seed)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string_pretty(&topology)?).context("standard output")
}

/// Returns the topology of that name, or of that file, checked.
pub(crate) fn load(name: &str, seed: u64) -> Result<Topology> {
    match name {
        "two" => parse(TWO, name),
        "ten" => parse(TEN, name),
        "synthetic93" => {
            let topology = synthetic::generate(seed);
            topology.check().context("the generated topology")?;
            Ok(topology)
        }
        file => {
            let text = std::fs::read_to_string(file).with_context(|| {
                format!("topology `{file}`: neither two, ten, synthetic93 nor a file that can be read")
            })?;
            parse(&text, file)
        }
    }
}

fn parse(json: &str, origin: &str) -> Result<Topology> {
    let topology: Topology = serde_json::from_str(json).with_context(|| format!("topology `{origin}`"))?;
    topology.check().with_context(|| format!("topology `{origin}`"))?;
    Ok(topology)
}

impl Topology {
    /// Says whether every name leads somewhere, every probability is one, and every request ends.
    ///
    /// # Errors
    /// The first fault found, in the order of the services.
    pub(crate) fn check(&self) -> Result<(), TopologyError> {
        let n = self.services.len();
        if !(1..=SERVICES_MAX).contains(&n) {
            return Err(TopologyError::ServiceCount { n });
        }
        let mut known: BTreeMap<&str, BTreeMap<&str, &Api>> = BTreeMap::new();
        for service in &self.services {
            if known.insert(name_of(&service.name)?, apis_of(service)?).is_some() {
                return Err(TopologyError::ServiceTwice { service: service.name.clone() });
            }
        }
        find(&known, "the entry", &self.entry.service, &self.entry.api)?;
        let mut settled = BTreeMap::new();
        for service in &self.services {
            for api in &service.apis {
                check_children(&known, service, api)?;
            }
        }
        for service in &self.services {
            for api in &service.apis {
                follow(&known, (&service.name, api), &mut settled, &mut Vec::new())?;
            }
        }
        Ok(())
    }
}

type Known<'t> = BTreeMap<&'t str, BTreeMap<&'t str, &'t Api>>;

fn apis_of(service: &Service) -> Result<BTreeMap<&str, &Api>, TopologyError> {
    let mut apis = BTreeMap::new();
    for api in &service.apis {
        if apis.insert(name_of(&api.name)?, api).is_some() {
            return Err(TopologyError::ApiTwice { service: service.name.clone(), api: api.name.clone() });
        }
    }
    Ok(apis)
}

fn name_of(name: &str) -> Result<&str, TopologyError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(TopologyError::Name { name: name.to_owned() });
    }
    Ok(name)
}

fn find<'t>(known: &Known<'t>, caller: &str, service: &str, api: &str) -> Result<(&'t str, &'t Api), TopologyError> {
    let caller = || caller.to_owned();
    let unknown = || TopologyError::UnknownService { caller: caller(), service: service.to_owned() };
    let (name, apis) = known.get_key_value(service).ok_or_else(unknown)?;
    let unknown = || TopologyError::UnknownApi { caller: caller(), service: service.to_owned(), api: api.to_owned() };
    Ok((name, apis.get(api).ok_or_else(unknown)?))
}

fn check_children(known: &Known<'_>, service: &Service, api: &Api) -> Result<(), TopologyError> {
    let caller = format!("`{}/{}`", service.name, api.name);
    for child in &api.children {
        find(known, &caller, &child.service, &child.api)?;
        if !(0.0..=1.0).contains(&child.probability) {
            let (service, probability) = (child.service.clone(), child.probability);
            return Err(TopologyError::Probability { caller, service, probability });
        }
    }
    Ok(())
}

/// Follows every call from `at`, depth first; `path` is the way there, `settled` what is known to end.
fn follow<'t>(
    known: &Known<'t>,
    at: (&'t str, &'t Api),
    settled: &mut BTreeMap<(&'t str, &'t str), ()>,
    path: &mut Vec<(&'t str, &'t str)>,
) -> Result<(), TopologyError> {
    let place = (at.0, at.1.name.as_str());
    if settled.contains_key(&place) {
        return Ok(());
    }
    let came_through = path.iter().position(|passed| *passed == place);
    path.push(place);
    if let Some(start) = came_through {
        let names: Vec<String> = path[start..].iter().map(|(service, api)| format!("`{service}/{api}`")).collect();
        return Err(TopologyError::Cycle { path: names.join(", ") });
    }
    for child in &at.1.children {
        let next = find(known, at.0, &child.service, &child.api)?;
        follow(known, next, settled, path)?;
    }
    path.pop();
    settled.insert(place, ());
    Ok(())
}

#[cfg(test)]
mod tests;
