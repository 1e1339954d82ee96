//! Which traces stand in several parts, so that one part's word on them is not the whole truth.
//!
//! Called by searches before they pass over anything by what a table of traces says. Found anew where the parts changed.

use super::cache::Cache;
use backsight_core::ids::TraceId;
use backsight_store::manifest::entry::PartEntry;
use backsight_store::part::PartId;
use backsight_store::schema::Table;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Up to so many traces it is known which stand in several parts: 8 bytes each while it is found out.
const TRACES_MAX: usize = 16 << 20;

/// The places of traces of each part that may stand in others, too.
#[derive(Debug, Default)]
pub(super) struct Splits {
    /// `None` where there are too many traces to know.
    places: Option<BTreeMap<PartId, Vec<u32>>>,
}

impl Splits {
    /// Returns the places of such traces of a part; `None` where any may be one.
    pub(super) fn of(&self, part: PartId) -> Option<&[u32]> {
        self.places.as_ref().map(|places| places.get(&part).map_or(&[][..], Vec::as_slice))
    }
}

/// The splits of the parts that were asked for last.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Option<(Vec<PartId>, Arc<Splits>)>>);

impl Known {
    /// Returns the splits of `parts`. Parts that cannot be read split no trace.
    ///
    /// # Cost
    /// Where the parts changed: reads the ids of all traces, and sorts as many numbers, some 30 ms for 500,000.
    pub(super) fn splits(&self, parts: &BTreeMap<PartId, PartEntry>, cache: &Cache) -> Arc<Splits> {
        let ids: Vec<_> = parts.keys().copied().collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, splits)) = &*known
            && *of == ids
        {
            return splits.clone();
        }
        cache.keep_only(parts);
        let (splits, is_whole) = find(parts, cache);
        let splits = Arc::new(splits);
        // A part that could not be read may be back at the next question.
        *known = is_whole.then(|| (ids, splits.clone()));
        splits
    }
}

/// Returns the splits, and whether all parts could be read.
fn find(parts: &BTreeMap<PartId, PartEntry>, cache: &Cache) -> (Splits, bool) {
    let with_traces = || parts.values().filter(|part| part.file(Table::Traces).is_some());
    let (mut hashes, mut is_whole) = (Vec::new(), true);
    for entry in with_traces() {
        let part = cache.part(entry);
        match part.skeleton() {
            Ok(skeleton) => hashes.extend(skeleton.ids.iter().map(|id| hash(*id))),
            Err(_) => is_whole = false, // whoever looks into the part names it
        }
        cache.settle(&part);
        if hashes.len() > TRACES_MAX {
            return (Splits { places: None }, is_whole);
        }
    }
    hashes.sort_unstable();
    let twice: HashSet<u64> = hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    drop(hashes);
    let mut places = BTreeMap::new();
    for entry in with_traces().filter(|_| !twice.is_empty()) {
        let part = cache.part(entry);
        if let Ok(skeleton) = part.skeleton() {
            let split = skeleton.ids.iter().enumerate().filter(|(_, id)| twice.contains(&hash(**id)));
            places.insert(entry.id, split.map(|(place, _)| place as u32).collect::<Vec<_>>());
        }
        cache.settle(&part);
    }
    (Splits { places: Some(places) }, is_whole)
}

/// Two traces with one hash count as split: they are looked at more closely, which is all.
fn hash(id: TraceId) -> u64 {
    id.hi.rotate_left(32) ^ id.lo
}
