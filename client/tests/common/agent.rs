//! An agent of few words, in a thread of the test: hands out regions, drains chunks, frees slots, and keeps all that it drained.
//!
//! It speaks the session protocol as the real one does, decides nothing, and never evicts, so that a test finds what was written.
#![allow(dead_code, reason = "each test file uses a part of it")]

use backsight_client::{Missing, Settings, init, stats};
use backsight_core::clock::ClockSource;
use backsight_core::ids::{AgentId, RegionId, StringId, TraceId};
use backsight_core::segment::{LastWords, Process, Segment, SegmentKey, Slice};
use backsight_core::session::{Attachment, MESSAGE_MAX_BYTES, Message};
use backsight_core::telemetry::DropReason;
use backsight_core::trace::{Trace, assemble};
use backsight_ringbuf::abi::{ABI_VERSION, CHUNKS_PER_LEASE, ChunkId, Class, SLOTS_MAX, SPAN_OFFSET, header};
use backsight_ringbuf::lease::{self, Lease};
use backsight_ringbuf::reader;
use backsight_ringbuf::region::{self, CrumbRules, Identity, Shed};
use backsight_ringbuf::ring::{self, Signal};
use backsight_ringbuf::shm::Mapping;
use backsight_ringbuf::slot::{self, State};
use backsight_ringbuf::storage::Storage as _;
use backsight_ringbuf::strings;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, accept_with, bind, listen, recv, sendmsg, socket_with,
};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Who this agent says it is.
pub(crate) const AGENT: AgentId = AgentId(0x51);
const TICKS_PER_SECOND: u64 = 2_000_000_000;

/// How an agent differs from the usual one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) clock: ClockSource,
    /// Leases of 64 small chunks.
    pub(crate) n_leases: u32,
    /// Whether sealed chunks are granted again.
    pub(crate) regrants: bool,
    /// Whether a child finds its parent's strings.
    pub(crate) copies_strings: bool,
    /// Refuses every session.
    pub(crate) refuses: bool,
    pub(crate) crumbs: CrumbRules,
    /// The version that stands in its regions.
    pub(crate) abi: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: ClockSource::Tsc,
            n_leases: 2,
            regrants: true,
            copies_strings: true,
            refuses: false,
            crumbs: CrumbRules::default(),
            abi: ABI_VERSION,
        }
    }
}

/// A process as the agent knows it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) region: RegionId,
    pub(crate) service: String,
    pub(crate) fork_of: Option<RegionId>,
    pub(crate) said_goodbye: bool,
    pub(crate) signals: Vec<Signal>,
    mapping: Mapping,
    doorbell: OwnedFd,
    socket: OwnedFd,
    generations: Vec<u32>,
    segments: Vec<Segment>,
    n_corrupt: usize,
}

/// A running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    socket: PathBuf,
    sessions: Arc<Mutex<Vec<Session>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    options: Options,
}

/// Returns a socket on which nobody answers yet.
pub(crate) fn listener(path: &Path) -> OwnedFd {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
    listen(&listener, 64).unwrap();
    listener
}

impl Agent {
    pub(crate) fn start(options: Options) -> Self {
        Self::start_at(&fresh_socket(), options)
    }

    pub(crate) fn start_at(path: &Path, options: Options) -> Self {
        Self::start_on(listener(path), path, options)
    }

