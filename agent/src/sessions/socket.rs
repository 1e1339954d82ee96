//! Unix sockets: listening without taking a path away from a living agent, and messages with descriptors.
//!
//! Called by the daemon for both of its sockets. Nothing here blocks.

use backsight_core::session::{MESSAGE_MAX_BYTES, Message};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, accept_with, bind, connect, listen, recv, sendmsg, socket_with,
};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A socket that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens there.
    #[error("another agent answers on {}", .path.display())]
    InUse {
        /// The socket's path.
        path: PathBuf,
    },
    /// A file that is not a socket.
    #[error("{} exists and is not a socket", .path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{what} {}", .path.display())]
    System {
        /// What was attempted.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Messages that are taken from a client that is refused; one that sent more than a hello is no client of ours.
const UNREAD_MAX: u32 = 16;

/// A listening socket; its file is removed with it, unless another has taken its place.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    path: PathBuf,
    inode: u64,
}

impl Listener {
    /// Opens a socket of `kind` at `path` with access rights `mode`. A file that a dead agent left is replaced.
    ///
    /// # Errors
    /// Somebody answers there, the path is another file's, or the system refuses.
    pub fn open(path: &Path, kind: SocketType, mode: u32) -> Result<Self, ListenError> {
        let failed = |what| move |source: std::io::Error| ListenError::System { what, path: path.to_owned(), source };
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir).map_err(failed("make the directory of"))?;
        }
        let address = SocketAddrUnix::new(path).map_err(|e| failed("name")(e.into()))?;
        remove_stale(path, kind, &address)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let make = || -> Result<OwnedFd, Errno> {
            let fd = socket_with(AddressFamily::UNIX, kind, flags, None)?;
            // Nobody connects before the access rights stand.
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))?;
            bind(&fd, &address)?;
            Ok(fd)
        };
        let fd = make().map_err(|e| failed("bind")(e.into()))?;
        let rights = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, rights).map_err(failed("set the access rights of"))?;
        listen(&fd, BACKLOG).map_err(|e| failed("listen on")(e.into()))?;
        let inode = std::fs::symlink_metadata(path).map_err(failed("look at"))?.ino();
        Ok(Self { fd, path: path.to_owned(), inode })
    }

    /// Returns the socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns another descriptor of the socket, for a thread of its own.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn try_clone(&self) -> std::io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// Accepts one connection, `None` where none waits.
    ///
    /// # Errors
    /// No descriptor is left, or the like; those that wait go on waiting.
    pub fn accept(&self) -> Result<Option<OwnedFd>, Errno> {
        match accept_with(&self.fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => Ok(Some(socket)),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path); // a file that stays is replaced at the next start
        }
    }
}

/// Removes the file of a socket on which nobody answers.
fn remove_stale(path: &Path, kind: SocketType, address: &SocketAddrUnix) -> Result<(), ListenError> {
    let Ok(file) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !file.file_type().is_socket() {
        return Err(ListenError::NotASocket { path: path.to_owned() });
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let answer = socket_with(AddressFamily::UNIX, kind, flags, None).and_then(|probe| connect(&probe, address));
    match answer {
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(|source| ListenError::System {
            what: "remove the socket that nobody answers on,",
            path: path.to_owned(),
            source,
        }),
        Err(Errno::NOENT) => Ok(()),
        // It answered, its queue is full, or it speaks another protocol: somebody lives there.
        _ => Err(ListenError::InUse { path: path.to_owned() }),
    }
}

/// What came from a client.
#[derive(Debug)]
pub enum Received {
    /// A message's bytes.
    Message(usize),
    /// Nothing at present.
    Nothing,
    /// The client closed its end.
    Closed,
}

/// Takes one message from a client's socket; descriptors that a client sends are discarded by the kernel.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8; MESSAGE_MAX_BYTES]) -> Received {
    match recv(socket, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
        Ok((0, _)) => Received::Closed,
        Ok((len, _)) => Received::Message(len.min(MESSAGE_MAX_BYTES)),
        Err(Errno::AGAIN | Errno::INTR) => Received::Nothing,
        Err(_) => Received::Closed,
    }
}

/// Takes what a client has sent and lets it send no more, so that the end of the connection cannot overtake the last message to it: a
/// socket that is closed with unread messages resets its peer.
pub fn finish(socket: BorrowedFd<'_>) {
    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Read);
    let mut buffer = [0; MESSAGE_MAX_BYTES];
    for _ in 0..UNREAD_MAX {
        if !matches!(receive(socket, &mut buffer), Received::Message(_)) {
            return;
        }
    }
}

/// Sends a message, with a descriptor where there is one. A client that does not read is an error, not a wait.
///
/// # Errors
/// The kernel's.
pub fn send(socket: BorrowedFd<'_>, message: &Message<'_>, fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    send_bytes(socket, message.encode(&mut [0; MESSAGE_MAX_BYTES]), fd)
}

/// Sends bytes as one message, with a descriptor where there is one, without waiting.
///
/// # Errors
/// The kernel's; `EAGAIN` where there is no room at present.
pub fn send_bytes(socket: BorrowedFd<'_>, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.map(|fd| [fd]);
    if let Some(fds) = &fds {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    sendmsg(socket, &[std::io::IoSlice::new(bytes)], &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
        .map(|_| ())
}
