//! Who is at the other end of a producer socket, held by a descriptor that cannot come to mean another process.
//!
//! Called at accept and at the end of a connection. What the peer says of itself is not asked.

use crate::keep::name::Owner;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// What is read of a process's list of what it has in its memory.
const MAPS_MAX_BYTES: u64 = 1 << 20;

/// A process, as the kernel names it.
#[derive(Debug)]
pub struct Peer {
    /// Its id in the agent's namespace.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its start in clock ticks since boot.
    pub start_time: u64,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
}

/// A process that cannot be named.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The kernel did not say who it is, or it was gone.
    #[error("{what} of a client")]
    Unknown {
        /// What was asked.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// It ended before it was identified.
    #[error("a client ended before it was identified")]
    Gone,
}

impl Peer {
    /// Identifies the process that connected.
    ///
    /// The pidfd is opened by number; that it is the process which connected follows from its socket, which is still open afterwards.
    /// (SO_PEERPIDFD would say so at once; rustix has no safe call for it.)
    ///
    /// # Errors
    /// The process is gone, or in a namespace that this agent cannot see.
    pub fn of(socket: BorrowedFd<'_>) -> Result<Self, PeerError> {
        let unknown = |what| move |source: Errno| PeerError::Unknown { what, source: source.into() };
        let credentials = socket_peercred(socket).map_err(unknown("read the credentials"))?;
        let pidfd = pidfd_open(credentials.pid, PidfdFlags::empty()).map_err(unknown("open the process"))?;
        let pid = credentials.pid.as_raw_nonzero().get().unsigned_abs();
        let start_time = start_time(pid)?;
        if is_ended(pidfd.as_fd()) || is_closed(socket) {
            return Err(PeerError::Gone);
        }
        Ok(Self { pid, uid: credentials.uid.as_raw(), start_time, pidfd })
    }

    /// Returns a process that an earlier agent had identified, `None` where it runs no more.
    pub fn again(of: Owner) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(of.pid).ok()?)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // The number may be another's by now; what the descriptor means cannot change any more.
        let is_it = start_time(of.pid).is_ok_and(|start| start == of.start_time) && !is_ended(pidfd.as_fd());
        is_it.then_some(Self { pid: of.pid, uid: of.uid, start_time: of.start_time, pidfd })
    }

    /// Returns what names the process for a later agent.
    pub const fn owner(&self) -> Owner {
        Owner { pid: self.pid, start_time: self.start_time, uid: self.uid }
    }

    /// Returns whether the process has ended.
    pub fn is_ended(&self) -> bool {
        is_ended(self.pidfd.as_fd())
    }

    /// Returns the name of its executable, the default name of its service; empty where it cannot be read.
    pub fn executable(&self) -> String {
        let exe = std::fs::read_link(proc_file(self.pid, "exe")).ok();
        let name = exe.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let comm = || std::fs::read_to_string(proc_file(self.pid, "comm")).map(|comm| comm.trim().to_owned());
        name.map_or_else(|| comm().unwrap_or_default(), |name| name.trim_end_matches(" (deleted)").to_owned())
    }

    /// Returns whether the process still has the file with number `inode` in its memory; `None` where that cannot be seen.
    ///
    /// A process that closed its socket may write on; one that executed another program cannot. Of one with more in its memory than is looked
    /// at, its end tells.
    pub fn maps(&self, inode: u64) -> Option<bool> {
        let (mut maps, file) = (Vec::new(), File::open(proc_file(self.pid, "maps")).ok()?);
        let n_bytes = file.take(MAPS_MAX_BYTES).read_to_end(&mut maps).ok()?;
        if n_bytes as u64 == MAPS_MAX_BYTES {
            return None;
        }
        let (maps, inode) = (String::from_utf8_lossy(&maps), inode.to_string());
        Some(maps.lines().any(|line| line.split_whitespace().nth(4) == Some(inode.as_str())))
    }
}

fn proc_file(pid: u32, name: &str) -> PathBuf {
    format!("/proc/{pid}/{name}").into()
}

/// Returns the start time of a process: the 22nd field of its `stat`, counted behind the name, which may hold anything.
fn start_time(pid: u32) -> Result<u64, PeerError> {
    let stat = std::fs::read_to_string(proc_file(pid, "stat")).map_err(|source| match source.kind() {
        // Opened, or read, after its end.
        io::ErrorKind::NotFound => PeerError::Gone,
        _ if source.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => PeerError::Gone,
        _ => PeerError::Unknown { what: "read the start time", source },
    })?;
    let field = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(19)?.parse().ok());
    field.ok_or(PeerError::Gone)
}

fn is_ended(pidfd: BorrowedFd<'_>) -> bool {
    has_event(pidfd, PollFlags::IN)
}

fn is_closed(socket: BorrowedFd<'_>) -> bool {
    has_event(socket, PollFlags::HUP)
}

fn has_event(fd: BorrowedFd<'_>, wanted: PollFlags) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(wanted)
}

#[cfg(test)]
mod tests {
    use super::{PeerError, start_time};

    #[test]
    fn the_start_time_is_that_of_proc() {
        let own = start_time(std::process::id()).unwrap();
        assert!(own > 0 && start_time(std::process::id()).is_ok_and(|again| again == own));
        assert!(matches!(start_time(u32::MAX), Err(PeerError::Gone)));
    }

    #[test]
    fn the_peer_of_a_socket_pair_is_this_process() {
        let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        let peer = super::Peer::of(std::os::fd::AsFd::as_fd(&a)).unwrap();
        assert_eq!((peer.pid, peer.is_ended()), (std::process::id(), false));
        assert!(!peer.executable().is_empty());
        assert_eq!(peer.maps(u64::MAX), Some(false));
        let again = super::Peer::again(peer.owner()).unwrap();
        assert_eq!(again.owner(), peer.owner());
        let another = super::Owner { start_time: peer.start_time + 1, ..peer.owner() };
        assert!(super::Peer::again(another).is_none(), "the number is used again");
        drop(b);
        assert!(matches!(super::Peer::of(std::os::fd::AsFd::as_fd(&a)), Err(PeerError::Gone)));
    }
}
