//! The columns of `traces`, derived from the spans of a batch and from what else is known of its traces.
//!
//! Called by `write`, run after run.

use super::columns::{Ends, optional_span_ids, optional_texts, texts, times, trace_ids};
use super::order::{Order, trace_end_ns, trace_start_ns};
use super::{ArrowResult, spans, text};
use crate::batch::{Batch, Head, STATUS_ERROR, TraceHead};
use crate::rows::{ClockOffset, FiredTrigger, Sampling, TraceFacts};
use crate::schema;
use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, ListArray, RecordBatch, StructArray,
};
use arrow_schema::DataType;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A trace with its rows.
struct Trace<'a> {
    batch: &'a Batch,
    idx: u32,
    first_row: u64,
    /// Its rows, as places in the batch.
    rows: &'a [u32],
    facts: &'a TraceFacts<'static>,
}

impl<'a> Trace<'a> {
    fn new(batch: &'a Batch, order: &'a Order, place: usize) -> Self {
        let idx = order.traces[place];
        let head = &batch.traces[idx as usize];
        let first_row = order.first_rows[place];
        let rows = &order.rows[first_row as usize..first_row as usize + head.n_rows as usize];
        Self { batch, idx, first_row: order.base + first_row, rows, facts: batch.facts_at(head) }
    }

    fn head(&self) -> &'a TraceHead {
        &self.batch.traces[self.idx as usize]
    }

    fn spans(&self) -> impl Iterator<Item = &'a Head> {
        let batch = self.batch;
        self.rows.iter().map(move |row| &batch.heads[*row as usize])
    }

    fn start_ns(&self) -> i64 {
        trace_start_ns(self.batch, self.idx)
    }

    fn end_ns(&self) -> i64 {
        trace_end_ns(self.batch, self.idx)
    }

    /// Returns its root: the first span without a parent.
    fn root(&self) -> Option<&'a Head> {
        self.spans().find(|head| !head.has_parent)
    }

    /// Returns its services with their spans and errors.
    fn services(&self) -> BTreeMap<&'a str, (i32, i32)> {
        let mut services = BTreeMap::new();
        let mut spans = self.spans().peekable();
        while let Some(head) = spans.next() {
            // Runs of one service are looked up once.
            let (mut n_spans, mut n_errors) = (1, i32::from(head.status == STATUS_ERROR));
            while let Some(next) = spans.next_if(|next| next.service == head.service) {
                n_spans += 1;
                n_errors += i32::from(next.status == STATUS_ERROR);
            }
            let sums = services.entry(self.batch.names.text(head.service)).or_insert((0, 0));
            sums.0 += n_spans;
            sums.1 += n_errors;
        }
        services
    }

    /// Returns the numbers of its resources.
    fn resources(&self) -> Vec<u32> {
        let mut resources: Vec<_> = self.spans().map(|head| head.resource).collect();
        resources.sort_unstable();
        resources.dedup();
        resources
    }
}

