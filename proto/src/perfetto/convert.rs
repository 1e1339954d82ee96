//! From a trace to Perfetto's packets: the clock, the tracks, and what is on them. Pure; called by [`super::export`].

use super::lanes::{Edge, lanes};
use super::schema::{
    BuiltinClock, ClockSnapshot, DebugAnnotation, ProcessDescriptor, ThreadDescriptor, TracePacket, TrackDescriptor,
    TrackEvent, clock_snapshot, trace_packet, track_event,
};
use super::slices::{Flows, Slice, slice};
use crate::export::Extras;
use backsight_core::flat::FlatTrace;
use backsight_core::ids::SpanId;
use backsight_core::trace::{ProcessInfo, Trace};
use std::collections::{BTreeMap, BTreeSet};

/// Real process and thread ids are below this: Linux's `PID_MAX_LIMIT`.
const ID_FREE: u32 = 4 << 20;
/// All packets are of one sequence, so that their order is kept among equal times.
const SEQUENCE: u32 = 1;

/// Returns the packets of a flat trace.
pub(super) fn packets(flat: &FlatTrace<'_>, extras: Extras<'_>) -> Vec<TracePacket> {
    let (trace, flows) = (flat.trace, Flows::new(flat));
    let mut threads: BTreeMap<(usize, u32), Vec<Slice<'_>>> = BTreeMap::new();
    for (idx, span) in flat.spans.iter().enumerate() {
        let thread = (span.part.process_idx(), span.part.tid());
        threads.entry(thread).or_default().push(slice(flat, idx, &flows));
    }
    let mut tracks = vec![clock(trace.interval_ns().map_or(0, |(start, _)| start))];
    let mut pids = Ids::default();
    let pids: Vec<_> = trace.processes.iter().map(|process| pids.free(process.pid)).collect();
    for (idx, process) in trace.processes.iter().enumerate() {
        tracks.push(process_track(flat, idx, process, pids[idx], extras));
    }
    let (mut events, mut tids) = (Vec::new(), Ids::default());
    for ((process_idx, tid), slices) in threads {
        let track = uuid(&format!("thread {process_idx} {tid}"));
        let thread = ThreadDescriptor {
            pid: pids.get(process_idx).map(|pid| *pid as i32),
            tid: Some(tids.free(tid).into()),
            thread_name: Some(format!("thread {tid}")),
        };
        tracks.push(described(TrackDescriptor {
            uuid: Some(track),
            thread: Some(thread),
            parent_uuid: Some(process_uuid(process_idx)),
            ..TrackDescriptor::default()
        }));
        put_thread(&mut tracks, &mut events, track, tid, &slices);
    }
    events.sort_by_key(|packet: &TracePacket| packet.timestamp);
    tracks.append(&mut events);
    tracks
}

/// Says that the trace's clock shows nanoseconds since 1970.
fn clock(start_ns: u64) -> TracePacket {
    let shows = |clock: BuiltinClock| clock_snapshot::Clock { clock_id: Some(clock as u32), timestamp: Some(start_ns) };
    let mut snapshot = ClockSnapshot { clocks: Vec::new(), primary_trace_clock: None };
    snapshot.clocks = vec![shows(BuiltinClock::Boottime), shows(BuiltinClock::Realtime)];
    snapshot.set_primary_trace_clock(BuiltinClock::Boottime);
    at(start_ns, trace_packet::Data::ClockSnapshot(snapshot))
}

fn process_track(flat: &FlatTrace<'_>, idx: usize, process: &ProcessInfo, pid: u32, extras: Extras<'_>) -> TracePacket {
    let service = flat.homes[idx].service.to_string();
    let mut process_labels = vec![format!("agent {}", process.agent)];
    process_labels.extend(extras.host(process.agent).map(|host| format!("host {host}")));
    if pid != process.pid {
        process_labels.push(format!("pid {} there", process.pid));
    }
    if let Some(death) = &process.death {
        process_labels.push(match death.last_words.signal {
            0 => "died without last words".to_owned(),
            signal => format!("died of signal {signal}"),
        });
    }
    process_labels.extend(fired(flat.trace, idx));
    process_labels.extend(extras.certificate.map(|of| format!("trace {}", of.verdict.name())));
    let descriptor = ProcessDescriptor { pid: Some(pid as i32), process_name: Some(service), process_labels };
    described(TrackDescriptor {
        uuid: Some(process_uuid(idx)),
        process: Some(descriptor),
        ..TrackDescriptor::default()
    })
}

