//! The thread that writes: whatever waits becomes one append and one `fdatasync`, then all who waited are told.
//!
//! Started by the library; the only one that appends. It ends when the last handle is gone, or when it is told to.

use super::index::{Admission, EntryRef};
use super::stats::Refusal;
use super::{KIND_REPORT, KIND_VIEW, Room, Shared, digest};
use crate::seldom::Seldom;
use backsight_core::cause::chain;
use backsight_core::coordination::View;
use backsight_core::holding::Holding;
use backsight_core::ids::{AgentId, TraceId};
use backsight_proto::v1;
use backsight_store::format::PAYLOAD_MAX_BYTES;
use backsight_store::{Entry, Place, StoreError, TraceStore};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// What is written together at most, but for one call that brings more.
const GROUP_MAX_BYTES: usize = 16 << 20;
/// How long what comes first waits for more where something was written a moment ago: what hosts report of one trace comes within it, and
/// shares one sync.
const GATHER: Duration = Duration::from_millis(50);
/// Views that wait for a disk that takes something again.
const UNWRITTEN_MAX_BYTES: usize = 16 << 20;
/// What one append takes.
const APPEND_MAX_BYTES: usize = 32 << 20;

/// What the writer is asked to do.
pub(super) enum Ask {
    /// Store reports, and say when they are durable.
    Reports {
        agent: AgentId,
        reports: Vec<v1::TraceReport>,
        bytes: usize,
        done: oneshot::Sender<Result<LeftOut, StoreError>>,
        /// Given back when the reports are gone from memory.
        room: Room,
    },
    /// Store a view.
    View(Box<View>),
    /// End.
    Close(oneshot::Sender<()>),
}

/// What hosts say that they hold of traces whose reports were not stored, and never will be: too large, or too many.
pub type LeftOut = Vec<Holding>;

pub(super) struct Writer {
    store: Box<dyn TraceStore>,
    shared: Arc<Shared>,
    max_bytes: u64,
    /// Views that the disk did not take: nobody says them again.
    unwritten: Vec<Draft>,
    said_full: Seldom,
}

/// What is written together.
#[derive(Default)]
struct Group {
    drafts: Vec<Draft>,
    /// Reports of this group, by which a second of the same is known.
    digests: BTreeSet<(TraceId, u64)>,
    /// Where the view of a trace stands in `drafts`: a later one takes its place.
    views: BTreeMap<TraceId, usize>,
    waiting: Vec<(oneshot::Sender<Result<LeftOut, StoreError>>, LeftOut)>,
    room: Vec<Room>,
    bytes: usize,
}

struct Draft {
    trace: TraceId,
    kind: u8,
    digest: u64,
    payload: Vec<u8>,
}

impl Group {
    /// Returns a group that has the views of an earlier one, each of a trace of its own.
    fn beginning_with(views: Vec<Draft>) -> Self {
        let by_trace = views.iter().enumerate().map(|(idx, draft)| (draft.trace, idx)).collect();
        let bytes = views.iter().map(|draft| draft.payload.len()).sum();
        Self { views: by_trace, drafts: views, bytes, ..Self::default() }
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        store: Box<dyn TraceStore>,
        shared: Arc<Shared>,
        max_bytes: u64,
        queue: mpsc::Receiver<Ask>,
    ) -> Result<(), StoreError> {
        let writer = Self { store, shared, max_bytes, unwritten: Vec::new(), said_full: Seldom::default() };
        let started = std::thread::Builder::new().name("bks-store".to_owned()).spawn(move || writer.run(queue));
        started.map(drop).map_err(|error| StoreError::Io {
            what: "start the thread",
            path: "bks-store".into(),
            source: Arc::new(error),
        })
    }

    fn run(mut self, mut queue: mpsc::Receiver<Ask>) {
        self.retire(); // the limit may have been lowered
        let mut written: Option<Instant> = None;
        while let Some(first) = queue.blocking_recv() {
            if written.is_some_and(|written| written.elapsed() < 2 * GATHER) {
                std::thread::sleep(GATHER);
            }
            let mut group = Group::beginning_with(std::mem::take(&mut self.unwritten));
            let mut closing = self.take(first, &mut group);
            while closing.is_none() && group.bytes < GROUP_MAX_BYTES {
                let Ok(next) = queue.try_recv() else { break };
                closing = self.take(next, &mut group);
            }
            self.commit(group);
            written = Some(Instant::now());
            if let Some(done) = closing {
                drop(self); // with it the lock of the store's folder
                drop(queue);
                let _ = done.send(());
                return;
            }
        }
    }

    /// Checks what is asked and adds it to the group; returns whom to tell of the end.
    fn take(&self, ask: Ask, group: &mut Group) -> Option<oneshot::Sender<()>> {
        match ask {
            Ask::Reports { agent, reports, bytes, done, room } => {
                let left_out = reports.into_iter().filter_map(|report| self.take_report(agent, report, group));
                let left_out = left_out.collect();
                group.bytes += bytes;
                group.waiting.push((done, left_out));
                group.room.push(room);
                None
            }
            Ask::View(view) => {
                self.take_view(&view, group);
                None
            }
            Ask::Close(done) => Some(done),
        }
    }

