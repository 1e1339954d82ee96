//! Writing to standard output, and what is known of the terminal behind it.

use crate::render::{Colour, Style};
use anyhow::{Context, Result};
use std::io::{ErrorKind, IsTerminal, Write, stdout};

/// Columns where output is no terminal.
const WIDTH_DEFAULT: usize = 120;

/// Writes text. A reader that has seen enough (`backsight … | head`) is no error.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes())
}

/// Writes bytes, as [`print`] writes text.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("write to standard output"),
        _ => Ok(()),
    }
}

/// Returns the style that suits standard output: as wide as the terminal, coloured unless `NO_COLOR` is set to something.
pub(crate) fn style() -> Style {
    if !stdout().is_terminal() {
        return Style { width: WIDTH_DEFAULT, colour: Colour::Never };
    }
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let width = rustix::termios::tcgetwinsize(stdout()).map_or(0, |size| usize::from(size.ws_col));
    Style {
        width: if width == 0 { WIDTH_DEFAULT } else { width },
        colour: if no_color { Colour::Never } else { Colour::Always },
    }
}
