//! What is the same in texts that differ in numbers: digits, hex and quoted parts become `#`.
//!
//! Called by `events` for keys, and by `labels`, which prefers names of which little would be masked. Pure.

use std::borrow::Cow;

#[cfg(test)]
mod tests;

/// What is looked at of a text.
const SEEN_MAX_BYTES: usize = 512;
/// The longest key.
pub(super) const KEY_MAX_BYTES: usize = 128;
/// Words of hexadecimal digits, one of them a digit, are hex from this length on.
const HEX_MIN_LEN: usize = 4;
/// A run of digits behind a letter is part of its word up to this length: `http2`, `p99`.
const DIGITS_OF_WORD_MAX: usize = 2;
const QUOTES: [u8; 3] = *b"\"`'";

/// A piece of a text.
enum Part<'a> {
    Same(&'a str),
    Varies(&'a str),
}

/// Returns `text`, each part that varies replaced by `#`, clipped.
///
/// # Shape
/// What varies: what stands between two quotes (`"`, `` ` ``, or `'` that is no apostrophe); words of digits; words of four or more hexadecimal digits, one
/// of them a digit, and those behind `0x`; in other words runs of digits, but not one or two behind a letter. Words are of ASCII letters and digits. At
/// most 128 bytes, of the first 512.
/// # Cost
/// A pass over the text; one allocation where something is replaced.
pub(super) fn masked(text: &str) -> Cow<'_, str> {
    let text = clipped(text, SEEN_MAX_BYTES);
    if !text.bytes().any(|byte| byte.is_ascii_digit() || QUOTES.contains(&byte)) {
        return Cow::Borrowed(clipped(text, KEY_MAX_BYTES));
    }
    let mut key = String::with_capacity(text.len());
    visit(text, &mut |part| match part {
        Part::Same(same) => key.push_str(same),
        Part::Varies(_) => key.push('#'),
    });
    key.truncate(clipped(&key, KEY_MAX_BYTES).len());
    Cow::Owned(key)
}

/// Returns how many bytes of `text` vary.
pub(super) fn n_varying(text: &str) -> u32 {
    let mut n = 0;
    visit(clipped(text, SEEN_MAX_BYTES), &mut |part| {
        if let Part::Varies(varies) = part {
            n += varies.len() as u32;
        }
    });
    n
}

/// Returns the begin of `text`: at most `max_bytes`, whole characters.
pub(super) fn clipped(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes { text } else { &text[..text.floor_char_boundary(max_bytes)] }
}

fn visit<'a>(text: &'a str, see: &mut impl FnMut(Part<'a>)) {
    let bytes = text.as_bytes();
    let mut quotes = QUOTES.map(|quote| (quote, true));
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at].is_ascii_alphanumeric() {
            let end = end_of(bytes, at, u8::is_ascii_alphanumeric);
            visit_word(&text[at..end], see);
            at = end;
        } else if let Some(close) = close_of(bytes, at, &mut quotes).filter(|close| *close > at + 1) {
            see(Part::Same(&text[at..=at]));
            see(Part::Varies(&text[at + 1..close]));
            see(Part::Same(&text[close..=close]));
            at = close + 1;
        } else {
            let end = end_of(bytes, at + 1, |byte| !byte.is_ascii_alphanumeric() && !QUOTES.contains(byte));
            see(Part::Same(&text[at..end]));
            at = end;
        }
    }
}

/// Returns where a run of bytes that are all `of_run` ends.
fn end_of(bytes: &[u8], start: usize, of_run: impl Fn(&u8) -> bool) -> usize {
    bytes[start..].iter().position(|byte| !of_run(byte)).map_or(bytes.len(), |len| start + len)
}

/// Returns where the quote is that closes the one at `at`, if one stands there. Where no quote of a kind closes, none after it does, and `quotes` says so.
fn close_of(bytes: &[u8], at: usize, quotes: &mut [(u8, bool); QUOTES.len()]) -> Option<usize> {
    let (quote, closes) = quotes.iter_mut().find(|(quote, closes)| *quote == bytes[at] && *closes)?;
    let is_word = |idx: usize| bytes.get(idx).is_some_and(u8::is_ascii_alphanumeric);
    let is_apostrophe = *quote == b'\'' && at > 0 && is_word(at - 1);
    if is_apostrophe {
        return None;
    }
    let close = (at + 1..bytes.len()).find(|idx| bytes[*idx] == *quote && (*quote != b'\'' || !is_word(*idx + 1)));
    *closes = close.is_some();
    close
}

fn visit_word<'a>(word: &'a str, see: &mut impl FnMut(Part<'a>)) {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let behind_0x = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    if !has_digit {
        return see(Part::Same(word));
    }
    if word.bytes().all(|byte| byte.is_ascii_digit())
        || (word.len() >= HEX_MIN_LEN && is_hex(word))
        || behind_0x.is_some_and(is_hex)
    {
        return see(Part::Varies(word));
    }
    let bytes = word.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let is_digits = bytes[at].is_ascii_digit();
        let end = end_of(bytes, at, |byte| byte.is_ascii_digit() == is_digits);
        let run = &word[at..end];
        let stays = !is_digits || (at > 0 && run.len() <= DIGITS_OF_WORD_MAX);
        see(if stays { Part::Same(run) } else { Part::Varies(run) });
        at = end;
    }
}
