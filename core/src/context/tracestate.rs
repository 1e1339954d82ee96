//! The `tracestate` header: our member in it, and those of others, which pass unchanged.
//!
//! Source: W3C Trace Context level 2, section 3.3. Ours is the left-most member, as the header's rules want of whoever changed it last.

use super::others::Others;
use super::trail::Trail;

/// Bytes of a header that are looked at: many times what may be passed on, and microseconds for a header that means harm.
pub const HEADER_BYTES_MAX: usize = 8192;

pub(super) const KEY: &[u8; 4] = b"bks=";

/// A header that came in, split around our member.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceState<'a> {
    /// The trail, where the header has a well-formed one.
    pub trail: Option<Trail>,
    /// The members of others.
    pub others: Others<'a>,
}

impl<'a> TraceState<'a> {
    /// Reads the header, the members within its first [`HEADER_BYTES_MAX`]. Members of others are not looked into.
    ///
    /// # Cost
    /// One pass that looks at the bytes 64 at a time, and none where our member stands on the left; nothing is copied.
    #[inline(always)] // a result that goes through memory is stored in words and loaded in vectors, which waits for the stores
    pub fn parse(header: &'a [u8]) -> Self {
        let header = if header.len() <= HEADER_BYTES_MAX { header } else { cut(header) };
        let Some(start) = find_member(header) else {
            return Self { trail: None, others: Others::around(b"", header) };
        };
        let rest = &header[start + KEY.len()..];
        let read = Trail::parse_start(rest).filter(|(_, len)| matches!(rest.get(*len), None | Some(b',')));
        let (trail, len) = match read {
            Some((trail, len)) => (Some(trail), len),
            None => parse_odd(rest),
        };
        Self { trail, others: Others::around(&header[..start], &rest[len..]) }
    }
}

/// Returns the whole members within the first [`HEADER_BYTES_MAX`] bytes of a longer header.
#[cold]
fn cut(header: &[u8]) -> &[u8] {
    let last = header[..=HEADER_BYTES_MAX].iter().rposition(|byte| *byte == b',');
    &header[..last.unwrap_or(0)]
}

/// Reads the value of a member that is malformed or has blanks behind it; returns also where it ends.
#[cold]
fn parse_odd(rest: &[u8]) -> (Option<Trail>, usize) {
    let len = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
    (Trail::parse(rest[..len].trim_ascii_end()), len)
}

/// Returns where our key starts: at the start of a member.
#[inline]
fn find_member(header: &[u8]) -> Option<usize> {
    if header.starts_with(KEY) { Some(0) } else { find_further(header) }
}

/// Bytes that are looked at together: the loop over so many is free of branches, and the compiler makes vectors of it.
const LANES: usize = 64;
/// A byte of the key that is looked for is this far behind its start, and the other one [`LAST`].
const MIDDLE: usize = 1;
const LAST: usize = KEY.len() - 1;

fn find_further(header: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(window) = header.get(from..).and_then(<[u8]>::first_chunk) {
        if let Some(at) = find_in(header, from, window) {
            return Some(at);
        }
        from += LANES;
    }
    let rest = header.get(from..)?;
    let mut window = [0; LANES + LAST];
    window[..rest.len()].copy_from_slice(rest);
    find_in(header, from, &window)
}

/// Returns where our key starts within the [`LANES`] bytes from `from`, which `window` repeats.
#[inline(always)]
fn find_in(header: &[u8], from: usize, window: &[u8; LANES + LAST]) -> Option<usize> {
    // Two of the key's bytes tell nearly as much as all four.
    let is_found = |i: usize| u8::from(window[i + MIDDLE] == KEY[MIDDLE]) & u8::from(window[i + LAST] == KEY[LAST]);
    let mut any = [0; LANES / 4];
    for (i, any) in any.iter_mut().enumerate() {
        *any = is_found(i) | is_found(i + 16) | is_found(i + 32) | is_found(i + 48);
    }
    if u128::from_ne_bytes(any) == 0 { None } else { first_member(header, from, &std::array::from_fn(is_found)) }
}

/// Returns the first of the places `from + i`, where lane `i` of `found` is 1, at which a member of ours starts.
#[inline(never)]
fn first_member(header: &[u8], from: usize, found: &[u8; LANES]) -> Option<usize> {
    for (idx, word) in found.as_chunks::<8>().0.iter().enumerate() {
        let mut word = u64::from_le_bytes(*word);
        while word != 0 {
            let at = from + 8 * idx + word.trailing_zeros() as usize / 8;
            let (before, rest) = header.split_at(at);
            let starts_member = || matches!(before.trim_ascii_end().last(), None | Some(b','));
            if rest.starts_with(KEY) && starts_member() {
                return Some(at);
            }
            word &= word - 1;
        }
    }
    None
}
