//! Tables: columns as wide as their widest cell.
//!
//! Called by the subcommands that list things.

use crate::render::{clean, pad};
use unicode_width::UnicodeWidthStr;

/// On which side a column's cells are padded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Returns the rows below their titles. Cells are shown without control characters.
pub(super) fn table<const N: usize>(columns: [(&str, Align); N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| clean(cell))).collect();
    let widest = |i: usize| rows.iter().map(|row| row[i].width()).chain([columns[i].0.width()]).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(widest);
    let line = |cells: [&str; N]| {
        let cells = cells.iter().zip(columns).zip(widths);
        let cells = cells.map(|((cell, (_, align)), width)| pad_cell(cell, align, width));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(columns.map(|(title, _)| title));
    for row in &rows {
        text += &line(row.each_ref().map(String::as_str));
    }
    text
}

/// Returns a cell of at least `width` columns.
pub(super) fn pad_cell(cell: &str, align: Align, width: usize) -> String {
    match align {
        Align::Left => format!("{cell}{}", pad(cell, width)),
        Align::Right => format!("{}{cell}", pad(cell, width)),
    }
}
