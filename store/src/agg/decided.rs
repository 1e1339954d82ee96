//! A trace that was decided on, as the tables take it: its tree, its critical path, its names.
//!
//! Called by `Aggregates`, and by whoever has the tree already.

use super::labels::LabelRef;
use crate::rows::SpanRow;
use backsight_core::columns::{Columns, Labels, Row, Tree, row_flags};
use backsight_core::critical::CriticalPath;
use backsight_core::ids::SpanId;
use backsight_core::record::SpanKind;

/// A trace, whole as far as it came.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// Its tree.
    pub tree: &'a Tree<'a>,
    /// Its critical path.
    pub critical: &'a CriticalPath,
    /// What the labels of its rows stand for.
    pub names: &'a Labels,
    /// The start of its first span, in nanoseconds since 1970, whatever the times of its rows count from.
    pub start_ns: i64,
}

impl<'a> Decided<'a> {
    /// Returns what a node is called.
    pub(super) fn label(&self, node: u32) -> LabelRef<'a> {
        if self.tree.is_synthetic(node) {
            return LabelRef::SYNTHETIC;
        }
        let label = self.names.get(self.tree.row(node).label);
        LabelRef::new(&label.service, &label.operation, label.kind)
    }
}

/// Returns the kind of a span.
pub(super) const fn kind_of(span: &SpanRow<'_>) -> SpanKind {
    SpanKind::from_code(span.kind.cast_unsigned())
}

/// Returns the rows of a trace as its tree is made of them, their times counted from `start_ns`, the start of the first; so times of any sign keep
/// their distances.
pub fn columns_of(spans: &[SpanRow<'_>], labels: &mut Labels) -> (Columns, i64) {
    let start_ns = spans.iter().map(|span| span.start_ns).min().unwrap_or_default();
    let known_flags = row_flags::OPEN | row_flags::REPAIRED | row_flags::VISIT;
    let mut columns = Columns::default();
    for span in spans {
        let from_start_ns = span.start_ns.abs_diff(start_ns);
        let row = Row {
            id: span.id,
            parent: span.parent.unwrap_or(SpanId(0)),
            start_ns: from_start_ns,
            end_ns: from_start_ns.saturating_add(span.duration_ns.max(0).cast_unsigned()),
            label: labels.intern(&span.service, &span.operation, kind_of(span)),
            host: columns.host(&span.host),
            flags: span.flags.cast_unsigned() & known_flags,
        };
        columns.push(row);
    }
    (columns, start_ns)
}
