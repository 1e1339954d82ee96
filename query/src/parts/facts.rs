//! What the table of traces of a part says: whether terms of the trace hold, and by what traces are ordered.
//!
//! Called by `find` for traces of which one part has all spans: of those it is what is answered.

use super::cache::OpenPart;
use super::skeleton::Skeleton;
use super::terms::{holds_for, required};
use crate::cursor::{Sort, rarity_key};
use crate::language::{Operand, Term, Test, TraceField, holds};
use crate::rows::TraceRows;
use crate::rows::stored::{clamped, nano_joules, rarity_of, verdict_of};
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, DictionaryArray, Float32Array, Int8Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray,
};
use backsight_store::part::PartError;
use backsight_store::part::read::Wanted;

/// Returns whether what a term asks for, or the order, depends on how spans that came twice are united.
pub(super) fn depends_on_repeats(terms: &[Term<TraceField>], sort: Sort) -> bool {
    let of_spans = |term: &Term<TraceField>| match term.field {
        TraceField::Duration | TraceField::Spans | TraceField::Services | TraceField::Errors => true,
        TraceField::Root | TraceField::RootService | TraceField::Energy => true,
        TraceField::Start | TraceField::Trigger | TraceField::Sampling | TraceField::Completeness => false,
        TraceField::Rarity | TraceField::Pending => false,
    };
    matches!(sort, Sort::Duration | Sort::Spans) || terms.iter().any(of_spans)
}

/// Clears `is_alive` of the traces of `part` for which a term does not hold.
///
/// # Errors
/// The part is missing, damaged, foreign or newer.
pub(super) fn retain(
    part: &OpenPart,
    skeleton: &Skeleton,
    terms: &[Term<TraceField>],
    is_alive: &mut [bool],
) -> Result<(), PartError> {
    for term in terms {
        if !is_alive.contains(&true) {
            return Ok(());
        }
        for (place, holds) in holds_on(part, skeleton, term)?.into_iter().enumerate().take(is_alive.len()) {
            is_alive[place] &= holds;
        }
    }
    Ok(())
}

fn holds_on(part: &OpenPart, skeleton: &Skeleton, term: &Term<TraceField>) -> Result<Vec<bool>, PartError> {
    let test = &term.test;
    let number = |number: u64| holds_for(test, Operand::Integer(number.into()));
    let path: &[&str] = match term.field {
        TraceField::Duration => return Ok(skeleton.durations().map(number).collect()),
        TraceField::Start => return Ok(skeleton.starts.iter().map(|start| number(clamped(*start))).collect()),
        TraceField::Spans => return Ok((0..skeleton.len()).map(|place| number(skeleton.n_rows(place))).collect()),
        TraceField::Pending => return Ok(vec![holds_for(test, Operand::Flag(false)); skeleton.len()]),
        TraceField::Services => &["services", "list", "element", "spans"],
        TraceField::Errors => &["n_errors"],
        TraceField::Root => &["root_operation"],
        TraceField::RootService => &["root_service"],
        TraceField::Trigger => &["triggers", "list", "element", "name"],
        TraceField::Sampling => &["sampling", "reason"],
        TraceField::Completeness => &["completeness"],
        TraceField::Energy => &["energy_nj"],
        TraceField::Rarity => &["rarity"],
    };
    let file = part.traces()?.file();
    let mut all = Vec::with_capacity(skeleton.len());
    let rows = 0..file.n_rows();
    for batch in file.columns(&[rows], Wanted::Coded(&[path]))? {
        all.extend(in_columns(term.field, test, &batch).map_err(|why| file.damaged(why))?);
    }
    Ok(all)
}

