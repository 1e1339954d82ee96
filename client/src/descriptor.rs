//! Descriptors of ours in a program that may close any number, and that leaves a copy of each to its children.
//!
//! Called by `process`. Knows no session.

use backsight_core::sync::{AtomicU64, Ordering};
use rustix::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

/// Descriptors of ours are moved to this number or above, where a program that closes and reopens the low ones does not meet them.
const FD_MIN: RawFd = 700;

/// The socket and the doorbell that a forked child inherits and must close: number, device and inode of each.
static INHERITED: [[AtomicU64; 3]; 2] = [const { [const { AtomicU64::new(0) }; 3] }; 2];

/// What a descriptor is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Socket,
    Doorbell,
}

/// A descriptor of ours, and what proves that it still is: a program may close any number and open its own there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Descriptor {
    number: RawFd,
    device: u64,
    inode: u64,
}

impl Descriptor {
    /// Moves `fd` out of the way of the application's numbers and keeps it open for as long as the process lives.
    pub(crate) fn keep(fd: OwnedFd, kind: Kind) -> Self {
        let fd = rustix::io::fcntl_dupfd_cloexec(&fd, FD_MIN).unwrap_or(fd);
        let stat = rustix::fs::fstat(&fd);
        let (device, inode) = stat.map_or((0, 0), |stat| (stat.st_dev, stat.st_ino));
        let number = fd.into_raw_fd();
        for (word, value) in INHERITED[kind as usize].iter().zip([number as u64, device, inode]) {
            word.store(value, Ordering::Relaxed); // read by children, after the fork
        }
        Self { number, device, inode }
    }

    /// Takes what a fork left; number 0 where there is none, or somebody took it before.
    fn take_inherited([number, device, inode]: &[AtomicU64; 3]) -> Self {
        // Relaxed, all: written before the fork; one thread is here.
        let number = RawFd::try_from(number.swap(0, Ordering::Relaxed)).unwrap_or(0);
        Self { number, device: device.load(Ordering::Relaxed), inode: inode.load(Ordering::Relaxed) }
    }

    /// Closes the descriptor if the number still is what it was.
    pub(crate) fn close(&self) {
        if let Some(fd) = self.verified() {
            // SAFETY: the descriptor is this child's copy of one of ours, and nothing uses it.
            unsafe { rustix::io::close(fd.as_raw_fd()) };
        }
    }

    /// Returns the descriptor if the number still is what it was.
    ///
    /// That proves a socket. All eventfds have one inode: a doorbell is ours only while the session's socket is, too.
    pub(crate) fn verified(&self) -> Option<BorrowedFd<'static>> {
        if self.number <= 0 {
            return None;
        }
        // SAFETY: the number may be anybody's; it is only used by `fstat`, and beyond that only when it proves to be ours.
        let fd = unsafe { BorrowedFd::borrow_raw(self.number) };
        let stat = rustix::fs::fstat(fd).ok()?;
        (stat.st_dev == self.device && stat.st_ino == self.inode).then_some(fd)
    }
}

/// Closes the socket and the doorbell that a fork gave us: the parent's session is not ours.
pub(crate) fn close_inherited() {
    let [socket, doorbell] = INHERITED.each_ref().map(Descriptor::take_inherited);
    if socket.verified().is_some() {
        doorbell.close();
        socket.close();
    } // else the program has closed all descriptors that it did not know
}

/// Has children inherit nothing: what is there has been closed.
pub(crate) fn forget_inherited() {
    for word in INHERITED.iter().flatten() {
        word.store(0, Ordering::Relaxed); // read by children, after the fork
    }
}
