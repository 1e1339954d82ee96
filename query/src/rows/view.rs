//! Rows as searches see them.

use super::{MESSAGE, ProcessRow, SpanRow, TraceRows};
use crate::language::{Operand, SpanField, SpanView, TraceField, TraceView};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_core::trace::{Attribute, AttributeValue};
use std::collections::BTreeSet;

type Ask<'a> = &'a mut dyn FnMut(Operand<'_>) -> bool;

impl TraceView for TraceRows {
    fn any(&self, field: TraceField, is_it: Ask<'_>) -> bool {
        let facts = &self.facts;
        let whole =
            |number: Option<u64>, is_it: Ask<'_>| number.is_some_and(|number| is_it(Operand::Integer(number.into())));
        let interval = self.interval_ns();
        match field {
            TraceField::Duration => whole(interval.map(|(start, end)| end - start), is_it),
            TraceField::Start => whole(interval.map(|(start, _)| start), is_it),
            TraceField::Spans => whole(Some(self.spans.len() as u64), is_it),
            TraceField::Services => {
                let services: BTreeSet<_> = self.spans.iter().map(|span| self.service(span)).collect();
                whole(Some(services.len() as u64), is_it)
            }
            TraceField::Errors => {
                let errors = self.spans.iter().filter(|span| span.status == StatusCode::Error);
                whole(Some(errors.count() as u64), is_it)
            }
            TraceField::Root => self.root().is_some_and(|root| is_it(Operand::Text(&root.operation))),
            TraceField::RootService => self.root().is_some_and(|root| is_it(Operand::Text(self.service(root)))),
            TraceField::Trigger => facts.triggers.iter().any(|name| is_it(Operand::Text(name))),
            TraceField::Sampling => text(facts.sampling.as_deref(), is_it),
            TraceField::Completeness => is_it(Operand::Text(facts.verdict.map_or("none", |verdict| verdict.name()))),
            TraceField::Energy => whole(facts.energy.map(|energy| energy.0), is_it),
            TraceField::Rarity => facts.rarity.is_some_and(|rarity| is_it(Operand::Real(rarity.into()))),
            TraceField::Pending => is_it(Operand::Flag(facts.is_pending)),
        }
    }

    fn any_span(&self, is_it: &mut dyn FnMut(&dyn SpanView) -> bool) -> bool {
        self.spans.iter().any(|span| is_it(&OneSpan { span, process: self.processes.get(span.process_idx) }))
    }
}

struct OneSpan<'a> {
    span: &'a SpanRow,
    process: Option<&'a ProcessRow>,
}

impl SpanView for OneSpan<'_> {
    fn any(&self, field: &SpanField, is_it: Ask<'_>) -> bool {
        let (span, process) = (self.span, self.process);
        match field {
            SpanField::Service => text(process.map(|process| &*process.service), is_it),
            SpanField::Operation => is_it(Operand::Text(&span.operation)),
            SpanField::Kind => is_it(Operand::Text(span.kind.map_or("unspecified", SpanKind::name))),
            SpanField::Status => is_it(Operand::Text(span.status.name())),
            SpanField::Error => is_it(Operand::Flag(span.status == StatusCode::Error)),
            SpanField::Duration => is_it(Operand::Integer(span.duration_ns.into())),
            SpanField::Host => text(process.and_then(|process| process.host.as_deref()), is_it),
            SpanField::Process => text(process.and_then(|process| process.instance.as_deref()), is_it),
            SpanField::Event => span
                .events
                .iter()
                .any(|event| is_it(Operand::Text(&event.name)) || attribute(&event.attributes, MESSAGE, is_it)),
            SpanField::Link => span.links.iter().any(|link| is_it(Operand::Trace(link.trace))),
            SpanField::Energy => span.energy.is_some_and(|energy| is_it(Operand::Integer(energy.0.into()))),
            SpanField::Version => span.versions.iter().any(|version| is_it(Operand::Integer((*version).into()))),
            SpanField::Source => is_it(Operand::Text(span.source.name())),
            SpanField::Attribute(key) => attribute(&span.attributes, key, is_it),
            SpanField::Resource(key) => process.is_some_and(|process| match &**key {
                "service.name" => is_it(Operand::Text(&process.service)),
                key => attribute(&process.attributes, key, is_it),
            }),
            SpanField::Tag(_) => false, // asked for as the two that it stands for
        }
    }
}

fn text(text: Option<&str>, is_it: Ask<'_>) -> bool {
    text.is_some_and(|text| is_it(Operand::Text(text)))
}

fn attribute(attributes: &[Attribute], key: &str, is_it: Ask<'_>) -> bool {
    attributes.iter().any(|attribute| &*attribute.key == key && value(&attribute.value, is_it))
}

/// Calls `is_it` for a value, or for the elements of one that is an array.
pub(super) fn value(value: &AttributeValue, is_it: Ask<'_>) -> bool {
    is_it(match value {
        AttributeValue::Bool(flag) => Operand::Flag(*flag),
        AttributeValue::I64(number) => Operand::Integer((*number).into()),
        AttributeValue::F64(number) => Operand::Real(*number),
        AttributeValue::Str(text) => Operand::Text(text),
        AttributeValue::Array(values) if !values.is_empty() => {
            return values.iter().any(|element| self::value(element, is_it));
        }
        AttributeValue::Bytes(_) | AttributeValue::Array(_) => Operand::Opaque,
    })
}
