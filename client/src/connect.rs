//! Opening a session with the agent: connect, say hello, receive the region and the doorbell.
//!
//! Bounded in time and without allocation, because it runs inside a program's first write. An agent that takes longer than that write may
//! wait is listened to again later, on the same connection.

use crate::process::Missing;
use backsight_core::clock::ClockSource;
use backsight_core::ids::{AgentId, RegionId};
use backsight_core::session::{Attachment, MESSAGE_MAX_BYTES, Message};
use backsight_ringbuf::abi::ABI_VERSION;
use backsight_ringbuf::region::{self, OpenError};
use backsight_ringbuf::shm::{Mapping, ShmError, View};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix};
use rustix::net::{SocketFlags, SocketType, connect, recvmsg, send, socket_with};
use std::mem::MaybeUninit;

/// Descriptors that one message may carry: one, and room to notice more.
const FDS_MAX: usize = 4;
/// Attachments that a welcome may announce.
const ATTACHMENTS_MAX: u32 = 8;

/// How long what follows a welcome may take: the agent sends it at once.
const REST_WAIT_NS: u64 = 2_000_000;

/// What a session consists of, beside its socket.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) doorbell: OwnedFd,
    pub(crate) view: View,
    pub(crate) region: RegionId,
    pub(crate) agent: AgentId,
    pub(crate) clock: ClockSource,
}

/// Who asks, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) socket: &'a str,
    pub(crate) service: &'a str,
    pub(crate) fork_of: Option<RegionId>,
    /// CLOCK_MONOTONIC nanoseconds after which it is given up.
    pub(crate) deadline_ns: u64,
}

/// Asks the agent for a session; returns the socket that its answer comes on.
pub(crate) fn ask(request: Request<'_>) -> Result<OwnedFd, Missing> {
    let socket = dial(request)?;
    let mut buffer = [0; MESSAGE_MAX_BYTES];
    let hello = Message::Hello { abi: ABI_VERSION, service: request.service, fork_of: request.fork_of, resume: None };
    // An agent that has refused already takes no hello; what it said is read below.
    let _ = send(&socket, hello.encode(&mut buffer), SendFlags::NOSIGNAL);
    Ok(socket)
}

/// Takes the agent's answer, `None` where it has not come by `deadline_ns`.
pub(crate) fn answer(socket: BorrowedFd<'_>, deadline_ns: u64) -> Result<Option<Session>, Missing> {
    let mut buffer = [0; MESSAGE_MAX_BYTES];
    let (len, _) = match receive(socket, deadline_ns, &mut buffer) {
        Err(Missing::Timeout) => return Ok(None),
        received => received?,
    };
    let (agent, region, n_attachments) = match Message::decode(&buffer[..len]) {
        Ok(Message::Welcome { agent, region, n_attachments }) => (agent, region, n_attachments),
        Ok(Message::Refused { reason }) => return Err(Missing::refused(reason)),
        _ => return Err(Missing::Protocol),
    };
    let rest_by_ns = deadline_ns.max(crate::clock::monotonic_ns() + REST_WAIT_NS);
    let (mut memory, mut doorbell) = (None, None);
    for _ in 0..n_attachments.min(ATTACHMENTS_MAX) {
        let (len, fd) = receive(socket, rest_by_ns, &mut buffer)?;
        match Message::decode(&buffer[..len]) {
            Ok(Message::Attach(Attachment::Region)) => memory = fd,
            Ok(Message::Attach(Attachment::Doorbell)) => doorbell = fd,
            Ok(_) => {}
            Err(_) => return Err(Missing::Protocol),
        }
    }
    let (Some(memory), Some(doorbell)) = (memory, doorbell) else { return Err(Missing::Protocol) };
    let (view, clock) = map(&memory)?;
    Ok(Some(Session { doorbell, view, region, agent, clock }))
}

/// Maps the region for the rest of the process's life.
fn map(memory: &OwnedFd) -> Result<(View, ClockSource), Missing> {
    let mapping = Mapping::from_fd(memory.as_fd()).map_err(|error| match error {
        ShmError::Map { source, .. } | ShmError::Prepare { source, .. } => Missing::NoMemory(source),
        _ => Missing::Protocol,
    })?;
    let identity = region::open(&mapping).map_err(|error| match error {
        OpenError::Abi { found } => Missing::Abi { agent: found },
        _ => Missing::Protocol,
    })?;
    mapping.keep_from_children().map_err(|_| Missing::Protocol)?;
    Ok((mapping.leak(), identity.clock))
}

/// Returns whether the other end of a socket is gone.
pub(crate) fn is_closed(socket: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::new(&socket, PollFlags::RDHUP)];
    let answered = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1);
    answered && asked[0].revents().intersects(PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR)
}

fn dial(request: Request<'_>) -> Result<OwnedFd, Missing> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(Missing::NoAgent)?;
    let address = SocketAddrUnix::new(request.socket).map_err(Missing::NoAgent)?;
    loop {
        match connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            // The listen queue is full; it empties within moments or the agent hangs.
            Err(Errno::AGAIN) if crate::clock::monotonic_ns() < request.deadline_ns => {
                let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 1_000_000 }));
            }
            Err(error) => return Err(Missing::NoAgent(error)),
        }
    }
}

/// Receives one message and the first descriptor that came with it.
fn receive(
    socket: BorrowedFd<'_>,
    deadline_ns: u64,
    buffer: &mut [u8; MESSAGE_MAX_BYTES],
) -> Result<(usize, Option<OwnedFd>), Missing> {
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [rustix::io::IoSliceMut::new(buffer)];
        match recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) if message.bytes == 0 => return Err(Missing::NoAgent(Errno::CONNRESET)),
            Ok(message) => {
                let fds = control.drain().filter_map(|part| match part {
                    RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                    _ => None,
                });
                return Ok((message.bytes, fds.flatten().next()));
            }
            Err(Errno::AGAIN) => wait_readable(socket, deadline_ns)?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(Missing::NoAgent(error)),
        }
    }
}

fn wait_readable(socket: BorrowedFd<'_>, deadline_ns: u64) -> Result<(), Missing> {
    let left = deadline_ns.saturating_sub(crate::clock::monotonic_ns());
    if left == 0 {
        return Err(Missing::Timeout);
    }
    let timeout = Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as i64 };
    match poll(&mut [PollFd::from_borrowed_fd(socket, PollFlags::IN)], Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(Missing::NoAgent(error)),
    }
}
