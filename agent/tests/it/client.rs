//! A client by hand: the session over the socket, and writers on the region that it was given.

use crate::harness::eventually;
use backsight_agent::clock::HostClock;
use backsight_core::ids::{RegionId, SpanId, TraceId, TriggerId};
use backsight_core::priority::text_hash;
use backsight_core::record::{Kind, SpanKind, name_word};
use backsight_core::session::{Attachment, MESSAGE_MAX_BYTES, Message};
use backsight_ringbuf::abi::{ABI_VERSION, LEASES_MAX};
use backsight_ringbuf::shm::Mapping;
use backsight_ringbuf::writer::{SegmentStart, Writer};
use backsight_ringbuf::{lease, region, ring, slot, strings};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix, SocketType,
    connect, recvmsg, send, socket,
};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// A session with an agent.
pub(crate) struct Client {
    pub(crate) socket: OwnedFd,
    pub(crate) doorbell: OwnedFd,
    pub(crate) memory: Arc<Mapping>,
    pub(crate) region: RegionId,
    pub(crate) clock: HostClock,
}

pub(crate) fn dial(path: &Path) -> OwnedFd {
    let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    socket
}

pub(crate) fn say(socket: &OwnedFd, message: &Message<'_>) {
    send(socket, message.encode(&mut [0; MESSAGE_MAX_BYTES]), SendFlags::NOSIGNAL).unwrap();
}

/// Receives a message and the descriptor that came with it; no bytes where the agent closed the socket.
pub(crate) fn hear(socket: &OwnedFd) -> (Vec<u8>, Option<OwnedFd>) {
    let mut buffer = [0; MESSAGE_MAX_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [rustix::io::IoSliceMut::new(&mut buffer)];
    let message = recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC);
    let len = message.map_or(0, |message| message.bytes);
    let fds = control.drain().filter_map(|part| match part {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fd = fds.flatten().next();
    (buffer[..len].to_vec(), fd)
}

/// Says hello and returns the reason of the refusal.
pub(crate) fn refusal(path: &Path, abi: u32) -> String {
    try_refusal(path, abi).unwrap()
}

/// As [`refusal`], or what came instead.
pub(crate) fn try_refusal(path: &Path, abi: u32) -> Result<String, String> {
    let (_socket, bytes) = greet(path, abi, "refused");
    match Message::decode(&bytes) {
        Ok(Message::Refused { reason }) => Ok(reason.to_owned()),
        other => Err(format!("not refused: {other:?}")),
    }
}

/// Asks for a session that nobody uses; returns its socket, or the reason of the refusal.
pub(crate) fn try_session(path: &Path) -> Result<OwnedFd, String> {
    let (socket, bytes) = greet(path, ABI_VERSION, "idle");
    match Message::decode(&bytes) {
        Ok(Message::Welcome { .. }) => Ok(socket),
        Ok(Message::Refused { reason }) => Err(reason.to_owned()),
        other => panic!("not an answer: {other:?}"),
    }
}

/// Says hello; returns the socket and what came first.
fn greet(path: &Path, abi: u32, service: &str) -> (OwnedFd, Vec<u8>) {
    let socket = dial(path);
    let hello = Message::Hello { abi, service, fork_of: None, resume: None };
    let _ = send(&socket, hello.encode(&mut [0; MESSAGE_MAX_BYTES]), SendFlags::NOSIGNAL);
    let (bytes, _) = hear(&socket);
    (socket, bytes)
}

impl Client {
    pub(crate) fn connect(path: &Path, service: &str) -> Self {
        Self::connect_as(path, service, None)
    }

    pub(crate) fn connect_as(path: &Path, service: &str, fork_of: Option<RegionId>) -> Self {
        let socket = dial(path);
        say(&socket, &Message::Hello { abi: ABI_VERSION, service, fork_of, resume: None });
        let (bytes, _) = hear(&socket);
        let Ok(Message::Welcome { region, n_attachments, .. }) = Message::decode(&bytes) else {
            panic!("no welcome: {:?}", Message::decode(&bytes));
        };
        let (mut memory, mut doorbell) = (None, None);
        for _ in 0..n_attachments {
            let (bytes, fd) = hear(&socket);
            match Message::decode(&bytes) {
                Ok(Message::Attach(Attachment::Region)) => memory = fd,
                Ok(Message::Attach(Attachment::Doorbell)) => doorbell = fd,
                other => panic!("not an attachment: {other:?}"),
            }
        }
        let memory = Mapping::from_fd(memory.unwrap().as_fd()).unwrap();
        assert_eq!(region::open(&memory).unwrap().region, region);
        Self { socket, doorbell: doorbell.unwrap(), memory: Arc::new(memory), region, clock: HostClock::start() }
    }

    /// Returns the writer of another thread.
    pub(crate) fn thread(&self, tid: u32) -> Thread<'_> {
        let number = slot::claim(&self.memory, tid).unwrap();
        Thread { client: self, writer: Writer::new(self.memory.clone(), number, tid) }
    }

    /// Waits until the agent has granted chunks ahead, so that the next records find room.
    pub(crate) fn wait_for_grants(&self) {
        self.ring();
        let n_granted = || (0..LEASES_MAX).map(|lease| lease::unclaimed(&self.memory, lease).count_ones()).sum::<u32>();
        eventually("chunks are granted", || (n_granted() >= 2).then_some(()));
    }

    /// Wakes the agent, if it sleeps.
    pub(crate) fn ring(&self) {
        if region::is_agent_sleeping(&self.memory) {
            rustix::io::write(&self.doorbell, &1_u64.to_ne_bytes()).unwrap();
        }
    }

    pub(crate) fn intern(&self, text: &str) -> u32 {
        strings::intern(&self.memory, text.as_bytes(), text_hash(text)).unwrap().0
    }
}

/// One writing thread of a client.
pub(crate) struct Thread<'c> {
    pub(crate) client: &'c Client,
    pub(crate) writer: Writer<Arc<Mapping>>,
}

