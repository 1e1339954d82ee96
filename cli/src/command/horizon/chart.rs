//! A chart of one value over time, in characters: eighths of blocks, and a line where the value should be.

use super::time;

/// Rows of a chart.
const ROWS: usize = 8;
/// Steps within one row.
const STEPS: u64 = 8;
/// Columns below which nothing is drawn.
const COLUMNS_MIN: usize = 10;
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chart<'a> {
    /// Durations in milliseconds, oldest first; `None` where there was none.
    pub(super) values: &'a [Option<u64>],
    /// Where they should be.
    pub(super) mark: u64,
    /// How long ago the first was.
    pub(super) span_ms: u64,
}

impl Chart<'_> {
    /// Returns the chart, no wider than `width`; `None` where there is nothing to draw, or no room.
    pub(super) fn draw(&self, width: usize) -> Option<String> {
        let largest = self.values.iter().flatten().copied().max()?;
        // The mark has a row of its own, and what is far above it all looks the same.
        let top = largest.max(self.mark).min(self.mark.saturating_mul(20)).max(1);
        let labels = [time(top), time(self.mark), time(0)];
        let margin = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        let n_columns = width.checked_sub(margin + 2).filter(|n| *n >= COLUMNS_MIN)?.min(self.values.len());
        let heights = self.columns(n_columns).map(|value| value.map(|value| height(value, top)));
        let heights: Vec<Option<u64>> = heights.collect();
        let mark_row = (height(self.mark, top).saturating_sub(1) / STEPS) as usize;
        let mut text = String::new();
        for row in (0..ROWS).rev() {
            let label = match row {
                _ if row == mark_row => &labels[1],
                _ if row == ROWS - 1 => &labels[0],
                0 => &labels[2],
                _ => "",
            };
            let cells: String = heights.iter().map(|height| cell(*height, row, row == mark_row)).collect();
            text += format!("{label:>margin$} ┤{cells}").trim_end();
            text.push('\n');
        }
        let since = format!("{} ago", time(self.span_ms));
        let gap = (n_columns + 1).saturating_sub(since.chars().count() + 3);
        text += &format!("{:margin$} {since}{:gap$}now\n", "", "");
        Some(text)
    }

    /// Returns one value for each column: the smallest of those that fall into it, as a short horizon is what matters.
    fn columns(&self, n_columns: usize) -> impl Iterator<Item = Option<u64>> {
        let n = self.values.len();
        (0..n_columns).map(move |column| {
            let values = &self.values[column * n / n_columns..(column + 1) * n / n_columns];
            values.iter().flatten().copied().min()
        })
    }
}

/// Returns how many steps high a value stands; more than none where there is a value.
fn height(value: u64, top: u64) -> u64 {
    let steps = ROWS as u128 * u128::from(STEPS);
    (u128::from(value.min(top)) * steps / u128::from(top)).max(1) as u64
}

fn cell(height: Option<u64>, row: usize, is_marked: bool) -> char {
    let filled = height.map_or(0, |height| height.saturating_sub(row as u64 * STEPS).min(STEPS));
    if filled == 0 && is_marked { '┄' } else { BLOCKS[filled as usize] }
}
