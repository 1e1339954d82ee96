//! Values as Go's standard library reads them, with its texts of errors: those stand in Jaeger's answers.
//!
//! Called by the parsers of both generations of parameters.
//!
//! # Source
//! Packages `strconv` and `time` of Go.

use crate::time::{Rfc3339Error, rfc3339};

/// Returns the number that `text` says, as `function` of `strconv` reads it.
///
/// # Errors
/// Text that is none, or out of the range of 64 bits.
pub fn int(text: &str, function: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let why = if is_number { "value out of range" } else { "invalid syntax" };
    text.parse().map_err(|_| format!("strconv.{function}: parsing {}: {why}", quoted(text)))
}

/// Returns whether `text` says true, as `strconv.ParseBool` reads it.
///
/// # Errors
/// Text that says neither.
pub fn bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", quoted(text))),
    }
}

/// Returns the number that `text` says, as `strconv.ParseFloat` reads it, but for hexadecimal digits and underscores.
///
/// # Errors
/// Text that is none.
pub fn float(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("strconv.ParseFloat: parsing {}: invalid syntax", quoted(text)))
}

/// Units of durations, in nanoseconds; both ways to write the micro sign.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Returns the nanoseconds that `text` says, as `time.ParseDuration` reads it: `1h15m30.5s`, or `0`.
///
/// # Errors
/// Text that is none, or over 292 years.
pub fn duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quoted(text));
    let is_negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total_ns: u64 = 0;
    while !rest.is_empty() {
        let (whole, behind) = digits(rest);
        let (part, behind) = behind.strip_prefix('.').map_or(("", behind), digits);
        if whole.is_empty() && part.is_empty() {
            return Err(invalid());
        }
        let unit_len = behind.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_len);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quoted(text)));
        }
        let Some((_, scale)) = UNITS.into_iter().find(|(name, _)| *name == unit) else {
            return Err(format!("time: unknown unit {} in duration {}", quoted(unit), quoted(text)));
        };
        let ns = scaled(whole, part, scale).and_then(|ns| total_ns.checked_add(ns));
        total_ns = ns.filter(|ns| *ns <= 1 << 63).ok_or_else(invalid)?;
        rest = behind;
    }
    let signed = if is_negative { 0_i64.checked_sub_unsigned(total_ns) } else { i64::try_from(total_ns).ok() };
    signed.ok_or_else(invalid)
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Returns `whole.part` times `scale`, without what is less than one; of the part eighteen digits count.
fn scaled(whole: &str, part: &str, scale: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part = &part[..part.len().min(18)];
    let of_part = match part.parse::<u128>() {
        Ok(number) => number * u128::from(scale) / 10_u128.pow(part.len() as u32),
        Err(_) => 0, // no digits
    };
    whole.checked_mul(scale)?.checked_add(u64::try_from(of_part).ok()?)
}

/// Returns the nanoseconds since 1970 that `text` says, as `time.Parse` reads it with the layout `RFC3339Nano`. What lies before 1970 is
/// 1970.
///
/// # Errors
/// Text that is no such time.
pub fn time(text: &str) -> Result<u64, String> {
    const LAYOUT: &str = "2006-01-02T15:04:05.999999999Z07:00";
    rfc3339(text).map_err(|error| {
        let what = quoted(text);
        match error {
            Rfc3339Error::Cannot { at, part } => {
                let rest = quoted(text.get(at..).unwrap_or_default());
                format!("parsing time {what} as {}: cannot parse {rest} as {}", quoted(LAYOUT), quoted(part))
            }
            Rfc3339Error::OutOfRange(part) => format!("parsing time {what}: {part} out of range"),
            Rfc3339Error::Extra(at) => {
                format!("parsing time {what}: extra text: {}", quoted(text.get(at..).unwrap_or_default()))
            }
        }
    })
}

/// Returns `text` in quotes, and no more of it than an answer should repeat.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 256;
    format!("{:?}", text.chars().take(SHOWN_CHARS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::{bool, duration, float, int, time};
    use proptest::prelude::proptest;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let cases = [
            ("0", Ok(0)),
            ("5s", Ok(5_000_000_000)),
            ("1h15m30.918273645s", Ok(4_530_918_273_645)),
            ("-1.5h", Ok(-5_400_000_000_000)),
            (".5us", Ok(500)),
            ("5.ms", Ok(5_000_000)),
            ("10µs", Ok(10_000)),
            ("10μs", Ok(10_000)),
            ("9223372036854775807ns", Ok(i64::MAX)),
            ("-9223372036854775808ns", Ok(i64::MIN)),
            ("", Err("time: invalid duration \"\"")),
            ("3", Err("time: missing unit in duration \"3\"")),
            ("s", Err("time: invalid duration \"s\"")),
            (".s", Err("time: invalid duration \".s\"")),
            ("3d", Err("time: unknown unit \"d\" in duration \"3d\"")),
            ("9223372036854775808ns", Err("time: invalid duration \"9223372036854775808ns\"")),
            ("3000000h", Err("time: invalid duration \"3000000h\"")),
        ];
        for (text, expected) in cases {
            assert_eq!(duration(text), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn errors_have_the_texts_of_go() {
        assert_eq!(int("x", "ParseInt").unwrap_err(), "strconv.ParseInt: parsing \"x\": invalid syntax");
        assert_eq!(int("99999999999999999999", "Atoi").unwrap_err(), {
            "strconv.Atoi: parsing \"99999999999999999999\": value out of range"
        });
        assert_eq!(bool("yes").unwrap_err(), "strconv.ParseBool: parsing \"yes\": invalid syntax");
        assert_eq!(float("").unwrap_err(), "strconv.ParseFloat: parsing \"\": invalid syntax");
        let layout = "\"2006-01-02T15:04:05.999999999Z07:00\"";
        let times = [
            ("NaN", format!("parsing time \"NaN\" as {layout}: cannot parse \"NaN\" as \"2006\"")),
            ("2026-01-31", format!("parsing time \"2026-01-31\" as {layout}: cannot parse \"\" as \"T\"")),
            ("2026-13-31T00:00:00Z", "parsing time \"2026-13-31T00:00:00Z\": month out of range".to_owned()),
            ("2026-01-31T00:00:00Zx", "parsing time \"2026-01-31T00:00:00Zx\": extra text: \"x\"".to_owned()),
        ];
        for (text, expected) in times {
            assert_eq!(time(text).unwrap_err(), expected);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_value_or_an_error(text in "([+-]?[0-9.]{0,20}(ns|us|µs|ms|s|m|h|x|))*|.*") {
            let _ = (int(&text, "Atoi"), bool(&text), float(&text), duration(&text), time(&text));
        }
    }
}
