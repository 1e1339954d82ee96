//! Columns of attributes: one for each promoted key, a map for each type, and the order in which they came where that is another.
//!
//! Called by `spans` with the attributes of row after row. Where a row has no value of a promoted key, its column is null there.

use super::columns::Maps;
use super::{ArrowResult, text};
use crate::batch::{Batch, Cell, CellValue};
use crate::promote::{Kind, PROMOTED_MAX, Promoted};
use arrow_array::ArrayRef;
use arrow_array::builder::{ArrayBuilder, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder};
use arrow_schema::DataType;
use std::sync::Arc;

/// For each key of a batch the column that it has.
pub(super) struct Slots<'a> {
    promoted: &'a [Promoted],
    /// By the key's number, [`NO_SLOT`] where it has none.
    columns: Vec<u8>,
}

const NO_SLOT: u8 = u8::MAX;

impl<'a> Slots<'a> {
    pub(super) fn new(batch: &Batch, promoted: &'a [Promoted]) -> Self {
        let promoted = &promoted[..promoted.len().min(PROMOTED_MAX)];
        let column = |code: usize| {
            let key = batch.names.text(code as u32);
            promoted.binary_search_by(|promoted| promoted.key.as_str().cmp(key)).map_or(NO_SLOT, |idx| idx as u8)
        };
        Self { promoted, columns: (0..batch.names.len()).map(column).collect() }
    }

    /// Returns the column that the value of `cell` goes to.
    fn column(&self, cell: &Cell) -> Option<usize> {
        let idx = usize::from(self.columns[cell.key as usize]);
        let kind = match cell.value {
            CellValue::Str(_) => Kind::Str,
            CellValue::Int(_) => Kind::Int,
            CellValue::Dbl(_) => Kind::Dbl,
            CellValue::Bool(_) => Kind::Bool,
            CellValue::Other(_) => return None,
        };
        self.promoted.get(idx).filter(|promoted| promoted.kind == kind).map(|_| idx)
    }
}

enum Column {
    Str(StringBuilder),
    Int(Int64Builder),
    Dbl(Float64Builder),
    Bool(BooleanBuilder),
}

impl Column {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Str => Self::Str(StringBuilder::new()),
            Kind::Int => Self::Int(Int64Builder::new()),
            Kind::Dbl => Self::Dbl(Float64Builder::new()),
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
        }
    }

    /// Fills up with nulls to `n_rows` rows.
    fn pad(&mut self, n_rows: usize) {
        match self {
            Self::Str(column) => (column.len()..n_rows).for_each(|_| column.append_null()),
            Self::Int(column) => column.append_nulls(n_rows - column.len()),
            Self::Dbl(column) => column.append_nulls(n_rows - column.len()),
            Self::Bool(column) => column.append_nulls(n_rows - column.len()),
        }
    }

    fn push(&mut self, batch: &Batch, value: CellValue) {
        match (self, value) {
            (Self::Str(column), CellValue::Str(text)) => column.append_value(batch.str(text)),
            (Self::Int(column), CellValue::Int(value)) => column.append_value(value),
            (Self::Dbl(column), CellValue::Dbl(value)) => column.append_value(value),
            (Self::Bool(column), CellValue::Bool(value)) => column.append_value(value),
            _ => unreachable!("a slot takes values of its kind only"),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Str(mut column) => Arc::new(column.finish()),
            Self::Int(mut column) => Arc::new(column.finish()),
            Self::Dbl(mut column) => Arc::new(column.finish()),
            Self::Bool(mut column) => Arc::new(column.finish()),
        }
    }
}

