//! The library of stored traces: what agents report goes in, is durable when they are told so, and is found again.
//!
//! Called by the intake, by the coordinator's shell, and by the query service. One thread writes ([`writer`]); reads go past it, straight to
//! the store. Times are passed in.

mod index;
mod likely;
mod line;
mod names;
mod stats;
mod stored;
mod writer;

pub use index::{QUIET_NS, REPORTS_MAX, RESTLESS_NS};
pub use line::{FACTS_MAX, Filter, GAPS_MAX, Line, NAME_MAX_BYTES, SERVICES_MAX};
pub use stats::{Refusal, Stats};
pub use stored::{EntryError, KIND_REPORT, KIND_VIEW, Stored};
pub use writer::LeftOut;

use backsight_core::cause::chain;
use backsight_core::checksum::checksum;
use backsight_core::coordination::View;
use backsight_core::ids::{AgentId, TraceId};
use backsight_proto::v1;
use backsight_proto::wire::Summary;
use backsight_store::{Entry, Place, StoreError, StoreReader, TraceStore};
use index::{Admission, EntryRef, Index};
use prost::Message;
use stats::Counters;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use stored::Collecting;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot};
use writer::{Ask, Writer};

/// Calls that wait for the writer; further ones wait for room.
const QUEUE_MAX: usize = 1024;
/// Summaries that one who follows the tail may be behind.
pub const TAIL_MAX: usize = 1024;
/// What is read of one trace at most.
pub const TRACE_READ_MAX_BYTES: u64 = 64 << 20;
/// Traces that one call of [`Library::settle`] sums up at most, and bytes of their entries.
pub const SETTLE_MAX: usize = 200;
/// See [`SETTLE_MAX`].
pub const SETTLE_MAX_BYTES: u64 = 4 << 20;
/// Traces that a search looks at under one hold of the lock.
const SEARCH_STEP: usize = 4096;
/// A search counts this many further matches, and then stops.
const MORE_MAX: u64 = 10_000;
/// The unit in which bytes that wait are counted.
const PERMIT_BYTES: usize = 1024;

/// How much a library holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// What the store may take on disk; beyond, its oldest file goes.
    pub max_bytes: u64,
    /// Traces that are known; beyond, the oldest are forgotten.
    pub traces_max: usize,
    /// Reports that wait to be written, in bytes; beyond, those who bring more wait.
    pub queue_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_bytes: 10 << 30, traces_max: 1_000_000, queue_bytes: 64 << 20 }
    }
}

/// What a search found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Newest first.
    pub traces: Vec<Summary>,
    /// How many more match, at least.
    pub n_more: u64,
}

/// Whether a trace is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// It is.
    Stored(Box<Stored>),
    /// The coordinator knows it, and no host has reported any of it.
    Announced,
    /// Nothing is known of it, or no longer.
    Unknown,
}

/// What [`Library::settle`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settled {
    /// Traces that were summed up.
    pub n: usize,
    /// Traces that wait, some of them for rest.
    pub n_waiting: usize,
}

/// Room in the queue of the library, free again once what it was for is on disk.
pub type Room = OwnedSemaphorePermit;

/// A handle on the library. Clones are of the same one.
#[derive(Clone, Debug)]
pub struct Library {
    shared: Arc<Shared>,
    asks: mpsc::Sender<Ask>,
    room: Arc<Semaphore>,
    room_max: u32,
}

/// What the writer, searches and readers share.
#[derive(Debug)]
struct Shared {
    index: RwLock<Index>,
    reader: Arc<dyn StoreReader>,
    counters: Counters,
    tail: broadcast::Sender<Arc<Line>>,
}

impl Shared {
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the entries of a trace. Those that cannot be read are counted and left out: the certificate will miss them.
    fn read(&self, trace: TraceId, places: &[Place]) -> Stored {
        let mut collecting = Collecting::new(trace);
        let mut bytes = 0;
        for place in places {
            bytes += u64::from(place.len);
            if bytes > TRACE_READ_MAX_BYTES {
                self.counters.trace_cut();
                break;
            }
            let read = self.reader.read(*place).map_err(|error| chain(&error));
            if let Err(why) = read.and_then(|entry| collecting.add(&entry).map_err(|error| chain(&error))) {
                self.counters.unreadable(trace, &why);
            }
        }
        collecting.finish()
    }
}

