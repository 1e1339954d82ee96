//! Descriptors that outlive the agent: a service manager's descriptor store or a keeper holds them, and the next agent gets them back.
//!
//! Called by the daemon. Both are spoken to in the words of `sd_notify`, one datagram a descriptor, and neither is waited for: what does not
//! fit in the socket is sent with a later turn.

pub mod inherited;
pub mod keeper;
pub mod message;
pub mod name;

use backsight_core::ids::RegionId;
use backsight_core::units::Bytes;
use keeper::Dial;
use message::Message;
use name::{Name, Owner};
use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

/// The variable by which systemd says how many descriptors it holds for a service (since 254; a unit for an older one sets it).
pub const FDSTORE: &str = "FDSTORE";
/// Descriptors that wait to be held at a time; more are not held.
const WAITING_MAX: usize = 16_384;

/// What the names of descriptors may take together, a colon between them: a manager hands them on in one variable, and Linux starts no program
/// with one of 128 KiB.
const NAMES_MAX_BYTES: usize = (128 << 10) - 64;

/// What survived an earlier agent.
pub type Survivors = Vec<(Name, OwnedFd)>;

/// Who holds them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// Nobody: what is recorded goes with the agent.
    Nobody,
    /// The service manager.
    Manager,
    /// A process of ours.
    Keeper,
}

/// What is to be told to who holds them.
#[derive(Debug)]
enum Order {
    Store(Name, OwnedFd),
    Remove(Name),
}

/// See the module.
#[derive(Debug)]
pub struct Keep {
    holder: Holder,
    socket: Option<OwnedFd>,
    /// The keeper, where this agent started it.
    child: Option<Child>,
    waiting: VecDeque<Order>,
    /// Regions that are held, and whose they are.
    owners: BTreeMap<RegionId, Owner>,
    /// Descriptors that are held, by name, how many that is, and how many there may be.
    held: BTreeMap<Name, usize>,
    n_held: usize,
    n_max: usize,
    /// What their names take, see [`NAMES_MAX_BYTES`].
    name_bytes: usize,
    n_unheld: u64,
}

impl Keep {
    /// Returns one that holds nothing.
    pub const fn nobody() -> Self {
        Self {
            holder: Holder::Nobody,
            socket: None,
            child: None,
            waiting: VecDeque::new(),
            owners: BTreeMap::new(),
            held: BTreeMap::new(),
            n_held: 0,
            n_max: usize::MAX,
            name_bytes: 0,
            n_unheld: 0,
        }
    }

    /// Finds who holds descriptors, or starts a keeper that holds them for `hold` after the last agent has gone, 0 for none; returns what an
    /// earlier agent left there.
    ///
    /// # Errors
    /// The manager's socket or the keeper cannot be reached, and no keeper be started.
    pub fn open(state_dir: &Path, hold: Duration) -> io::Result<(Self, Survivors)> {
        let n_max = std::env::var(FDSTORE).ok().and_then(|n| n.parse().ok()).unwrap_or(0_usize);
        let mut keep = Self::nobody();
        if let Some(path) = std::env::var_os("NOTIFY_SOCKET").filter(|_| n_max > 0) {
            let survivors = inherited::take();
            keep.socket = Some(manager(Path::new(&path))?);
            (keep.holder, keep.n_max) = (Holder::Manager, n_max);
            survivors.iter().for_each(|(name, _)| keep.note_held(*name));
            return Ok((keep, survivors));
        }
        if hold.is_zero() {
            return Ok((keep, Vec::new()));
        }
        let Dial { socket, child, survivors } = keeper::dial(state_dir, hold)?;
        (keep.holder, keep.socket, keep.child) = (Holder::Keeper, Some(socket), child);
        survivors.iter().for_each(|(name, _)| keep.note_held(*name));
        Ok((keep, survivors))
    }

    fn note_held(&mut self, name: Name) {
        let n = self.held.entry(name).or_default();
        if self.holder != Holder::Keeper || *n == 0 {
            *n += 1; // a keeper holds one of each name
            self.n_held += 1;
            self.name_bytes += name_bytes(name);
        }
    }

    fn has_room_for(&self, name: Name) -> bool {
        let fits = self.holder != Holder::Manager || self.name_bytes + name_bytes(name) <= NAMES_MAX_BYTES;
        fits && self.n_held < self.n_max && self.waiting.len() < WAITING_MAX
    }

    /// Returns who holds descriptors.
    pub const fn holder(&self) -> Holder {
        self.holder
    }

    /// Returns how many descriptors were not held, because who holds them has no room or does not take them.
    pub const fn n_unheld(&self) -> u64 {
        self.n_unheld
    }

    /// Has the journal held.
    pub fn store_journal(&mut self, fd: BorrowedFd<'_>) {
        self.store(Name::Journal, fd);
    }

    /// Has a region held.
    pub fn store_region(&mut self, region: RegionId, of: Owner, fd: BorrowedFd<'_>) {
        self.note_region(region, of);
        self.store(Name::Region(region, of), fd);
    }

    /// Notes that a region is held already.
    pub fn note_region(&mut self, region: RegionId, of: Owner) {
        self.owners.insert(region, of);
    }

    /// Has a session's descriptors held.
    pub fn store_session(
        &mut self,
        region: RegionId,
        socket: Option<BorrowedFd<'_>>,
        doorbell: Option<BorrowedFd<'_>>,
    ) {
        let socket = socket.map(|fd| (Name::Socket(region), fd));
        let doorbell = doorbell.map(|fd| (Name::Doorbell(region), fd));
        socket.into_iter().chain(doorbell).for_each(|(name, fd)| self.store(name, fd));
    }