    /// Starts an agent that takes what connected to `listener` before.
    pub(crate) fn start_on(listener: OwnedFd, path: &Path, options: Options) -> Self {
        let (sessions, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (sessions, stop) = (Arc::clone(&sessions), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    step(&listener, &mut lock(&sessions), options);
                    let soon = rustix::event::Timespec { tv_sec: 0, tv_nsec: 200_000 };
                    let _ = poll(&mut [PollFd::new(&listener, PollFlags::IN)], Some(&soon));
                }
            }
        });
        Self { socket: path.to_owned(), sessions, stop, thread: Some(thread), options }
    }

    /// Starts an agent that this process has a session with, the only one.
    pub(crate) fn start_joined(options: Options) -> Self {
        let agent = Self::start(options);
        // On a loaded machine an attempt may run out of time; the next one is a second later.
        while init(Settings { socket: Some(agent.socket()), service: Some("test") }) == Err(Missing::Timeout) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let (_, region) = stats().session.unwrap();
        agent.until("the session", |sessions| sessions.iter().any(|session| session.region == region));
        lock(&agent.sessions).retain(|session| session.region == region);
        agent
    }

    pub(crate) fn socket(&self) -> &str {
        self.socket.to_str().unwrap()
    }

    /// Looks at the sessions, after draining what was published before the call.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut [Session]) -> T) -> T {
        let mut sessions = lock(&self.sessions);
        sessions.iter_mut().for_each(|session| session.drain(self.options));
        look(&mut sessions)
    }

    /// Returns how many regions hold `name` where an agent looks for names of triggers.
    pub(crate) fn n_with_name(&self, name: &str) -> usize {
        let id = backsight_client::TriggerId::from_name(name).unwrap();
        let holds =
            |session: &&mut Session| strings::with_hash(&session.mapping, id.0).any(|text| text == name.as_bytes());
        self.look(|sessions| sessions.iter_mut().filter(holds).count())
    }

    /// Returns all that was written for `trace`, committed and not yet sealed included.
    pub(crate) fn trace(&self, trace: TraceId) -> Trace {
        let slices = self.look(|sessions| sessions.iter().map(|session| session.slice(trace)).collect::<Vec<_>>());
        let wrote: Vec<_> = slices.into_iter().filter(|slice| !slice.segments.is_empty()).collect();
        assemble(trace, &wrote)
    }

    /// Returns the last words that threads have left, of all processes.
    pub(crate) fn last_words(&self) -> Vec<LastWords> {
        let of = |session: &Session| {
            let store = &session.mapping;
            slot::taken(store).filter_map(|number| slot::last_words(store, number)).collect::<Vec<_>>()
        };
        self.look(|sessions| sessions.iter().flat_map(of).collect())
    }

    /// Returns the flags of the trace's segments, as they are now.
    pub(crate) fn segment_flags(&self, trace: TraceId) -> Vec<u32> {
        let slices = self.look(|sessions| sessions.iter().map(|session| session.slice(trace)).collect::<Vec<_>>());
        let segments = slices.into_iter().flat_map(|slice| slice.segments);
        segments.map(|segment| u32::from_le_bytes(segment.bytes[44..48].try_into().unwrap())).collect()
    }

    /// Returns the signals that threads sent since the last call.
    pub(crate) fn take_signals(&self) -> Vec<Signal> {
        self.look(|sessions| sessions.iter_mut().flat_map(|session| std::mem::take(&mut session.signals)).collect())
    }

    /// Returns how many chunks were not what a client leaves.
    pub(crate) fn n_corrupt(&self) -> usize {
        self.look(|sessions| sessions.iter().map(|session| session.n_corrupt + session.unsealed().1).sum())
    }

    /// Returns how often a reason was counted where an agent reads it: in thread slots, and of writes without one.
    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        let of = |session: &Session| {
            let slots =
                slot::taken(&session.mapping).map(|number| slot::drops(&session.mapping, number)[reason as usize]);
            let without = if reason == DropReason::ThreadSlots { slot::refused(&session.mapping) } else { 0 };
            slots.sum::<u64>() + without
        };
        self.look(|sessions| sessions.iter().map(of).sum())
    }

    /// Turns recording on or off, everywhere.
    pub(crate) fn set_recording(&self, on: bool) {
        self.look(|sessions| sessions.iter().for_each(|session| region::set_recording(&session.mapping, on)));
    }

    /// Says everywhere what is left out.
    pub(crate) fn shed(&self, shed: Shed) {
        self.look(|sessions| sessions.iter().for_each(|session| region::set_shed(&session.mapping, shed)));
    }

    /// Says everywhere that the agent sleeps.
    pub(crate) fn fall_asleep(&self) {
        self.look(|sessions| sessions.iter().for_each(|session| region::set_sleeping(&session.mapping, true)));
    }

    /// Asks until `accept` agrees; fails the test after ten seconds.
    pub(crate) fn until(&self, what: &str, mut accept: impl FnMut(&mut [Session]) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.look(&mut accept) {
            assert!(Instant::now() < deadline, "{what} did not happen");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Returns a socket path that nobody has.
pub(crate) fn fresh_socket() -> PathBuf {
    static N: AtomicU32 = AtomicU32::new(0);
    let n = N.fetch_add(1, Ordering::Relaxed);
    let socket = std::env::temp_dir().join(format!("bks-client-test-{}-{n}.sock", std::process::id()));
    let _ = std::fs::remove_file(&socket); // of a test that was killed, whose number has come round
    socket
}

fn lock(sessions: &Mutex<Vec<Session>>) -> MutexGuard<'_, Vec<Session>> {
    sessions.lock().unwrap()
}

fn step(listener: &OwnedFd, sessions: &mut Vec<Session>, options: Options) {
    if let Ok(socket) = accept_with(listener, SocketFlags::CLOEXEC)
        && let Some(session) = Session::open(socket, sessions, options)
    {
        sessions.push(session);
    }
    for session in sessions {
        session.drain(options);
    }
}

impl Session {
    fn open(socket: OwnedFd, others: &[Self], options: Options) -> Option<Self> {
        let mut buffer = [0; MESSAGE_MAX_BYTES];
        let (len, _) = recv(&socket, &mut buffer[..], RecvFlags::empty()).unwrap();
        let Ok(Message::Hello { service, fork_of, .. }) = Message::decode(&buffer[..len]) else { return None };
        let (service, region) = (service.to_owned(), RegionId(others.last().map_or(1, |other| other.region.0 + 1)));
        if options.refuses {
            pass(&socket, Message::Refused { reason: "not today" }, None);
            return None;
        }
        let (mapping, memory) =
            Mapping::create(SPAN_OFFSET + u64::from(options.n_leases.max(1)) * Class::Small.lease_bytes()).unwrap();
        region::initialise(
            &mapping,
            &Identity {
                region,
                agent: AGENT,
                pid: 1,
                start_time: 1,
                boot: [1, 2],
                n_slots: SLOTS_MAX,
                clock: options.clock,
                ticks_per_second: TICKS_PER_SECOND,
                crumbs: options.crumbs,
            },
        );
        mapping.word(header::ABI).store(options.abi.into(), Ordering::Relaxed); // nobody has it yet
        let parent = others.iter().find(|other| Some(other.region) == fork_of);
        if let Some(parent) = parent.filter(|_| options.copies_strings) {
            strings::copy_table(&parent.mapping, &mapping);
        }
        let doorbell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap();
        let generations = vec![0; (options.n_leases * CHUNKS_PER_LEASE) as usize];
        let mut session = Self {
            region,
            service,
            fork_of,
            said_goodbye: false,
            signals: Vec::new(),
            mapping,
            doorbell,
            socket,
            generations,
            segments: Vec::new(),
            n_corrupt: 0,
        };
        for number in 0..options.n_leases {
            lease::install(&session.mapping, lease_of(number));
            (0..CHUNKS_PER_LEASE).for_each(|bit| session.grant(number, bit));
        }
        lease::announce_grants(&session.mapping);
        // Last: a client that has its region finds chunks in it.
        pass(&session.socket, Message::Welcome { agent: AGENT, region, n_attachments: 2 }, None);
        pass(&session.socket, Message::Attach(Attachment::Region), Some(memory.as_fd()));
        pass(&session.socket, Message::Attach(Attachment::Doorbell), Some(session.doorbell.as_fd()));
        Some(session)
    }

    fn grant(&mut self, number: u32, bit: u32) {
        let generation = &mut self.generations[(number * CHUNKS_PER_LEASE + bit) as usize];
        *generation += 1;
        lease::grant(&self.mapping, self.region, lease_of(number), ChunkId::new(number, bit), *generation);
    }

    /// Grants `n` chunks of the lease that was left out at first.
    pub(crate) fn grant_first(&mut self, n: u32) {
        self.generations.resize(CHUNKS_PER_LEASE as usize, 0);
        lease::install(&self.mapping, lease_of(0));
        (0..n).for_each(|bit| self.grant(0, bit));
        lease::announce_grants(&self.mapping);
    }

    /// Returns how often the doorbell was rung since the last look.
    pub(crate) fn rings(&self) -> u64 {
        let mut count = [0; 8];
        rustix::io::read(&self.doorbell, &mut count).map_or(0, |_| u64::from_ne_bytes(count))
    }

    /// Returns the thread slots that are taken.
    pub(crate) fn n_slots(&self) -> usize {
        slot::taken(&self.mapping).count()
    }

    fn drain(&mut self, options: Options) {
        let mut buffer = [0; MESSAGE_MAX_BYTES];
        while let Ok((len, _)) = recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT)
            && len > 0
        {
            self.said_goodbye |= Message::decode(&buffer[..len]) == Ok(Message::Goodbye);
        }
        let taken: Vec<u32> = slot::taken(&self.mapping).collect();
        // Before the chunks: what an exited thread sealed is then seen.
        let exited = |number: &&u32| matches!(slot::state(&self.mapping, **number), Some(State::Exited { .. }));
        let gone: Vec<u32> = taken.iter().filter(exited).copied().collect();
        for number in taken {
            while let Some(signal) = ring::pop(&self.mapping, number).unwrap() {
                self.signals.push(signal);
            }
        }
        let mut granted = false;
        for number in 0..self.generations.len() as u32 / CHUNKS_PER_LEASE {
            let mut sealed = lease::drain(&self.mapping, number);
            while sealed != 0 {
                let bit = sealed.trailing_zeros();
                sealed &= sealed - 1;
                let read = self.read(number, bit);
                self.n_corrupt += usize::from(read.is_none());
                self.segments.extend(read.into_iter().flatten());
                if options.regrants {
                    self.grant(number, bit);
                    granted = true;
                }
            }
        }
        if granted {
            lease::announce_grants(&self.mapping);
        }
        gone.into_iter().for_each(|number| slot::release(&self.mapping, number));
    }

    /// Reads chunk `bit` of lease `number` as far as it is committed; `None` where it is corrupt.
    fn read(&self, number: u32, bit: u32) -> Option<Vec<Segment>> {
        let generation = self.generations[(number * CHUNKS_PER_LEASE + bit) as usize];
        let info = reader::chunk_info(&self.mapping, lease_of(number), bit, generation).ok()?;
        let chunk = ChunkId::new(number, bit).code();
        let read = |found: reader::SegmentInfo| {
            let mut bytes = Vec::new();
            reader::copy(&self.mapping, lease_of(number), bit, found.offset, found.end, &mut bytes);
            let key = SegmentKey { region: self.region, chunk, generation, offset: found.offset };
            Segment { key, slot: info.slot, tid: info.tid, prev_chunk: info.prev_chunk, bytes }
        };
        let found = reader::segments(&self.mapping, lease_of(number), bit, info.head);
        found.map(|found| found.ok().map(read)).collect()
    }

    /// Returns the segments of chunks that are not sealed, and the number of those that are corrupt.
    fn unsealed(&self) -> (Vec<Segment>, usize) {
        let n_leases = self.generations.len() as u32 / CHUNKS_PER_LEASE;
        let chunks = (0..n_leases).flat_map(|number| (0..CHUNKS_PER_LEASE).map(move |bit| (number, bit)));
        let read: Vec<_> = chunks.map(|(number, bit)| self.read(number, bit)).collect();
        let n_corrupt = read.iter().filter(|read| read.is_none()).count();
        (read.into_iter().flatten().flatten().collect(), n_corrupt)
    }

    fn slice(&self, trace: TraceId) -> Slice {
        let all = self.segments.iter().cloned().chain(self.unsealed().0);
        let halves = |bytes: &[u8], at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let is_of = |segment: &Segment| TraceId::new(halves(&segment.bytes, 8), halves(&segment.bytes, 16)) == trace;
        let names = (1..2000).map(StringId);
        let name = |id| Some((id, String::from_utf8(strings::get(&self.mapping, id)?).unwrap()));
        let process = Process {
            agent: AGENT,
            region: self.region,
            service: self.service.clone(),
            strings: names.filter_map(name).collect(),
            ..Process::default()
        };
        Slice { process, segments: all.filter(is_of).collect() }
    }
}

fn lease_of(number: u32) -> Lease {
    let offset = SPAN_OFFSET + u64::from(number) * Class::Small.lease_bytes();
    Lease { number, class: Class::Small, offset }
}

fn pass(socket: &OwnedFd, message: Message<'_>, fd: Option<BorrowedFd<'_>>) {
    let mut buffer = [0; MESSAGE_MAX_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<_> = fd.into_iter().collect();
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    }
    let _ = sendmsg(socket, &[IoSlice::new(message.encode(&mut buffer))], &mut control, SendFlags::NOSIGNAL);
}
