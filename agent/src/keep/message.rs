//! The words in which descriptors are handed over: those of `sd_notify`, and two of our own for the keeper.
//!
//! One message a datagram, with at most one descriptor.

use super::name::Name;
use crate::sessions::socket::send_bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

/// The longest message: a name has 255 characters.
const MESSAGE_MAX_BYTES: usize = 512;

/// A message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// Hold the descriptor that comes along. `FDPOLL=0`: also once its other end is closed.
    Store(&'a Name),
    /// Let go of it.
    Remove(&'a Name),
    /// To a keeper: send all that you hold, then [`Message::That`].
    Take,
    /// From a keeper: that was all.
    That,
    /// To a keeper: let go of everything, and end.
    End,
}

impl Message<'_> {
    fn text(self) -> String {
        match self {
            Self::Store(name) => format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}"),
            Self::Remove(name) => format!("FDSTOREREMOVE=1\nFDNAME={name}"),
            Self::Take => "X_TAKE=1".to_owned(),
            Self::That => "X_THAT=1".to_owned(),
            Self::End => "X_END=1".to_owned(),
        }
    }
}

/// A message that was received; names that are not ours are left out.
#[derive(Debug)]
pub enum Received {
    /// Hold this.
    Store(Name, OwnedFd),
    /// Let go of this.
    Remove(Name),
    /// Send all.
    Take,
    /// That was all.
    That,
    /// End.
    End,
    /// Something else, of a later version.
    Other,
    /// The other end is closed.
    Closed,
}

/// Sends a message without waiting.
///
/// # Errors
/// The kernel's; `EAGAIN` where there is no room at present.
pub fn send(socket: BorrowedFd<'_>, message: Message<'_>, fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    send_bytes(socket, message.text().as_bytes(), fd)
}

/// Takes the next message.
///
/// # Errors
/// The kernel's; `EAGAIN` where none is there.
pub fn receive(socket: BorrowedFd<'_>) -> Result<Received, Errno> {
    let mut buffer = [0; MESSAGE_MAX_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [std::io::IoSliceMut::new(&mut buffer)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let len = recvmsg(socket, &mut slices, &mut control, flags)?.bytes;
    if len == 0 {
        return Ok(Received::Closed);
    }
    let fds = control.drain().filter_map(|part| match part {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    Ok(read(buffer.get(..len).unwrap_or_default(), fds.flatten().next()))
}

/// Reads a message, with the descriptor that came along.
fn read(bytes: &[u8], fd: Option<OwnedFd>) -> Received {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let has = |line: &str| text.lines().any(|of| of == line);
    let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).and_then(|name| name.parse().ok());
    match (name, fd) {
        (Some(name), Some(fd)) if has("FDSTORE=1") => Received::Store(name, fd),
        (Some(name), _) if has("FDSTOREREMOVE=1") => Received::Remove(name),
        _ if has("X_TAKE=1") => Received::Take,
        _ if has("X_THAT=1") => Received::That,
        _ if has("X_END=1") => Received::End,
        _ => Received::Other,
    }
}

/// Returns whether the other end of a connection is closed.
pub fn is_closed(socket: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(socket, PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let answered = poll(&mut asked, Some(&at_once)) == Ok(1);
    answered && asked[0].revents().intersects(PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR)
}

#[cfg(test)]
mod tests {
    use super::{Message, Received, read, receive, send};
    use crate::keep::name::Name;
    use backsight_core::ids::RegionId;
    use proptest::prelude::{any, prop, proptest};
    use rustix::io::Errno;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn messages_arrive_with_their_descriptors() {
        let (a, b) = UnixDatagram::pair().unwrap();
        let name = Name::Socket(RegionId(7));
        send(a.as_fd(), Message::Store(&name), Some(a.as_fd())).unwrap();
        send(a.as_fd(), Message::Remove(&name), None).unwrap();
        send(a.as_fd(), Message::Take, None).unwrap();
        assert!(matches!(receive(b.as_fd()), Ok(Received::Store(stored, _)) if stored == name));
        assert!(matches!(receive(b.as_fd()), Ok(Received::Remove(removed)) if removed == name));
        assert!(matches!(receive(b.as_fd()), Ok(Received::Take)));
        assert!(matches!(receive(b.as_fd()), Err(Errno::AGAIN)));
    }

    #[test]
    fn a_store_without_a_descriptor_is_nothing() {
        let text = b"FDSTORE=1\nFDNAME=journal";
        assert!(matches!(read(text, None), Received::Other));
    }

    proptest! {
        /// For every datagram there is an answer.
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes, None);
        }
    }
}
