//! One term of spans against the columns of a part: which it needs, which row groups it excludes, and on which rows it holds.
//!
//! Called by `scan`. What is said here of a row is what `language` says of the same row as it is answered; what a footer excludes is
//! certain.

use super::attributes::{Keyed, is_between, places, places_for};
use super::skeleton::column;
use crate::language::{Operand, SpanField, SpanTerm, Term, Test, Value, holds};
use crate::rows::stored::{SERVICE, Times, energy_of, events_any, kind_of, list_any, source_of, status_of, version_of};
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, DictionaryArray, Int8Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use backsight_core::expr::{Equality, Order};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_store::part::PartError;
use backsight_store::part::read::{Limits, Spans, energies_of, events_of, links_of, spec_versions_of};
use backsight_store::rows::{Attribute, Energy, Link, SpecVersion};

type Ask<'a> = &'a mut dyn FnMut(Operand<'_>) -> bool;

/// Returns how dear it is to read what a term needs; cheap ones come first.
pub(super) fn cost(term: &SpanTerm, is_promoted: impl Fn(&str) -> bool) -> u32 {
    let SpanTerm::Field(Term { field, .. }) = term else { return 6 };
    match field {
        SpanField::Kind | SpanField::Status | SpanField::Error | SpanField::Source => 0,
        SpanField::Service | SpanField::Operation | SpanField::Host | SpanField::Process => 1,
        SpanField::Resource(_) => 1,
        SpanField::Duration => 2,
        SpanField::Attribute(key) if is_promoted(key) => 2,
        SpanField::Energy | SpanField::Version | SpanField::Link => 4,
        SpanField::Attribute(_) | SpanField::Tag(_) => 5,
        SpanField::Event => 6,
    }
}

/// Returns the columns that say on which rows of row group `group` a term holds; none where it holds on no row.
///
/// # Errors
/// The file is damaged.
pub(super) fn needs(term: &SpanTerm, spans: &Spans, group: usize) -> Result<Vec<String>, PartError> {
    let some = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let if_may = |may: bool, names: &[&str]| if may { some(names) } else { Vec::new() };
    let SpanTerm::Field(Term { field, test }) = term else {
        return Ok(some(&["service", "operation", "events"]));
    };
    Ok(match field {
        SpanField::Service | SpanField::Operation | SpanField::Host | SpanField::Process => {
            let name = text_column(field);
            if_may(may_be_text(test, spans, group, name), &[name])
        }
        SpanField::Kind => if_may(may_be_code(test, spans, group, "kind", kind), &["kind"]),
        SpanField::Status => if_may(may_be_code(test, spans, group, "status", status), &["status"]),
        SpanField::Error => if_may(may_be_code(test, spans, group, "status", error), &["status"]),
        SpanField::Source => if_may(may_be_code(test, spans, group, "source", source), &["source"]),
        SpanField::Duration => if_may(may_last(test, spans, group), &["start_ns", "duration_ns"]),
        SpanField::Event => some(&["events"]),
        SpanField::Link => some(&["links"]),
        SpanField::Energy => some(&["energy"]),
        SpanField::Version => some(&["spec_version"]),
        SpanField::Resource(key) if &**key == SERVICE => {
            if_may(may_be_text(test, spans, group, "service"), &["service"])
        }
        SpanField::Resource(_) => some(&["resource_id"]),
        SpanField::Attribute(key) => places_for(key, test, spans, group)?,
        SpanField::Tag(key) => {
            let mut columns = places(key, spans, group)?;
            columns.extend(["resource_id".to_owned(), "service".to_owned()]);
            columns
        }
    })
}

const fn text_column(field: &SpanField) -> &'static str {
    match field {
        SpanField::Operation => "operation",
        SpanField::Host => "host",
        SpanField::Process => "process",
        _ => "service",
    }
}

fn may_be_text(test: &Test, spans: &Spans, group: usize, name: &str) -> bool {
    let Some(Limits::Str(min, max)) = spans.file().limits(group, &[name]) else { return true };
    let may_be = |value: &Value| match value {
        Value::Text(text) => is_between(text, &min, &max),
        _ => true,
    };
    match test {
        Test::Equal(Equality::Is, value) => may_be(value),
        Test::In(values) => values.iter().any(may_be),
        _ => true,
    }
}

fn may_be_code(test: &Test, spans: &Spans, group: usize, name: &str, operand: fn(i8) -> Operand<'static>) -> bool {
    let Some(Limits::Int(min, max)) = spans.file().limits(group, &[name]) else { return true };
    let is_within = |code: &i8| (min..=max).contains(&i64::from(*code));
    (i8::MIN..=i8::MAX).filter(is_within).any(|code| holds_for(test, operand(code)))
}

