//! The process's session with its agent: opened once, again in a forked child and when the agent was replaced, retried while there is none.
//!
//! Each session has a process block of its own, which is written before it opens and only read afterwards.

use crate::autotrigger;
use crate::block::{self, Counters};
use crate::clock;
use crate::connect::{self, Request};
use crate::descriptor::{self, Descriptor, Kind};
use crate::publication::Published;
use crate::settings::{self, Settings};
use crate::signals::HeldBack;
use crate::slab;
use backsight_core::clock::ClockSource;
use backsight_core::ids::{AgentId, RegionId};
use backsight_core::sync::{AtomicU32, AtomicU64, Ordering};
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::abi::ABI_VERSION;
use backsight_ringbuf::shm::View;
use backsight_ringbuf::{region, slot, strings};
use rustix::io::Errno;
use std::fmt;

/// How long the first session may take to open.
const INIT_WAIT_NS: u64 = 20_000_000;
/// How long a forked child may take inside its first write, and a process whose agent was replaced inside its next.
const FORK_WAIT_NS: u64 = 2_000_000;
/// Time between attempts while there is no agent.
const RETRY_NS: u64 = 1_000_000_000;
/// The shortest time between two looks at whether an agent that was asked has answered; later ones are as much longer as it takes.
const LISTEN_NS: u64 = 1_000_000;
/// Why nothing is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// No trace call has happened yet.
    NotTried,
    /// `BACKSIGHT_DISABLE` is set.
    Disabled,
    /// The agent's socket does not answer.
    NoAgent(Errno),
    /// The agent said no; [`crate::stats`] has its words.
    Refused,
    /// The agent has another major version of the shared-memory ABI.
    Abi {
        /// The agent's version: major in the high half, minor in the low one.
        agent: u32,
    },
    /// The region could not be mapped.
    NoMemory(Errno),
    /// What answered does not speak this protocol.
    Protocol,
    /// The agent took too long.
    Timeout,
    /// What [`init`] was given came after something was recorded, or after another call of it, under other settings, which stay.
    Settings,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTried => f.write_str("nothing has been recorded yet"),
            Self::Disabled => f.write_str("BACKSIGHT_DISABLE is set"),
            Self::NoAgent(error) => {
                let socket = settings::in_force().map_or("its socket", |settings| settings.socket);
                match *error {
                    Errno::ACCESS => write!(f, "no permission to connect to the agent's socket {socket}"),
                    Errno::MFILE | Errno::NFILE => write!(f, "no descriptor is left to connect to the agent: {error}"),
                    error => write!(f, "no agent answers on {socket}: {error}"),
                }
            }
            Self::Refused => f.write_str("the agent refused the session"),
            Self::Abi { agent } => write!(
                f,
                "the agent has shared-memory ABI {}.{}, the program {}.{}: rebuild the program or update the agent",
                agent >> 16,
                agent & 0xffff,
                ABI_VERSION >> 16,
                ABI_VERSION & 0xffff
            ),
            Self::NoMemory(error) => {
                write!(
                    f,
                    "the region could not be mapped (is RLIMIT_AS low, or RLIMIT_MEMLOCK under mlockall?): {error}"
                )
            }
            Self::Protocol => f.write_str("what answers on the agent's socket is no Backsight agent"),
            Self::Timeout => f.write_str("the agent did not answer in time"),
            Self::Settings => {
                let (socket, service) = settings::in_force().map_or(("", ""), |of| (of.socket, of.service));
                write!(
                    f,
                    "the process records as `{service}` by {socket} already: init comes before anything is recorded"
                )
            }
        }
    }
}

/// The agent's words when it refuses, kept for [`crate::stats`].
static REFUSAL: Refusal = Refusal { bytes: [const { AtomicU64::new(0) }; 32], len: AtomicU32::new(0) };

struct Refusal {
    bytes: [AtomicU64; 32],
    len: AtomicU32,
}

impl Missing {
    /// Returns [`Missing::Refused`], remembering the reason.
    pub(crate) fn refused(reason: &str) -> Self {
        // Relaxed, all: words for people; a torn one is still text.
        for (slot, piece) in REFUSAL.bytes.iter().zip(reason.as_bytes().chunks(8)) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            slot.store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
        REFUSAL.len.store(reason.len().min(256) as u32, Ordering::Relaxed);
        Self::Refused
    }

