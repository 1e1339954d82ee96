//! A trace as text: a tree of spans and visits beside their times, then what is missing.
//!
//! Called by `backsight trace get`. It is pure. What applications wrote is shown without control characters, so that a trace cannot drive
//! the terminal.

mod ending;
mod rows;
mod text;
mod tree;

pub(crate) use text::{clean, cut, pad, utc, width};

use backsight_proto::trace_json::TraceJson;

/// How a trace is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Style {
    /// Columns of a line; longer ones are wrapped or cut. `None` where no reader has a width: then nothing is.
    pub(crate) width: Option<usize>,
    pub(crate) colour: Colour,
}

/// Whether escape sequences may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Colour {
    Always,
    Never,
}

/// What a piece of a line is; decides its colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ink {
    Plain,
    Dim,
    Name,
    Good,
    Bad,
    Doubt,
}

/// A line in the making: pieces of text, each with its ink, cut at the width of the style.
struct Line<'a> {
    style: &'a Style,
    text: String,
    room: usize,
    is_cut: bool,
}

impl<'a> Line<'a> {
    fn new(style: &'a Style) -> Self {
        Self { style, text: String::new(), room: style.room(), is_cut: false }
    }

    /// Appends a piece, which holds no control characters.
    fn push(&mut self, ink: Ink, piece: &str) {
        if self.is_cut || piece.is_empty() {
            return;
        }
        let (piece, is_cut) = text::cut(piece, self.room);
        self.is_cut = is_cut;
        self.room = self.room.saturating_sub(text::width(&piece));
        let code = match ink {
            _ if self.style.colour == Colour::Never => None,
            Ink::Plain => None,
            Ink::Dim => Some("2"),
            Ink::Name => Some("1"),
            Ink::Good => Some("32"),
            Ink::Bad => Some("31"),
            Ink::Doubt => Some("33"),
        };
        match code {
            Some(code) => self.text += &format!("\x1b[{code}m{piece}\x1b[0m"),
            None => self.text += &piece,
        }
    }

    /// Returns whether a piece has room.
    fn fits(&self, piece: &str) -> bool {
        text::width(piece) <= self.room
    }

    fn end(self) -> String {
        self.text.trim_end().to_owned() + "\n"
    }
}

impl Style {
    /// Of output that goes to a file.
    pub(crate) const FILE: Self = Self { width: None, colour: Colour::Never };
    /// Narrower terminals get lines of this width.
    const WIDTH_MIN: usize = 40;
    /// Columns by which bars are measured where lines have no end.
    const WIDTH_USUAL: usize = 120;

    /// Returns the columns of a line.
    fn room(&self) -> usize {
        self.width.map_or(usize::MAX, |width| width.max(Self::WIDTH_MIN))
    }

    /// Returns the most of a value that is shown: all of it where lines have no end.
    fn most(&self, n_max: usize) -> usize {
        if self.width.is_some() { n_max } else { usize::MAX }
    }
}

/// Returns a trace as text.
///
/// # Cost
/// Time and memory linear in the trace: branches are drawn to a bounded depth.
pub(crate) fn render(trace: &TraceJson, style: &Style) -> String {
    let mut out = ending::heading(trace, style);
    out += &rows::rows(trace, style);
    out += &ending::ending(trace, style);
    out
}

#[cfg(test)]
mod tests;
