//! Numbers in as few bytes as they need, seven bits each: LEB128, every number in its only shortest form.
//!
//! Called by what encodes sketches and sparse lists. What is parsed is trusted by nobody.

/// Bytes that are no number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeNumberError {
    /// The bytes end within a number.
    #[error("bytes end after {len}, within a number")]
    CutShort {
        /// All bytes.
        len: usize,
    },
    /// A number is longer than it has to be, or than 64 bits.
    #[error("number at byte {at} is not in its shortest form")]
    Number {
        /// Where it begins.
        at: usize,
    },
}

/// Appends `number`.
pub fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends a number of any sign: 0, -1, 1, -2 and so on, as 0, 1, 2, 3.
pub fn put_signed(bytes: &mut Vec<u8>, number: i64) {
    put(bytes, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Reads numbers one after the other.
#[derive(Clone, Debug)]
pub struct Numbers<'a> {
    bytes: &'a [u8],
    /// Never beyond the end.
    at: usize,
}

impl<'a> Numbers<'a> {
    /// Reads `bytes` from place `at` on.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at: at.min(bytes.len()) }
    }

    /// Returns how many bytes are left.
    pub fn n_left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Returns the next number.
    ///
    /// # Errors
    /// The bytes end before it does, or it is not in the form that [`put`] writes.
    pub fn number(&mut self) -> Result<u64, DecodeNumberError> {
        let begin = self.at;
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.bytes.get(self.at).copied() else {
                return Err(DecodeNumberError::CutShort { len: self.bytes.len() });
            };
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            let is_last = byte & 0x80 == 0;
            let is_padded = is_last && bits == 0 && shift > 0;
            if is_padded || bits << shift >> shift != bits {
                return Err(DecodeNumberError::Number { at: begin });
            }
            number |= bits << shift;
            if is_last {
                return Ok(number);
            }
        }
        Err(DecodeNumberError::Number { at: begin })
    }

    /// Returns the next number as [`put_signed`] writes it.
    ///
    /// # Errors
    /// As of [`Numbers::number`].
    pub fn signed(&mut self) -> Result<i64, DecodeNumberError> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::{Numbers, put, put_signed};
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    proptest! {
        /// For all numbers: what is put is read back, and any bytes are read or refused, those that are read being the only form of their number.
        #[test]
        fn numbers_survive_their_bytes(numbers in prop::collection::vec(any::<i64>(), 0..8), noise in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut bytes = Vec::new();
            for number in &numbers {
                put_signed(&mut bytes, *number);
                put(&mut bytes, number.cast_unsigned() >> (number & 63));
            }
            let mut reader = Numbers::new(&bytes, 0);
            for number in numbers {
                prop_assert_eq!(reader.signed(), Ok(number));
                prop_assert_eq!(reader.number(), Ok(number.cast_unsigned() >> (number & 63)));
            }
            prop_assert_eq!(reader.n_left(), 0);
            let mut reader = Numbers::new(&noise, 0);
            if let Ok(number) = reader.number() {
                let mut again = Vec::new();
                put(&mut again, number);
                prop_assert_eq!(&again[..], &noise[..noise.len() - reader.n_left()]);
            }
        }
    }
}
