//! From the trace of `core` to its JSON.

use super::{
    AttributeJson, ClockJson, CrumbJson, DeathJson, EventJson, FiringJson, LinkJson, LossJson, MalformedJson,
    NotesJson, OpenEdgeJson, PayloadJson, PlaceJson, ProcessJson, SpanJson, TraceJson, ValueJson, VisitJson,
};
use backsight_core::ids::SpanId;
use backsight_core::record::CrumbDirection;
use backsight_core::trace::{
    Attribute, AttributeValue, Event, Notes, Payload, ProcessClock, ProcessInfo, Span, Trace, Visit,
};
use std::fmt::Write;

impl From<&Trace> for TraceJson {
    /// Converts a trace as one host knows it: without a certificate.
    fn from(trace: &Trace) -> Self {
        let (start, end) = trace.interval_ns().unwrap_or_default();
        let source = Source { trace, start_unix_ns: start };
        Self {
            trace: trace.id,
            start_unix_ns: start,
            duration_ns: end - start,
            processes: trace.processes.iter().map(|process| source.process(process)).collect(),
            spans: trace.spans.iter().map(|span| source.span(span)).collect(),
            visits: trace.visits.iter().map(|visit| source.visit(visit)).collect(),
            crumbs: trace.crumbs.iter().map(crumb).collect(),
            open_edges: source.open_edges(),
            fired: source.fired(),
            losses: source.losses(),
            malformed: MalformedJson {
                segments: trace.malformed.segments,
                records: trace.malformed.records,
                fragments: trace.malformed.fragments,
                strings: trace.malformed.strings,
            },
            certificate: None,
        }
    }
}

/// The trace that is converted, and where its wall times begin.
struct Source<'a> {
    trace: &'a Trace,
    start_unix_ns: u64,
}

impl Source<'_> {
    /// Returns the offset of a time of a process.
    fn offset(&self, clock: ProcessClock, time: u64) -> i64 {
        let zero = match clock {
            ProcessClock::Wall => self.start_unix_ns,
            ProcessClock::Ticks { .. } => 0,
        };
        let offset = i128::from(time) - i128::from(zero);
        i64::try_from(offset).unwrap_or(if offset < 0 { i64::MIN } else { i64::MAX })
    }

    /// Returns the offset of a time of the process at a position.
    fn offset_in(&self, process_idx: usize, time: u64) -> i64 {
        self.offset(self.trace.processes.get(process_idx).map(|process| process.clock).unwrap_or_default(), time)
    }

    fn process(&self, process: &ProcessInfo) -> ProcessJson {
        let death = process.death.as_ref().map(|death| DeathJson {
            at_ns: death.at_ns.map(|at| self.offset(process.clock, at)),
            signal: death.last_words.signal,
            address: format!("{:#x}", death.last_words.address),
            instruction: format!("{:#x}", death.last_words.instruction),
            in_this_trace: death.last_words.trace == self.trace.id,
            frames: death.last_words.frames.iter().map(|frame| format!("{frame:#x}")).collect(),
        });
        ProcessJson {
            agent: process.agent.to_string(),
            region: process.region.0,
            pid: process.pid,
            service: process.service.to_string(),
            clock: match process.clock {
                ProcessClock::Wall => ClockJson::Wall,
                ProcessClock::Ticks { .. } => ClockJson::Ticks,
            },
            death,
        }
    }

    fn span(&self, span: &Span) -> SpanJson {
        SpanJson {
            span: span.id.to_string(),
            parent: span_text(span.parent),
            name: span.name.to_string(),
            kind: span.kind.name().to_owned(),
            at: PlaceJson {
                process_idx: span.process_idx,
                service: self.trace.service_of(span).to_string(),
                tid: span.tid,
                start_ns: self.offset_in(span.process_idx, span.start_ns),
                duration_ns: span.end_ns.map(|end| end.saturating_sub(span.start_ns)),
                is_cut: span.is_cut,
            },
            status: span.status.name().to_owned(),
            status_text: span.status_text.to_string(),
            is_started: span.is_started,
            links: span
                .links
                .iter()
                .map(|link| LinkJson { trace: link.trace.to_string(), span: span_text(link.span) })
                .collect(),
            notes: self.notes(span.process_idx, &span.notes),
        }
    }

    fn visit(&self, visit: &Visit) -> VisitJson {
        VisitJson {
            parent: span_text(visit.parent),
            at: PlaceJson {
                process_idx: visit.process_idx,
                service: self.service(visit.process_idx),
                tid: visit.tid,
                start_ns: self.offset_in(visit.process_idx, visit.start_ns),
                duration_ns: visit.end_ns.map(|end| end.saturating_sub(visit.start_ns)),
                is_cut: visit.is_cut,
            },
            notes: self.notes(visit.process_idx, &visit.notes),
            calls: visit.calls.iter().map(SpanId::to_string).collect(),
        }
    }

    fn service(&self, process_idx: usize) -> String {
        self.trace.processes.get(process_idx).map(|process| process.service.to_string()).unwrap_or_default()
    }

    fn notes(&self, process_idx: usize, notes: &Notes) -> NotesJson {
        let event = |event: &Event| EventJson {
            at_ns: self.offset_in(process_idx, event.at_ns),
            name: event.name.to_string(),
            message: event.message.to_string(),
            attributes: event.attributes.iter().map(attribute).collect(),
        };
        NotesJson {
            attributes: notes.attributes.iter().map(attribute).collect(),
            events: notes.events.iter().map(event).collect(),
            payloads: notes.payloads.iter().map(|p| payload(p, self.offset_in(process_idx, p.at_ns))).collect(),
        }
    }

    fn open_edges(&self) -> Vec<OpenEdgeJson> {
        let edges = self.trace.open_edges.iter().map(|edge| OpenEdgeJson {
            process_idx: edge.process_idx,
            span: span_text(edge.span),
            expected: if edge.expected.is_none() { String::new() } else { edge.expected.to_string() },
            at_ns: self.offset_in(edge.process_idx, edge.at_ns),
        });
        edges.collect()
    }

    fn fired(&self) -> Vec<FiringJson> {
        let fired = self.trace.fired.iter().map(|firing| FiringJson {
            process_idx: firing.process_idx,
            trigger: self.trace.names.label(firing.trigger),
            trigger_id: format!("{:#x}", firing.trigger.0),
            n_laterals: firing.n_laterals,
            at_ns: self.offset_in(firing.process_idx, firing.at_ns),
        });
        fired.collect()
    }

    fn losses(&self) -> Vec<LossJson> {
        let losses = self.trace.losses.iter().map(|loss| LossJson {
            process_idx: loss.process_idx,
            tid: loss.tid,
            reason: loss.reason.map_or("unknown", |reason| reason.name()).to_owned(),
            n_records: loss.n_records,
            bytes: loss.bytes,
            first_ns: self.offset_in(loss.process_idx, loss.first_ns),
            last_ns: self.offset_in(loss.process_idx, loss.last_ns),
        });
        losses.collect()
    }
}

