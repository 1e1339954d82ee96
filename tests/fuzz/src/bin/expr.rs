//! Trigger expressions from text: whatever is read prints as a text that is read as the same, and any span gets a verdict.
#![no_main]

use backsight_core::expr::{Matcher, ParseError, SpanView, parse};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_core::units::Nanos;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let expr = match parse(text) {
        Ok(expr) => expr,
        Err(ParseError::Unexpected { column, .. } | ParseError::TooMuch { column, .. }) => {
            assert!((1..=text.chars().count() + 1).contains(&column), "an error stands in the text");
            return;
        }
    };
    // Printed, escapes may take more room than they had.
    if let Ok(read) = parse(&expr.to_string()) {
        assert_eq!(read, expr);
    }
    let span = SpanView {
        name: text,
        service: "shop",
        kind: SpanKind::Server,
        duration: Nanos(bytes.len() as u64),
        status: StatusCode::Error,
        status_message: "",
        attributes: &[],
        events: &[],
    };
    Matcher::new(expr).take(&span, Nanos(0));
});