/// Returns the triggers that fired in a process, each with its id.
fn fired(trace: &Trace, idx: usize) -> impl Iterator<Item = String> {
    let triggers: BTreeSet<_> =
        trace.fired.iter().filter(|firing| firing.process_idx == idx).map(|firing| firing.trigger).collect();
    triggers.into_iter().map(|trigger| match trace.names.get(trigger) {
        Some(name) => format!("fired {name} ({:#x})", trigger.0),
        None => format!("fired {:#x}", trigger.0),
    })
}

/// Puts the slices of a thread on its track and on child tracks.
fn put_thread(
    tracks: &mut Vec<TracePacket>,
    events: &mut Vec<TracePacket>,
    thread: u64,
    tid: u32,
    slices: &[Slice<'_>],
) {
    let intervals: Vec<_> = slices.iter().map(|slice| slice.at).collect();
    for (n, lane) in lanes(&intervals).into_iter().enumerate() {
        let track = if n == 0 { thread } else { uuid(&format!("lane {thread} {n}")) };
        if n > 0 {
            tracks.push(described(TrackDescriptor {
                uuid: Some(track),
                name: Some(format!("thread {tid}, concurrent {n}")),
                parent_uuid: Some(thread),
                ..TrackDescriptor::default()
            }));
        }
        for edge in &lane {
            let end = |slice: &Slice<'_>| on(track, slice.at.end, track_event::Type::SliceEnd, TrackEvent::default());
            events.push(match edge {
                Edge::Begin(idx) => begin(track, &slices[*idx]),
                Edge::End(idx) => end(&slices[*idx]),
            });
        }
        for edge in lane {
            if let Edge::Begin(idx) = edge {
                put_instants(events, track, &slices[idx]);
            }
        }
    }
}

fn begin(track: u64, slice: &Slice<'_>) -> TracePacket {
    let began = TrackEvent {
        name: Some(if slice.name.is_empty() { "?" } else { slice.name }.to_owned()),
        categories: vec![slice.category.to_owned()],
        debug_annotations: slice.annotations.clone(),
        flow_ids: slice.flow.from.clone(),
        terminating_flow_ids: slice.flow.to.iter().copied().collect(),
        ..TrackEvent::default()
    };
    on(track, slice.at.start, track_event::Type::SliceBegin, began)
}

fn put_instants(events: &mut Vec<TracePacket>, track: u64, slice: &Slice<'_>) {
    let instant = |(at, name, debug_annotations): (u64, &str, Vec<DebugAnnotation>)| {
        let event = TrackEvent { name: Some(name.to_owned()), debug_annotations, ..TrackEvent::default() };
        on(track, at, track_event::Type::Instant, event)
    };
    events.extend(slice.instants().map(instant));
}

fn on(track: u64, time: u64, kind: track_event::Type, mut event: TrackEvent) -> TracePacket {
    event.track_uuid = Some(track);
    event.set_type(kind);
    at(time, trace_packet::Data::TrackEvent(event))
}

fn at(time: u64, data: trace_packet::Data) -> TracePacket {
    TracePacket { timestamp: Some(time), trusted_packet_sequence_id: Some(SEQUENCE), data: Some(data) }
}

fn described(descriptor: TrackDescriptor) -> TracePacket {
    let data = Some(trace_packet::Data::TrackDescriptor(descriptor));
    TracePacket { timestamp: None, trusted_packet_sequence_id: Some(SEQUENCE), data }
}

fn process_uuid(idx: usize) -> u64 {
    uuid(&format!("process {idx}"))
}

/// Returns the id of the track called `place`, never 0, which is Perfetto's global track.
fn uuid(place: &str) -> u64 {
    SpanId::of_place(place).0
}

/// Ids that are in use: Perfetto takes equal ones for one process, or thread, whatever the host.
#[derive(Default)]
struct Ids {
    taken: BTreeSet<u32>,
}

impl Ids {
    /// Returns `id`, or a free one where it is taken.
    fn free(&mut self, id: u32) -> u32 {
        let id =
            if id == 0 || id >= ID_FREE || self.taken.contains(&id) { ID_FREE + self.taken.len() as u32 } else { id };
        self.taken.insert(id);
        id
    }
}