    /// Returns the agent's words of its last refusal, empty without one.
    pub(crate) fn refusal() -> String {
        let mut bytes: Vec<u8> =
            REFUSAL.bytes.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        bytes.truncate(REFUSAL.len.load(Ordering::Relaxed) as usize);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    const fn pack(self) -> u64 {
        let (code, detail): (u64, i32) = match self {
            Self::NotTried => (0, 0),
            Self::Disabled => (1, 0),
            Self::NoAgent(errno) => (2, errno.raw_os_error()),
            Self::Refused => (3, 0),
            Self::Abi { agent } => (4, agent as i32),
            Self::NoMemory(errno) => (5, errno.raw_os_error()),
            Self::Protocol => (6, 0),
            Self::Timeout => (7, 0),
            Self::Settings => (8, 0), // nobody's state: only what `init` returns
        };
        code << 32 | detail as u32 as u64
    }

    fn unpack(word: u64) -> Self {
        let errno = || Errno::from_raw_os_error(word as u32 as i32); // only where there is one: 0 is none, and panics
        match word >> 32 {
            1 => Self::Disabled,
            2 => Self::NoAgent(errno()),
            3 => Self::Refused,
            4 => Self::Abi { agent: word as u32 },
            5 => Self::NoMemory(errno()),
            6 => Self::Protocol,
            7 => Self::Timeout,
            8 => Self::Settings,
            _ => Self::NotTried,
        }
    }
}

/// The process's block of the slab: zero in a new process and in a forked child.
#[derive(Debug)]
pub(crate) struct Process {
    session: Published<Own>,
    /// The process that this memory is of, 0 before its first attempt.
    owner: AtomicU32,
    /// See `slab::generation`, which writes it in the first block alone; 0 until then.
    pub(crate) generation: AtomicU32,
    drops: Counters,
    missing: AtomicU64,
    /// CLOCK_MONOTONIC nanoseconds before which no further attempt is made.
    retry_at_ns: AtomicU64,
}

/// A session, and what attempts at one leave to each other.
#[derive(Debug)]
struct Own {
    view: View,
    region: RegionId,
    agent: AgentId,
    clock: ClockSource,
    epoch: u32,
    /// Whether this process had a session before, whose agent is gone.
    is_again: bool,
    /// When the agent was asked that has not answered yet, 0 where none was.
    asked_at_ns: u64,
    /// Of the session, or of the agent that was asked.
    socket: Descriptor,
    doorbell: Descriptor,
}

/// What a thread needs of the session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) view: View,
    pub(crate) clock: ClockSource,
    pub(crate) agent: AgentId,
    pub(crate) region: RegionId,
    pub(crate) epoch: u32,
}

/// The region of this process or, in a forked child without a session, of the parent; ordinary memory, so that a child inherits it.
static LAST_REGION: AtomicU64 = AtomicU64::new(0);
/// The session's number, raised when string ids of an earlier region lose their meaning.
static EPOCH: AtomicU32 = AtomicU32::new(0);

/// Fixes who and where we are and opens the session: what a program may call first. Without it the first [`crate::begin`] does the same.
///
/// # Errors
/// Why there is no session; recording starts by itself when an agent comes. [`Missing::Settings`] where others are in force.
pub fn init(settings: Settings<'_>) -> Result<(), Missing> {
    settings::set(settings);
    if !settings::are_in_force(settings) {
        return Err(Missing::Settings);
    }
    match session() {
        Some(_) => Ok(()),
        None => Err(missing()),
    }
}

/// Returns the session, opening it where it may be opened now.
///
/// # Cost
/// Two loads while it is open; at most one attempt a second, of at most 20 ms (2 ms after a fork), while it is not, and a system call
/// now and then where an agent was asked and has not answered yet.
pub(crate) fn session() -> Option<Session> {
    let process = slab::process()?;
    process.session.read(Own::session).or_else(|| open(process))
}

/// Returns the session if it is open.
pub(crate) fn open_session() -> Option<Session> {
    slab::process()?.session.read(Own::session)
}

/// Returns whether there is a session, opening it where it may be opened now.
///
/// # Cost
/// As [`session`].
pub(crate) fn is_open() -> bool {
    slab::process().is_some_and(|process| process.session.is_published() || open(process).is_some())
}

/// Returns why there is no session.
pub(crate) fn missing() -> Missing {
    slab::process().map_or(Missing::NoMemory(Errno::NOMEM), |process| {
        Missing::unpack(process.missing.load(Ordering::Relaxed)) // a statistic
    })
}

/// Counts a drop that no thread slot can count.
pub(crate) fn count(reason: DropReason) {
    if let Some(process) = slab::process() {
        process.drops[reason as usize].fetch_add(1, Ordering::Relaxed); // a statistic
    }
}