impl Library {
    /// Opens the library of what `store` holds, and starts its writer.
    ///
    /// # Errors
    /// The store cannot be read back, or no thread can be started.
    /// # Cost
    /// Reads the whole store; call it before there is anything to serve.
    pub fn open(mut store: Box<dyn TraceStore>, options: Options) -> Result<Self, StoreError> {
        let mut index = Index::new(options.traces_max);
        let losses = store.replay(&mut |place, entry| replay(&mut index, place, &entry))?;
        index.all_is_old();
        let (tail, _) = broadcast::channel(TAIL_MAX);
        let shared = Arc::new(Shared {
            index: RwLock::new(index),
            reader: store.reader(),
            counters: Counters::new(losses, store.bytes()),
            tail,
        });
        let (asks, queue) = mpsc::channel(QUEUE_MAX);
        Writer::start(store, shared.clone(), options.max_bytes, queue)?;
        let room_max = u32::try_from(options.queue_bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX).max(1);
        let room = Arc::new(Semaphore::new(room_max.min(Semaphore::MAX_PERMITS as u32) as usize));
        Ok(Self { shared, asks, room, room_max })
    }

    /// Stores what `agent` reported, and returns once it is durable.
    ///
    /// Reports that are malformed, or too many or too long for their trace, are counted and left out: what their holdings say is returned. Those
    /// that are stored already count as stored. Without reports it returns once all that was given before is durable.
    ///
    /// # Errors
    /// The disk took nothing of it: the agent keeps it and sends it again.
    pub async fn add(&self, agent: AgentId, reports: Vec<v1::TraceReport>) -> Result<LeftOut, StoreError> {
        let room = self.room(reports.iter().map(Message::encoded_len).sum()).await?;
        self.add_in(room, agent, reports).await
    }

