//! Claims about times: what is printed is read as the same, and what people write is read as they mean it.

use super::{Rfc3339, Rfc3339Error, parse, rfc3339};
use proptest::prelude::{prop_assert_eq, proptest};

const NOW_NS: u64 = 1_769_860_800_000_000_000; // 2026-01-31T12:00:00Z

#[test]
fn every_form_of_a_time_is_read() {
    let cases = [
        ("2026-01-31T12:00:00Z", NOW_NS),
        ("2026-01-31T14:30:00+02:30", NOW_NS),
        ("2026-01-31T12:00:00.000000001Z", NOW_NS + 1),
        ("2026-01-31T12:00:00.5Z", NOW_NS + 500_000_000),
        ("2026-01-31T12:00:00.12345678987Z", NOW_NS + 123_456_789),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000_000),
        ("1969-12-31T23:59:59Z", 0),
        ("9999-12-31T23:59:59Z", u64::MAX),
        ("1769860800000000000", NOW_NS),
        ("now", NOW_NS),
        ("now-15m", NOW_NS - 900_000_000_000),
        ("now-1.5s", NOW_NS - 1_500_000_000),
    ];
    for (text, ns) in cases {
        assert_eq!(parse(text, NOW_NS), Ok(ns), "{text}");
    }
}

#[test]
fn what_is_no_time_is_refused() {
    let texts =
        ["", "yesterday", "now-", "now-15", "now+5m", "2026-01-31", "2026-01-31T12:00:00", "99999999999999999999"];
    for text in texts {
        assert!(parse(text, NOW_NS).is_err(), "{text}");
    }
    let out_of_range = [
        ("2023-02-29T00:00:00Z", "day"),
        ("2023-00-01T00:00:00Z", "month"),
        ("2023-01-01T24:00:00Z", "hour"),
        ("2023-01-01T00:00:60Z", "second"),
        ("2023-01-01T00:00:00+25:00", "time zone offset"),
    ];
    for (text, part) in out_of_range {
        assert_eq!(rfc3339(text), Err(Rfc3339Error::OutOfRange(part)), "{text}");
    }
}

proptest! {
    /// For every time that 64 bits have: its text is read as the same.
    #[test]
    fn what_is_printed_is_read_as_the_same(ns: u64) {
        prop_assert_eq!(parse(&Rfc3339(ns).to_string(), 0), Ok(ns));
    }

    #[test]
    fn any_text_is_a_time_or_an_error(text in "[0-9]{1,4}-[0-9]{2}-[0-9]{2}T[0-9:.]{0,12}([Z+-][0-9:]{0,5})?|.*", now: u64) {
        let _ = parse(&text, now);
    }
}