    /// Takes a report; returns what its host holds of the trace where it is left out.
    fn take_report(&self, agent: AgentId, report: v1::TraceReport, group: &mut Group) -> Option<Holding> {
        let mut stored = v1::StoredReport { agent: agent.0, report: Some(report) };
        let payload = stored.encode_to_vec();
        let holding = match stored.report.take().unwrap_or_default().into_report(agent) {
            Ok(report) => report.holding,
            Err(error) => {
                let why = format!("from agent {agent}: {error}");
                self.shared.counters.refused(Refusal::Malformed, 1, &why);
                return holding_in(&payload);
            }
        };
        let trace = holding.trace;
        if payload.len() > PAYLOAD_MAX_BYTES as usize {
            let why = format!("trace {trace} from agent {agent}: {} bytes", payload.len());
            self.shared.counters.refused(Refusal::TooLong, 1, &why);
            return Some(holding);
        }
        let digest = digest(&payload);
        match self.shared.index().admit_report(trace, digest) {
            Admission::New if group.digests.insert((trace, digest)) => {
                group.drafts.push(Draft { trace, kind: KIND_REPORT, digest, payload });
                None
            }
            Admission::New | Admission::Duplicate => {
                self.shared.counters.duplicate();
                None
            }
            Admission::TooMany => {
                let why = format!("trace {trace} from agent {agent}");
                self.shared.counters.refused(Refusal::TooManyReports, 1, &why);
                Some(holding)
            }
        }
    }

    fn take_view(&self, view: &View, group: &mut Group) {
        let trace = view.trace;
        if trace.is_none() {
            return self.shared.counters.refused(Refusal::Malformed, 1, "a view of no trace");
        }
        let payload = v1::StoredView { view: Some(view.into()) }.encode_to_vec();
        let draft = Draft { trace, kind: KIND_VIEW, digest: digest(&payload), payload };
        group.bytes += draft.payload.len();
        match group.views.get(&trace).and_then(|idx| group.drafts.get_mut(*idx)) {
            Some(before) => *before = draft,
            None if self.shared.index().has_view(trace, draft.digest) => {}
            None => {
                group.views.insert(trace, group.drafts.len());
                group.drafts.push(draft);
            }
        }
    }

    /// Writes a group, makes it durable, puts it into the index, and tells all who wait.
    fn commit(&mut self, group: Group) {
        let written = self.write(&group.drafts);
        if let Ok(places) = &written {
            let mut index = self.shared.index_mut();
            let mut n_reports = 0;
            for (draft, place) in group.drafts.iter().zip(places) {
                let entry = EntryRef { place: *place, digest: draft.digest };
                if draft.kind == KIND_REPORT {
                    n_reports += 1;
                    index.add_report(draft.trace, entry);
                } else {
                    index.add_view(draft.trace, entry);
                }
            }
            self.shared.counters.stored(n_reports, group.drafts.len() as u64 - n_reports);
        }
        if let Err(error) = &written {
            self.shared.counters.refused(Refusal::StoreFailed, group.drafts.len() as u64, &chain(error));
            let mut room = UNWRITTEN_MAX_BYTES;
            let fits = |draft: &Draft| {
                room = room.saturating_sub(draft.payload.len());
                room > 0
            };
            self.unwritten =
                group.drafts.into_iter().filter(|draft| draft.kind == KIND_VIEW).take_while(fits).collect();
        }
        self.retire();
        drop(group.room);
        for (done, left_out) in group.waiting {
            let answer = written.as_ref().map(|_| left_out).map_err(StoreError::clone);
            let _ = done.send(answer); // whoever asked may be gone
        }
    }

    fn write(&mut self, drafts: &[Draft]) -> Result<Vec<Place>, StoreError> {
        let mut places = Vec::with_capacity(drafts.len());
        let mut rest = drafts;
        while !rest.is_empty() {
            let mut bytes = 0;
            let n = rest.iter().take_while(|draft| {
                bytes += draft.payload.len();
                bytes <= APPEND_MAX_BYTES
            });
            let (now, later) = rest.split_at(n.count().max(1));
            let entries: Vec<_> =
                now.iter().map(|d| Entry { trace: d.trace, kind: d.kind, payload: &d.payload }).collect();
            places.extend(self.store.append(&entries)?);
            rest = later;
        }
        if !places.is_empty() {
            let start = Instant::now(); // only counted
            self.store.sync()?;
            self.shared.counters.synced(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        Ok(places)
    }

    /// Removes the oldest files while there are too many bytes.
    fn retire(&mut self) {
        let mut n_files = 0;
        if self.store.bytes() > self.max_bytes {
            match self.store.retire(self.max_bytes) {
                Ok(files) => {
                    n_files = files.len() as u64;
                    let mut index = self.shared.index_mut();
                    for file in files {
                        index.retire(file);
                    }
                }
                Err(error) => {
                    if let Some(n_silenced) = self.said_full.admit() {
                        warn!(why = chain(&error), n_silenced, "the store's oldest file cannot be removed");
                    }
                }
            }
        }
        self.shared.counters.on_disk(self.store.bytes(), n_files);
    }
}

/// Returns what the host says that it holds in a report of which something else is malformed.
fn holding_in(payload: &[u8]) -> Option<Holding> {
    v1::StoredReport::decode(payload).ok()?.report?.holding?.try_into().ok()
}
