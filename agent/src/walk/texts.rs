//! Texts of records as the walk compares them: interned ones looked up once, all cut at what an expression can ask for.
//!
//! Called by the walk. Strings of regions are anybody's: what is looked up is copied, cut and made UTF-8.

use super::SegmentCopy;
use backsight_core::expr::TEXT_MAX_BYTES;
use backsight_core::ids::{RegionId, StringId};
use backsight_core::record::Value;
use backsight_core::record::decode::Name;
use backsight_core::trace::AttributeValue;
use std::collections::HashMap;
use std::sync::Arc;

/// Interned strings that are remembered; when there are more, all are looked up anew.
pub const TEXTS_MAX: usize = 16_384;

/// The interned strings that were looked up. Asked by key, and never walked through.
#[derive(Default)]
pub(super) struct Texts {
    known: HashMap<(RegionId, StringId), Arc<str>>,
}

impl Texts {
    /// Returns the text of a name; `#<id>` for a string that is not in its region's table, as everywhere.
    pub(super) fn name(&mut self, segment: &SegmentCopy<'_>, name: Name<'_>, n_cut: &mut u64) -> Arc<str> {
        match name {
            Name::Inline(bytes) => text(bytes, n_cut),
            Name::Interned(StringId::NONE) => Arc::default(),
            Name::Interned(id) => self.interned(segment, id, n_cut),
        }
    }

    fn interned(&mut self, segment: &SegmentCopy<'_>, id: StringId, n_cut: &mut u64) -> Arc<str> {
        if let Some(known) = self.known.get(&(segment.region, id)) {
            return known.clone();
        }
        let Some(bytes) = (segment.string)(id) else { return id.to_string().into() };
        let text = text(&bytes, n_cut);
        if self.known.len() >= TEXTS_MAX {
            self.known.clear();
        }
        self.known.insert((segment.region, id), text.clone());
        text
    }

    /// Returns a value; of bytes and arrays, which nothing compares with, only that there is one.
    pub(super) fn value(&mut self, segment: &SegmentCopy<'_>, value: Value<'_>, n_cut: &mut u64) -> AttributeValue {
        match value {
            Value::Bool(value) => AttributeValue::Bool(value),
            Value::I64(value) => AttributeValue::I64(value),
            Value::F64(value) => AttributeValue::F64(value),
            Value::Interned(id) => AttributeValue::Str(self.name(segment, Name::Interned(id), n_cut)),
            Value::String(bytes) => AttributeValue::Str(text(bytes, n_cut)),
            Value::Bytes(_) | Value::Array(_) => AttributeValue::Bytes(Vec::new()),
        }
    }
}

/// Returns the beginning of a text; counts where that is not all of it.
pub(super) fn text(bytes: &[u8], n_cut: &mut u64) -> Arc<str> {
    let cut = bytes.get(..TEXT_MAX_BYTES).unwrap_or(bytes);
    *n_cut += u64::from(cut.len() < bytes.len());
    String::from_utf8_lossy(cut).into()
}
