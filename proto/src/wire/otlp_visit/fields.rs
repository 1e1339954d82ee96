//! Fields of protobuf messages, one after the other and borrowed. Pure; called by everything that reads a request.
//!
//! Refuses what no sender writes: keys and lengths that lead out of the message, numbers that do not end, groups. Knows no message.

use super::OtlpError;

/// The fields of one message that are still to come.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(in crate::wire) struct Fields<'a> {
    rest: &'a [u8],
}

/// What stands in one field, by how it is written.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in crate::wire) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Fields<'a> {
    pub(in crate::wire) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// Returns the number of the next field and what stands in it, `None` at the end of the message.
    #[inline(always)] // a call for each of some fifty fields of a span would be a third of its time
    pub(in crate::wire) fn next(&mut self) -> Result<Option<(u32, Raw<'a>)>, OtlpError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let field = match u32::try_from(key) {
            Ok(key) if key >= 8 => key >> 3,
            _ => return Err(OtlpError::Key { key }),
        };
        let raw = match key & 7 {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Fixed64(u64::from_le_bytes(self.fixed(field)?)),
            2 => {
                let len = self.varint()?;
                Raw::Bytes(self.take(field, len)?)
            }
            3 | 4 => return Err(OtlpError::Group { field }),
            5 => Raw::Fixed32(u32::from_le_bytes(self.fixed(field)?)),
            _ => return Err(OtlpError::Key { key }),
        };
        Ok(Some((field, raw)))
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, OtlpError> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    /// Reads a number of several bytes: at most ten, of which the last has one bit.
    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, OtlpError> {
        let mut value = 0;
        for (idx, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * idx);
            if *byte < 0x80 {
                self.rest = &self.rest[idx + 1..];
                return if idx == 9 && *byte > 1 { Err(OtlpError::Varint) } else { Ok(value) };
            }
        }
        Err(OtlpError::Varint)
    }

    #[inline(always)]
    fn take(&mut self, field: u32, len: u64) -> Result<&'a [u8], OtlpError> {
        let split = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (taken, rest) = split.ok_or(OtlpError::LengthOutOfRange { field, len, left: self.rest.len() })?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline(always)]
    fn fixed<const N: usize>(&mut self, field: u32) -> Result<[u8; N], OtlpError> {
        let out = OtlpError::LengthOutOfRange { field, len: N as u64, left: self.rest.len() };
        let (taken, rest) = self.rest.split_first_chunk().ok_or(out)?;
        self.rest = rest;
        Ok(*taken)
    }
}

/// Returns that `field` of `message` is written as no version of the schema writes it.
#[cold]
pub(super) fn unlike_schema(message: &'static str, field: u32) -> OtlpError {
    OtlpError::WireType { message, field }
}
