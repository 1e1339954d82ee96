//! The resources of a part, in its footer: JSON, in zstd, in base 64, as a footer holds texts only.
//!
//! Called by `write` and `read`. A list of resources, each a list of `[key, type, text]`, types and texts as in `text`.

use super::text;
use crate::rows::Attribute;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::io::{self, Read};

/// The most bytes of the JSON: what a batch's resources may come to when each byte is escaped.
const JSON_MAX_BYTES: u64 = 32 << 20;
const ZSTD_LEVEL: i32 = 3;

/// Returns the footer's text.
///
/// # Errors
/// As of zstd or JSON, neither of which has a reason to fail.
pub(super) fn encode(resources: &[Vec<Attribute<'_>>]) -> io::Result<String> {
    let triple = |attribute: &Attribute<'_>| {
        let (code, text) = text::of_value(&attribute.value);
        (attribute.key.to_string(), code, text.into_owned())
    };
    let triples: Vec<Vec<_>> = resources.iter().map(|resource| resource.iter().map(triple).collect()).collect();
    let json = serde_json::to_vec(&triples)?;
    Ok(STANDARD.encode(zstd::encode_all(json.as_slice(), ZSTD_LEVEL)?))
}

/// Reads the footer's text.
///
/// # Errors
/// It is none that [`encode`] makes, told in words.
pub(super) fn decode(text: &str) -> Result<Vec<Vec<Attribute<'static>>>, String> {
    let compressed = STANDARD.decode(text).map_err(|error| format!("its resources are no base 64: {error}"))?;
    let decoder = zstd::Decoder::new(compressed.as_slice()).map_err(|error| format!("its resources: {error}"))?;
    let mut json = Vec::new();
    let read = decoder.take(JSON_MAX_BYTES + 1).read_to_end(&mut json);
    read.map_err(|error| format!("its resources are no zstd: {error}"))?;
    if json.len() as u64 > JSON_MAX_BYTES {
        return Err(format!("its resources have more than {JSON_MAX_BYTES} bytes"));
    }
    let triples: Vec<Vec<(String, u8, String)>> =
        serde_json::from_slice(&json).map_err(|error| format!("its resources are not as they should be: {error}"))?;
    let attribute = |(key, code, text): (String, u8, String)| {
        let value = text::value_of(code, &text).ok_or_else(|| format!("its resources have no value `{text}`"))?;
        Ok(Attribute { key: Cow::Owned(key), value })
    };
    triples.into_iter().map(|resource| resource.into_iter().map(attribute).collect()).collect()
}