/// Returns whether a span may last so long: none lasts longer as it is answered than as it is stored.
fn may_last(test: &Test, spans: &Spans, group: usize) -> bool {
    let Some(Limits::Int(_, max)) = spans.file().limits(group, &["duration_ns"]) else { return true };
    match test {
        Test::Equal(Equality::Is, Value::Duration(nanos)) | Test::Ordered(Order::AtLeast, Value::Duration(nanos)) => {
            i128::from(max.max(0)) >= i128::from(nanos.0)
        }
        Test::Ordered(Order::Above, Value::Duration(nanos)) => i128::from(max.max(0)) > i128::from(nanos.0),
        _ => true,
    }
}

/// Returns whether a test holds for a field with one value.
pub(super) fn holds_for(test: &Test, operand: Operand<'_>) -> bool {
    holds(test, |is_it| is_it(operand))
}

fn kind(code: i8) -> Operand<'static> {
    Operand::Text(kind_of(code).map_or("unspecified", SpanKind::name))
}

fn status(code: i8) -> Operand<'static> {
    Operand::Text(status_of(code).name())
}

fn error(code: i8) -> Operand<'static> {
    Operand::Flag(status_of(code) == StatusCode::Error)
}

fn source(code: i8) -> Operand<'static> {
    Operand::Text(source_of(code).name())
}

