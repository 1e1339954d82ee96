//! Which traces of a part have a span that is what a group of terms asks for.
//!
//! Called by `find`, part after part. Row groups are passed over by what their footer says; in the others the columns of one term after
//! another are read, the cheap ones first, each for the rows alone that the terms before it left.

use super::cache::OpenPart;
use super::skeleton::{Skeleton, push_range};
use super::terms;
use crate::archive::Budget;
use crate::language::{Group, SpanTerm};
use arrow_array::RecordBatch;
use backsight_store::part::PartError;
use backsight_store::part::read::{Spans, Wanted};
use std::ops::Range;

/// How much a scan may take.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) budget: &'a dyn Budget,
    /// Row groups of one part that are read at once, each on a thread.
    pub(super) threads: usize,
}

/// Returns the places of the traces of `part` that have such a span among `rows`, in ascending order; fewer where the budget is spent.
///
/// # Errors
/// The part is missing, damaged, foreign or newer.
pub(super) fn places(
    part: &OpenPart,
    skeleton: &Skeleton,
    group: &Group,
    rows: &[Range<u64>],
    means: Means<'_>,
) -> Result<Vec<usize>, PartError> {
    let spans = part.spans()?;
    let is_promoted = |key: &str| part.entry.promoted.iter().any(|promoted| promoted.key == key);
    let mut order: Vec<&SpanTerm> = group.terms.iter().collect();
    order.sort_by_key(|term| terms::cost(term, is_promoted));
    let of_groups = spans.file().groups().enumerate().map(|(idx, of_group)| (idx, within(rows, &of_group)));
    let of_groups: Vec<_> = of_groups.filter(|(_, rows)| !rows.is_empty()).collect();
    let narrow = |(idx, rows): &(usize, Vec<Range<u64>>)| narrowed(spans, *idx, &order, rows.clone());
    let mut places = Vec::new();
    for range in shared(&of_groups, means, &narrow)? {
        let mut row = range.start;
        while row < range.end {
            let place = skeleton.place_of(row);
            places.push(place);
            row = skeleton.rows(place).end;
        }
    }
    places.dedup();
    Ok(places)
}

/// Returns what `narrow` makes of each of `all`, in ascending order, shared out among threads until the budget is spent.
fn shared<T: Sync>(
    all: &[T],
    means: Means<'_>,
    narrow: &(impl Fn(&T) -> Result<Vec<Range<u64>>, PartError> + Sync),
) -> Result<Vec<Range<u64>>, PartError> {
    let n_shares = means.threads.min(all.len()).max(1);
    let share = |first: usize| {
        let mut found = Vec::new();
        for one in all.iter().skip(first).step_by(n_shares) {
            if means.budget.is_spent() {
                break;
            }
            found.extend(narrow(one)?);
        }
        Ok(found)
    };
    let share = &share;
    let found: Result<Vec<Vec<_>>, PartError> = std::thread::scope(|scope| {
        let spawn = |first: usize| {
            let thread = std::thread::Builder::new().name("bks-scan".to_owned());
            (first, thread.spawn_scoped(scope, move || share(first)))
        };
        let others: Vec<_> = (1..n_shares).map(spawn).collect();
        let own = share(0);
        let joined = others.into_iter().map(|(first, thread)| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => share(first), // there are no more threads to be had
        });
        std::iter::once(own).chain(joined).collect()
    });
    let mut found = found?.concat();
    found.sort_unstable_by_key(|range| range.start);
    Ok(found)
}

/// Returns the rows among `rows` of row group `group_idx` on which all terms hold.
fn narrowed(
    spans: &Spans,
    group_idx: usize,
    order: &[&SpanTerm],
    mut rows: Vec<Range<u64>>,
) -> Result<Vec<Range<u64>>, PartError> {
    if rows.is_empty() {
        return Ok(rows);
    }
    let mut needs = Vec::with_capacity(order.len());
    for term in order {
        let columns = terms::needs(term, spans, group_idx)?;
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        needs.push(columns);
    }
    for (term, columns) in order.iter().zip(needs) {
        let names: Vec<[&str; 1]> = columns.iter().map(|name| [name.as_str()]).collect();
        let paths: Vec<&[&str]> = names.iter().map(|name| &name[..]).collect();
        let mut kept = Vec::new();
        let mut places = rows.iter().cloned().flatten();
        for batch in spans.file().columns(&rows, Wanted::Coded(&paths))? {
            let holds = terms::rows(term, &batch, spans.resources()).map_err(|why| spans.file().damaged(why))?;
            // The answers come first: `zip` asks its first for one more than it pairs.
            for (holds, row) in holds.into_iter().zip(&mut places) {
                if holds {
                    push_range(&mut kept, row..row + 1);
                }
            }
        }
        rows = kept;
        if rows.is_empty() {
            break;
        }
    }
    Ok(rows)
}

/// Returns what of `ranges`, which ascend, lies within `rows`.
fn within(ranges: &[Range<u64>], rows: &Range<u64>) -> Vec<Range<u64>> {
    let first = ranges.partition_point(|range| range.end <= rows.start);
    let touching = ranges[first..].iter().take_while(|range| range.start < rows.end);
    touching.map(|range| range.start.max(rows.start)..range.end.min(rows.end)).collect()
}

/// Takes rows' numbers and columns, and says what is wrong with them.
type Visit<'a> = dyn FnMut(&[u64], &RecordBatch) -> Result<(), String> + 'a;

/// Shows columns of `rows`, with the rows' numbers, a row group after another until the budget is spent.
///
/// # Errors
/// The part is missing, damaged, foreign or newer, or `visit` says what of it is.
pub(super) fn columns(
    part: &OpenPart,
    rows: &[Range<u64>],
    paths: &[&[&str]],
    budget: &dyn Budget,
    visit: &mut Visit<'_>,
) -> Result<(), PartError> {
    if rows.is_empty() {
        return Ok(());
    }
    let file = part.spans()?.file();
    for of_group in file.groups() {
        if budget.is_spent() {
            return Ok(());
        }
        let within = within(rows, &of_group);
        let mut numbers = within.iter().cloned().flatten();
        for batch in file.columns(&within, Wanted::Coded(paths))? {
            let of_batch: Vec<u64> = numbers.by_ref().take(batch.num_rows()).collect();
            visit(&of_batch, &batch).map_err(|why| file.damaged(why))?;
        }
    }
    Ok(())
}
