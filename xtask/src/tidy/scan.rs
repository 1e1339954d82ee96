//! A light scanner of Rust: tells code from comments and literals, and finds words.
//!
//! Called by the checks. It is no parser: it never fails, and knows nothing of grammar.

/// Returns `text` with comments and literals replaced by spaces; lines and columns stay.
pub(crate) fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let after_word = at > 0 && is_word_byte(bytes[at - 1]);
        let len = blank_len(&text.as_bytes()[at..], after_word);
        if len == 0 {
            code.push(bytes[at]);
            at += 1;
            continue;
        }
        let end = (at + len).min(bytes.len());
        code.extend(bytes[at..end].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
        at = end;
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// A word of code: an identifier, a keyword or a number.
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    pub(crate) line_idx: usize,
    /// The code before it on its line, without trailing space.
    pub(crate) before: &'a str,
    /// The code after it on its line, without leading space.
    pub(crate) after: &'a str,
}

/// Returns the words of `code`, which comes from [`code_only`].
pub(crate) fn words(code: &str) -> impl Iterator<Item = Word<'_>> {
    code.lines().enumerate().flat_map(|(line_idx, line)| {
        let mut rest = 0;
        std::iter::from_fn(move || {
            let is_word = |c: char| c == '_' || c.is_alphanumeric();
            let start = rest + line[rest..].find(is_word)?;
            let end = line[start..].find(|c| !is_word(c)).map_or(line.len(), |len| start + len);
            rest = end;
            let (before, after) = (line[..start].trim_end(), line[end..].trim_start());
            Some(Word { text: &line[start..end], line_idx, before, after })
        })
    })
}

/// Returns how many bytes at the start of `rest` are a comment or a literal; 0 for code.
fn blank_len(rest: &[u8], after_word: bool) -> usize {
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment_len(rest),
        [b'"', ..] => string_len(rest),
        [b'r', ..] if !after_word => raw_string_len(&rest[1..]).map_or(0, |len| 1 + len),
        [b'b' | b'c', b'r', ..] if !after_word => raw_string_len(&rest[2..]).map_or(0, |len| 2 + len),
        [b'\'', ..] => char_len(rest),
        _ => 0,
    }
}

fn block_comment_len(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_len(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Returns the length of `#*"..."#*` at the start of `rest`, if it is there.
fn raw_string_len(rest: &[u8]) -> Option<usize> {
    let n_hashes = rest.iter().take_while(|byte| **byte == b'#').count();
    let body = rest.get(n_hashes..)?.strip_prefix(b"\"")?;
    let closes =
        |tail: &[u8]| tail[0] == b'"' && tail[1..].iter().take(n_hashes).filter(|b| **b == b'#').count() == n_hashes;
    let body_len = (0..body.len()).find(|at| closes(&body[*at..])).unwrap_or(body.len());
    Some(n_hashes + 1 + body_len + 1 + n_hashes)
}

/// Returns the length of a character literal; 0 for a lifetime.
fn char_len(rest: &[u8]) -> usize {
    let closing = |from: usize| rest.iter().skip(from).position(|byte| *byte == b'\'').map(|len| from + len + 1);
    match rest {
        // The escaped character itself may be a quote.
        [_, b'\\', _, ..] => closing(3).unwrap_or(0),
        [_, first, ..] => {
            let char_bytes = match first {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            if rest.get(1 + char_bytes) == Some(&b'\'') { char_bytes + 2 } else { 0 }
        }
        _ => 0,
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests;
