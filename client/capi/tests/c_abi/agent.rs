//! The least agent that a client can talk to: it hands out regions, grants chunks, and reads everything back.

use backsight_core::clock::ClockSource;
use backsight_core::ids::{AgentId, RegionId, TraceId, TriggerId};
use backsight_core::record::{Kind, Level, RawRecord, Records};
use backsight_core::session::{Attachment, MESSAGE_MAX_BYTES, Message};
use backsight_ringbuf::abi::{ChunkId, Class, SPAN_OFFSET};
use backsight_ringbuf::lease::{self, Lease};
use backsight_ringbuf::reader::{self, SegmentInfo};
use backsight_ringbuf::region::{self, Identity, Shed};
use backsight_ringbuf::shm::Mapping;
use backsight_ringbuf::strings;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketType};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const GENERATION: u32 = 1;
/// 64 small chunks to start with, then as many large ones as the loops of a loaded machine may fill.
const LARGE_LEASES: u32 = 24;
const REGION_BYTES: u64 = SPAN_OFFSET + Class::Small.lease_bytes() + LARGE_LEASES as u64 * Class::Large.lease_bytes();

/// A record as a test asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) trace: TraceId,
    pub(crate) kind: Kind,
    pub(crate) level: Level,
    pub(crate) body: Vec<u8>,
}

/// The agent; it serves until the test ends.
pub(crate) struct Agent {
    pub(crate) socket: PathBuf,
    regions: Arc<Mutex<Vec<Mapping>>>,
}

impl Agent {
    pub(crate) fn start(folder: &Path, name: &str) -> Self {
        Self::start_shedding(folder, name, Shed::default())
    }

    /// Starts an agent that has threads leave something out.
    pub(crate) fn start_shedding(folder: &Path, name: &str, shed: Shed) -> Self {
        let socket = folder.join(format!("{name}.sock"));
        let _ = std::fs::remove_file(&socket);
        let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(&socket).unwrap()).unwrap();
        rustix::net::listen(&listener, 16).unwrap();
        let regions = Arc::new(Mutex::new(Vec::new()));
        let of_thread = regions.clone();
        let mut spare = make(RegionId(100), shed); // made ahead: a forked child waits for 2 ms
        std::thread::spawn(move || {
            let mut sessions = Vec::new(); // a closed one would be a dead agent
            while let Ok(session) = rustix::net::accept(&listener) {
                let next = RegionId(100 + sessions.len() as u64);
                serve(&session, next, spare, &of_thread);
                sessions.push(session);
                spare = make(RegionId(next.0 + 1), shed);
            }
        });
        Self { socket, regions }
    }

    /// Returns whether a region holds `name` where an agent looks for names of triggers.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        let id = TriggerId::from_name(name).unwrap();
        let regions = self.regions.lock().unwrap();
        regions.iter().any(|region| strings::with_hash(region, id.0).any(|text| text == name.as_bytes()))
    }

    /// Returns every record of every region so far.
    pub(crate) fn records(&self) -> Vec<Seen> {
        let see = |trace, record: RawRecord<'_>| Seen {
            trace,
            kind: Kind::from_code(record.header.kind).unwrap(),
            level: Level::of_flags(record.header.flags),
            body: record.body.to_vec(),
        };
        let segments = self.segments();
        let records = segments
            .iter()
            .flat_map(|(info, bytes)| Records::new(bytes).map(move |record| see(info.trace, record.unwrap())));
        records.collect()
    }

    /// Returns the lowest level that each segment says was left out.
    pub(crate) fn left_out(&self) -> Vec<Option<Level>> {
        self.segments().iter().map(|(info, _)| Level::left_out(info.flags)).collect()
    }

    /// Returns every segment of every region so far, with its bytes.
    fn segments(&self) -> Vec<(SegmentInfo, Vec<u8>)> {
        let regions = self.regions.lock().unwrap();
        let mut seen = Vec::new();
        for (region, number) in regions.iter().flat_map(|region| (0..=LARGE_LEASES).map(move |n| (region, n))) {
            let lease = lease::read(region, number).unwrap();
            for bit in 0..64 {
                let info = reader::chunk_info(region, lease, bit, GENERATION).unwrap();
                for segment in reader::segments(region, lease, bit, info.head) {
                    let segment = segment.unwrap();
                    let mut bytes = Vec::new();
                    reader::copy(region, lease, bit, segment.offset, segment.end, &mut bytes);
                    seen.push((segment, bytes));
                }
            }
        }
        seen
    }
}

fn serve(session: &OwnedFd, id: RegionId, made: (Mapping, OwnedFd), regions: &Mutex<Vec<Mapping>>) {
    let mut buffer = [0; MESSAGE_MAX_BYTES];
    let (len, _) = rustix::net::recv(session, &mut buffer, rustix::net::RecvFlags::empty()).unwrap();
    assert!(matches!(Message::decode(&buffer[..len]), Ok(Message::Hello { .. })));
    let (mapping, fd) = made;
    regions.lock().unwrap().push(mapping);
    let doorbell = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    send(session, Message::Welcome { agent: AgentId(5), region: id, n_attachments: 2 }, None);
    send(session, Message::Attach(Attachment::Region), Some(fd.as_fd()));
    send(session, Message::Attach(Attachment::Doorbell), Some(doorbell.as_fd()));
}

fn make(id: RegionId, shed: Shed) -> (Mapping, OwnedFd) {
    let (mapping, fd) = Mapping::create(REGION_BYTES).unwrap();
    let identity = Identity {
        region: id,
        agent: AgentId(5),
        pid: 1,
        start_time: 1,
        boot: [0; 2],
        n_slots: 64,
        clock: ClockSource::Tsc,
        ticks_per_second: 2_000_000_000,
        crumbs: Default::default(),
    };
    region::initialise(&mapping, &identity);
    region::set_shed(&mapping, shed);
    let small = Lease { number: 0, class: Class::Small, offset: SPAN_OFFSET };
    let large = (0..LARGE_LEASES).map(|i| {
        let offset = small.offset + Class::Small.lease_bytes() + u64::from(i) * Class::Large.lease_bytes();
        Lease { number: 1 + i, class: Class::Large, offset }
    });
    for lease in std::iter::once(small).chain(large) {
        lease::install(&mapping, lease);
        (0..64).for_each(|bit| lease::grant(&mapping, id, lease, ChunkId::new(lease.number, bit), GENERATION));
    }
    lease::announce_grants(&mapping);
    (mapping, fd)
}

fn send(session: &OwnedFd, message: Message<'_>, fd: Option<BorrowedFd<'_>>) {
    let mut buffer = [0; MESSAGE_MAX_BYTES];
    let bytes = message.encode(&mut buffer);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    }
    // A client that has waited long enough is gone; it comes again.
    let _ = rustix::net::sendmsg(session, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
}