/// The columns in the making.
pub(super) struct Attributes<'a> {
    batch: &'a Batch,
    slots: &'a Slots<'a>,
    promoted: Vec<Column>,
    strings: Maps<StringBuilder>,
    ints: Maps<Int64Builder>,
    doubles: Maps<Float64Builder>,
    bools: Maps<BooleanBuilder>,
    others: Maps<BinaryBuilder>,
    order: BinaryBuilder,
    n_rows: usize,
    /// Of the row at hand: the rank of each attribute's column.
    ranks: Vec<u8>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(batch: &'a Batch, slots: &'a Slots<'a>) -> Self {
        Self {
            batch,
            slots,
            promoted: slots.promoted.iter().map(|promoted| Column::new(promoted.kind)).collect(),
            strings: Maps::new(StringBuilder::new(), DataType::Utf8),
            ints: Maps::new(Int64Builder::new(), DataType::Int64),
            doubles: Maps::new(Float64Builder::new(), DataType::Float64),
            bools: Maps::new(BooleanBuilder::new(), DataType::Boolean),
            others: Maps::new(BinaryBuilder::new(), DataType::Binary),
            order: BinaryBuilder::new(),
            n_rows: 0,
            ranks: Vec::new(),
        }
    }

    /// Adds the attributes of a row.
    pub(super) fn push_row(&mut self, cells: &[Cell]) {
        self.ranks.clear();
        for cell in cells {
            let rank = match self.slots.column(cell) {
                Some(idx) => {
                    let column = &mut self.promoted[idx];
                    column.pad(self.n_rows);
                    column.push(self.batch, cell.value);
                    idx as u8
                }
                None => self.push_to_map(cell),
            };
            self.ranks.push(rank);
        }
        self.strings.end_row();
        self.ints.end_row();
        self.doubles.end_row();
        self.bools.end_row();
        self.others.end_row();
        if self.ranks.is_sorted() {
            self.order.append_null();
        } else {
            self.order.append_value(positions(&self.ranks));
        }
        self.n_rows += 1;
    }

    /// Puts an attribute into the map of its type, and returns the map's rank: behind all columns.
    fn push_to_map(&mut self, cell: &Cell) -> u8 {
        let key = self.batch.names.text(cell.key);
        let map = match cell.value {
            CellValue::Str(text) => {
                self.strings.key(key);
                self.strings.values.append_value(self.batch.str(text));
                text::code::STR
            }
            CellValue::Int(value) => {
                self.ints.key(key);
                self.ints.values.append_value(value);
                text::code::INT
            }
            CellValue::Dbl(value) => {
                self.doubles.key(key);
                self.doubles.values.append_value(value);
                text::code::DBL
            }
            CellValue::Bool(value) => {
                self.bools.key(key);
                self.bools.values.append_value(value);
                text::code::BOOL
            }
            CellValue::Other(text) => {
                self.others.key(key);
                self.others.values.append_value(self.batch.bytes(text));
                text::code::OTHER
            }
        };
        PROMOTED_MAX as u8 + map
    }

    /// Returns the columns from the first promoted one to `attrs_order`.
    pub(super) fn finish(mut self) -> ArrowResult<Vec<ArrayRef>> {
        let mut columns = Vec::with_capacity(self.promoted.len() + 6);
        for mut column in self.promoted {
            column.pad(self.n_rows);
            columns.push(column.finish());
        }
        columns.extend([
            self.strings.finish()?,
            self.ints.finish()?,
            self.doubles.finish()?,
            self.bools.finish()?,
            self.others.finish()?,
            Arc::new(self.order.finish()),
        ]);
        Ok(columns)
    }
}

/// Returns for each attribute, in the order in which they came, its place among them sorted by rank; numbers as LEB128.
fn positions(ranks: &[u8]) -> Vec<u8> {
    let mut sorted: Vec<u32> = (0..ranks.len() as u32).collect();
    sorted.sort_by_key(|idx| ranks[*idx as usize]);
    let mut places = vec![0; ranks.len()];
    for (place, idx) in sorted.iter().enumerate() {
        places[*idx as usize] = place as u32;
    }
    let mut bytes = Vec::with_capacity(ranks.len());
    for mut place in places {
        while place >= 0x80 {
            bytes.push(place as u8 | 0x80);
            place >>= 7;
        }
        bytes.push(place as u8);
    }
    bytes
}

/// Columns of attributes of events or links: a map of texts, and the types where not all are strings.
pub(super) struct TextAttributes {
    maps: Maps<StringBuilder>,
    types: BinaryBuilder,
    codes: Vec<u8>,
}

impl TextAttributes {
    pub(super) fn new() -> Self {
        Self { maps: Maps::new(StringBuilder::new(), DataType::Utf8), types: BinaryBuilder::new(), codes: Vec::new() }
    }

    /// Adds the attributes of one event or link.
    pub(super) fn push(&mut self, batch: &Batch, cells: &[Cell]) {
        self.codes.clear();
        for cell in cells {
            self.maps.key(batch.names.text(cell.key));
            let values = &mut self.maps.values;
            let code = match cell.value {
                CellValue::Str(text) => {
                    values.append_value(batch.str(text));
                    text::code::STR
                }
                CellValue::Int(value) => {
                    values.append_value(value.to_string());
                    text::code::INT
                }
                CellValue::Dbl(value) => {
                    values.append_value(text::of_double(value));
                    text::code::DBL
                }
                CellValue::Bool(value) => {
                    values.append_value(value.to_string());
                    text::code::BOOL
                }
                CellValue::Other(bytes) => {
                    values.append_value(text::of_bytes(batch.bytes(bytes)));
                    text::code::OTHER
                }
            };
            self.codes.push(code);
        }
        self.maps.end_row();
        if self.codes.iter().all(|code| *code == text::code::STR) {
            self.types.append_null();
        } else {
            self.types.append_value(&self.codes);
        }
    }

    /// Returns the columns `attrs` and `types`.
    pub(super) fn finish(mut self) -> ArrowResult<[ArrayRef; 2]> {
        Ok([self.maps.finish()?, Arc::new(self.types.finish())])
    }
}