    /// Waits until there is room for a batch of so many bytes: before it is unpacked, so that no more is than the queue may have.
    ///
    /// # Errors
    /// The library is closed.
    pub async fn room(&self, bytes: usize) -> Result<Room, StoreError> {
        let n_permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX).clamp(1, self.room_max);
        self.room.clone().acquire_many_owned(n_permits).await.map_err(|_| StoreError::Closed)
    }

    /// Does what [`Library::add`] does, in room that was waited for.
    ///
    /// # Errors
    /// As [`Library::add`].
    pub async fn add_in(
        &self,
        room: Room,
        agent: AgentId,
        reports: Vec<v1::TraceReport>,
    ) -> Result<LeftOut, StoreError> {
        let bytes = reports.iter().map(Message::encoded_len).sum();
        let (done, answer) = oneshot::channel();
        let ask = Ask::Reports { agent, reports, bytes, done, room };
        self.asks.send(ask).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Stores what the coordinator knows of a trace, a moment later. A failure is logged and counted, and it is tried again with what comes next.
    ///
    /// # Errors
    /// The library is closed.
    pub async fn note_view(&self, view: View) -> Result<(), StoreError> {
        self.asks.send(Ask::View(Box::new(view))).await.map_err(|_| StoreError::Closed)
    }

    /// Returns whether its writer has ended: nothing is stored any more.
    pub fn is_closed(&self) -> bool {
        self.asks.is_closed()
    }

    /// Looks a trace up.
    ///
    /// # Cost
    /// Reads its entries from disk: not on a thread that serves others.
    pub fn get(&self, trace: TraceId) -> Lookup {
        let places = self.shared.index().places(trace);
        match places {
            Some(places) => Lookup::Stored(Box::new(self.shared.read(trace, &places))),
            None if self.shared.index().is_announced(trace) => Lookup::Announced,
            None => Lookup::Unknown,
        }
    }

    /// Returns the newest `limit` traces that match.
    ///
    /// # Cost
    /// Looks at all traces where few match: not on a thread that serves others.
    pub fn search(&self, filter: &Filter, limit: usize) -> Found {
        let mut found = Found::default();
        let mut cursor = None;
        loop {
            let mut lines = Vec::new();
            cursor = self.shared.index().search(filter, cursor, SEARCH_STEP, &mut lines);
            let n_wanted = limit - found.traces.len();
            found.n_more += lines.len().saturating_sub(n_wanted) as u64;
            found.traces.extend(lines.into_iter().take(n_wanted).map(|line| line.summary.clone()));
            if cursor.is_none() || found.n_more >= MORE_MAX {
                return found;
            }
        }
    }

    /// Returns the lines of all traces that match, newest first.
    ///
    /// # Cost
    /// Looks at all traces; a pointer for each that is returned. Not on a thread that serves others.
    pub fn lines(&self, filter: &Filter) -> Vec<Arc<Line>> {
        let (mut lines, mut cursor) = (Vec::new(), None);
        loop {
            cursor = self.shared.index().search(filter, cursor, SEARCH_STEP, &mut lines);
            if cursor.is_none() {
                return lines;
            }
        }
    }

    /// Follows traces as they come to rest. One who is more than [`TAIL_MAX`] behind misses some, and is told how many.
    pub fn tail(&self) -> broadcast::Receiver<Arc<Line>> {
        self.shared.tail.subscribe()
    }

    /// Returns how many follow the tail.
    pub fn n_followers(&self) -> usize {
        self.shared.tail.receiver_count()
    }

    /// Sums up traces that have come to rest at `now_ns`, and, as far as there is time, those that were there at the start, newest first.
    ///
    /// Called again and again with the time of one clock, a few times a second; at once where much waits.
    ///
    /// # Cost
    /// At most [`SETTLE_MAX`] traces and [`SETTLE_MAX_BYTES`], or one trace that is larger, are read from disk and assembled: not on a
    /// thread that serves others.
    pub fn settle(&self, now_ns: u64) -> Settled {
        let work = self.shared.index_mut().take_due(now_ns, SETTLE_MAX, SETTLE_MAX_BYTES);
        for work in &work {
            let stored = self.shared.read(work.trace, &work.places);
            let (trace, certificate) = stored.examine();
            let line = line::line(&stored, &trace, &certificate);
            self.shared.counters.line_made(line.is_cut);
            let news = self.shared.index_mut().settle(work, line);
            if let Some(line) = news {
                let _ = self.shared.tail.send(line); // nobody follows
            }
        }
        Settled { n: work.len(), n_waiting: self.shared.index().n_waiting() }
    }

    /// Returns the counters.
    pub fn stats(&self) -> Stats {
        let index = self.shared.index();
        let mut stats = self.shared.counters.stats();
        stats.n_traces = index.n_traces() as u64;
        stats.n_entries = index.n_entries();
        stats.n_forgotten = index.n_forgotten();
        stats.n_waiting = index.n_waiting() as u64;
        stats
    }

    /// Counts summaries that somebody missed who followed too slowly.
    pub fn count_missed(&self, n: u64) {
        self.shared.counters.tail_missed(n);
    }

    /// Writes what waits, then closes the store; later calls that write fail.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.asks.send(Ask::Close(done)).await.is_ok() {
            let _ = closed.await; // closed either way
        }
    }
}

/// Puts an entry that was found on disk into the index.
fn replay(index: &mut Index, place: Place, entry: &Entry<'_>) {
    let entry_ref = EntryRef { place, digest: digest(entry.payload) };
    match entry.kind {
        KIND_REPORT if index.admit_report(entry.trace, entry_ref.digest) == Admission::New => {
            index.add_report(entry.trace, entry_ref);
        }
        KIND_VIEW => index.add_view(entry.trace, entry_ref),
        _ => {}
    }
}

/// Returns what a payload is known by within its trace.
fn digest(payload: &[u8]) -> u64 {
    checksum(0, payload)
}

#[cfg(test)]
pub(crate) mod tests;
