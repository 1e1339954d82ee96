//! Hosts apart from each other: each a network namespace, with a network between them that is slow, loses packets and falls apart as a test
//! says.
//!
//! Called by tests and benches with several hosts, as root. Real processes and the kernel's own TCP talk over it: what is lost is sent again,
//! and what is parted runs into its time-outs.
//!
//! # Shape
//! ```text
//!   host 0                 host 1                        each: lo, and `bks0` with the address 10.99.0.(1 + its number)
//!     bks0 (TUN)             bks0 (TUN)
//!        └──── relay thread ────┘                        a packet goes to the host of its destination, late, or not at all
//! ```

pub mod links;
mod namespace;
mod relay;

use anyhow::{Context as _, Result, ensure};
use links::{Counts, Link, Links};
use namespace::Namespace;
use relay::Relay;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tun_rs::{DeviceBuilder, SyncDevice};

/// The most hosts of a network.
pub const HOSTS_MAX: usize = 32;
/// The interface of each host.
const INTERFACE: &str = "bks0";
/// The largest packet.
const MTU_BYTES: usize = 1500;

/// Hosts and what is between them. All ends when this drops, but for a host that somebody still holds.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
    links: Arc<Mutex<Links>>,
    _relay: Relay,
}

/// A host. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Host {
    address: Ipv4Addr,
    namespace: Arc<Namespace>,
}

/// Returns why there can be no hosts apart here.
///
/// # Errors
/// That.
pub fn available() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root may make network namespaces".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        return Err("the kernel has no TUN devices".to_owned());
    }
    let mut tried = Command::new("unshare");
    match tried.args(["--net", "ip", "link", "show", "lo"]).stdout(Stdio::null()).output() {
        Ok(tried) if tried.status.success() => Ok(()),
        Ok(tried) => Err(format!("no network namespaces: {}", String::from_utf8_lossy(&tried.stderr).trim())),
        Err(error) => Err(format!("unshare cannot be run: {error}")),
    }
}

impl Network {
    /// Makes hosts, and a network between all of them on which nothing is late or lost; what is lost later is drawn by `seed`.
    ///
    /// # Errors
    /// The kernel refuses, as where [`available`] says why.
    pub fn start(n_hosts: usize, seed: u64) -> Result<Self> {
        ensure!((1..=HOSTS_MAX).contains(&n_hosts), "{n_hosts} hosts, of 1 to {HOSTS_MAX}");
        let (mut hosts, mut devices) = (Vec::new(), Vec::new());
        for number in 0..n_hosts {
            let host = Host { address: address(number), namespace: Arc::new(Namespace::make()?) };
            devices.push(host.inside(|| plug_in(host.address))?.with_context(|| format!("set up host {number}"))?);
            hosts.push(host);
        }
        let links = Arc::new(Mutex::new(Links::new(n_hosts, seed)));
        let relay = Relay::start(devices, Arc::clone(&links))?;
        Ok(Self { hosts, links, _relay: relay })
    }

    /// Returns the hosts.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Has every pair of hosts linked like this from now on.
    pub fn link_all(&self, link: Link) {
        self.links().link_all(link);
    }

    /// Parts the hosts of these numbers from all others: no packet comes through between them, in either direction.
    pub fn part(&self, numbers: &[usize]) {
        self.links().part(numbers);
    }

    /// Ends all partitions.
    pub fn heal(&self) {
        self.links().part(&[]);
    }

    /// Returns what became of packets so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.links().counts()
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    /// Returns its address, which all hosts of its network reach.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Runs `act` on the host: what it opens and starts belongs there.
    ///
    /// # Errors
    /// The host cannot be entered.
    ///
    /// # Panics
    /// Where `act` does.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> Result<T> {
        self.namespace.inside(act)
    }
}

/// Starts a process on a host, or on this machine where there is none.
///
/// # Errors
/// It cannot be started.
pub fn spawn(host: Option<&Host>, command: &mut Command) -> Result<Child> {
    let spawned = match host {
        Some(host) => host.inside(|| command.spawn())?,
        None => command.spawn(),
    };
    spawned.with_context(|| format!("start {command:?}"))
}

/// Returns the address of a host.
fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, number as u8 + 1)
}

/// Returns the number of the host with this address.
fn number(address: Ipv4Addr) -> Option<usize> {
    let [10, 99, 0, last] = address.octets() else { return None };
    usize::from(last).checked_sub(1)
}

/// Sets up the interfaces of the host on which this is called; returns the other end of the one that leads to the network.
fn plug_in(address: Ipv4Addr) -> Result<SyncDevice> {
    let device = DeviceBuilder::new().name(INTERFACE).build_sync().context("make a TUN device")?;
    device.set_nonblocking(true).context("have a TUN device not block")?;
    for step in [
        "link set lo up".to_owned(),
        format!("addr add {address}/24 dev {INTERFACE}"),
        format!("link set {INTERFACE} mtu {MTU_BYTES} up"),
    ] {
        let ran = Command::new("ip").args(step.split(' ')).output().context("run ip")?;
        ensure!(ran.status.success(), "ip {step}: {}", String::from_utf8_lossy(&ran.stderr).trim());
    }
    Ok(device)
}

#[cfg(test)]
mod tests;