fn in_columns(field: TraceField, test: &Test, batch: &RecordBatch) -> Result<Vec<bool>, String> {
    let number = |number: Option<u64>| holds(test, |is_it| number.is_some_and(|n| is_it(Operand::Integer(n.into()))));
    Ok(match field {
        TraceField::Services => {
            let lists: &ListArray = required(batch, "services")?;
            lists.offsets().lengths().map(|n| number(Some(n as u64))).collect()
        }
        TraceField::Errors => {
            let errors: &Int32Array = required(batch, "n_errors")?;
            errors.values().iter().map(|n| number(u64::try_from(*n).ok())).collect()
        }
        TraceField::Root | TraceField::RootService => {
            let name = if field == TraceField::Root { "root_operation" } else { "root_service" };
            let column: &DictionaryArray<Int32Type> = required(batch, name)?;
            let texts: &StringArray = column.values().as_any().downcast_ref().ok_or("a dictionary holds no texts")?;
            // A trace without a first span has a root all the same, which is found among its spans.
            let of = |code: Option<usize>| {
                code.is_none_or(|code| code < texts.len() && holds_for(test, Operand::Text(texts.value(code))))
            };
            (0..column.len()).map(|row| of(column.key(row))).collect()
        }
        TraceField::Trigger => {
            let lists: &ListArray = required(batch, "triggers")?;
            let names = lists.values().as_any().downcast_ref::<StructArray>().and_then(|of| of.column_by_name("name"));
            let names: Option<&StringArray> = names.and_then(|names| names.as_any().downcast_ref());
            let names = names.ok_or("triggers have no names")?;
            let of = |range: &[i32]| {
                holds(test, |is_it| (range[0]..range[1]).any(|idx| is_it(Operand::Text(names.value(idx as usize)))))
            };
            lists.value_offsets().windows(2).map(of).collect()
        }
        TraceField::Sampling => {
            let sampling: &StructArray = required(batch, "sampling")?;
            let reasons = sampling.column_by_name("reason").and_then(|reasons| reasons.as_any().downcast_ref());
            let reasons: &StringArray = reasons.ok_or("sampling has no reason")?;
            let of = |reason: &str| holds(test, |is_it| !reason.is_empty() && is_it(Operand::Text(reason)));
            (0..reasons.len()).map(|row| of(reasons.value(row))).collect()
        }
        TraceField::Completeness => {
            let codes: &Int8Array = required(batch, "completeness")?;
            let name = |code: i8| verdict_of(code).map_or("none", |verdict| verdict.name());
            codes.values().iter().map(|code| holds_for(test, Operand::Text(name(*code)))).collect()
        }
        TraceField::Rarity => {
            let rarities: &Float32Array = required(batch, "rarity")?;
            let of =
                |rarity: Option<f32>| holds(test, |is_it| rarity.is_some_and(|of| is_it(Operand::Real(of.into()))));
            rarities.values().iter().map(|rarity| of(rarity_of(*rarity))).collect()
        }
        _ => energies(batch)?.into_iter().map(number).collect(),
    })
}

fn energies(batch: &RecordBatch) -> Result<Vec<Option<u64>>, String> {
    let column: &Int64Array = required(batch, "energy_nj")?;
    Ok(column.iter().map(|nj| nj.map(|nj| nano_joules(nj.into()).0)).collect())
}

/// Returns by what the traces of `part` are ordered.
///
/// # Errors
/// The part is missing, damaged, foreign or newer.
pub(super) fn keys(part: &OpenPart, skeleton: &Skeleton, sort: Sort) -> Result<Vec<u64>, PartError> {
    let path: &[&str] = match sort {
        Sort::Recent => return Ok(skeleton.starts.iter().map(|start| clamped(*start)).collect()),
        Sort::Duration => return Ok(skeleton.durations().collect()),
        Sort::Spans => return Ok((0..skeleton.len()).map(|place| skeleton.n_rows(place)).collect()),
        Sort::Energy => &["energy_nj"],
        Sort::Rarity => &["rarity"],
    };
    let file = part.traces()?.file();
    let mut keys = Vec::with_capacity(skeleton.len());
    let rows = 0..file.n_rows();
    for batch in file.columns(&[rows], Wanted::Coded(&[path]))? {
        let of_batch: Result<Vec<u64>, String> = match sort {
            Sort::Energy => energies(&batch).map(|all| all.into_iter().map(Option::unwrap_or_default).collect()),
            _ => required(&batch, "rarity").map(|column: &Float32Array| {
                column.values().iter().map(|rarity| rarity_of(*rarity).map_or(0, rarity_key)).collect()
            }),
        };
        keys.extend(of_batch.map_err(|why| file.damaged(why))?);
    }
    Ok(keys)
}

/// Returns by what a trace is ordered: a higher one comes first.
pub(crate) fn key(trace: &TraceRows, sort: Sort) -> u64 {
    let (start, end) = trace.interval_ns().unwrap_or_default();
    match sort {
        Sort::Recent => start,
        Sort::Duration => end - start,
        Sort::Rarity => trace.facts.rarity.map_or(0, rarity_key),
        Sort::Energy => trace.facts.energy.map_or(0, |energy| energy.0),
        Sort::Spans => trace.spans.len() as u64,
    }
}
