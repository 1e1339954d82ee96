//! Counts how many rows of several parts have which keys, so that promotion is decided over all of them.
//!
//! Called by `join` before it writes. Only keys with a column in one of the parts, and those that people force, are counted: a key that
//! enough rows of all parts have is had by enough rows of one, and has a column there.

use super::{CompactError, GoOn, go_on};
use crate::part::read::Spans;
use crate::part::{DistinctCounter, Sizes};
use crate::promote::{Forced, Kind, Promoted, promote_counted};
use crate::schema::PROMOTED_PREFIX;
use arrow_array::{Array, ArrayRef, MapArray, RecordBatch, StringArray};
use std::collections::{BTreeMap, HashMap};

/// The columns of attributes that have no column of their own, and the type of their values.
const MAPS: [(&str, Kind); 4] =
    [("attrs_str", Kind::Str), ("attrs_int", Kind::Int), ("attrs_dbl", Kind::Dbl), ("attrs_bool", Kind::Bool)];

/// Rows by key.
pub(super) struct Census {
    /// Each key's place in `counts`.
    keys: HashMap<String, usize>,
    counts: Vec<Count>,
    n_map_values: u64,
}

#[derive(Clone, Default)]
struct Count {
    /// Rows with a string, an integer, a double or a bool.
    rows: [u32; 4],
    distinct: DistinctCounter,
}

impl Census {
    /// Returns a census of the keys that had a column, and of those that people force.
    pub(super) fn new<'a>(before: impl Iterator<Item = &'a Promoted>, forced: &Forced) -> Self {
        let mut keys = HashMap::new();
        for key in before.map(|promoted| &promoted.key).chain(&forced.promote) {
            let next = keys.len();
            keys.entry(key.clone()).or_insert(next);
        }
        let counts = vec![Count::default(); keys.len()];
        Self { keys, counts, n_map_values: 0 }
    }

    /// Counts the rows of a part, whose promoted keys are `promoted`.
    pub(super) fn add(
        &mut self,
        spans: &Spans,
        promoted: &[Promoted],
        breathe: &mut GoOn<'_>,
    ) -> Result<(), CompactError> {
        let columns: Vec<String> = promoted.iter().map(Promoted::column).collect();
        let names: Vec<&str> = columns.iter().map(String::as_str).chain(MAPS.map(|(name, _)| name)).collect();
        let mut scan = spans.file().scan_columns(&names)?;
        while let Some(batches) = scan.next()? {
            batches.rows.iter().for_each(|batch| self.add_batch(batch));
            go_on(breathe)?;
        }
        Ok(())
    }

    fn add_batch(&mut self, batch: &RecordBatch) {
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if let Some(key) = field.name().strip_prefix(PROMOTED_PREFIX) {
                let Some(kind) = Kind::of_data_type(field.data_type()) else { continue };
                let Some(count) = self.keys.get(key).map(|idx| &mut self.counts[*idx]) else { continue };
                count.rows[kind as usize] += (column.len() - column.null_count()) as u32;
                add_texts(count, column);
            } else if let Some((_, kind)) = MAPS.iter().find(|(name, _)| name == field.name()) {
                self.add_map(column, *kind);
            }
        }
    }

    /// Counts the attributes of a map. A column of another type is damage, which is told when its rows are read.
    fn add_map(&mut self, column: &ArrayRef, kind: Kind) {
        let Some(maps) = column.as_any().downcast_ref::<MapArray>() else { return };
        let Some(keys) = maps.keys().as_any().downcast_ref::<StringArray>() else { return };
        let texts = maps.values().as_any().downcast_ref::<StringArray>();
        for idx in 0..keys.len() {
            let Some(count) = self.keys.get(keys.value(idx)).map(|idx| &mut self.counts[*idx]) else { continue };
            count.rows[kind as usize] += 1;
            if let Some(texts) = texts {
                count.distinct.add(texts.value(idx).as_bytes());
            }
        }
        self.n_map_values += texts.map_or(0, |texts| texts.len() as u64);
    }

    /// Returns the keys to promote among `n_rows` rows, where those that had a column were `before`, the newest part's last.
    pub(super) fn promote(&self, n_rows: u64, before: &[Promoted], forced: &Forced) -> Vec<Promoted> {
        let kinds: BTreeMap<&String, Kind> = before.iter().map(|promoted| (&promoted.key, promoted.kind)).collect();
        let before: Vec<_> = kinds.into_iter().map(|(key, kind)| Promoted { key: key.clone(), kind }).collect();
        let rows = self.keys.iter().map(|(key, idx)| (key.as_str(), self.counts[*idx].rows));
        promote_counted(n_rows, rows.filter(|(_, rows)| rows.iter().any(|n| *n > 0)), &before, forced)
    }

    /// Returns how many values columns for `promoted` will have; the caller knows the rows.
    pub(super) fn sizes(&self, promoted: &[Promoted]) -> Sizes {
        let distinct = |promoted: &Promoted| match (promoted.kind, self.keys.get(&promoted.key)) {
            (Kind::Str, Some(idx)) => self.counts[*idx].distinct.estimate(),
            _ => 0.0,
        };
        // Values that lose their column come on top: few, and a filter that is too large is folded.
        Sizes {
            n_distinct: promoted.iter().map(distinct).collect(),
            n_map_values: self.n_map_values,
            ..Sizes::default()
        }
    }
}

fn add_texts(count: &mut Count, column: &ArrayRef) {
    let Some(texts) = column.as_any().downcast_ref::<StringArray>() else { return };
    texts.iter().flatten().for_each(|text| count.distinct.add(text.as_bytes()));
}
