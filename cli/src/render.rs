//! A trace as text: a tree of spans and visits beside their times, then what is missing.
//!
//! Called by `backsight trace get`. It is pure. What applications wrote is shown without control characters, so that a trace cannot drive
//! the terminal.

mod ending;
mod rows;
mod text;
mod tree;

pub(crate) use text::{clean, pad, utc};

use backsight_proto::trace_json::TraceJson;

/// How a trace is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Style {
    /// Columns of a line; longer ones are cut.
    pub(crate) width: usize,
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
        Self { style, text: String::new(), room: style.width.max(Style::WIDTH_MIN), is_cut: false }
    }

    /// Appends a piece, which holds no control characters.
    fn push(&mut self, ink: Ink, piece: &str) {
        if self.is_cut || piece.is_empty() {
            return;
        }
        let (piece, is_cut) = text::cut(piece, self.room);
        self.is_cut = is_cut;
        self.room -= text::width(&piece).min(self.room);
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

    fn end(self) -> String {
        self.text.trim_end().to_owned() + "\n"
    }
}

impl Style {
    /// Narrower terminals get lines of this width.
    const WIDTH_MIN: usize = 40;
}

/// Returns a trace as text.
///
/// # Cost
/// Time and memory linear in the trace: lines are cut at the width, and branches drawn to a bounded depth.
pub(crate) fn render(trace: &TraceJson, style: &Style) -> String {
    let mut out = ending::heading(trace, style);
    out += &rows::rows(trace, style);
    out += &ending::ending(trace, style);
    out
}

#[cfg(test)]
mod tests;