impl Thread<'_> {
    pub(crate) fn begin(&mut self, trace: TraceId) -> bool {
        let now = self.client.clock.ticks();
        self.writer.begin(SegmentStart { trace, ..SegmentStart::default() }, now)
    }

    pub(crate) fn start_span(&mut self, span: u64, name: &str, kind: SpanKind) -> bool {
        let name = name_word(self.client.intern(name), 0, kind as u8);
        let now = self.client.clock.ticks();
        self.writer.record(now, Kind::SpanStart, 0, [span, 0, name], &[])
    }

    pub(crate) fn end_span(&mut self, span: u64) {
        let now = self.client.clock.ticks();
        self.writer.record(now, Kind::SpanEnd, 0, [SpanId(span).0], &[]);
    }

    pub(crate) fn raw(&mut self, payload: &[u8]) -> bool {
        let now = self.client.clock.ticks();
        self.writer.record(now, Kind::Raw, 0, [], payload)
    }

    pub(crate) fn end(&mut self) {
        let now = self.client.clock.ticks();
        self.writer.end(now);
    }

    /// One whole request: a span and a payload.
    pub(crate) fn visit(&mut self, trace: TraceId, name: &str, payload: &[u8]) -> bool {
        let span = self.client.clock.ticks();
        let recorded = self.begin(trace) && self.start_span(span, name, SpanKind::Server) && self.raw(payload);
        self.end_span(span);
        self.end();
        self.client.ring();
        recorded
    }

    pub(crate) fn fire(&self, trigger: TriggerId, trace: TraceId, laterals: &[TraceId]) {
        assert!(self.try_fire(trigger, trace, laterals), "the ring is full");
    }

    /// Fires unless the ring is full.
    pub(crate) fn try_fire(&self, trigger: TriggerId, trace: TraceId, laterals: &[TraceId]) -> bool {
        let (number, now) = (self.writer.slot_number(), self.client.clock.ticks());
        let fired = ring::push_trigger(&self.client.memory, number, trigger, trace, now, laterals);
        self.client.ring();
        fired
    }

    pub(crate) fn exit(mut self) {
        let now = self.client.clock.ticks();
        self.writer.exit(now);
        self.client.ring();
    }
}
