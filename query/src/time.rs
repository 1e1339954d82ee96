//! Times as people and programs write them in requests: RFC 3339, nanoseconds since 1970, or as far before now.
//!
//! Called by the search language and the parsers of requests. It reads no clock: what `now` is comes with the call.

use backsight_core::units::scaled;
use std::fmt;

/// What an error says may stand for a time.
pub const EXPECTED: &str =
    "a time: RFC 3339, as 2026-01-31T12:00:00Z, nanoseconds since 1970, `now`, or as far before it, as now-15m";

const SECOND_NS: i128 = 1_000_000_000;
const DAY_S: i64 = 86_400;

/// A text that is no time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("found `{found}`, expected {EXPECTED}")]
pub struct TimeError {
    found: String,
}

/// Returns the time that `text` says, in nanoseconds since 1970. What lies before 1970 or behind the year 2554 is the nearest time that
/// 64 bits have.
///
/// # Errors
/// Anything that is not [`EXPECTED`].
pub fn parse(text: &str, now_ns: u64) -> Result<u64, TimeError> {
    let ago = || text.strip_prefix("now-").and_then(|ago| scaled::parse(ago, scaled::TIME));
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let time = match text {
        "now" => Some(now_ns),
        _ if is_digits => text.parse().ok(),
        _ => ago().map(|ago| now_ns.saturating_sub(ago)).or_else(|| rfc3339(text).ok()),
    };
    time.ok_or_else(|| TimeError { found: text.chars().take(64).collect() })
}

/// Where a text ceases to be a time of RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rfc3339Error {
    /// At this byte something else should stand: a part of the layout `2006-01-02T15:04:05Z07:00`, which stands for itself.
    Cannot {
        /// The byte.
        at: usize,
        /// The part.
        part: &'static str,
    },
    /// A part is no such number, as a thirteenth month.
    OutOfRange(&'static str),
    /// More stands behind the time.
    Extra(usize),
}

/// Returns the time that `text` says by RFC 3339, in nanoseconds since 1970; see [`parse`] for what is out of range.
///
/// # Errors
/// Another text; says where it differs.
/// # Source
/// RFC 3339, section 5.6, capital `T` and `Z` only; at most nine digits of a second count. A leap second is none.
pub fn rfc3339(text: &str) -> Result<u64, Rfc3339Error> {
    let mut reader = Reader { text: text.as_bytes(), at: 0 };
    let year = reader.number(4, "2006")?;
    reader.sign(b'-', "-")?;
    let month = reader.number(2, "01")?;
    reader.sign(b'-', "-")?;
    let day = reader.number(2, "02")?;
    reader.sign(b'T', "T")?;
    let hour = reader.number(2, "15")?;
    reader.sign(b':', ":")?;
    let minute = reader.number(2, "04")?;
    reader.sign(b':', ":")?;
    let second = reader.number(2, "05")?;
    let nanos = reader.fraction();
    let offset_s = reader.zone()?;
    if reader.at < text.len() {
        return Err(Rfc3339Error::Extra(reader.at));
    }
    let parts = [
        ((1..=12).contains(&month), "month"),
        ((1..=days_of(year, month)).contains(&day), "day"),
        (hour < 24, "hour"),
        (minute < 60, "minute"),
        (second < 60, "second"),
    ];
    if let Some((_, part)) = parts.into_iter().find(|(is_in_range, _)| !is_in_range) {
        return Err(Rfc3339Error::OutOfRange(part));
    }
    let seconds = days_to(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second - offset_s;
    let ns = i128::from(seconds) * SECOND_NS + i128::from(nanos);
    Ok(u64::try_from(ns.max(0)).unwrap_or(u64::MAX))
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn number(&mut self, n_digits: usize, part: &'static str) -> Result<i64, Rfc3339Error> {
        let digits = self.text.get(self.at..self.at + n_digits).filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let digits = digits.ok_or(Rfc3339Error::Cannot { at: self.at, part })?;
        self.at += n_digits;
        Ok(digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
    }

    fn sign(&mut self, sign: u8, part: &'static str) -> Result<(), Rfc3339Error> {
        if self.text.get(self.at) != Some(&sign) {
            return Err(Rfc3339Error::Cannot { at: self.at, part });
        }
        self.at += 1;
        Ok(())
    }

    /// Takes a point with digits behind it, if it stands here; returns the nanoseconds.
    fn fraction(&mut self) -> u32 {
        let digits = self.text.get(self.at + 1..).unwrap_or_default();
        let n_digits = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if self.text.get(self.at) != Some(&b'.') || n_digits == 0 {
            return 0;
        }
        self.at += 1 + n_digits;
        let digit = |idx: usize| digits.get(idx).filter(|_| idx < n_digits).map_or(0, |digit| u32::from(digit - b'0'));
        (0..9).fold(0, |nanos, idx| nanos * 10 + digit(idx))
    }

    /// Takes `Z`, or how far the zone is ahead of it; returns that in seconds.
    fn zone(&mut self) -> Result<i64, Rfc3339Error> {
        let start = self.at;
        let cannot = |_| Rfc3339Error::Cannot { at: start, part: "Z07:00" };
        let direction = match self.text.get(self.at) {
            Some(b'Z') => {
                self.at += 1;
                return Ok(0);
            }
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(Rfc3339Error::Cannot { at: start, part: "Z07:00" }),
        };
        self.at += 1;
        let hours = self.number(2, "Z07:00").map_err(cannot)?;
        self.sign(b':', "Z07:00").map_err(cannot)?;
        let minutes = self.number(2, "Z07:00").map_err(cannot)?;
        if hours > 24 || minutes > 59 {
            return Err(Rfc3339Error::OutOfRange("time zone offset"));
        }
        Ok(direction * (hours * 3600 + minutes * 60))
    }
}

/// A time as RFC 3339 writes it, in UTC: nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339(pub u64);

impl fmt::Display for Rfc3339 {
    /// Prints as many digits of the second as there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let (days, second) = ((seconds / 86_400) as i64, seconds % 86_400);
        let (year, month, day) = date_of(days);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)?;
        if nanos > 0 {
            write!(f, ".{}", format!("{nanos:09}").trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Returns how many days a month has; none where it is no month.
const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// Returns the days from 1970 to a day of the years 0 to 9999.
const fn days_to(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin with March have their leap day last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_years = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let of_months = (month * 153 + 2) / 5;
    const TO_1970: i64 = 719_468; // from 1 March of the year 0
    of_years + of_months + day - 1 - TO_1970
}

/// Returns the year, month and day that is `days` after 1 January 1970.
fn date_of(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days / 366; // not after the right one
    while days_to(year + 1, 1, 1) <= days {
        year += 1;
    }
    let is_after_start = |month: &i64| days_to(year, *month, 1) <= days;
    let month = (1..=12).rev().find(is_after_start).unwrap_or(1);
    (year, month, days - days_to(year, month, 1) + 1)
}

#[cfg(test)]
mod tests;
