//! What the loop does about clients: connections, messages, doorbells, and their end.

use super::{Daemon, Source};
use crate::recorder::{AdmitError, Applicant, Ending};
use crate::sessions::peer::Peer;
use crate::sessions::socket::{self, Received};
use crate::sessions::{Refusal, Session, Unheard};
use backsight_core::cause::chain;
use backsight_core::ids::RegionId;
use backsight_core::session::{Attachment, MESSAGE_MAX_BYTES, Message};
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::abi::ABI_VERSION;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use tracing::warn;

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;
/// Messages of one client taken in one turn.
const MESSAGES_PER_TURN: usize = 16;

/// Processes without a socket of which one turn of the clock asks whether they still have their region.
const DETACHED_PER_BEAT: usize = 16;
/// Descriptors that one session is sent: two, and some more where they were lost on the way.
const ATTACHED_MAX: u32 = 16;

/// Why a hello was not answered with a region.
#[derive(Debug, thiserror::Error)]
enum HelloError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    NotAdmitted(#[from] AdmitError),
    #[error("{what} for a client")]
    System { what: &'static str, source: Errno },
}

impl Daemon {
    /// Accepts connections that wait.
    pub(super) fn accept(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN {
            let socket = match self.listener.accept() {
                Ok(Some(socket)) => socket,
                Ok(None) => return,
                Err(error) => {
                    self.warn_of_client("connection not accepted", &error);
                    return;
                }
            };
            match Peer::of(socket.as_fd()) {
                Ok(peer) => self.greet(socket, peer),
                Err(error) => self.refuse(Some(&socket), &error),
            }
        }
    }

    /// Begins a session that waits for a hello, or says why there is none.
    fn greet(&mut self, socket: OwnedFd, peer: Peer) {
        let connected = self.now().time;
        let session = Session {
            socket: Some(socket),
            peer,
            doorbell: None,
            member: None,
            said_goodbye: false,
            n_attached: 0,
            connected,
        };
        match self.sessions.add(session) {
            Ok(number) => {
                if let Err(error) = self.watch_session(number) {
                    self.warn_of_client("client not watched", &error);
                    self.remove_session(number);
                }
            }
            Err((session, refusal)) => self.refuse(session.socket.as_ref(), &refusal),
        }
    }

    pub(super) fn watch_doorbell(&self, number: u32) -> Result<(), Errno> {
        let doorbell = self.sessions.get(number).and_then(|session| session.doorbell.as_ref());
        doorbell.map_or(Ok(()), |doorbell| self.watch(doorbell.as_fd(), Source::Doorbell(number)))
    }

    pub(super) fn watch_session(&self, number: u32) -> Result<(), Errno> {
        let Some(session) = self.sessions.get(number) else { return Ok(()) };
        if let Some(socket) = &session.socket {
            self.watch(socket.as_fd(), Source::Client(number))?;
        }
        self.watch(session.peer.pidfd.as_fd(), Source::Process(number))
    }

    pub(super) fn remove_session(&mut self, number: u32) -> Option<Session> {
        let session = self.sessions.remove(number)?;
        self.unwatch_session(&session);
        Some(session)
    }

    /// Removes a session, whose end is `why` if no hello came on it.
    fn end_session(&mut self, number: u32, why: Unheard) -> Option<Session> {
        let session = self.sessions.end(number, why)?;
        self.unwatch_session(&session);
        Some(session)
    }

    fn unwatch_session(&self, session: &Session) {
        let fds = session.socket.iter().chain(&session.doorbell).chain([&session.peer.pidfd]);
        fds.for_each(|fd| self.unwatch(fd.as_fd()));
    }

    fn refuse(&mut self, socket: Option<&OwnedFd>, why: &dyn std::error::Error) {
        let reason = chain(why);
        self.recorder.count_refused_session();
        if let Some(socket) = socket {
            // A client that is gone already needs no reason.
            let _ = socket::send(socket.as_fd(), &Message::Refused { reason: &reason }, None);
            socket::finish(socket.as_fd());
        }
        self.warn_of_client("session refused", &reason);
    }

    /// Takes the messages of a client.
    pub(super) fn hear(&mut self, number: u32) {
        let mut buffer = [0; MESSAGE_MAX_BYTES];
        for _ in 0..MESSAGES_PER_TURN {
            let Some(socket) = self.sessions.get(number).and_then(|session| session.socket.as_ref()) else { return };
            match socket::receive(socket.as_fd(), &mut buffer) {
                Received::Nothing => return,
                Received::Closed => return self.socket_closed(number),
                Received::Message(len) => self.take_message(number, buffer.get(..len).unwrap_or_default()),
            }
        }
    }

    fn take_message(&mut self, number: u32, bytes: &[u8]) {
        match Message::decode(bytes) {
            Ok(Message::Hello { abi, service, fork_of, .. }) => {
                let is_first = self.sessions.get(number).is_some_and(|session| session.member.is_none());
                if is_first
                    && let Err(error) = self.welcome(number, abi, service, fork_of)
                    && let Some(session) = self.remove_session(number)
                {
                    self.refuse(session.socket.as_ref(), &error);
                    session.member.into_iter().for_each(|member| self.end_member(member, Ending::Goodbye));
                }
            }
            Ok(Message::Goodbye) => {
                let Some(session) = self.sessions.get_mut(number) else { return };
                session.said_goodbye = true;
                session.member.into_iter().for_each(|member| self.recorder.note_goodbye(member));
            }
            Ok(Message::Request(what @ (Attachment::Region | Attachment::Doorbell))) => {
                if let Err(error) = self.attach(number, what) {
                    self.warn_of_client("attachment not sent", &error);
                }
            }
            // Nothing that this agent has, or that a client says: of a later version.
            Ok(_) => {}
            Err(backsight_core::session::MessageError::UnknownKind { .. }) => {}
            Err(error) => {
                self.recorder.count_drops(DropReason::Corrupt, 1);
                self.warn_of_client("message not understood", &error);
            }
        }
    }

    /// Gives a client its region and its doorbell.
    fn welcome(&mut self, number: u32, abi: u32, service: &str, fork_of: Option<RegionId>) -> Result<(), HelloError> {
        if abi >> 16 != ABI_VERSION >> 16 {
            return Err(Refusal::Abi { agent: ABI_VERSION, client: abi }.into());
        }
        let Some(session) = self.sessions.get(number) else { return Ok(()) };
        let service = if service.is_empty() { session.peer.executable() } else { service.to_owned() };
        let parent = fork_of.and_then(|region| self.recorder.position_of(region)).filter(|member| {
            // The parent's strings are the child's already; nobody else's user may ask for them.
            self.sessions.of_member(*member).is_some_and(|(_, parent)| parent.peer.uid == session.peer.uid)
        });
        let Peer { pid, uid, start_time, .. } = session.peer;
        let applicant = Applicant { pid, uid, start_time, service, fork_of: parent };
        let now = self.now();
        let point = self.clock.timeline().points().last().copied().unwrap_or_default();
        let member = self.recorder.admit(applicant, point, now)?;
        let failed = |what| move |source| HelloError::System { what, source };
        if let Some(session) = self.sessions.get_mut(number) {
            session.member = Some(member);
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            session.doorbell = Some(eventfd(0, flags).map_err(failed("make an eventfd"))?);
        }
        self.watch_doorbell(number).map_err(failed("watch an eventfd"))?;
        self.keep_session(number); // before anybody writes there: this agent may be killed at any instruction
        if let (Some((region, _)), Some(session)) = (self.recorder.region(member), self.sessions.get(number))
            && let Some(socket) = &session.socket
        {
            let welcome = Message::Welcome { agent: self.agent, region, n_attachments: 2 };
            socket::send(socket.as_fd(), &welcome, None).map_err(failed("send a welcome"))?;
        }
        for what in [Attachment::Region, Attachment::Doorbell] {
            self.attach(number, what).map_err(failed("send an attachment"))?;
        }
        Ok(())
    }

    /// Has what a session consists of held for a successor.
    fn keep_session(&mut self, number: u32) {
        let Some(session) = self.sessions.get(number) else { return };
        let Some((region, fd)) = session.member.and_then(|member| self.recorder.region(member)) else { return };
        self.keep.store_region(region, session.peer.owner(), fd);
        let (socket, doorbell) = (session.socket.as_ref(), session.doorbell.as_ref());
        self.keep.store_session(region, socket.map(AsFd::as_fd), doorbell.map(AsFd::as_fd));
        if self.keep.n_unheld() > 0 {
            self.recorder.note_unheld();
        }
    }

    /// Sends a client one of its descriptors.
    fn attach(&mut self, number: u32, what: Attachment) -> Result<(), Errno> {
        let Some(session) = self.sessions.get_mut(number) else { return Ok(()) };
        // What a client does not read counts against this process, which may have only so many descriptors under way.
        session.n_attached += 1;
        if session.n_attached > ATTACHED_MAX {
            return Err(Errno::TOOMANYREFS);
        }
        let Some(session) = self.sessions.get(number) else { return Ok(()) };
        let Some(socket) = &session.socket else { return Ok(()) };
        let fd = match what {
            Attachment::Region => session.member.and_then(|member| self.recorder.region(member)).map(|(_, fd)| fd),
            Attachment::Doorbell => session.doorbell.as_ref().map(AsFd::as_fd),
            Attachment::SlotPage(_) => None,
        };
        match fd {
            Some(fd) => socket::send(socket.as_fd(), &Message::Attach(what), Some(fd)),
            None => Ok(()),
        }
    }

    /// A client closed its socket: it ends, it executes another program, or somebody closed its descriptors and it writes on.
    fn socket_closed(&mut self, number: u32) {
        let Some(session) = self.sessions.get_mut(number) else { return };
        let (socket, is_unheard) = (session.socket.take(), session.member.is_none());
        socket.into_iter().for_each(|socket| self.unwatch(socket.as_fd()));
        if is_unheard {
            self.end_session(number, Unheard::Left);
            return;
        }
        self.finish_if_gone(number);
    }

    /// Ends a session whose process no longer has the region in its memory: it executes another program, or let go of it.
    ///
    /// Where that cannot be seen, its pidfd says when it is over.
    fn finish_if_gone(&mut self, number: u32) {
        let Some(session) = self.sessions.get(number) else { return };
        let Some((_, fd)) = session.member.and_then(|member| self.recorder.region(member)) else { return };
        let inode = rustix::fs::fstat(fd).map(|stat| stat.st_ino);
        if session.peer.is_ended() || inode.ok().and_then(|inode| session.peer.maps(inode)) == Some(false) {
            self.finish(number);
        }
    }

    /// Looks again at some of the processes that closed their sockets.
    pub(super) fn look_at_detached(&mut self) {
        let numbers = self.sessions.detached(self.next_detached, DETACHED_PER_BEAT);
        let is_all = numbers.len() < DETACHED_PER_BEAT;
        self.next_detached = numbers.last().filter(|_| !is_all).map_or(0, |number| number + 1);
        numbers.into_iter().for_each(|number| self.finish_if_gone(number));
    }

    /// A process has ended: nobody writes to its region any more.
    pub(super) fn process_ended(&mut self, number: u32) {
        self.hear(number); // a goodbye may still wait
        self.finish(number);
    }

    fn finish(&mut self, number: u32) {
        let Some(session) = self.end_session(number, Unheard::Left) else { return };
        let ending = if session.said_goodbye { Ending::Goodbye } else { Ending::Death };
        session.member.into_iter().for_each(|member| self.end_member(member, ending));
    }

    /// Has what belongs to a member's session held no more.
    fn let_go_of_session(&mut self, member: u32) {
        if let Some((region, _)) = self.recorder.region(member) {
            self.keep.remove_session(region);
        }
    }

    fn end_member(&mut self, member: u32, ending: Ending) {
        let now = self.now();
        self.let_go_of_session(member);
        self.recorder.end(member, ending, now);
    }

    pub(super) fn doorbell_rang(&mut self, number: u32) {
        let now = self.now();
        let Some(session) = self.sessions.get(number) else { return };
        session.member.into_iter().for_each(|member| self.recorder.wake(member, now));
    }

    /// Closes the session of a member that corrupted its region too often. What it wrote before stays as long as anyone's.
    pub(super) fn close_offender(&mut self, member: u32) {
        let (now, region) = (self.now(), self.recorder.region(member).map(|(region, _)| region));
        self.recorder.expel(member, now);
        let session = self.sessions.of_member(member).map(|(number, _)| number).and_then(|n| self.remove_session(n));
        if let (Some(Session { peer, .. }), Some(region)) = (session, region) {
            self.keep.remove_session(region);
            self.warn_of_client("session closed, its region was corrupted too often", &peer.pid);
            self.recorder.open_damage(region, now);
            if let Some(before) = self.expelled.add(peer, region) {
                self.recorder.close_damage(before, now);
            }
        }
    }

    /// Looks which of the processes that were expelled have ended.
    pub(super) fn look_at_expelled(&mut self) {
        let now = self.now();
        self.expelled.take_ended().into_iter().for_each(|region| self.recorder.close_damage(region, now));
    }

    /// Closes connections that never said hello.
    pub(super) fn close_silent(&mut self) {
        for number in self.sessions.silent(self.now().time) {
            self.end_session(number, Unheard::TooLate);
            self.warn_of_client("connection closed, it never said hello", &number);
        }
    }

    /// Warns of something that a client can cause, at most once a second.
    pub(super) fn warn_of_client(&mut self, what: &'static str, detail: &dyn std::fmt::Display) {
        if let Some(n_silenced) = self.warnings.admit(self.now().time) {
            warn!(detail = %detail, n_silenced, "{what}");
        }
    }
}
