//! Services, their operations, and how often they called each other, from the columns that say it.
//!
//! Called by the archive. Each is a bounded scan of the rows that lie in the time that is asked for: what is found until the budget is spent
//! is answered.

use super::byid::Reader;
use super::cache::OpenPart;
use super::recent::overlaps;
use super::scan;
use super::splits::Splits;
use super::terms::required;
use crate::archive::{Budget, Calls, Operation, Unanswered};
use crate::rows::stored::kind_of;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, DictionaryArray, FixedSizeBinaryArray, Int8Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use backsight_core::ids::{SpanId, TraceId};
use backsight_store::manifest::entry::{PartEntry, Services};
use backsight_store::part::PartError;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

/// The most names that are answered.
const NAMES_MAX: usize = 100_000;

/// Returns the services.
pub(super) fn services(
    mut reader: Reader<'_>,
    during: &Range<u64>,
    budget: &dyn Budget,
) -> Result<Vec<String>, Unanswered> {
    let mut names = BTreeSet::new();
    for part in parts(&reader, during) {
        match &part.services {
            // All spans of the part lie in that time, so that the manifest says it.
            Services::Names(of_part) if is_within(&part, during) => names.extend(of_part.iter().cloned()),
            _ => {
                reader.try_part(part.id, |part| {
                    let rows = rows_during(part, during, |_| false)?;
                    scan::columns(
                        part,
                        &rows,
                        &[&["service"], &["start_ns"], &["duration_ns"]],
                        budget,
                        &mut |_, batch| {
                            let (codes, texts, is_during) =
                                (texts(batch, "service")?, values(batch, "service")?, times(batch, during)?);
                            let mut seen = vec![false; texts.len()];
                            for row in (0..batch.num_rows()).filter(|row| is_during(*row)) {
                                let code =
                                    codes.key(row).filter(|code| *code < seen.len()).ok_or("a service is missing")?;
                                if !std::mem::replace(&mut seen[code], true) {
                                    names.insert(texts.value(code).to_owned());
                                }
                            }
                            Ok(())
                        },
                    )
                });
            }
        }
    }
    reader.recent.visit(&mut |span| {
        if is_during(during, span.row.start_ns, span.row.duration_ns) && !names.contains(&*span.row.service) {
            names.insert(span.row.service.to_string());
        }
        !budget.is_spent()
    });
    answered(&reader, names.into_iter().take(NAMES_MAX).collect())
}

/// Returns the operations of `service`.
pub(super) fn operations(
    mut reader: Reader<'_>,
    service: &str,
    during: &Range<u64>,
    budget: &dyn Budget,
) -> Result<Vec<Operation>, Unanswered> {
    const COLUMNS: &[&[&str]] = &[&["service"], &["operation"], &["kind"], &["start_ns"], &["duration_ns"]];
    let mut found: BTreeSet<(String, i8)> = BTreeSet::new();
    for part in parts(&reader, during).into_iter().filter(|part| part.services.may_hold(service)) {
        reader.try_part(part.id, |part| {
            let rows = rows_during(part, during, |_| false)?;
            scan::columns(part, &rows, COLUMNS, budget, &mut |_, batch| {
                let (services, names) = (texts(batch, "service")?, values(batch, "service")?);
                let (operations, texts) = (texts(batch, "operation")?, values(batch, "operation")?);
                let kinds: &Int8Array = required(batch, "kind")?;
                let is_during = times(batch, during)?;
                let is_it = |row: &usize| services.key(*row).is_some_and(|code| names.value(code) == service);
                let of_row = |row: usize| Some((operations.key(row)?, kinds.value(row)));
                let rows = (0..batch.num_rows()).filter(is_it).filter(|row| is_during(*row));
                let codes: HashSet<_> = rows.filter_map(of_row).collect();
                found.extend(codes.into_iter().map(|(code, kind)| (texts.value(code).to_owned(), kind)));
                Ok(())
            })
        });
    }
    reader.recent.visit(&mut |span| {
        if span.row.service == service && is_during(during, span.row.start_ns, span.row.duration_ns) {
            found.insert((span.row.operation.to_string(), span.row.kind));
        }
        !budget.is_spent()
    });
    let operation = |(name, kind): (String, i8)| Operation { name, kind: kind_of(kind) };
    let mut operations: Vec<_> = found.into_iter().map(operation).collect();
    operations.sort();
    operations.dedup();
    operations.truncate(NAMES_MAX);
    answered(&reader, operations)
}