/// Returns how often a reason was counted without a thread slot.
pub(crate) fn counted(reason: DropReason) -> u64 {
    slab::process().map_or(0, |process| process.drops[reason as usize].load(Ordering::Relaxed)) // a statistic
}

/// Wakes the agent if it sleeps, so that it looks at the signal that was just published.
///
/// # Cost
/// A fence and a load while the agent is awake; three system calls when it sleeps.
pub(crate) fn ring_doorbell(view: &View) {
    if region::is_agent_sleeping(view) {
        ring(view);
    }
}

/// Wakes the agent if it wants to see this change of chunk.
///
/// # Cost
/// As [`ring_doorbell`], and one atomic operation; the system calls come once in as many changes as the agent says.
pub(crate) fn ring_at_change(view: &View) {
    if region::is_change_awaited(view) {
        ring(view);
    }
}

fn ring(view: &View) {
    // A thread may still be in a region whose agent is gone, while another thread opens the next session: that one's doorbell is not meant.
    let of_view = |own: &Own| (own.view == *view).then_some((own.socket, own.doorbell));
    if let Some((socket, doorbell)) = slab::process().and_then(|process| process.session.read(of_view)).flatten()
        && socket.verified().is_some()
        && let Some(doorbell) = doorbell.verified()
    {
        let _ = rustix::io::write(doorbell, &1_u64.to_ne_bytes());
    }
}

/// Returns whether the session of `view` is over: its agent has gone, and the next session may be opened.
///
/// Called by a thread whose agent gives no sign, between segments. One look a second; what the region holds is given back.
#[cold]
pub(crate) fn is_over(view: &View) -> bool {
    let Some(process) = slab::process() else { return false };
    let of_view = |own: &Own| (own.view == *view).then_some(own.socket);
    let Some(socket) = process.session.read(of_view).flatten() else {
        return true; // another thread saw it
    };
    let now = clock::coarse_ns();
    if now < process.retry_at_ns.load(Ordering::Relaxed) {
        return false; // a throttle, as in `open`
    }
    process.retry_at_ns.store(now + RETRY_NS, Ordering::Relaxed); // as above
    // Where the program has closed our socket, nobody can tell.
    if is_borrowed(process) || !socket.verified().is_some_and(connect::is_closed) {
        return false;
    }
    let _held_back = HeldBack::new(); // a handler that leaves by longjmp would leave the session over, and none to follow
    process.session.end(|own| end(process, own));
    true
}

