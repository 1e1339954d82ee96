//! The columns of `spans`, put together from a batch for a run of rows of the part.
//!
//! Called by `write`, run after run, so that only one run's columns are in memory.

use super::ArrowResult;
use super::attributes::{Attributes, Slots, TextAttributes};
use super::columns::{Ends, optional_span_ids, optional_structs, optional_texts, span_ids, texts, times, trace_ids};
use crate::batch::{Batch, EventCell, Extra, Head, LinkCell};
use crate::rows::{ENERGY_COMPONENTS, Energy, Joules};
use crate::schema;
use arrow_array::{
    ArrayRef, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, RecordBatch, StringArray, StructArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::SchemaRef;
use std::sync::Arc;

/// Returns the columns of the spans `rows`, places in the batch.
pub(super) fn columns(batch: &Batch, rows: &[u32], schema: &SchemaRef, slots: &Slots<'_>) -> ArrowResult<RecordBatch> {
    let heads: Vec<Head> = rows.iter().map(|row| batch.heads[*row as usize]).collect();
    let extras: Vec<Option<&Extra>> = heads.iter().map(|head| batch.extra(head)).collect();
    let name = |code: fn(&Head) -> u32| texts(heads.iter().map(move |head| batch.names.text(code(head))));
    let optional_name =
        |code: fn(&Head) -> u32| optional_texts(heads.iter().map(move |head| batch.optional_name_of(code(head))));
    let small = |number: fn(&Head) -> i8| Arc::new(Int8Array::from_iter_values(heads.iter().map(number))) as ArrayRef;
    let mut columns = vec![
        trace_ids(heads.iter().map(|head| batch.traces[head.trace_idx as usize].trace))?,
        span_ids(heads.iter().map(|head| head.id))?,
        optional_span_ids(heads.iter().map(|head| head.has_parent.then_some(head.parent)))?,
        times(heads.iter().map(|head| head.start_ns)),
        Arc::new(Int64Array::from_iter_values(heads.iter().map(|head| head.duration_ns))),
        name(|head| head.service),
        name(|head| head.operation),
        optional_name(|head| head.scope),
        name(|head| head.host),
        name(|head| head.process),
        optional_name(|head| head.thread),
        small(|head| head.kind),
        small(|head| head.status),
        small(|head| head.source),
        optional_texts(extras.iter().map(|extra| extra.and_then(|extra| batch.status_message(extra)))),
        optional_texts(extras.iter().map(|extra| extra.and_then(|extra| batch.trace_state(extra)))),
        Arc::new(Int32Array::from_iter_values(heads.iter().map(|head| head.flags))),
    ];
    let mut attributes = Attributes::new(batch, slots);
    for head in &heads {
        attributes.push_row(&batch.cells[head.attributes.range()]);
    }
    columns.extend(attributes.finish()?);
    columns.extend([
        dropped(&extras)?,
        Arc::new(Int32Array::from_iter_values(heads.iter().map(|head| head.resource as i32))) as ArrayRef,
        events(batch, &extras)?,
        links(batch, &extras)?,
        energy(extras.iter().map(|extra| extra.and_then(|extra| extra.energy.as_deref())))?,
        spec_versions(&extras)?,
        Arc::new(Int64Array::from_iter(extras.iter().map(|extra| extra.and_then(|extra| extra.self_cp_ns)))),
        Arc::new(Float64Array::from_iter_values(heads.iter().map(|head| head.sampling_weight))),
    ]);
    RecordBatch::try_new(schema.clone(), columns)
}

fn dropped(extras: &[Option<&Extra>]) -> ArrowResult<ArrayRef> {
    let dropped: Vec<_> = extras.iter().map(|extra| extra.map(|extra| extra.dropped).unwrap_or_default()).collect();
    let is_there = dropped.iter().map(|dropped| *dropped != crate::rows::Dropped::default()).collect();
    optional_structs(schema::dropped_fields(), is_there, || {
        let column = |count: fn(&crate::rows::Dropped) -> i32| {
            Arc::new(Int32Array::from_iter_values(dropped.iter().map(count))) as ArrayRef
        };
        Ok(vec![column(|dropped| dropped.attrs), column(|dropped| dropped.events), column(|dropped| dropped.links)])
    })
}

fn events(batch: &Batch, extras: &[Option<&Extra>]) -> ArrowResult<ArrayRef> {
    let mut ends = Ends::new();
    let mut events: Vec<&EventCell> = Vec::new();
    for extra in extras {
        events.extend(extra.iter().flat_map(|extra| &batch.events[extra.events.range()]));
        ends.push(events.len());
    }
    let mut attributes = TextAttributes::new();
    for event in &events {
        attributes.push(batch, &batch.cells[event.attributes.range()]);
    }
    let [attrs, types] = attributes.finish()?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(events.iter().map(|event| event.time_offset_ns))),
        texts(events.iter().map(|event| batch.str(event.name))),
        attrs,
        types,
        Arc::new(Int32Array::from_iter_values(events.iter().map(|event| event.dropped))),
    ];
    ends.structs(schema::event_fields(), columns, None)
}