/// Returns the columns of the traces at `places` of the part.
pub(super) fn columns(batch: &Batch, order: &Order, places: Range<usize>) -> ArrowResult<RecordBatch> {
    let traces: Vec<_> = places.map(|place| Trace::new(batch, order, place)).collect();
    let roots: Vec<_> = traces.iter().map(Trace::root).collect();
    let long =
        |number: fn(&Trace<'_>) -> i64| Arc::new(Int64Array::from_iter_values(traces.iter().map(number))) as ArrayRef;
    let short =
        |number: fn(&Trace<'_>) -> i32| Arc::new(Int32Array::from_iter_values(traces.iter().map(number))) as ArrayRef;
    let certificates: BinaryBuilder = {
        let mut certificates = BinaryBuilder::new();
        traces.iter().for_each(|trace| certificates.append_option(trace.facts.certificate.as_deref()));
        certificates
    };
    let columns = vec![
        trace_ids(traces.iter().map(|trace| trace.head().trace))?,
        long(|trace| trace.first_row as i64),
        short(|trace| trace.rows.len() as i32),
        times(traces.iter().map(Trace::start_ns)),
        times(traces.iter().map(Trace::end_ns)),
        long(|trace| trace.end_ns().saturating_sub(trace.start_ns())),
        optional_texts(roots.iter().map(|root| root.map(|root| batch.names.text(root.service)))),
        optional_texts(roots.iter().map(|root| root.map(|root| batch.names.text(root.operation)))),
        optional_span_ids(roots.iter().map(|root| root.map(|root| root.id)))?,
        short(|trace| trace.head().n_errors as i32),
        services(&traces)?,
        optional_texts(traces.iter().map(|trace| trace.facts.entry.as_deref())),
        triggers(&traces)?,
        sampling(&traces)?,
        Arc::new(Int8Array::from_iter_values(traces.iter().map(|trace| trace.facts.completeness))),
        Arc::new({ certificates }.finish()),
        spans::energy(traces.iter().map(|trace| trace.facts.energy_no_span.as_ref()))?,
        clocks(&traces)?,
        Arc::new(Int64Array::from_iter(traces.iter().map(|trace| trace.facts.energy_nj))),
        Arc::new(Float32Array::from_iter_values(traces.iter().map(|trace| trace.facts.rarity))),
        long(|trace| trace.facts.wal_seq),
        times(traces.iter().map(|trace| trace.facts.ingest_ns)),
        short(|trace| trace.facts.flags),
        resources(&traces)?,
    ];
    RecordBatch::try_new(schema::traces(), columns)
}

fn services(traces: &[Trace<'_>]) -> ArrowResult<ArrayRef> {
    let mut ends = Ends::new();
    let mut services = Vec::new();
    for trace in traces {
        services.extend(trace.services());
        ends.push(services.len());
    }
    let columns: Vec<ArrayRef> = vec![
        texts(services.iter().map(|(name, _)| *name)),
        Arc::new(Int32Array::from_iter_values(services.iter().map(|(_, sums)| sums.0))),
        Arc::new(Int32Array::from_iter_values(services.iter().map(|(_, sums)| sums.1))),
    ];
    ends.structs(schema::service_fields(), columns, None)
}

fn triggers(traces: &[Trace<'_>]) -> ArrowResult<ArrayRef> {
    let mut ends = Ends::new();
    let mut triggers: Vec<&FiredTrigger<'_>> = Vec::new();
    for trace in traces {
        triggers.extend(&trace.facts.triggers);
        ends.push(triggers.len());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(triggers.iter().map(|trigger| trigger.id))),
        texts(triggers.iter().map(|trigger| &*trigger.name)),
        times(triggers.iter().map(|trigger| trigger.fired_at_ns)),
        texts(triggers.iter().map(|trigger| &*trigger.agent)),
    ];
    ends.structs(schema::trigger_fields(), columns, None)
}

fn sampling(traces: &[Trace<'_>]) -> ArrowResult<ArrayRef> {
    let of = || traces.iter().map(|trace| &trace.facts.sampling);
    let number = |number: fn(&Sampling<'_>) -> f64| {
        Arc::new(Float64Array::from_iter_values(of().map(|sampling| number(sampling)))) as ArrayRef
    };
    let columns: Vec<ArrayRef> = vec![
        texts(of().map(|sampling| &*sampling.head)),
        number(|sampling| sampling.rho),
        number(|sampling| sampling.p),
        number(|sampling| sampling.weight),
        Arc::new(Int64Array::from_iter(of().map(|sampling| sampling.threshold))),
        texts(of().map(|sampling| &*sampling.reason)),
        texts(of().map(|sampling| &*sampling.policy)),
        Arc::new(Int32Array::from_iter_values(of().map(|sampling| sampling.model_epoch))),
        optional_texts(of().map(|sampling| sampling.ot_th.as_deref())),
    ];
    Ok(Arc::new(StructArray::try_new(schema::sampling_fields(), columns, None)?))
}

fn clocks(traces: &[Trace<'_>]) -> ArrowResult<ArrayRef> {
    let mut ends = Ends::new();
    let mut clocks: Vec<&ClockOffset<'_>> = Vec::new();
    for trace in traces {
        clocks.extend(&trace.facts.clock);
        ends.push(clocks.len());
    }
    let number = |number: fn(&&ClockOffset<'_>) -> i64| {
        Arc::new(Int64Array::from_iter_values(clocks.iter().map(number))) as ArrayRef
    };
    let columns: Vec<ArrayRef> = vec![
        texts(clocks.iter().map(|clock| &*clock.host)),
        number(|clock| clock.offset_ns),
        number(|clock| clock.low),
        number(|clock| clock.high),
        Arc::new(Int32Array::from_iter_values(clocks.iter().map(|clock| clock.pairs))),
    ];
    ends.structs(schema::clock_fields(), columns, None)
}

/// Returns for each trace the attributes of its resources, values as text.
fn resources(traces: &[Trace<'_>]) -> ArrowResult<ArrayRef> {
    let mut ends = Ends::new();
    let mut maps = super::columns::Maps::new(StringBuilder::new(), DataType::Utf8);
    let mut n_maps = 0;
    for trace in traces {
        for resource in trace.resources() {
            for attribute in &trace.batch.resources[resource as usize] {
                maps.key(&attribute.key);
                maps.values.append_value(&*text::of_value(&attribute.value).1);
            }
            maps.end_row();
            n_maps += 1;
        }
        ends.push(n_maps);
    }
    let element = schema::element(schema::map(DataType::Utf8));
    Ok(Arc::new(ListArray::try_new(element, ends.offsets(), maps.finish()?, None)?))
}
