//! Rows of `traces` from columns.
//!
//! Called by `read`.

use super::nested::{Columns, cow, energies, items, lists, optional_text, structs, text_entries};
use super::{ids, optional_span_id, trace_id, trace_id_column};
use crate::rows::{ClockOffset, FiredTrigger, Sampling, ServiceShare, TraceFacts, TraceRow};
use arrow_array::{
    Array, BinaryArray, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, ListArray, MapArray,
    RecordBatch, StringArray, StructArray, TimestampNanosecondArray,
};
use std::borrow::Cow;

/// Appends the traces of `batch` to `rows`.
pub(in crate::part) fn traces(batch: &RecordBatch, rows: &mut Vec<TraceRow>) -> Result<(), String> {
    let trace_ids = trace_id_column(batch)?;
    let first_rows: &Int64Array = batch.required("first_row")?;
    let n_rows: &Int32Array = batch.required("n_rows")?;
    let starts: &TimestampNanosecondArray = batch.required("start_ns")?;
    let ends: &TimestampNanosecondArray = batch.required("end_ns")?;
    let durations: &Int64Array = batch.required("duration_ns")?;
    let root_services: &StringArray = batch.required("root_service")?;
    let root_operations: &StringArray = batch.required("root_operation")?;
    let root_spans = ids(batch, "root_span_id", 8)?;
    let n_errors: &Int32Array = batch.required("n_errors")?;
    let mut services = services(batch)?.into_iter();
    let mut resources = resources(batch)?.into_iter();
    let mut facts = facts(batch)?.into_iter();
    for row in 0..batch.num_rows() {
        rows.push(TraceRow {
            trace: trace_id(trace_ids, row),
            first_row: u64::try_from(first_rows.value(row)).map_err(|_| "column first_row is negative")?,
            n_rows: u32::try_from(n_rows.value(row)).map_err(|_| "column n_rows is negative")?,
            start_ns: starts.value(row),
            end_ns: ends.value(row),
            duration_ns: durations.value(row),
            root_service: optional_text(root_services, row).map(Cow::into_owned),
            root_operation: optional_text(root_operations, row).map(Cow::into_owned),
            root_span: optional_span_id(root_spans, row),
            n_errors: n_errors.value(row),
            services: services.next().unwrap_or_default(),
            facts: facts.next().unwrap_or_default(),
            resources: resources.next().unwrap_or_default(),
        });
    }
    Ok(())
}

fn services(batch: &RecordBatch) -> Result<Vec<Vec<ServiceShare>>, String> {
    let column: &ListArray = batch.required("services")?;
    let structs = structs(column)?;
    let names: &StringArray = structs.required("name")?;
    let spans: &Int32Array = structs.required("spans")?;
    let errors: &Int32Array = structs.required("errors")?;
    let share = |idx: usize| {
        let name = names.value(idx).to_owned();
        Ok(ServiceShare { name, spans: spans.value(idx), errors: errors.value(idx) })
    };
    lists(column, share)
}

/// Returns what else is known of each trace.
fn facts(batch: &RecordBatch) -> Result<Vec<TraceFacts<'static>>, String> {
    let entries: &StringArray = batch.required("entry")?;
    let completeness: &Int8Array = batch.required("completeness")?;
    let certificates: &BinaryArray = batch.required("certificate")?;
    let energy_nj: &Int64Array = batch.required("energy_nj")?;
    let rarity: &Float32Array = batch.required("rarity")?;
    let wal_seq: &Int64Array = batch.required("wal_seq")?;
    let ingest: &TimestampNanosecondArray = batch.required("ingest_ns")?;
    let flags: &Int32Array = batch.required("flags")?;
    let mut triggers = triggers(batch)?.into_iter();
    let mut sampling = samplings(batch)?.into_iter();
    let mut energies = energies(batch.required("energy_no_span")?)?.into_iter();
    let mut clocks = clocks(batch)?.into_iter();
    let fact = |row: usize| TraceFacts {
        entry: optional_text(entries, row),
        triggers: triggers.next().unwrap_or_default(),
        sampling: sampling.next().unwrap_or_default(),
        completeness: completeness.value(row),
        certificate: certificates.is_valid(row).then(|| Cow::Owned(certificates.value(row).to_vec())),
        energy_no_span: energies.next().flatten(),
        clock: clocks.next().unwrap_or_default(),
        energy_nj: energy_nj.is_valid(row).then(|| energy_nj.value(row)),
        rarity: rarity.value(row),
        wal_seq: wal_seq.value(row),
        ingest_ns: ingest.value(row),
        flags: flags.value(row),
    };
    Ok((0..batch.num_rows()).map(fact).collect())
}

