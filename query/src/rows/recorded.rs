//! From what agents recorded to rows: the flat form of a trace ([`FlatTrace`]) with what is known beside it.

use super::{EventRow, Facts, ProcessRow, Source, SpanRow, TraceRows};
use backsight_core::flat::{FlatEvent, FlatSpan, FlatTrace, Happened, Home, Part};
use backsight_core::ids::TriggerId;
use backsight_core::trace::Trace;
use backsight_proto::export::Extras;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

impl TraceRows {
    /// Returns what of `trace` can be answered, with what is known beside it.
    ///
    /// # Cost
    /// Time `n log n`, memory linear in the trace; texts are shared.
    pub fn recorded(trace: &Trace, extras: Extras<'_>) -> Self {
        let flat = FlatTrace::of(trace);
        let scope: (Arc<str>, Arc<str>) = ("backsight".into(), env!("CARGO_PKG_VERSION").into());
        let mut spans: Vec<_> = flat.spans.iter().map(|of| SpanRow { scope: scope.clone(), ..span(of) }).collect();
        spans.sort_by_key(|span| span.start_ns);
        let processes = flat.homes.iter().map(|home| process(trace, home, extras)).collect();
        Self { id: trace.id, spans, processes, facts: facts(trace, extras) }
    }
}

fn facts(trace: &Trace, extras: Extras<'_>) -> Facts {
    let triggers: BTreeSet<TriggerId> = trace.fired.iter().map(|firing| firing.trigger).collect();
    let mut warnings = Vec::new();
    if let Some(certificate) = extras.certificate {
        for gap in &certificate.gaps {
            warnings.push(backsight_proto::trace_json::why(gap));
        }
    }
    let lost = trace.losses.iter().fold(0_u64, |sum, loss| sum.saturating_add(loss.n_records));
    if lost > 0 {
        warnings.push(format!("{lost} records were given up while the trace was active"));
    }
    Facts {
        triggers: triggers.into_iter().map(|trigger| trace.names.label(trigger).to_string()).collect(),
        verdict: extras.certificate.map(|certificate| certificate.verdict),
        warnings,
        ..Facts::default()
    }
}

fn process(trace: &Trace, home: &Home, extras: Extras<'_>) -> ProcessRow {
    let service = home.service.clone();
    let Some(process) = trace.processes.get(home.process_idx) else {
        return ProcessRow { service, ..ProcessRow::default() };
    };
    let host = extras.host(process.agent);
    ProcessRow {
        service,
        host: host.map(Into::into),
        instance: Some(process.instance(host).into()),
        attributes: process.attributes(host),
    }
}

fn span(span: &FlatSpan<'_>) -> SpanRow {
    let (operation, status_message) = match span.part {
        Part::Span(span) => (span.name.clone(), span.status_text.clone()),
        Part::Visit(_) => (span.operation().into(), Arc::default()),
    };
    SpanRow {
        id: span.id,
        parent: span.parent,
        operation,
        kind: Some(span.kind()),
        status: span.status(),
        status_message,
        start_ns: span.start_ns,
        duration_ns: span.end_ns - span.start_ns,
        process_idx: span.home_idx,
        attributes: span.attributes().map(Cow::into_owned).collect(),
        events: span.events().iter().map(event).collect(),
        links: span.links().to_vec(),
        source: Source::Recorder,
        ..SpanRow::default()
    }
}

fn event(event: &FlatEvent<'_>) -> EventRow {
    let name = match event.what {
        Happened::Event(event) => event.name.clone(),
        Happened::Payload(_) | Happened::OpenCall => event.name().into(),
    };
    let attributes = event.attributes().into_iter().map(Cow::into_owned).collect();
    EventRow { at_ns: event.at_ns, name, attributes }
}
