//! The three hosts of the demo and the place of their collector: network namespaces with two networks between them, or this machine alone.
//!
//! Called by whatever starts a process for the demo. It changes nothing outside of the namespaces that it makes, and removes these when
//! it drops.
//!
//! # Shape
//! ```text
//!   hub: load, collector     bridge `app` 10.77.0.1           bridge `rec` 10.78.0.1
//!                                │    │    │                      │    │    │
//!   hosts a, b, c            `app` 10.77.0.11 .12 .13         `rec` 10.78.0.11 .12 .13
//! ```
//! Services talk over `app`, agents with the collector over `rec`, so that the counters of `rec` show what recording sends.

use crate::{process, setup};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Hosts of the demo.
pub(crate) const N_HOSTS: usize = 3;
/// What people call them.
pub(crate) const NAMES: [&str; N_HOSTS] = ["a", "b", "c"];
/// The interface over which agents reach the collector.
pub(crate) const RECORDING_INTERFACE: &str = "rec";
/// The interface over which services reach each other.
pub(crate) const APPLICATION_INTERFACE: &str = "app";
/// Each network's interface and the first three numbers of its addresses.
const NETWORKS: [(&str, &str); 2] = [(APPLICATION_INTERFACE, "10.77.0"), (RECORDING_INTERFACE, "10.78.0")];
/// The last number of the first host's addresses.
const FIRST_HOST: usize = 11;

/// Where a process runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Where load and collector are.
    Hub,
    /// A host, by position.
    Host(usize),
}

/// The hosts.
pub(crate) enum Hosts {
    /// Each in a network namespace of its own.
    Apart(Namespaces),
    /// All of them are this machine.
    Together {
        /// Why.
        why: String,
    },
}

impl Hosts {
    /// Sets up three hosts apart from each other, or returns the one that there is.
    pub(crate) fn set_up() -> Self {
        if !setup::is_root() {
            return Self::Together { why: "only root may make network namespaces".to_owned() };
        }
        let made = setup::system_packages(setup::FOR_DEMO).and_then(|()| Namespaces::make(std::process::id()));
        match made {
            Ok(namespaces) => Self::Apart(namespaces),
            Err(why) => Self::Together { why: format!("no network namespaces here: {why:#}") },
        }
    }

    /// Returns `program`, to be started at `place`.
    ///
    /// The process has the id of whoever starts it: `ip netns exec` becomes the program.
    pub(crate) fn command(&self, place: Place, program: &Path) -> Command {
        let Self::Apart(namespaces) = self else { return Command::new(program) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespaces.name(place)]).arg(program);
        command
    }

    /// Returns where the collector listens: at a free port of an address that all agents reach.
    pub(crate) fn collector_listens(&self) -> String {
        match self {
            Self::Apart(_) => format!("{}:0", address(NETWORKS[1].1, Place::Hub)),
            Self::Together { .. } => "127.0.0.1:0".to_owned(),
        }
    }

    /// Returns what tells `bricks run` where the services of each host run.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let Self::Apart(namespaces) = self else { return Vec::new() };
        let of = |idx| {
            let place = Place::Host(idx);
            ["--netns".to_owned(), namespaces.name(place), "--address".to_owned(), address(NETWORKS[0].1, place)]
        };
        (0..N_HOSTS).flat_map(of).collect()
    }
}

/// Returns the address of `place` in a network.
fn address(network: &str, place: Place) -> String {
    match place {
        Place::Hub => format!("{network}.1"),
        Place::Host(idx) => format!("{network}.{}", FIRST_HOST + idx),
    }
}

/// Network namespaces; removed when this drops, with all interfaces in them.
pub(crate) struct Namespaces {
    pid: u32,
}

impl Namespaces {
    /// Makes the namespaces of the demo with process id `pid`, which is in their names.
    fn make(pid: u32) -> Result<Self> {
        // What is there already goes again where a later step is refused.
        let made = Self { pid };
        for step in steps(&made) {
            process::output(Command::new("ip").args(step.split(' ')))?;
        }
        let hub = made.name(Place::Hub);
        process::output(Command::new("ip").args(["netns", "exec", &hub, "true"])).context("run a program there")?;
        Ok(made)
    }

    fn name(&self, place: Place) -> String {
        match place {
            Place::Hub => format!("bks-{}-hub", self.pid),
            Place::Host(idx) => format!("bks-{}-{}", self.pid, NAMES[idx]),
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for place in places() {
            // One that was never made is not there to be removed.
            let _ = process::output(Command::new("ip").args(["netns", "del", &self.name(place)]));
        }
    }
}

fn places() -> impl Iterator<Item = Place> {
    std::iter::once(Place::Hub).chain((0..N_HOSTS).map(Place::Host))
}

/// Returns the arguments of `ip` that make everything, in order.
fn steps(namespaces: &Namespaces) -> Vec<String> {
    let hub = namespaces.name(Place::Hub);
    let mut steps = Vec::new();
    for place in places() {
        let name = namespaces.name(place);
        steps.push(format!("netns add {name}"));
        steps.push(format!("-n {name} link set lo up"));
    }
    for (interface, network) in NETWORKS {
        steps.push(format!("-n {hub} link add {interface} type bridge"));
        steps.push(format!("-n {hub} addr add {}/24 dev {interface}", address(network, Place::Hub)));
        steps.push(format!("-n {hub} link set {interface} up"));
        for (idx, host) in NAMES.iter().enumerate() {
            let (name, end) = (namespaces.name(Place::Host(idx)), format!("{interface}-{host}"));
            steps.push(format!("-n {hub} link add {end} type veth peer name {interface} netns {name}"));
            steps.push(format!("-n {hub} link set {end} master {interface} up"));
            steps.push(format!("-n {name} addr add {}/24 dev {interface}", address(network, Place::Host(idx))));
            steps.push(format!("-n {name} link set {interface} up"));
        }
    }
    steps
}

#[cfg(test)]
mod tests;
