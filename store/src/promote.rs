//! Which keys of attributes get a column of their own, decided at each cut from how many rows have them.
//!
//! Called by `part` when it writes a batch, and by compaction. Pure, and the same for the same counts: a key that is promoted stays so until it has become
//! rare, so that columns do not come and go from part to part.

use crate::batch::Batch;
use crate::schema::PROMOTED_PREFIX;
use arrow_schema::DataType;
use std::collections::{BTreeMap, BTreeSet};

/// The most columns of promoted keys.
pub const PROMOTED_MAX: usize = 48;
/// A key is promoted from this share of rows on ...
pub const PROMOTE_SHARE: f64 = 0.05;
/// ... and stays so down to this one.
pub const DEMOTE_SHARE: f64 = 0.02;
/// The longest key that gets a column.
pub const KEY_MAX_BYTES: usize = 128;

/// The type of a promoted key's values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Strings.
    Str,
    /// Integers.
    Int,
    /// Doubles.
    Dbl,
    /// Bools.
    Bool,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Str, Self::Int, Self::Dbl, Self::Bool];

    /// Returns its name in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Str => "str",
            Self::Int => "int",
            Self::Dbl => "dbl",
            Self::Bool => "bool",
        }
    }

    /// Returns the type of its column.
    pub const fn data_type(self) -> DataType {
        match self {
            Self::Str => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Dbl => DataType::Float64,
            Self::Bool => DataType::Boolean,
        }
    }

    /// Returns the kind of a column of this type.
    pub fn of_data_type(data_type: &DataType) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.data_type() == *data_type)
    }

    /// Returns the kind called `name`.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A key with a column of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Promoted {
    /// The key.
    pub key: String,
    /// The type of the values in the column; values of another type stay in the maps.
    pub kind: Kind,
}

impl Promoted {
    /// Returns the name of its column.
    pub fn column(&self) -> String {
        format!("{PROMOTED_PREFIX}{}", self.key)
    }
}

/// What people force.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Forced {
    /// Keys that get a column wherever a row has them (`store.promote`).
    pub promote: BTreeSet<String>,
    /// Keys that never get one (`store.demote`); it wins.
    pub demote: BTreeSet<String>,
}

/// Returns the keys of `batch` to promote, in the order of their columns, where those of the part before it were `before`.
///
/// # Shape
/// At most [`PROMOTED_MAX`], forced ones first, then the most frequent; of keys that differ in case alone one, as SQL engines do not tell
/// their columns apart. A column's type is that of most rows, the one before where there are as many of that.
pub fn promote(batch: &Batch, before: &[Promoted], forced: &Forced) -> Vec<Promoted> {
    promote_counted(batch.n_spans() as u64, batch.key_rows(), before, forced)
}

/// Returns the keys to promote of `n_rows` rows, of which so many have each key with a string, an integer, a double or a bool.
///
/// # Shape
/// As of [`promote`].
pub(crate) fn promote_counted<'a>(
    n_rows: u64,
    key_rows: impl Iterator<Item = (&'a str, [u32; 4])>,
    before: &[Promoted],
    forced: &Forced,
) -> Vec<Promoted> {
    let n_rows = n_rows as f64;
    let before: BTreeMap<_, _> = before.iter().map(|promoted| (promoted.key.as_str(), promoted.kind)).collect();
    let mut candidates: Vec<_> = key_rows
        .filter(|(key, rows)| {
            let share = f64::from(rows.iter().sum::<u32>()) / n_rows;
            let least = if before.contains_key(key) { DEMOTE_SHARE } else { PROMOTE_SHARE };
            can_be_column(key) && !forced.demote.contains(*key) && (share >= least || forced.promote.contains(*key))
        })
        .map(|(key, rows)| (!forced.promote.contains(key), std::cmp::Reverse(rows.iter().sum::<u32>()), key, rows))
        .collect();
    candidates.sort();
    let mut folded = BTreeSet::new();
    candidates.retain(|(_, _, key, _)| folded.insert(key.to_lowercase()));
    candidates.truncate(PROMOTED_MAX);
    let mut promoted: Vec<_> = candidates
        .into_iter()
        .map(|(_, _, key, rows)| Promoted { key: key.to_owned(), kind: majority(rows, before.get(key).copied()) })
        .collect();
    promoted.sort();
    promoted
}

/// Returns the kind of most rows; `before` where none has more.
fn majority(rows: [u32; 4], before: Option<Kind>) -> Kind {
    let most = rows.iter().max().copied().unwrap_or(0);
    let has_most = |kind: &Kind| rows[*kind as usize] == most;
    before.filter(has_most).or_else(|| Kind::ALL.into_iter().find(has_most)).unwrap_or(Kind::Str)
}

/// Returns whether a column may bear the key's name in all engines.
fn can_be_column(key: &str) -> bool {
    !key.is_empty() && key.len() <= KEY_MAX_BYTES && !key.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
