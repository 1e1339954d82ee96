//! The `tracestate` header: our member in it, and those of others, which pass unchanged.
//!
//! Source: W3C Trace Context level 2, section 3.3. Ours is the left-most member, as the header's rules want of whoever changed it last.

use super::trail::{TRAIL_BYTES_MAX, Trail};

/// Bytes of the header that are passed on; the standard asks for at least 512.
pub const STATE_BYTES_MAX: usize = 512;
/// Members that are passed on.
pub const MEMBERS_MAX: usize = 32;
/// Members longer than this go first where the header is too long.
const LONG_MEMBER_BYTES: usize = 128;

const KEY: &[u8; 4] = b"bks=";

/// A header that came in, split around our member.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceState<'a> {
    /// The trail, where the header has a well-formed one.
    pub trail: Option<Trail>,
    before: &'a [u8],
    after: &'a [u8],
}

impl<'a> TraceState<'a> {
    /// Reads the header. Members of others are not looked into; a header with bytes that no header has is ignored as a whole.
    ///
    /// # Cost
    /// One pass that looks at the bytes 32 at a time; nothing is copied.
    pub fn parse(header: &'a [u8]) -> Self {
        if !is_printable(header) {
            return Self::default();
        }
        let Some(start) = find_member(header) else {
            return Self { trail: None, before: b"", after: trim(header) };
        };
        let rest = &header[start + KEY.len()..];
        let len = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
        Self {
            trail: Trail::parse(rest[..len].trim_ascii_end()),
            before: trim(&header[..start]),
            after: trim(&rest[len..]),
        }
    }

    /// Writes the header for the next hop to `out` and returns its length: `trail` first, then the members of others in their order.
    ///
    /// Where there are more than [`MEMBERS_MAX`] members or [`STATE_BYTES_MAX`] bytes, members longer than 128 bytes are left out first,
    /// from the right, then the right-most.
    pub fn format(&self, trail: &Trail, out: &mut [u8; STATE_BYTES_MAX]) -> usize {
        let mut value = [0; TRAIL_BYTES_MAX];
        let len = trail.format(&mut value);
        let value = &value[..len];
        let mut writer = Members { out, len: 0 };
        if !value.is_empty() {
            writer.put(KEY, value);
        }
        let own_bytes = writer.len;
        let others_bytes: usize = self.parts().map(|part| part.len() + 1).sum();
        let n_others: usize = self.parts().map(|part| 1 + commas(part)).sum();
        let n_own = usize::from(own_bytes > 0);
        if own_bytes + others_bytes <= STATE_BYTES_MAX && n_others + n_own <= MEMBERS_MAX {
            self.parts().for_each(|part| writer.put(b"", part));
        } else {
            self.put_some(&mut writer, MEMBERS_MAX - n_own);
        }
        writer.len
    }

    /// Returns what stands before and after our member, without what is empty.
    fn parts(&self) -> impl Iterator<Item = &'a [u8]> {
        [self.before, self.after].into_iter().filter(|part| !part.is_empty())
    }

    fn members(&self) -> impl Iterator<Item = &'a [u8]> {
        let split = |part: &'a [u8]| part.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        self.parts().flat_map(split).filter(|member| !member.is_empty())
    }

    /// Writes as many members as may pass: of the long ones those that fit beside all short ones, then from the left.
    #[cold]
    fn put_some(&self, writer: &mut Members<'_>, n_max: usize) {
        let is_long = |member: &[u8]| member.len() > LONG_MEMBER_BYTES;
        let short_bytes: usize = self.members().filter(|member| !is_long(member)).map(|member| member.len() + 1).sum();
        let mut room_for_long = (STATE_BYTES_MAX - writer.len).saturating_sub(short_bytes);
        let fitting = self.members().filter(|member| {
            let left = if is_long(member) { room_for_long.checked_sub(member.len() + 1) } else { Some(room_for_long) };
            room_for_long = left.unwrap_or(0); // a long member that does not fit takes those to its right with it
            left.is_some()
        });
        for member in fitting.take(n_max) {
            if writer.len + 1 + member.len() > STATE_BYTES_MAX {
                break;
            }
            writer.put(b"", member);
        }
    }
}

/// Members written one after another, with commas between.
struct Members<'o> {
    out: &'o mut [u8; STATE_BYTES_MAX],
    len: usize,
}

impl Members<'_> {
    /// Appends a member, or several; the caller has seen that it fits.
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let comma: &[u8] = if self.len == 0 { b"" } else { b"," };
        for piece in [comma, key, value] {
            let end = self.len + piece.len();
            self.out[self.len..end].copy_from_slice(piece);
            self.len = end;
        }
    }
}

/// Returns where our key starts: at the start of a member.
fn find_member(header: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find_key(&header[from..])?;
        let before = header[..at].trim_ascii_end();
        if before.is_empty() || before.ends_with(b",") {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Returns the first place of [`KEY`], looking at 32 places at a time.
fn find_key(bytes: &[u8]) -> Option<usize> {
    const WIDTH: usize = 32;
    let mut from = 0;
    while let Some(window) = bytes.get(from..from + WIDTH + KEY.len() - 1) {
        // No early exit inside: the compiler turns this into a handful of vector comparisons.
        let any = (0..WIDTH).fold(false, |any, i| {
            any | (window[i] == KEY[0] && window[i + 1] == KEY[1] && window[i + 2] == KEY[2] && window[i + 3] == KEY[3])
        });
        if any {
            break;
        }
        from += WIDTH;
    }
    bytes[from..].windows(KEY.len()).position(|window| window == KEY).map(|at| from + at)
}

/// Returns whether all bytes may stand in a header: visible ASCII, space and tab.
fn is_printable(header: &[u8]) -> bool {
    header.iter().fold(true, |all, byte| all & (matches!(*byte, 0x20..=0x7e) | (*byte == b'\t')))
}

fn commas(part: &[u8]) -> usize {
    part.iter().map(|byte| usize::from(*byte == b',')).sum()
}

/// Returns `part` without commas and blanks at its ends.
fn trim(mut part: &[u8]) -> &[u8] {
    while let [b',' | b' ' | b'\t', rest @ ..] = part {
        part = rest;
    }
    while let [rest @ .., b',' | b' ' | b'\t'] = part {
        part = rest;
    }
    part
}
