//! Claims about Perfetto traces: tracks form a tree, slices nest on each of them in order of time, and calls between processes are flows.

use super::export;
use super::schema::trace_packet::Data;
use super::schema::track_event::Type;
use super::schema::{self, TrackDescriptor, TrackEvent, debug_annotation};
use crate::export::Extras;
use crate::export::sample::{START_NS, trace};
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::trace::{ProcessInfo, Span, Trace};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use prost::Message;
use std::collections::BTreeMap;

struct Read {
    tracks: BTreeMap<u64, TrackDescriptor>,
    events: Vec<(u64, TrackEvent)>,
}

fn read(trace: &Trace) -> Read {
    let packets = schema::Trace::decode(export(trace, Extras::default()).as_slice()).unwrap().packet;
    let mut read = Read { tracks: BTreeMap::new(), events: Vec::new() };
    for packet in packets {
        match packet.data.unwrap() {
            Data::TrackDescriptor(track) => {
                assert!(track.parent_uuid.is_none_or(|parent| read.tracks.contains_key(&parent)), "parents come first");
                assert!(read.tracks.insert(track.uuid(), track).is_none(), "a track is described once");
            }
            Data::TrackEvent(event) => read.events.push((packet.timestamp.unwrap(), event)),
            Data::ClockSnapshot(clock) => assert_eq!(clock.clocks.len(), 2),
        }
    }
    read
}

impl Read {
    fn begin(&self, name: &str) -> (u64, &TrackEvent) {
        let begins = |event: &TrackEvent| event.r#type() == Type::SliceBegin && event.name() == name;
        let (at, event) = self.events.iter().find(|(_, event)| begins(event)).unwrap();
        (*at, event)
    }

    fn track(&self, event: &TrackEvent) -> &TrackDescriptor {
        &self.tracks[&event.track_uuid()]
    }

    /// Returns the number of slices, after checking that they nest in order of time.
    fn check(&self) -> usize {
        let (mut open, mut now, mut n): (BTreeMap<u64, usize>, u64, usize) = (BTreeMap::new(), 0, 0);
        for (at, event) in &self.events {
            assert!(*at >= now && self.tracks.contains_key(&event.track_uuid()));
            now = *at;
            let depth = open.entry(event.track_uuid()).or_default();
            match event.r#type() {
                Type::SliceBegin => (*depth, n) = (*depth + 1, n + 1),
                Type::SliceEnd => *depth = depth.checked_sub(1).expect("an end has a begin"),
                Type::Instant | Type::Unspecified => {}
            }
        }
        assert!(open.values().all(|depth| *depth == 0), "what begins ends");
        n
    }
}

#[test]
fn overlapping_spans_of_a_thread_are_on_child_tracks() {
    let read = read(&trace());
    assert_eq!(read.check(), 5);
    let ((at, first), (_, second)) = (read.begin("span 1"), read.begin("span 2"));
    assert_eq!(at, START_NS + 10);
    let thread = read.track(first);
    assert_eq!((thread.thread.as_ref().unwrap().pid(), thread.thread.as_ref().unwrap().tid()), (42, 100));
    assert_eq!(read.track(second).parent_uuid, thread.uuid, "it crosses the first one's end");
    let process = read.tracks[&thread.parent_uuid()].process.as_ref().unwrap();
    assert_eq!((process.process_name(), process.pid()), ("cart", 42));
}

#[test]
fn processes_of_two_hosts_with_one_id_are_told_apart() {
    let read = read(&trace());
    let processes = read.tracks.values().filter_map(|track| track.process.as_ref());
    let mut pids: Vec<_> = processes.clone().map(schema::ProcessDescriptor::pid).collect();
    pids.sort_unstable();
    assert_eq!(pids, [42, (4 << 20) + 1, (4 << 20) + 2]);
    let cart = processes.clone().find(|process| process.pid() == 42).unwrap();
    assert_eq!(cart.process_labels[1..], ["fired manual (0x3)", "fired 0x1234", "fired bricks.slow (0x8f88809c)"]);
    let till = processes.clone().find(|process| process.process_name() == "till").unwrap();
    assert!(till.process_labels.contains(&"pid 42 there".to_owned()), "{:?}", till.process_labels);
    assert!(till.process_labels.contains(&"died of signal 11".to_owned()));
}

#[test]
fn calls_between_processes_are_flows_and_others_are_not() {
    let read = read(&trace());
    let (caller, callee, visit) = (read.begin("span 2").1, read.begin("span 3").1, read.begin("visit").1);
    let mut ends = [callee.terminating_flow_ids.clone(), visit.terminating_flow_ids.clone()].concat();
    let mut begins = caller.flow_ids.clone();
    ends.sort_unstable();
    begins.sort_unstable();
    assert_eq!(begins.len(), 2);
    assert_eq!(begins, ends);
    assert!(read.begin("span 4").1.terminating_flow_ids.is_empty(), "its parent is in the same process");
}

#[test]
fn attributes_are_annotations_and_events_are_instants() {
    let read = read(&trace());
    let annotations = &read.begin("span 1").1.debug_annotations;
    let of = |name: &str| annotations.iter().find(|annotation| annotation.name() == name).unwrap();
    assert_eq!(of("n").value, Some(debug_annotation::Value::IntValue(-5)));
    assert_eq!(of("bits").value, Some(debug_annotation::Value::StringValue("fbff".to_owned())));
    assert_eq!(of("list").array_values.len(), 2);
    let instants = read.events.iter().filter(|(_, event)| event.r#type() == Type::Instant);
    let instants: Vec<_> = instants.map(|(at, event)| (at - START_NS, event.name())).collect();
    assert_eq!(instants, [(20, "raw"), (30, "cache miss"), (70, "call without answer")]);
}

proptest! {
    /// For any spans on any threads of two processes: as many slices as spans, all of them nested and in order.
    #[test]
    fn any_trace_is_well_formed(raw in proptest::collection::vec((0_usize..2, 0_u32..3, 0_u64..50, proptest::option::of(0_u64..30), 0_u64..9), 0..50)) {
        let process = |pid| ProcessInfo { pid, ..ProcessInfo::default() };
        let span = |(n, (process_idx, tid, start, len, parent)): (usize, (usize, u32, u64, Option<u64>, u64))| Span {
            id: SpanId(n as u64 + 1),
            parent: SpanId(parent),
            process_idx,
            tid,
            start_ns: start,
            end_ns: len.map(|len| start + len),
            ..Span::default()
        };
        let spans: Vec<_> = raw.into_iter().enumerate().map(span).collect();
        let trace = Trace { id: TraceId::new(1, 1), processes: vec![process(1), process(1)], spans, ..Trace::default() };
        let read = read(&trace);
        prop_assert_eq!(read.check(), trace.spans.len());
        let begins = read.events.iter().flat_map(|(_, event)| event.flow_ids.clone()).count();
        let ends = read.events.iter().flat_map(|(_, event)| event.terminating_flow_ids.clone()).count();
        prop_assert!(begins == ends);
    }
}