fn crumb(crumb: &backsight_core::trace::Crumb) -> CrumbJson {
    CrumbJson {
        seen_by: crumb.seen_by.to_string(),
        direction: match crumb.direction {
            CrumbDirection::From => "from".to_owned(),
            CrumbDirection::To => "to".to_owned(),
            CrumbDirection::Out => "out".to_owned(),
            CrumbDirection::Before => "before".to_owned(),
            CrumbDirection::After => "after".to_owned(),
        },
        agent: crumb.agent.to_string(),
        span: span_text(crumb.span),
    }
}

fn payload(payload: &Payload, at_ns: i64) -> PayloadJson {
    let text = str::from_utf8(&payload.bytes).ok().map(str::to_owned);
    PayloadJson {
        at_ns,
        name: payload.name.as_ref().map(ToString::to_string),
        len: payload.bytes.len() as u64,
        is_truncated: payload.is_truncated,
        hex: text.is_none().then(|| hex(&payload.bytes)),
        text,
    }
}

fn attribute(attribute: &Attribute) -> AttributeJson {
    AttributeJson { key: attribute.key.to_string(), value: value(&attribute.value) }
}

fn value(from: &AttributeValue) -> ValueJson {
    match from {
        AttributeValue::Bool(value) => ValueJson::Bool(*value),
        AttributeValue::I64(value) => ValueJson::I64(*value),
        AttributeValue::F64(value) => ValueJson::F64(*value),
        AttributeValue::Str(text) => ValueJson::Str(text.to_string()),
        AttributeValue::Bytes(bytes) => ValueJson::Bytes(hex(bytes)),
        AttributeValue::Array(values) => ValueJson::Array(values.iter().map(value).collect()),
    }
}

fn span_text(span: SpanId) -> String {
    if span.is_none() { String::new() } else { span.to_string() }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String never fails");
    }
    text
}