/// Gives up what belongs to a session that is over, and has the next block count.
fn end(process: &Process, own: &Own) {
    own.doorbell.close();
    own.socket.close();
    descriptor::forget_inherited();
    LAST_REGION.store(0, Ordering::Relaxed); // read by children, after the fork: the next agent does not know it
    let _ = own.view.discard_span(); // else the memory is the system's when the process ends
    slab::next_process(|next| {
        // Relaxed, all: published with the block's number. Nobody has read this block for as long as the others lasted.
        for (counter, before) in next.drops.iter().zip(&process.drops) {
            counter.store(before.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        next.missing.store(Missing::NoAgent(Errno::CONNRESET).pack(), Ordering::Relaxed);
        next.retry_at_ns.store(0, Ordering::Relaxed);
        next.owner.store(process.owner.load(Ordering::Relaxed), Ordering::Relaxed);
        next.session.renew(|own| {
            own.socket = Descriptor::default();
            own.doorbell = Descriptor::default();
            own.asked_at_ns = 0;
            own.is_again = true;
        });
    });
}

/// Tells the agent that this process ends on purpose.
pub(crate) fn say_goodbye() {
    // What threads outlived is not what the process may die of from here on.
    if let Some(view) = slab::process().and_then(|process| process.session.read(|own| own.view)) {
        slot::taken(&view).for_each(|number| slot::take_back_last_words(&view, number));
    }
    let socket = slab::process().and_then(|process| process.session.read(|own| own.socket));
    if let Some(socket) = socket.as_ref().and_then(Descriptor::verified) {
        let mut buffer = [0; backsight_core::session::MESSAGE_MAX_BYTES];
        let goodbye = backsight_core::session::Message::Goodbye.encode(&mut buffer);
        let flags = rustix::net::SendFlags::NOSIGNAL | rustix::net::SendFlags::DONTWAIT;
        let _ = rustix::net::send(socket, goodbye, flags);
    }
}

impl Own {
    fn session(&self) -> Session {
        Session { view: self.view, clock: self.clock, agent: self.agent, region: self.region, epoch: self.epoch }
    }
}

/// Returns whether the caller is a child of `vfork`, which shares the memory of a process that tried to open a session before.
///
/// What the child records is its parent's, as if that had; but a session that it opened or ended would be one of descriptors that the parent
/// does not have, and over when the child is.
#[cold]
fn is_borrowed(process: &Process) -> bool {
    let own = rustix::process::getpid().as_raw_nonzero().get().cast_unsigned();
    // Relaxed: the number is all there is to know.
    let known = process.owner.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed);
    known.is_err_and(|owner| owner != own)
}

#[cold]
fn open(process: &Process) -> Option<Session> {
    // The coarse clock: without an agent this is what each `begin` costs.
    let waiting = clock::coarse_ns() < process.retry_at_ns.load(Ordering::Relaxed); // a throttle
    if waiting {
        return None;
    }
    if is_borrowed(process) {
        return None;
    }
    let _held_back = HeldBack::new(); // a handler that leaves by longjmp would leave nobody to open a session
    // `None`: another thread is at it.
    let opened = process.session.attempt(|own| {
        let now = clock::monotonic_ns();
        process.retry_at_ns.store(now + RETRY_NS, Ordering::Relaxed); // a throttle
        let parent = RegionId(LAST_REGION.load(Ordering::Relaxed)); // written by the parent before the fork
        let session = try_open(process, own, now, parent)?;
        take(own, session, !parent.is_none());
        Ok(own.session())
    })?;
    let session = opened.map_err(|missing: Missing| process.missing.store(missing.pack(), Ordering::Relaxed)).ok()?; // a statistic
    autotrigger::leave_names(&session.view);
    Some(session)
}

/// Asks the agent for a session, or listens whether one that was asked has answered.
fn try_open(process: &Process, own: &mut Own, now: u64, parent: RegionId) -> Result<connect::Session, Missing> {
    let deadline_ns = match own.socket.verified() {
        Some(_) if own.asked_at_ns != 0 => now,
        _ => ask(own, now, parent)?,
    };
    let answer =
        own.socket.verified().map_or(Err(Missing::NoAgent(Errno::BADF)), |fd| connect::answer(fd, deadline_ns));
    match answer {
        Ok(Some(session)) => Ok(session),
        Ok(None) => {
            let pause_ns = ((now - own.asked_at_ns) / 4).clamp(LISTEN_NS, RETRY_NS);
            process.retry_at_ns.store(clock::monotonic_ns() + pause_ns, Ordering::Relaxed); // a throttle
            Err(Missing::Timeout)
        }
        Err(missing) => {
            own.socket.close();
            own.socket = Descriptor::default();
            own.asked_at_ns = 0;
            Err(missing)
        }
    }
}

/// Asks the agent for a session, which continues that of `parent` in a forked child; returns until when to wait for the answer.
fn ask(own: &mut Own, now: u64, parent: RegionId) -> Result<u64, Missing> {
    let settings = settings::in_force().ok_or(Missing::NotTried)?;
    if settings.disabled {
        return Err(Missing::Disabled);
    }
    let forked = !parent.is_none();
    descriptor::close_inherited();
    let is_in_a_write = forked || own.is_again;
    let deadline_ns = now + if is_in_a_write { FORK_WAIT_NS } else { INIT_WAIT_NS };
    let (socket, service) = (settings.socket, settings.service);
    let asked = connect::ask(Request { socket, service, fork_of: forked.then_some(parent), deadline_ns })?;
    own.socket = Descriptor::keep(asked, Kind::Socket);
    own.asked_at_ns = now;
    Ok(deadline_ns)
}

/// Makes a session the process's own.
fn take(own: &mut Own, session: connect::Session, fork_of: bool) {
    own.view = session.view;
    own.region = session.region;
    own.agent = session.agent;
    own.clock = session.clock;
    // A forked child keeps its parent's string ids where the agent has copied them. One that no longer knew the parent has not.
    let epoch = if fork_of && !strings::is_empty(&session.view) {
        EPOCH.load(Ordering::Relaxed)
    } else {
        // The first is drawn: two copies of this library in one process may share the descriptors of names that C++ merges.
        let first = block::seed() as u32 >> 1 | 1;
        let _ = EPOCH.compare_exchange(0, first, Ordering::Relaxed, Ordering::Relaxed);
        EPOCH.fetch_add(1, Ordering::Relaxed) + 1
    };
    own.epoch = epoch;
    own.asked_at_ns = 0;
    own.doorbell = Descriptor::keep(session.doorbell, Kind::Doorbell);
    LAST_REGION.store(session.region.0, Ordering::Relaxed); // read by children, after the fork
}
