//! Base64, as JSON has bytes. Called by what writes OTLP/JSON and by what reads it.
//!
//! # Source
//! RFC 4648, sections 4 and 5.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns `bytes` as text, with padding.
pub(super) fn encode(bytes: &[u8]) -> String {
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

/// Appends the bytes that `text` stands for to `out`, in the standard alphabet or that for URLs, with padding or without; `None` where it
/// stands for none.
pub(crate) fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let n_padding = text.iter().rev().take_while(|digit| **digit == b'=').count();
    let digits = &text[..text.len() - n_padding];
    let is_padded = n_padding == 0 || (n_padding <= 2 && text.len().is_multiple_of(4));
    if !is_padded || digits.len() % 4 == 1 {
        return None;
    }
    for four in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in four {
            bits = bits << 6 | value(*digit)?;
        }
        let bytes = (bits << (6 * (4 - four.len()))).to_be_bytes();
        out.extend_from_slice(&bytes[1..four.len()]);
    }
    Some(())
}

fn value(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn the_examples_of_the_rfc_hold() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode(bytes.as_bytes()), text);
        }
        assert_eq!(encode(&[0xfb, 0xff]), "+/8=");
    }

    fn decoded(text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(text.as_bytes(), &mut out).map(|()| out)
    }

    #[test]
    fn what_was_written_reads_back_in_either_alphabet_and_without_padding() {
        for len in 0..70_usize {
            let bytes: Vec<u8> = (0..len).map(|idx| (idx * 151 + len) as u8).collect();
            let text = encode(&bytes);
            let for_urls = text.replace('+', "-").replace('/', "_");
            let unpadded = for_urls.trim_end_matches('=');
            assert_eq!([&text, &for_urls, unpadded].map(decoded), [(); 3].map(|()| Some(bytes.clone())));
        }
    }

    #[test]
    fn what_is_no_base64_is_told() {
        for text in ["A", "AA=", "A===", "====", "AA==AA==", "A A=", "AAAAA", "ä"] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }
}
