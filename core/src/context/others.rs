//! Members of other vendors in `tracestate`: passed on as they came, behind ours, within the standard's limits.
//!
//! Source: W3C Trace Context level 2, section 3.3.

use super::tracestate::{KEY, TraceState};
use super::trail::{TRAIL_BYTES_MAX, Trail};

/// Bytes of the header that are passed on; the standard asks for at least 512.
pub const STATE_BYTES_MAX: usize = 512;
/// Members that are passed on.
pub const MEMBERS_MAX: usize = 32;
/// Members longer than this go first where the header is too long.
const LONG_MEMBER_BYTES: usize = 128;

/// What a header holds besides our member: what stood before it and after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Others<'a> {
    before: &'a [u8],
    after: &'a [u8],
}

impl<'a> Others<'a> {
    /// Nothing to pass on.
    pub const NONE: Others<'static> = Others { before: b"", after: b"" };

    /// Returns the members of others in `header`.
    pub fn of(header: &'a [u8]) -> Self {
        TraceState::parse(header).others
    }

    /// Returns the members that stand in `before` and `after`, each without commas and blanks at its ends.
    pub(super) fn around(before: &'a [u8], after: &'a [u8]) -> Self {
        Self { before: trim(before), after: trim(after) }
    }

    /// Returns whether there is none.
    pub const fn is_empty(self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    /// Returns a copy that outlives the header, as far as it may be passed on.
    pub fn keep(self) -> KeptOthers {
        let mut bytes = [0; STATE_BYTES_MAX];
        let len = self.format(&Trail::default(), &mut bytes);
        KeptOthers { bytes, len }
    }

    /// Writes the header for the next hop to `out` and returns its length: `trail` first, then these members in their order.
    ///
    /// All of these are left out where one has bytes that no header has, a line break above all. Where there are more than
    /// [`MEMBERS_MAX`] members or [`STATE_BYTES_MAX`] bytes, members longer than 128 bytes are left out first, from the right, then the
    /// right-most.
    ///
    /// # Cost
    /// One pass that copies, looks and counts, 32 bytes at a time; three where something must be left out.
    #[inline]
    pub fn format(self, trail: &Trail, out: &mut [u8; STATE_BYTES_MAX]) -> usize {
        let own_bytes = put_own(trail, out);
        let parts = [self.before, self.after];
        let with_comma = |part: &[u8]| part.len().saturating_add(usize::from(!part.is_empty()));
        let needed = parts.map(with_comma).into_iter().fold(own_bytes, usize::saturating_add);
        let fits = needed - usize::from(own_bytes == 0 && needed > 0) <= STATE_BYTES_MAX;
        if !fits {
            return self.format_some(out, own_bytes);
        }
        let (mut len, mut look) = (own_bytes, Look { worst: 0, n_commas: 0 });
        for part in parts {
            if part.is_empty() {
                continue;
            }
            if len != 0 {
                out[len] = b',';
                len += 1;
                look.n_commas += 1;
            }
            let end = len + part.len();
            look = look.and(copy(part, &mut out[len..end]));
            len = end;
        }
        if look.worst > WORST_VISIBLE || (look.n_commas >= MEMBERS_MAX && has_too_many(&out[..len])) {
            return self.format_some(out, own_bytes);
        }
        len
    }

    /// Does what [`Others::format`] does behind `own_bytes` bytes of our member, member by member.
    #[cold]
    #[inline(never)]
    fn format_some(self, out: &mut [u8; STATE_BYTES_MAX], own_bytes: usize) -> usize {
        let is_bad = |byte: &u8| !matches!(byte, b'\t' | 0x20..=0x7e);
        if self.before.iter().chain(self.after).any(is_bad) {
            return own_bytes;
        }
        let mut writer = Members { out, len: own_bytes };
        let is_long = |member: &[u8]| member.len() > LONG_MEMBER_BYTES;
        let short_bytes: usize = self.members().filter(|member| !is_long(member)).map(|member| member.len() + 1).sum();
        // The comma behind our member is counted with the one that follows; without ours there is one comma less.
        let room = STATE_BYTES_MAX - own_bytes + usize::from(own_bytes == 0);
        let mut room_for_long = room.saturating_sub(short_bytes);
        let fitting = self.members().filter(|member| {
            let left = if is_long(member) { room_for_long.checked_sub(member.len() + 1) } else { Some(room_for_long) };
            room_for_long = left.unwrap_or(0); // a long member that does not fit takes those to its right with it
            left.is_some()
        });
        for member in fitting.take(MEMBERS_MAX - usize::from(own_bytes > 0)) {
            if !writer.put(member) {
                break;
            }
        }
        writer.len
    }

    fn members(self) -> impl Iterator<Item = &'a [u8]> {
        let split = |part: &'a [u8]| part.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        [self.before, self.after].into_iter().flat_map(split).filter(|member| !member.is_empty())
    }
}