fn triggers(batch: &RecordBatch) -> Result<Vec<Vec<FiredTrigger<'static>>>, String> {
    let column: &ListArray = batch.required("triggers")?;
    let structs = structs(column)?;
    let trigger_ids: &Int64Array = structs.required("id")?;
    let names: &StringArray = structs.required("name")?;
    let fired_at: &TimestampNanosecondArray = structs.required("fired_at")?;
    let agents: &StringArray = structs.required("agent")?;
    let trigger = |idx: usize| {
        Ok(FiredTrigger {
            id: trigger_ids.value(idx),
            name: cow(names, idx),
            fired_at_ns: fired_at.value(idx),
            agent: cow(agents, idx),
        })
    };
    lists(column, trigger)
}

fn samplings(batch: &RecordBatch) -> Result<Vec<Sampling<'static>>, String> {
    let structs: &StructArray = batch.required("sampling")?;
    let [head, reason, policy, ot_th] =
        ["head", "reason", "policy", "ot_th"].map(|name| structs.required::<StringArray>(name));
    let (head, reason, policy, ot_th) = (head?, reason?, policy?, ot_th?);
    let [rho, p, weight] = ["rho", "p", "weight"].map(|name| structs.required::<Float64Array>(name));
    let (rho, p, weight) = (rho?, p?, weight?);
    let threshold: &Int64Array = structs.required("threshold")?;
    let model_epoch: &Int32Array = structs.required("model_epoch")?;
    let sampling = |row: usize| Sampling {
        head: cow(head, row),
        rho: rho.value(row),
        p: p.value(row),
        weight: weight.value(row),
        threshold: threshold.is_valid(row).then(|| threshold.value(row)),
        reason: cow(reason, row),
        policy: cow(policy, row),
        model_epoch: model_epoch.value(row),
        ot_th: optional_text(ot_th, row),
    };
    Ok((0..structs.len()).map(sampling).collect())
}

fn clocks(batch: &RecordBatch) -> Result<Vec<Vec<ClockOffset<'static>>>, String> {
    let column: &ListArray = batch.required("clock")?;
    let structs = structs(column)?;
    let hosts: &StringArray = structs.required("host")?;
    let offsets: &Int64Array = structs.required("offset_ns")?;
    let low: &Int64Array = structs.required("low")?;
    let high: &Int64Array = structs.required("high")?;
    let pairs: &Int32Array = structs.required("pairs")?;
    let clock = |idx: usize| {
        Ok(ClockOffset {
            host: cow(hosts, idx),
            offset_ns: offsets.value(idx),
            low: low.value(idx),
            high: high.value(idx),
            pairs: pairs.value(idx),
        })
    };
    lists(column, clock)
}

/// A resource: keys and values, both as text.
type Resource = Vec<(String, String)>;

fn resources(batch: &RecordBatch) -> Result<Vec<Vec<Resource>>, String> {
    let column: &ListArray = batch.required("resource")?;
    let maps: &MapArray = column.values().as_any().downcast_ref().ok_or("column resource holds no maps")?;
    let (keys, values) = text_entries(maps)?;
    let entry = |at: usize| (keys.value(at).to_owned(), values.value(at).to_owned());
    lists(column, |idx| Ok(items(maps.value_offsets(), idx).map(entry).collect()))
}
