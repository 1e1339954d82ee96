//! Ids from text: whatever parses prints as a text that parses to the same id.
#![no_main]

use backsight_core::ids::{AgentId, TraceId, base32, parse_base32};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(value) = parse_base32(bytes) {
        assert_eq!(base32(value), bytes, "seven digits name one value, and that value them");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(id) = text.parse::<TraceId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    if let Ok(id) = text.parse::<AgentId>() {
        assert_eq!(id.to_string(), text);
    }
});
