//! Base64, as JSON and addresses of pages have bytes. Called by the exports, and by whoever reads ids and cursors.
//!
//! # Source
//! RFC 4648, sections 4 and 5.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns `bytes` as text, with padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |idx: usize| u32::from(three.get(idx).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * place) & 63) as usize]);
            text.push(if place <= three.len() { digit } else { '=' });
        }
    }
    text
}

/// Returns `bytes` as text that may stand in an address: `-` and `_` for `+` and `/`, no padding.
pub fn encode_url(bytes: &[u8]) -> String {
    encode(bytes).replace('+', "-").replace('/', "_").replace('=', "")
}

/// Returns the bytes of a text in either alphabet, with padding or without; `None` for any other.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let n_padding = text.len() - digits.len();
    let is_padded = n_padding > 0;
    if n_padding > 2 || (is_padded && !text.len().is_multiple_of(4)) || digits.len() % 4 == 1 {
        return None;
    }
    let (is_plain, is_url) = (digits.contains(['+', '/']), digits.contains(['-', '_']));
    if is_plain && is_url {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for four in digits.as_bytes().chunks(4) {
        let bits = four.iter().try_fold(0_u32, |bits, digit| Some(bits << 6 | value(*digit)?))?;
        let bits = bits << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u32> {
    let digit = match digit {
        b'-' => b'+',
        b'_' => b'/',
        digit => digit,
    };
    DIGITS.iter().position(|known| *known == digit).map(|value| value as u32)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, encode_url};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn the_examples_of_the_rfc_hold() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode(bytes.as_bytes()), text);
        }
        assert_eq!(encode(&[0xfb, 0xff]), "+/8=");
        assert_eq!(encode_url(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn what_is_neither_alphabet_is_refused() {
        for text in ["a", "ab=", "ab===", "+_ab", "a b=", "ab=c", "====", "ü"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn both_forms_are_read_as_the_bytes(bytes: Vec<u8>, noise in any::<String>()) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes.clone()));
            prop_assert_eq!(decode(&encode_url(&bytes)), Some(bytes));
            decode(&noise);
        }
    }
}
