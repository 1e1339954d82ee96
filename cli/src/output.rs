//! Writing to standard output, and what is known of the terminal behind it.

use crate::render::{Colour, Style};
use anyhow::{Context, Result};
use std::io::{ErrorKind, IsTerminal, Write, stdout};

/// Columns of a terminal that does not say how many it has.
const WIDTH_DEFAULT: usize = 120;

/// Writes text; returns whether anybody still reads. A reader that has seen enough (`backsight … | head`) is no error.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<bool> {
    print_bytes(text.as_bytes())
}

/// Writes bytes, as [`print`] writes text.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<bool> {
    let mut stdout = stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("write to standard output"),
        Ok(()) => Ok(true),
    }
}

/// Returns the columns of the terminal behind standard output: as `COLUMNS` says, else as it says itself. `None` where it is no terminal:
/// files and programs get all of every line.
pub(crate) fn width() -> Option<usize> {
    stdout().is_terminal().then(|| {
        let own = rustix::termios::tcgetwinsize(stdout()).map_or(0, |size| usize::from(size.ws_col));
        columns(std::env::var("COLUMNS").ok().as_deref(), own)
    })
}

/// Returns the columns of a terminal that says it has `own`, 0 where it does not know.
fn columns(variable: Option<&str>, own: usize) -> usize {
    let named = variable.and_then(|text| text.trim().parse().ok()).filter(|columns| *columns > 0);
    named.unwrap_or(if own == 0 { WIDTH_DEFAULT } else { own })
}

/// Returns the style that suits standard output: as wide as the terminal, coloured unless `NO_COLOR` is set to something.
pub(crate) fn style() -> Style {
    let width = width();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = if width.is_none() || no_color { Colour::Never } else { Colour::Always };
    Style { width, colour }
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn the_variable_wins_over_the_terminal_if_it_is_a_number() {
        assert_eq!(columns(Some("60"), 200), 60);
        for nonsense in [None, Some(""), Some("0"), Some("wide")] {
            assert_eq!((columns(nonsense, 200), columns(nonsense, 0)), (200, 120));
        }
    }
}