fn links(batch: &Batch, extras: &[Option<&Extra>]) -> ArrowResult<ArrayRef> {
    let mut ends = Ends::new();
    let mut links: Vec<&LinkCell> = Vec::new();
    for extra in extras {
        links.extend(extra.iter().flat_map(|extra| &batch.links[extra.links.range()]));
        ends.push(links.len());
    }
    let mut attributes = TextAttributes::new();
    for link in &links {
        attributes.push(batch, &batch.cells[link.attributes.range()]);
    }
    let [attrs, types] = attributes.finish()?;
    let columns: Vec<ArrayRef> = vec![
        trace_ids(links.iter().map(|link| link.trace))?,
        span_ids(links.iter().map(|link| link.span))?,
        optional_texts(links.iter().map(|link| batch.link_state(link))),
        attrs,
        types,
        Arc::new(Int32Array::from_iter_values(links.iter().map(|link| link.dropped))),
        Arc::new(Int32Array::from_iter_values(links.iter().map(|link| link.flags))),
    ];
    ends.structs(schema::link_fields(), columns, None)
}

fn spec_versions(extras: &[Option<&Extra>]) -> ArrowResult<ArrayRef> {
    let mut ends = Ends::new();
    let mut versions = Vec::new();
    let mut is_there = Vec::with_capacity(extras.len());
    for extra in extras {
        let of_span = extra.map(|extra| &*extra.spec_versions).unwrap_or_default();
        versions.extend_from_slice(of_span);
        is_there.push(!of_span.is_empty());
        ends.push(versions.len());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(versions.iter().map(|version| version.point))),
        Arc::new(Int32Array::from_iter_values(versions.iter().map(|version| version.version))),
    ];
    ends.structs(schema::spec_version_fields(), columns, Some(NullBuffer::from(is_there)))
}

/// Returns a column of energies.
pub(super) fn energy<'a>(energies: impl Iterator<Item = Option<&'a Energy<'static>>>) -> ArrowResult<ArrayRef> {
    let energies: Vec<_> = energies.collect();
    let is_there = energies.iter().map(Option::is_some).collect();
    optional_structs(schema::energy_fields(), is_there, || {
        let none = Energy::default();
        let or_none = || energies.iter().map(|energy| energy.unwrap_or(&none));
        let mut columns = Vec::new();
        for idx in 0..ENERGY_COMPONENTS.len() {
            let column = |amount: fn(&Joules) -> i64| {
                let amounts = or_none().map(|energy| amount(&energy.components[idx]));
                Arc::new(Int64Array::from_iter_values(amounts)) as ArrayRef
            };
            let amounts = vec![column(|joules| joules.nj), column(|joules| joules.low), column(|joules| joules.high)];
            columns.push(Arc::new(StructArray::try_new(schema::joules_fields(), amounts, None)?) as ArrayRef);
        }
        columns.extend([
            Arc::new(Int8Array::from_iter_values(or_none().map(|energy| energy.kind))) as ArrayRef,
            Arc::new(Int32Array::from_iter_values(or_none().map(|energy| energy.model))),
            Arc::new(StringArray::from_iter_values(or_none().map(|energy| &*energy.hardware))),
            Arc::new(Float32Array::from_iter_values(or_none().map(|energy| energy.covered_share))),
        ]);
        Ok(columns)
    })
}
