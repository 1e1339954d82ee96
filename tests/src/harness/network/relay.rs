//! The thread that carries packets from host to host: it holds the other end of each host's interface, and the packets that are on their way.

use super::links::{Fate, Links};
use super::{MTU_BYTES, number};
use anyhow::{Context as _, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tun_rs::SyncDevice;

/// Packets taken from one host before the others' turn.
const BURST: usize = 64;
/// Packets on their way at a time; one beyond is lost, as in any router.
const ON_THEIR_WAY_MAX: usize = 65_536;
/// How long the relay sleeps where nothing is on its way.
const IDLE: Duration = Duration::from_secs(3600);

/// A running relay; it stops when this drops, and with it the interfaces are gone.
#[derive(Debug)]
pub(super) struct Relay {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts the relay of hosts by their devices.
    pub(super) fn start(devices: Vec<SyncDevice>, links: Arc<Mutex<Links>>) -> Result<Self> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context("make an eventfd")?);
        let stopped = Arc::clone(&stop);
        let carrier = Carrier { devices, links, on_their_way: BTreeMap::new(), n: 0 };
        let thread = std::thread::Builder::new().name("relay".into()).spawn(move || carrier.run(&stopped));
        Ok(Self { stop, thread: Some(thread.context("start the relay")?) })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes()); // it takes as many as there are drops
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there was printed there
        }
    }
}

/// A packet, and between whom.
struct Packet {
    from: usize,
    to: usize,
    bytes: Box<[u8]>,
}

struct Carrier {
    devices: Vec<SyncDevice>,
    links: Arc<Mutex<Links>>,
    /// By when they are due, those of one time in the order in which they came.
    on_their_way: BTreeMap<(Instant, u64), Packet>,
    n: u64,
}

impl Carrier {
    fn run(mut self, stop: &OwnedFd) {
        loop {
            let wait = match self.on_their_way.first_key_value() {
                Some(((due, _), _)) => due.saturating_duration_since(Instant::now()),
                None => IDLE,
            };
            let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
            let devices = self.devices.iter().map(|device| PollFd::from_borrowed_fd(device.as_fd(), PollFlags::IN));
            let mut polled: Vec<PollFd<'_>> = devices.collect();
            polled.push(PollFd::new(stop, PollFlags::IN));
            let _ = poll(&mut polled, Some(&wait)); // interrupted: as if the time were over
            let is_ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
            if is_ready.last() == Some(&true) {
                return;
            }
            (0..self.devices.len()).filter(|from| is_ready[*from]).for_each(|from| self.take(from));
            self.deliver();
        }
    }

    /// Takes what a host sends.
    fn take(&mut self, from: usize) {
        let mut buffer = [0; MTU_BYTES];
        for _ in 0..BURST {
            let Ok(len) = self.devices[from].recv(&mut buffer) else { return }; // nothing more
            // All else is no business of these hosts: IPv6's search for routers, other networks.
            let Some(to) = destination(&buffer[..len]).filter(|to| *to < self.devices.len()) else { continue };
            let Fate::Arrives(delay) = links(&self.links).decide(from, to) else { continue };
            if self.on_their_way.len() < ON_THEIR_WAY_MAX {
                self.n += 1;
                let packet = Packet { from, to, bytes: buffer[..len].into() };
                self.on_their_way.insert((Instant::now() + delay, self.n), packet);
            }
        }
    }

    /// Hands over what is due.
    fn deliver(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.on_their_way.first_entry().filter(|first| first.key().0 <= now) {
            let Packet { from, to, bytes } = first.remove();
            if !links(&self.links).is_cut_off(from, to) {
                let _ = self.devices[to].send(&bytes); // a full queue loses it, as in any host
            }
        }
    }
}

/// Returns the number of the host that a packet is for.
fn destination(packet: &[u8]) -> Option<usize> {
    let is_v4 = packet.first()? >> 4 == 4;
    let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    number(Ipv4Addr::from(address)).filter(|_| is_v4)
}

fn links(links: &Mutex<Links>) -> MutexGuard<'_, Links> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}
