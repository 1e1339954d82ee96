//! Pieces of text: cut, cleaned, measured.

use backsight_core::units::Nanos;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns the columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Returns the spaces that fill a text up to `width` columns.
pub(crate) fn pad(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(text.width()))
}

/// Returns a text with control characters as spaces; those that reorder text are left out.
pub(crate) fn clean(text: &str) -> String {
    let is_hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|c| !is_hidden(*c)).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Returns a text cut to `room` columns, the last of them `…`, and whether it was cut.
pub(crate) fn cut(text: &str, room: usize) -> (String, bool) {
    if text.width() <= room {
        return (text.to_owned(), false);
    }
    let (mut short, mut used) = (String::new(), 0);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= room {
            break;
        }
        short.push(c);
    }
    if room > 0 {
        short.push('…');
    }
    (short, true)
}

/// Returns a text as lines of at most `room` columns, broken at spaces where there are any. At least one line.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let (mut lines, mut line, mut used, mut space) = (Vec::new(), String::new(), 0, 0);
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        // A space at the end of a line may stand over it: it is not shown.
        while c != ' ' && used + columns > room && !line.is_empty() {
            let rest = if space > 0 { line.split_off(space) } else { String::new() };
            lines.push(line.trim_end().to_owned());
            (used, space) = (rest.width(), 0);
            line = rest;
        }
        line.push(c);
        used += columns;
        if c == ' ' {
            space = line.len();
        }
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// Returns a length or offset in nanoseconds as people write it.
pub(super) fn offset(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    format!("{sign}{}", Nanos(ns.unsigned_abs()))
}

/// Returns an instant in nanoseconds since 1970 as `2026-01-31T12:00:00.123Z`.
pub(crate) fn utc(unix_ns: u64) -> String {
    let (days, ms_of_day) = (unix_ns / 86_400_000_000_000, unix_ns / 1_000_000 % 86_400_000);
    let (year, month, day) = civil(days);
    let (s, ms) = (ms_of_day / 1000, ms_of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", s / 3600, s / 60 % 60, s % 60)
}

/// Returns year, month and day of a number of days since 1970.
///
/// # Source
/// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
const fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * day_of_year + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (year_of_era + era * 400 + (month <= 2) as u64, month, day_of_year - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::{clean, cut, utc, wrap};

    #[test]
    fn texts_are_cut_by_columns_and_lose_control_characters() {
        assert_eq!(cut("hello", 5), ("hello".to_owned(), false));
        assert_eq!(cut("hello!", 5), ("hell…".to_owned(), true));
        assert_eq!(cut("漢字漢字", 5), ("漢字…".to_owned(), true));
        assert_eq!(cut("x", 0), (String::new(), true));
        assert_eq!(clean("a\x1b[31m\nb\u{202e}"), "a [31m b");
    }

    #[test]
    fn texts_are_wrapped_at_spaces_and_lose_nothing_else() {
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a=1 b=abcdefghij", 6), ["a=1", "b=abcd", "efghij"]);
        assert_eq!(wrap("漢字漢字", 5), ["漢字", "漢字"]);
        assert_eq!(wrap("one two", usize::MAX), ["one two"]);
    }

    #[test]
    fn instants_are_printed_in_utc() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(951_782_400_123_000_000), "2000-02-29T00:00:00.123Z");
        assert_eq!(utc(1_700_000_000_000_000_000), "2023-11-14T22:13:20.000Z");
    }
}
