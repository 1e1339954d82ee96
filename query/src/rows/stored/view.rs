//! A row as it is stored, as searches see it: the same as when it is answered.
//!
//! Called by searches of rows that are in no part yet, and by those of parts for what no column can be asked alone.

use super::{SERVICE, Times, energy_of, kind_of, source_of, status_of, value_of, version_of};
use crate::language::{Operand, SpanField, SpanView};
use crate::rows::{MESSAGE, view};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_store::rows as stored;

type Ask<'a> = &'a mut dyn FnMut(Operand<'_>) -> bool;

/// A row with the attributes of its resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredSpan<'a> {
    pub(crate) row: &'a stored::SpanRow<'a>,
    pub(crate) resource: &'a [stored::Attribute<'static>],
}

impl SpanView for StoredSpan<'_> {
    fn any(&self, field: &SpanField, is_it: Ask<'_>) -> bool {
        let row = self.row;
        let named = |name: &str, is_it: Ask<'_>| !name.is_empty() && is_it(Operand::Text(name));
        match field {
            SpanField::Service => is_it(Operand::Text(&row.service)),
            SpanField::Operation => is_it(Operand::Text(&row.operation)),
            SpanField::Kind => is_it(Operand::Text(kind_of(row.kind).map_or("unspecified", SpanKind::name))),
            SpanField::Status => is_it(Operand::Text(status_of(row.status).name())),
            SpanField::Error => is_it(Operand::Flag(status_of(row.status) == StatusCode::Error)),
            SpanField::Duration => is_it(Operand::Integer(Times::of(row.start_ns, row.duration_ns).duration_ns.into())),
            SpanField::Host => named(&row.host, is_it),
            SpanField::Process => named(&row.process, is_it),
            SpanField::Event => events_any(&row.events, is_it),
            SpanField::Link => row.links.iter().any(|link| is_it(Operand::Trace(link.trace))),
            SpanField::Energy => {
                row.energy.as_ref().is_some_and(|energy| is_it(Operand::Integer(energy_of(energy).0.into())))
            }
            SpanField::Version => {
                row.spec_versions.iter().any(|version| is_it(Operand::Integer(version_of(version.version).into())))
            }
            SpanField::Source => is_it(Operand::Text(source_of(row.source).name())),
            SpanField::Attribute(key) => list_any(&row.attributes, key, is_it),
            SpanField::Resource(key) if &**key == SERVICE => is_it(Operand::Text(&row.service)),
            SpanField::Resource(key) => list_any(self.resource, key, is_it),
            SpanField::Tag(_) => false, // asked for as the two that it stands for
        }
    }
}

/// Calls `is_it` for the texts of events.
pub(crate) fn events_any(events: &[stored::Event<'_>], is_it: Ask<'_>) -> bool {
    events.iter().any(|event| is_it(Operand::Text(&event.name)) || list_any(&event.attributes, MESSAGE, is_it))
}

/// Calls `is_it` for the values that attributes have for `key`.
pub(crate) fn list_any(attributes: &[stored::Attribute<'_>], key: &str, is_it: Ask<'_>) -> bool {
    attributes.iter().any(|attribute| attribute.key == key && value_any(&attribute.value, is_it))
}

/// Calls `is_it` for a value, or for the elements of one that is an array.
pub(crate) fn value_any(value: &stored::Value<'_>, is_it: Ask<'_>) -> bool {
    match value {
        stored::Value::Str(text) => is_it(Operand::Text(text)),
        stored::Value::Int(value) => is_it(Operand::Integer((*value).into())),
        stored::Value::Dbl(value) => is_it(Operand::Real(*value)),
        stored::Value::Bool(value) => is_it(Operand::Flag(*value)),
        stored::Value::Other(_) => view::value(&value_of(value), is_it),
    }
}