/// Members of others in memory of their own: for a request that outlives its headers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptOthers {
    bytes: [u8; STATE_BYTES_MAX],
    len: usize,
}

impl KeptOthers {
    /// Returns the members.
    pub fn get(&self) -> Others<'_> {
        Others { before: b"", after: &self.bytes[..self.len] }
    }
}

/// Returns whether a header has more members than may be passed on, empty ones included.
#[cold]
fn has_too_many(header: &[u8]) -> bool {
    header.iter().filter(|byte| **byte == b',').count() >= MEMBERS_MAX
}

/// Writes our member to the start of `out` and returns its length; nothing for a trail without crumbs.
#[inline]
fn put_own(trail: &Trail, out: &mut [u8; STATE_BYTES_MAX]) -> usize {
    let Some((key, rest)) = out.split_first_chunk_mut::<{ KEY.len() }>() else { return 0 };
    let Some(value) = rest.first_chunk_mut::<TRAIL_BYTES_MAX>() else { return 0 };
    *key = *KEY;
    match trail.format(value) {
        0 => 0,
        len => KEY.len() + len,
    }
}

/// Members written one after another, with commas between.
struct Members<'o> {
    out: &'o mut [u8; STATE_BYTES_MAX],
    len: usize,
}

impl Members<'_> {
    /// Appends a member; returns whether it fits.
    fn put(&mut self, member: &[u8]) -> bool {
        let at = self.len + usize::from(self.len > 0);
        let Some(room) = self.out.get_mut(at..at + member.len()) else { return false };
        room.copy_from_slice(member);
        if at > 0 {
            self.out[at - 1] = b',';
        }
        self.len = at + member.len();
        true
    }
}

/// Bytes that are looked at together: the loops over so many are free of branches, and the compiler makes vectors of them.
const LANES: usize = 32;
/// The largest distance of a visible character from the blank, the smallest.
const WORST_VISIBLE: u8 = b'~' - b' ';

/// What a look at every byte of some members tells.
#[derive(Clone, Copy)]
struct Look {
    /// The largest distance of a byte from the blank, wrapping: above [`WORST_VISIBLE`] there is a byte that is not visible ASCII.
    worst: u8,
    /// At least the number of commas.
    n_commas: usize,
}

impl Look {
    const fn and(self, other: Self) -> Self {
        let worst = if self.worst > other.worst { self.worst } else { other.worst };
        Self { worst, n_commas: self.n_commas + other.n_commas }
    }
}

/// The lanes of a [`Look`]; each counts at most `STATE_BYTES_MAX / LANES` commas.
struct Lanes {
    worst: [u8; LANES],
    n_commas: [u8; LANES],
}

impl Lanes {
    #[inline(always)]
    fn take(&mut self, from: &[u8; LANES], to: &mut [u8; LANES]) {
        *to = *from;
        for (worst, byte) in self.worst.iter_mut().zip(from) {
            *worst = (*worst).max(byte.wrapping_sub(b' '));
        }
        for (n_commas, byte) in self.n_commas.iter_mut().zip(from) {
            *n_commas += u8::from(*byte == b',');
        }
    }
}

/// Copies `from` to `to`, which is as long and at most [`STATE_BYTES_MAX`] bytes, and says what it saw.
#[inline]
fn copy(from: &[u8], to: &mut [u8]) -> Look {
    let mut lanes = Lanes { worst: [0; LANES], n_commas: [0; LANES] };
    let (blocks, rest) = from.as_chunks::<LANES>();
    for (block, target) in blocks.iter().zip(to.as_chunks_mut::<LANES>().0) {
        lanes.take(block, target);
    }
    if !rest.is_empty() {
        // The last whole block again, as far to the right as it goes: commas that are seen twice only lead to an exact count.
        if let (Some(last), Some(target)) = (from.last_chunk(), to.last_chunk_mut()) {
            lanes.take(last, target);
        } else {
            let mut padded = [b' '; LANES];
            padded[..rest.len()].copy_from_slice(rest);
            lanes.take(&padded, &mut [0; LANES]);
            to.copy_from_slice(rest);
        }
    }
    let worst = lanes.worst.iter().copied().fold(0, u8::max);
    Look { worst, n_commas: lanes.n_commas.iter().map(|lane| u32::from(*lane)).sum::<u32>() as usize }
}

/// Returns `part` without commas and blanks at its ends.
#[inline]
fn trim(mut part: &[u8]) -> &[u8] {
    while let [b',' | b' ' | b'\t', rest @ ..] = part {
        part = rest;
    }
    while let [rest @ .., b',' | b' ' | b'\t'] = part {
        part = rest;
    }
    part
}
