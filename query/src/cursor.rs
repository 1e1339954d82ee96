//! Where the next page of a search begins: opaque to whoever asks, and signed, so that nobody else makes one.
//!
//! Written into answers and read from the requests that follow. A cursor names the state of the store that the first page was answered
//! from, so that pages stay as they are while new traces arrive; and it is good for its own search alone.

use backsight_core::ids::TraceId;
use backsight_proto::base64;
use ring::hmac;

/// In which order traces are answered, the first named first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sort {
    /// The latest start.
    #[default]
    Recent,
    /// The longest.
    Duration,
    /// The rarest.
    Rarity,
    /// The most energy.
    Energy,
    /// The most spans.
    Spans,
}

impl Sort {
    /// Every order; the position is its code in a cursor.
    pub const ALL: [Self; 5] = [Self::Recent, Self::Duration, Self::Rarity, Self::Energy, Self::Spans];

    /// Returns what it is called in requests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recent => "recent",
            Self::Duration => "duration",
            Self::Rarity => "rarity",
            Self::Energy => "energy",
            Self::Spans => "spans",
        }
    }

    /// Returns the order called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.name() == name)
    }
}

/// The last trace of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// In which order.
    pub sort: Sort,
    /// By what it is ordered: a higher one comes first. For rarity, see [`rarity_key`].
    pub key: u64,
    /// The trace; of equal keys the lower id comes first.
    pub trace: TraceId,
    /// The version of the manifest that is read.
    pub manifest: u64,
}

/// Returns numbers in the order of rarities; one that is not a number is the least rare.
pub fn rarity_key(rarity: f32) -> u64 {
    if rarity.is_nan() {
        return 0;
    }
    let bits = rarity.to_bits();
    // Of negative numbers the bits fall while the number rises.
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(ordered)
}

/// Text that is no cursor of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CursorError {
    /// It has another form: it was cut, or is of another version.
    #[error("the cursor has another form: expected `next` of an answer, as it came")]
    Form,
    /// It is not signed by this key for this search.
    #[error("the cursor belongs to another search, or to a server that has another key: begin at the first page")]
    Signature,
}

/// What cursors are signed with; one for all servers that answer one another's pages.
#[derive(Debug)]
pub struct CursorKey(hmac::Key);

const VERSION: u8 = 1;
/// Version, order, key, trace, manifest.
const BODY_BYTES: usize = 1 + 1 + 8 + 16 + 8;
/// HMAC-SHA256.
const TAG_BYTES: usize = 32;

impl CursorKey {
    /// Returns the key whose secret is `secret`.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Returns `cursor` as text for whoever searches for `search`, the search as it prints.
    pub fn seal(&self, cursor: &Cursor, search: &str) -> String {
        let mut bytes = Vec::with_capacity(BODY_BYTES + TAG_BYTES);
        let sort = Sort::ALL.iter().position(|sort| *sort == cursor.sort).unwrap_or_default();
        bytes.extend([VERSION, sort as u8]);
        for number in [cursor.key, cursor.trace.hi, cursor.trace.lo, cursor.manifest] {
            bytes.extend(number.to_be_bytes());
        }
        let tag = hmac::sign(&self.0, &signed(&bytes, search));
        bytes.extend(tag.as_ref());
        base64::encode_url(&bytes)
    }

    /// Returns the cursor that `text` is.
    ///
    /// # Errors
    /// Text that this key did not seal for this search. How much of the signature is right does not show in the time that this takes.
    pub fn open(&self, text: &str, search: &str) -> Result<Cursor, CursorError> {
        const TEXT_BYTES: usize = (BODY_BYTES + TAG_BYTES).div_ceil(3) * 4;
        let bytes = if text.len() <= TEXT_BYTES { base64::decode(text) } else { None };
        let bytes = bytes.filter(|bytes| bytes.len() == BODY_BYTES + TAG_BYTES).ok_or(CursorError::Form)?;
        let (body, tag) = bytes.split_at(BODY_BYTES);
        hmac::verify(&self.0, &signed(body, search), tag).map_err(|_| CursorError::Signature)?;
        if body[0] != VERSION {
            return Err(CursorError::Form);
        }
        let sort = Sort::ALL.get(usize::from(body[1])).copied().ok_or(CursorError::Form)?;
        let mut numbers =
            body[2..].chunks_exact(8).map(|eight| eight.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)));
        let mut number = || numbers.next().ok_or(CursorError::Form);
        Ok(Cursor { sort, key: number()?, trace: TraceId::new(number()?, number()?), manifest: number()? })
    }
}

/// Returns what is signed: the body, whose length is fixed, and the search.
fn signed(body: &[u8], search: &str) -> Vec<u8> {
    [body, search.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::{Cursor, CursorError, CursorKey, Sort, rarity_key};
    use backsight_core::ids::TraceId;
    use backsight_proto::base64;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    proptest! {
        /// For every cursor: its own key opens it for its own search, and nothing else does.
        #[test]
        fn a_cursor_opens_for_its_search_and_key_alone(
            sort in prop::sample::select(Sort::ALL.to_vec()),
            numbers: [u64; 4],
            search: String,
            bit in 0_usize..66 * 8,
            noise: String,
        ) {
            let [key, hi, lo, manifest] = numbers;
            let cursor = Cursor { sort, key, trace: TraceId::new(hi, lo), manifest };
            let (ours, theirs) = (CursorKey::new(&[7; 32]), CursorKey::new(&[8; 32]));
            let text = ours.seal(&cursor, &search);
            prop_assert_eq!(ours.open(&text, &search), Ok(cursor));
            prop_assert_eq!(theirs.open(&text, &search), Err(CursorError::Signature));
            prop_assert_eq!(ours.open(&text, &format!("{search}x")), Err(CursorError::Signature));
            prop_assert!(ours.open(&text[1..], &search).is_err());
            prop_assert!(ours.open(&noise, &search).is_err());
            let mut bytes = base64::decode(&text).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(ours.open(&base64::encode_url(&bytes), &search), Err(CursorError::Signature));
        }

        /// For any two rarities: their keys are ordered as they are.
        #[test]
        fn rarities_and_their_keys_have_one_order(a in any::<f32>(), b in any::<f32>()) {
            if a < b {
                prop_assert!(rarity_key(a) < rarity_key(b));
            }
        }
    }
}
