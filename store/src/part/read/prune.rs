//! What a file tells of a row group before its rows are read: limits of columns, Bloom filters, keys of maps.
//!
//! Called by searches. What is not told excludes nothing, and a lie in a file costs its own rows at most.

use super::{File, PartError, guarded, parquet_error};
use parquet::basic::{Encoding, PageType};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::statistics::Statistics;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The longest dictionary of keys that is kept, in bytes.
const KEYS_MAX_BYTES: usize = 1 << 20;

/// The keys of a row group's map; `None` where they are not told.
type Keys = Option<Arc<BTreeSet<String>>>;

/// What was read of a file since it was opened, by row group and column.
#[derive(Default)]
pub(super) struct Lazy {
    blooms: BTreeMap<(usize, usize), Option<Arc<Sbbf>>>,
    keys: BTreeMap<(usize, usize), Keys>,
    bytes: usize,
}

/// The least and the greatest value of a column in a row group.
#[derive(Clone, PartialEq, Debug)]
pub enum Limits {
    /// Of whole numbers and times.
    Int(i64, i64),
    /// Of doubles; NaN counts as none.
    Dbl(f64, f64),
    /// Of texts, in the order of their bytes; both may be longer or shorter than a value that is there.
    Str(String, String),
    /// There is no value but null.
    Nothing,
}

impl File {
    /// Returns the limits of the column at `path` in row group `group`, `None` where they are not told.
    pub fn limits(&self, group: usize, path: &[&str]) -> Option<Limits> {
        let (_, column) = self.column(group, path)?;
        if is_nothing(column) {
            return Some(Limits::Nothing);
        }
        match column.statistics()? {
            Statistics::Int32(of) => Some(Limits::Int((*of.min_opt()?).into(), (*of.max_opt()?).into())),
            Statistics::Int64(of) => Some(Limits::Int(*of.min_opt()?, *of.max_opt()?)),
            Statistics::Double(of) => Some(Limits::Dbl(*of.min_opt()?, *of.max_opt()?)),
            Statistics::ByteArray(of) => {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
                Some(Limits::Str(text(of.min_bytes_opt()?)?, text(of.max_bytes_opt()?)?))
            }
            _ => None,
        }
    }

    /// Returns whether row group `group` may hold `value` in the column of texts at `path`; false is certain.
    ///
    /// # Errors
    /// The file is damaged.
    /// # Cost
    /// Reads the column's Bloom filter once, and keeps it.
    pub fn may_hold(&self, group: usize, path: &[&str], value: &str) -> Result<bool, PartError> {
        let Some((idx, column)) = self.column(group, path) else { return Ok(true) };
        if column.bloom_filter_length().is_none() {
            return Ok(true);
        }
        let known = self.lazy().blooms.get(&(group, idx)).cloned();
        let bloom = match known {
            Some(bloom) => bloom,
            None => {
                let read = guarded(self.path(), || {
                    Sbbf::read_from_column_chunk(column, &self.source)
                        .map_err(|error| parquet_error(self.path(), error))
                })?;
                let bloom = read.filter(|bloom| bloom.num_blocks() > 0).map(Arc::new);
                let mut lazy = self.lazy();
                lazy.bytes += column.bloom_filter_length().unwrap_or(0).max(0) as usize;
                lazy.blooms.insert((group, idx), bloom.clone());
                bloom
            }
        };
        Ok(bloom.is_none_or(|bloom| bloom.check(value)))
    }