    /// Has a session's descriptors let go: it is over.
    pub fn remove_session(&mut self, region: RegionId) {
        self.remove(Name::Socket(region));
        self.remove(Name::Doorbell(region));
    }

    /// Has a region let go: it holds nothing any more.
    pub fn remove_region(&mut self, region: RegionId) {
        if let Some(of) = self.owners.remove(&region) {
            self.remove(Name::Region(region, of));
        }
    }

    /// Returns whose a region is.
    pub fn owner(&self, region: RegionId) -> Option<Owner> {
        self.owners.get(&region).copied()
    }

    /// Has a descriptor held under `name`. One that cannot be goes with the agent, and is counted.
    fn store(&mut self, name: Name, fd: BorrowedFd<'_>) {
        if self.socket.is_none() {
            self.n_unheld += u64::from(self.holder != Holder::Nobody); // whoever held them has gone
            return;
        }
        let has_room = self.has_room_for(name);
        match fd.try_clone_to_owned() {
            Ok(fd) if has_room => {
                self.note_held(name);
                self.waiting.push_back(Order::Store(name, fd));
            }
            _ => self.n_unheld += 1,
        }
        self.flush();
    }

    /// Has all descriptors of a name let go; there may be none, as of the session of a process that died before an agent.
    fn remove(&mut self, name: Name) {
        if self.socket.is_some()
            && let Some(n) = self.held.remove(&name)
        {
            self.n_held -= n;
            self.name_bytes -= n * name_bytes(name);
            self.waiting.push_back(Order::Remove(name));
            self.flush();
        }
    }

    /// Sends what waits, as far as there is room.
    pub fn flush(&mut self) {
        while let (Some(socket), Some(order)) = (&self.socket, self.waiting.front()) {
            let sent = match order {
                Order::Store(name, fd) => message::send(socket.as_fd(), Message::Store(name), Some(fd.as_fd())),
                Order::Remove(name) => message::send(socket.as_fd(), Message::Remove(name), None),
            };
            match sent {
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::TOOMANYREFS) => return,
                Ok(()) => {}
                // Nobody is there any more: all of it has to be held by somebody else, see `is_lost`.
                Err(_) => {
                    self.socket = None;
                    let is_store = |order: &Order| matches!(order, Order::Store(..));
                    self.n_unheld += self.waiting.drain(..).filter(is_store).count() as u64;
                    return;
                }
            }
            self.waiting.pop_front();
        }
    }

    /// Returns whether a keeper that held descriptors has gone: there may be another, which holds nothing yet.
    pub fn is_lost(&mut self) -> bool {
        let is_gone = self
            .socket
            .as_ref()
            .is_some_and(|socket| self.holder == Holder::Keeper && message::is_closed(socket.as_fd()));
        if is_gone {
            self.socket = None;
            let _ = self.child.as_mut().map(Child::try_wait); // so that nothing of it is left
        }
        self.holder == Holder::Keeper && self.socket.is_none()
    }

    /// Lets a keeper go, with all that it holds: this agent ends for good.
    pub fn dismiss(&mut self) {
        self.flush();
        if let Some(socket) = self.socket.as_ref().filter(|_| self.holder == Holder::Keeper) {
            let _ = message::send(socket.as_fd(), Message::End, None); // else it lets go by itself, after its time
        }
    }
}

/// Returns the memory of regions that survived an agent.
pub fn memory_of(survivors: &Survivors) -> Bytes {
    let is_region = |(name, _): &&(Name, OwnedFd)| matches!(name, Name::Region(..));
    let blocks = |(_, fd): &(Name, OwnedFd)| fstat(fd).map_or(0, |stat| stat.st_blocks.cast_unsigned());
    Bytes(survivors.iter().filter(is_region).map(blocks).sum::<u64>().saturating_mul(512))
}

/// Returns what a name takes of [`NAMES_MAX_BYTES`].
fn name_bytes(name: Name) -> usize {
    name.to_string().len() + 1
}

/// Connects to a service manager's socket; a name that begins with `@` is abstract.
fn manager(path: &Path) -> io::Result<OwnedFd> {
    let name = path.as_os_str().as_encoded_bytes();
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name)?,
        None => SocketAddrUnix::new(path)?,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    connect(&socket, &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::{Holder, Keep, Name, Owner};
    use backsight_core::ids::RegionId;
    use std::process::Command;

    /// Else no agent could be started after one that held so much.
    #[test]
    fn names_that_a_manager_holds_fit_in_one_variable() {
        let mut keep = Keep { holder: Holder::Manager, n_max: 1 << 20, ..Keep::nobody() };
        let mut names = Vec::new();
        let of = Owner { pid: 4_194_303, start_time: 3_000_000_000, uid: 100_000 };
        for region in (1_838_960_176_921_600..).map(RegionId) {
            let next = [Name::Region(region, of), Name::Socket(region), Name::Doorbell(region)];
            let Some(name) = next.into_iter().find(|name| !keep.has_room_for(*name)) else {
                next.into_iter().for_each(|name| {
                    keep.note_held(name);
                    names.push(name.to_string());
                });
                continue;
            };
            assert!(names.len() > 3 * 2500, "{name} is one too many after {}", names.len());
            break;
        }
        let started = Command::new("true").env("LISTEN_FDNAMES", names.join(":")).status();
        assert!(started.unwrap().success());
    }
}