/// The spans of a trace, as far as calls are concerned.
#[derive(Default)]
struct Family {
    /// By span its service.
    services: HashMap<SpanId, String>,
    /// Spans that came in the time that is asked for, with those that caused them: each once.
    children: BTreeSet<(SpanId, SpanId)>,
}

impl Family {
    /// Adds a span, with its cause where the call is to be counted.
    fn add(&mut self, id: SpanId, cause: Option<SpanId>, service: &str) {
        self.services.entry(id).or_insert_with(|| service.to_owned());
        self.children.extend(cause.map(|parent| (parent, id)));
    }

    /// Counts calls from one service to another.
    fn count(self, calls: &mut BTreeMap<(String, String), u64>) {
        for (parent, child) in self.children {
            let (Some(caller), Some(callee)) = (self.services.get(&parent), self.services.get(&child)) else {
                continue;
            };
            let call = (caller.clone(), callee.clone());
            if caller != callee && (calls.len() < NAMES_MAX || calls.contains_key(&call)) {
                *calls.entry(call).or_default() += 1;
            }
        }
    }
}

/// Returns how often services called each other: a span whose cause is of another service is a call.
pub(super) fn calls(
    mut reader: Reader<'_>,
    splits: &Splits,
    during: &Range<u64>,
    budget: &dyn Budget,
) -> Result<Vec<Calls>, Unanswered> {
    let mut calls = BTreeMap::new();
    let mut loose: BTreeMap<TraceId, Family> =
        reader.recent.ids().into_iter().map(|id| (id, Family::default())).collect();
    for part in parts(&reader, during) {
        let of_splits = splits.of(part.id).map(<[u32]>::to_vec);
        reader.try_part(part.id, |part| {
            let skeleton = part.skeleton()?;
            let places = of_splits.unwrap_or_else(|| (0..skeleton.len() as u32).collect());
            loose.extend(places.into_iter().map(|place| (skeleton.ids[place as usize], Family::default())));
            Ok(())
        });
    }
    for part in parts(&reader, &(0..u64::MAX)) {
        let is_needed =
            overlaps(during, part.min_start_ns, part.max_end_ns.max(part.max_start_ns)) || !loose.is_empty();
        if is_needed {
            reader.try_part(part.id, |part| families(part, during, budget, &mut loose, &mut calls));
        }
    }
    reader.recent.visit(&mut |span| {
        let is_during = is_during(during, span.row.start_ns, span.row.duration_ns);
        if let Some(family) = loose.get_mut(&span.row.trace) {
            family.add(span.row.id, span.row.parent.filter(|_| is_during), &span.row.service);
        }
        !budget.is_spent()
    });
    loose.into_values().for_each(|family| family.count(&mut calls));
    let call = |((caller, callee), n)| Calls { caller, callee, n };
    answered(&reader, calls.into_iter().map(call).collect())
}