/// Returns for each row of `batch`, which has the columns that the term [`needs`], whether the term holds.
///
/// # Errors
/// A column is missing or damaged; told in words.
pub(super) fn rows(
    term: &SpanTerm,
    batch: &RecordBatch,
    resources: &[Vec<Attribute<'static>>],
) -> Result<Vec<bool>, String> {
    let (field, test) = match term {
        SpanTerm::Field(Term { field, test }) => (field, test),
        SpanTerm::Word(word) => return words(word, batch),
    };
    let text = |may_be_empty: bool| {
        move |text: Option<&str>| match text {
            Some(text) if may_be_empty || !text.is_empty() => holds_for(test, Operand::Text(text)),
            _ => holds(test, |_| false),
        }
    };
    match field {
        SpanField::Service | SpanField::Operation => texts(coded(batch, text_column(field))?, text(true)),
        SpanField::Host | SpanField::Process => texts(coded(batch, text_column(field))?, text(false)),
        SpanField::Kind => codes(batch, "kind", |code| holds_for(test, kind(code))),
        SpanField::Status => codes(batch, "status", |code| holds_for(test, status(code))),
        SpanField::Error => codes(batch, "status", |code| holds_for(test, error(code))),
        SpanField::Source => codes(batch, "source", |code| holds_for(test, source(code))),
        SpanField::Duration => {
            let starts: &TimestampNanosecondArray = required(batch, "start_ns")?;
            let durations: &Int64Array = required(batch, "duration_ns")?;
            let times = starts.values().iter().zip(durations.values());
            let lasts = |(start, duration): (&i64, &i64)| Times::of(*start, *duration).duration_ns;
            Ok(times.map(|times| holds_for(test, Operand::Integer(lasts(times).into()))).collect())
        }
        SpanField::Event | SpanField::Link | SpanField::Energy | SpanField::Version => rare(field, test, batch),
        SpanField::Resource(key) if &**key == SERVICE => texts(coded(batch, "service")?, text(true)),
        SpanField::Resource(key) => {
            let holds_on: Vec<_> =
                resources.iter().map(|resource| holds(test, |is_it| list_any(resource, key, is_it))).collect();
            let of_none = holds(test, |_| false);
            let ids: &Int32Array = required(batch, "resource_id")?;
            Ok(ids.values().iter().map(|id| holds_on.get(*id as usize).copied().unwrap_or(of_none)).collect())
        }
        SpanField::Attribute(key) => {
            let keyed = Keyed::new(batch, key)?;
            match keyed.only_coded() {
                Some(column) => texts(column, |text| match text {
                    Some(text) => holds_for(test, Operand::Text(text)),
                    None => holds(test, |_| false),
                }),
                None => Ok((0..batch.num_rows()).map(|row| holds(test, |is_it| keyed.any(row, is_it))).collect()),
            }
        }
        SpanField::Tag(key) => tags(key, test, batch, resources),
    }
}

/// Returns where what few spans have is what is asked for.
fn rare(field: &SpanField, test: &Test, batch: &RecordBatch) -> Result<Vec<bool>, String> {
    let holds_on = |any: &dyn Fn(Ask<'_>) -> bool| holds(test, any);
    Ok(match field {
        SpanField::Event => {
            let events = events_of(batch)?;
            events.iter().map(|events| holds_on(&|is_it| events_any(events, is_it))).collect()
        }
        SpanField::Link => {
            let links = links_of(batch)?;
            let of_row =
                |links: &Vec<Link<'_>>| holds_on(&|is_it| links.iter().any(|link| is_it(Operand::Trace(link.trace))));
            links.iter().map(of_row).collect()
        }
        SpanField::Energy => {
            let amount = |energy: &Energy<'_>| Operand::Integer(energy_of(energy).0.into());
            let energies = energies_of(batch)?;
            let of_row = |energy: &Option<Energy<'_>>| {
                holds_on(&|is_it| energy.as_ref().is_some_and(|energy| is_it(amount(energy))))
            };
            energies.iter().map(of_row).collect()
        }
        _ => {
            let number = |version: &SpecVersion| Operand::Integer(version_of(version.version).into());
            let versions = spec_versions_of(batch)?;
            let of_row =
                |versions: &Vec<SpecVersion>| holds_on(&|is_it| versions.iter().any(|version| is_it(number(version))));
            versions.iter().map(of_row).collect()
        }
    })
}

/// Returns where an attribute of the span or of its resource is what is asked for.
fn tags(
    key: &str,
    test: &Test,
    batch: &RecordBatch,
    resources: &[Vec<Attribute<'static>>],
) -> Result<Vec<bool>, String> {
    let keyed = Keyed::new(batch, key)?;
    let ids: &Int32Array = required(batch, "resource_id")?;
    let services = coded(batch, "service")?;
    let names = values(services)?;
    let of_resource = |row: usize, is_it: Ask<'_>| {
        if key == SERVICE {
            return services.key(row).is_some_and(|code| is_it(Operand::Text(names.value(code))));
        }
        resources.get(ids.value(row) as usize).is_some_and(|resource| list_any(resource, key, is_it))
    };
    let of_row = |row: usize| holds(test, |is_it| keyed.any(row, is_it) || of_resource(row, is_it));
    Ok((0..batch.num_rows()).map(of_row).collect())
}

/// Returns where the service, the operation or a text of an event contains `word`.
fn words(word: &str, batch: &RecordBatch) -> Result<Vec<bool>, String> {
    let contains = |text: Option<&str>| text.is_some_and(|text| text.contains(word));
    let mut found = texts(coded(batch, "service")?, contains)?;
    let operations = texts(coded(batch, "operation")?, contains)?;
    let mut is_it = |operand: Operand<'_>| matches!(operand, Operand::Text(text) if text.contains(word));
    for ((found, operation), events) in found.iter_mut().zip(operations).zip(events_of(batch)?) {
        *found = *found || operation || events_any(&events, &mut is_it);
    }
    Ok(found)
}

/// Returns where `is_it` holds for the text of a row; each text is looked at once.
fn texts(column: &DictionaryArray<Int32Type>, is_it: impl Fn(Option<&str>) -> bool) -> Result<Vec<bool>, String> {
    let values = values(column)?;
    let of_none = is_it(None);
    let mut known: Vec<Option<bool>> = vec![None; values.len()];
    let of_row = |row: usize| match column.key(row) {
        Some(code) => match known.get_mut(code) {
            Some(known) => *known.get_or_insert_with(|| is_it(values.is_valid(code).then(|| values.value(code)))),
            None => of_none,
        },
        None => of_none,
    };
    Ok((0..column.len()).map(of_row).collect())
}

/// Returns where `is_it` holds for the code of a row; each code is looked at once.
fn codes(batch: &RecordBatch, name: &str, is_it: impl Fn(i8) -> bool) -> Result<Vec<bool>, String> {
    let column: &Int8Array = required(batch, name)?;
    let mut known = [None; 256];
    let mut of_row = |code: i8| *known[usize::from(code.cast_unsigned())].get_or_insert_with(|| is_it(code));
    Ok(column.values().iter().map(|code| of_row(*code)).collect())
}

fn values(column: &DictionaryArray<Int32Type>) -> Result<&StringArray, String> {
    column.values().as_any().downcast_ref().ok_or_else(|| "a dictionary holds no texts".to_owned())
}

fn coded<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a DictionaryArray<Int32Type>, String> {
    required(batch, name)
}

pub(super) fn required<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a A, String> {
    column(batch, name).ok_or_else(|| format!("column {name} is missing, or of another type"))
}
