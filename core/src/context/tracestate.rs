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
    /// Reads the header. Members of others are not looked into.
    ///
    /// # Cost
    /// One pass that looks at the bytes 32 at a time, and none where our member stands on the left; nothing is copied.
    pub fn parse(header: &'a [u8]) -> Self {
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
    /// Members of others are left out as a whole where one has bytes that no header has, a line break above all.
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
        let others = Scan::of(self.before).and(Scan::of(self.after));
        if !others.is_printable {
            return writer.len;
        }
        let own_bytes = writer.len;
        let others_bytes: usize = self.parts().map(|part| part.len() + 1).sum();
        let n_others = others.n_commas + self.parts().count();
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
    if header.starts_with(KEY) {
        return Some(0);
    }
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

/// Bytes that are looked at together: the loops over so many are free of branches, and the compiler makes vectors of them.
const LANES: usize = 32;

/// Returns the first place of [`KEY`].
fn find_key(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(window) = bytes.get(from..).and_then(<[u8]>::first_chunk::<{ LANES + KEY.len() - 1 }>) {
        let mut found = [0; LANES];
        for (i, lane) in found.iter_mut().enumerate() {
            let equal = |j: usize| u8::from(window[i + j] == KEY[j]);
            *lane = equal(0) & equal(1) & equal(2) & equal(3);
        }
        if found.iter().fold(0, |any, lane| any | lane) != 0 {
            break;
        }
        from += LANES;
    }
    bytes[from..].windows(KEY.len()).position(|window| window == KEY).map(|at| from + at)
}

/// What a look at every byte of some members tells.
#[derive(Clone, Copy)]
struct Scan {
    /// Whether all bytes may stand in a header: visible ASCII, space and tab.
    is_printable: bool,
    n_commas: usize,
}

impl Scan {
    fn of(part: &[u8]) -> Self {
        let none = Self { is_printable: true, n_commas: 0 };
        // A lane counts to 255.
        part.chunks(128 * LANES).fold(none, |before, piece| before.and(Self::of_piece(piece)))
    }

    fn of_piece(piece: &[u8]) -> Self {
        let (blocks, rest) = piece.as_chunks::<LANES>();
        let (mut bad, mut commas) = ([0; LANES], [0_u8; LANES]);
        for block in blocks {
            for i in 0..LANES {
                bad[i] |= is_bad(block[i]);
                commas[i] += u8::from(block[i] == b',');
            }
        }
        for (i, byte) in rest.iter().enumerate() {
            bad[i] |= is_bad(*byte);
            commas[i] += u8::from(*byte == b',');
        }
        let is_printable = bad.iter().fold(0, |any, lane| any | lane) == 0;
        Self { is_printable, n_commas: commas.iter().map(|lane| usize::from(*lane)).sum() }
    }

    const fn and(self, other: Self) -> Self {
        Self { is_printable: self.is_printable && other.is_printable, n_commas: self.n_commas + other.n_commas }
    }
}

fn is_bad(byte: u8) -> u8 {
    u8::from(byte.wrapping_sub(0x20) > 0x5e) & u8::from(byte != b'\t')
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