/// Counts the calls of traces that `part` has alone, and adds what it has of others to `loose`.
fn families(
    part: &OpenPart,
    during: &Range<u64>,
    budget: &dyn Budget,
    loose: &mut BTreeMap<TraceId, Family>,
    calls: &mut BTreeMap<(String, String), u64>,
) -> Result<(), PartError> {
    const COLUMNS: &[&[&str]] = &[&["span_id"], &["parent_span_id"], &["service"], &["start_ns"], &["duration_ns"]];
    let skeleton = part.skeleton()?;
    let rows = rows_during(part, during, |trace| loose.contains_key(&trace))?;
    let (mut place_now, mut family) = (usize::MAX, Family::default());
    scan::columns(part, &rows, COLUMNS, budget, &mut |rows, batch| {
        let ids: &FixedSizeBinaryArray = required(batch, "span_id")?;
        let parents: &FixedSizeBinaryArray = required(batch, "parent_span_id")?;
        let (services, names) = (texts(batch, "service")?, values(batch, "service")?);
        let is_during = times(batch, during)?;
        let id = |ids: &FixedSizeBinaryArray, row: usize| {
            ids.value(row).first_chunk().map(|id| SpanId(u64::from_be_bytes(*id))).ok_or("an id has another length")
        };
        for (idx, row) in rows.iter().enumerate() {
            let place = skeleton.place_of(*row);
            if place != place_now {
                std::mem::take(&mut family).count(calls);
                place_now = place;
            }
            let cause = if parents.is_valid(idx) && is_during(idx) { Some(id(parents, idx)?) } else { None };
            let service = services.key(idx).map(|code| names.value(code)).ok_or("a service is missing")?;
            let of_trace = loose.get_mut(&skeleton.ids[place]).unwrap_or(&mut family);
            of_trace.add(id(ids, idx)?, cause, service);
        }
        Ok(())
    })?;
    family.count(calls);
    Ok(())
}

/// Returns the parts that have anything in that time.
fn parts(reader: &Reader<'_>, during: &Range<u64>) -> Vec<PartEntry> {
    let has = |part: &&PartEntry| overlaps(during, part.min_start_ns, part.max_end_ns.max(part.max_start_ns));
    reader.view.manifest.parts.values().filter(has).cloned().collect()
}

/// Returns whether all traces of a part lie in that time.
fn is_within(part: &PartEntry, during: &Range<u64>) -> bool {
    let starts_within = |start_ns: i64| u64::try_from(start_ns).is_ok_and(|start| during.contains(&start));
    starts_within(part.min_start_ns) && starts_within(part.max_end_ns.max(part.max_start_ns))
}

/// Returns the rows of traces that may have spans in that time, and of those that are `wanted` anyway.
fn rows_during(
    part: &OpenPart,
    during: &Range<u64>,
    is_wanted: impl Fn(TraceId) -> bool,
) -> Result<Vec<Range<u64>>, PartError> {
    let skeleton = part.skeleton()?;
    let is_odd = part.is_odd()?;
    let lies_within = |place: usize| overlaps(during, skeleton.starts[place], skeleton.ends[place]);
    Ok(skeleton.rows_where(|place| is_odd || lies_within(place) || is_wanted(skeleton.ids[place])))
}

fn is_during(during: &Range<u64>, start_ns: i64, duration_ns: i64) -> bool {
    overlaps(during, start_ns, start_ns.saturating_add(duration_ns.max(0)))
}

/// Returns what says of each row whether it lies in that time.
fn times<'a>(batch: &'a RecordBatch, during: &'a Range<u64>) -> Result<impl Fn(usize) -> bool + 'a, String> {
    let starts: &TimestampNanosecondArray = required(batch, "start_ns")?;
    let durations: &Int64Array = required(batch, "duration_ns")?;
    Ok(move |row: usize| is_during(during, starts.value(row), durations.value(row)))
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a DictionaryArray<Int32Type>, String> {
    required(batch, name)
}

fn values<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, String> {
    let values = texts(batch, name)?.values().as_any().downcast_ref();
    values.ok_or_else(|| "a dictionary holds no texts".to_owned())
}

/// Returns an answer, unless nothing was found where something could not be read.
fn answered<T>(reader: &Reader<'_>, found: Vec<T>) -> Result<Vec<T>, Unanswered> {
    match reader.lost.values().next() {
        Some(lost) if found.is_empty() => Err(Unanswered::Unreadable(lost.what.clone())),
        _ => Ok(found),
    }
}
