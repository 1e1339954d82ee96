//! What is checked of a file's footer and indexes before the Parquet reader sees them: that no list claims more than its bytes can hold.
//!
//! Called by `read`. The reader makes room for as many elements as a list says that it has; a hostile file could so ask for more memory
//! than there is. Pure: any bytes give a verdict.

/// Structures in structures, deeper than any that Parquet has.
const DEPTH_MAX: usize = 16;
/// The fewest bytes of a structure in a list: Parquet has none with fewer.
const STRUCT_MIN_BYTES: usize = 3;

/// Checks one structure of Thrift's compact protocol at the begin of `bytes`.
///
/// # Errors
/// What is wrong with it.
/// # Source
/// Apache Thrift, `doc/specs/thrift-compact-protocol.md`.
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    Walk { bytes }.structure(DEPTH_MAX)
}

const ENDED: &str = "its metadata ends early";
const LONG: &str = "its metadata holds a list that is longer than the bytes behind it";

struct Walk<'a> {
    bytes: &'a [u8],
}

impl Walk<'_> {
    fn structure(&mut self, depth: usize) -> Result<(), &'static str> {
        let depth = depth.checked_sub(1).ok_or("its metadata is nested too deep")?;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            if head >> 4 == 0 {
                self.number()?; // the field's number, where it is far from the last one
            }
            // A field's bool is its type.
            if !matches!(head & 15, 1 | 2) {
                self.value(head & 15, depth)?;
            }
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<(), &'static str> {
        match kind {
            1..=3 => self.skip(1),
            4..=6 => self.number().map(|_| ()),
            7 => self.skip(8),
            8 => {
                let len = self.number()?;
                self.skip(usize::try_from(len).unwrap_or(usize::MAX))
            }
            9 | 10 => self.list(depth),
            11 => self.map(depth),
            12 => self.structure(depth),
            _ => Err("its metadata holds a type that there is not"),
        }
    }

    fn list(&mut self, depth: usize) -> Result<(), &'static str> {
        let head = self.byte()?;
        let len = if head >> 4 == 15 { self.number()? } else { u64::from(head >> 4) };
        let kind = head & 15;
        let least = if kind == 12 { STRUCT_MIN_BYTES } else { 1 };
        if len > (self.bytes.len() / least) as u64 {
            return Err(LONG);
        }
        let depth = depth.checked_sub(1).ok_or("its metadata is nested too deep")?;
        (0..len).try_for_each(|_| self.value(kind, depth))
    }

    fn map(&mut self, depth: usize) -> Result<(), &'static str> {
        let len = self.number()?;
        if len == 0 {
            return Ok(());
        }
        let kinds = self.byte()?;
        if len > (self.bytes.len() / 2) as u64 {
            return Err(LONG);
        }
        let depth = depth.checked_sub(1).ok_or("its metadata is nested too deep")?;
        (0..len).try_for_each(|_| self.value(kinds >> 4, depth).and_then(|()| self.value(kinds & 15, depth)))
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let (first, rest) = self.bytes.split_first().ok_or(ENDED)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn skip(&mut self, len: usize) -> Result<(), &'static str> {
        self.bytes = self.bytes.get(len..).ok_or(ENDED)?;
        Ok(())
    }

    fn number(&mut self) -> Result<u64, &'static str> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("its metadata holds a number that is too long")
    }
}