    /// Returns whether the maps of `map`, a root of texts by key, may have `key` in row group `group`; false is certain.
    ///
    /// # Errors
    /// The file is damaged.
    /// # Cost
    /// Reads the dictionary of the keys once, some pages of a row group's thousands, and keeps it.
    pub fn may_have_key(&self, group: usize, map: &str, key: &str) -> Result<bool, PartError> {
        let path = [map, "key_value", "key"];
        let Some((idx, column)) = self.column(group, &path) else { return Ok(true) };
        if self.limits(group, &path) == Some(Limits::Nothing) {
            return Ok(false);
        }
        let known = self.lazy().keys.get(&(group, idx)).cloned();
        let keys = match known {
            Some(keys) => keys,
            None => {
                let n_rows = self.metadata.metadata().row_group(group).num_rows() as usize;
                let keys = guarded(self.path(), || {
                    self.dictionary(column, n_rows).map_err(|error| parquet_error(self.path(), error))
                })?;
                let keys = keys.map(Arc::new);
                let mut lazy = self.lazy();
                lazy.bytes += keys.as_ref().map_or(0, |keys| keys.iter().map(|key| key.len() + 48).sum());
                lazy.keys.insert((group, idx), keys.clone());
                keys
            }
        };
        Ok(keys.is_none_or(|keys| keys.contains(key)))
    }

    /// Returns the texts of a column that has no other than those of its dictionary; `None` where it has, or where that is not told.
    fn dictionary(
        &self,
        column: &ColumnChunkMetaData,
        n_rows: usize,
    ) -> Result<Option<BTreeSet<String>>, ParquetError> {
        if column.dictionary_page_offset().is_none() || !is_all_coded(column) {
            return Ok(None);
        }
        let mut pages = SerializedPageReader::new(Arc::new(self.source.clone()), column, n_rows, None)?;
        let Some(Page::DictionaryPage {
            buf, num_values, encoding: Encoding::PLAIN | Encoding::PLAIN_DICTIONARY, ..
        }) = pages.get_next_page()?
        else {
            return Ok(None);
        };
        if buf.len() > KEYS_MAX_BYTES {
            return Ok(None);
        }
        Ok(plain_texts(&buf, num_values as usize))
    }

    /// Returns the column at `path`, and its place.
    fn column(&self, group: usize, path: &[&str]) -> Option<(usize, &ColumnChunkMetaData)> {
        let columns = self.metadata.metadata().row_groups().get(group)?.columns();
        columns.iter().enumerate().find(|(_, column)| {
            let parts = column.column_path().parts();
            parts.len() == path.len() && parts.iter().zip(path).all(|(a, b)| a == b)
        })
    }

    /// Returns roughly how many bytes of memory the file takes: footer, indexes, and what was read since.
    pub fn memory_bytes(&self) -> usize {
        let blooms = self.blooms.iter().flatten().map(|bloom| bloom.num_blocks() * 32).sum::<usize>();
        self.metadata.metadata().memory_size() + blooms + self.lazy().bytes
    }

    fn lazy(&self) -> MutexGuard<'_, Lazy> {
        self.lazy.lock().unwrap_or_else(PoisonError::into_inner) // nothing is left half-done in it
    }
}

pub(super) fn lazy() -> Arc<Mutex<Lazy>> {
    Arc::default()
}

/// Returns whether a column has no value but null.
pub(super) fn is_nothing(column: &ColumnChunkMetaData) -> bool {
    let n_nulls = column.statistics().and_then(Statistics::null_count_opt);
    column.num_values() > 0 && n_nulls.is_some_and(|nulls| nulls as i64 == column.num_values())
}

/// Returns whether all values of a column are in its dictionary.
fn is_all_coded(column: &ColumnChunkMetaData) -> bool {
    let is_coded = |encoding: Encoding| matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
    if let Some(mask) = column.page_encoding_stats_mask() {
        return mask.encodings().all(is_coded);
    }
    let is_data = |page: PageType| matches!(page, PageType::DATA_PAGE | PageType::DATA_PAGE_V2);
    let stats = column.page_encoding_stats();
    stats.is_some_and(|stats| stats.iter().all(|pages| !is_data(pages.page_type) || is_coded(pages.encoding)))
}

/// Returns the texts of a plain page: each a length of four bytes, and its bytes.
fn plain_texts(page: &[u8], n_texts: usize) -> Option<BTreeSet<String>> {
    let mut texts = BTreeSet::new();
    let mut rest = page;
    for _ in 0..n_texts {
        let (len, behind) = rest.split_first_chunk::<4>()?;
        let (text, behind) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        texts.insert(std::str::from_utf8(text).ok()?.to_owned());
        rest = behind;
    }
    Some(texts)
}
