//! Whole numbers with a unit behind them, exactly: `250ms`, `1.5s`, `5mJ`.
//!
//! Called by the languages that people write. What is printed here is read here as the same number, to the last digit, unlike what
//! [`super`] prints for people.

use std::fmt;

/// Units by name, each with how many of the smallest it is; ascending, the smallest is 1.
pub type Units = [(&'static str, u64)];

/// Units of time, in nanoseconds.
pub const TIME: &Units = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Units of energy, in nanojoules.
pub const ENERGY: &Units =
    &[("nJ", 1), ("uJ", 1_000), ("mJ", 1_000_000), ("J", 1_000_000_000), ("kJ", 1_000_000_000_000)];

/// Returns what `text` says in the smallest of `units`: digits, at most nine behind a point, and a unit. What is less than one of the
/// smallest is left out; `None` for anything else, and for more than 64 bits.
pub fn parse(text: &str, units: &Units) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(at);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let Some((whole, part)) = number.split_once('.') else { return number.parse::<u64>().ok()?.checked_mul(*scale) };
    let is_fraction = (1..=9).contains(&part.len()) && part.bytes().all(|digit| digit.is_ascii_digit());
    let billionths = is_fraction.then(|| 10_u64.pow(9 - part.len() as u32))? * part.parse::<u64>().ok()?;
    let of_part = u64::try_from(u128::from(billionths) * u128::from(*scale) / 1_000_000_000).ok()?;
    whole.parse::<u64>().ok()?.checked_mul(*scale)?.checked_add(of_part)
}

/// A number in the largest unit of which it is a whole number.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    /// How many of the smallest unit.
    pub value: u64,
    /// The units.
    pub units: &'static Units,
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, scale): &&(&str, u64)| self.value >= *scale && self.value.is_multiple_of(*scale);
        let smallest = self.units.first();
        let Some((unit, scale)) = self.units.iter().rev().find(fits).or(smallest) else { return self.value.fmt(f) };
        write!(f, "{}{unit}", self.value / scale)
    }
}

#[cfg(test)]
mod tests {
    use super::{ENERGY, Exact, TIME, parse};

    #[test]
    fn what_is_printed_is_read_as_the_same_number() {
        for value in [0, 1, 999, 1_000, 90_000_000_000, 3_600_000_000_000, 1_500_000_000, u64::MAX] {
            for units in [TIME, ENERGY] {
                assert_eq!(parse(&Exact { value, units }.to_string(), units), Some(value));
            }
        }
        assert_eq!(Exact { value: 5_000_000, units: ENERGY }.to_string(), "5mJ");
        assert_eq!(Exact { value: 0, units: TIME }.to_string(), "0ns");
    }

    #[test]
    fn only_a_number_with_a_unit_that_fits_is_read() {
        let cases = [
            ("1.5s", Some(1_500_000_000)),
            ("0.0000000019s", None),
            ("1.000000001us", Some(1_000)),
            ("20h", Some(72_000_000_000_000)),
            ("9999999999h", None),
            ("5", None),
            (".5s", None),
            ("5.s", None),
            ("5mJ", None),
            ("-5s", None),
            ("1.2.3s", None),
        ];
        for (text, ns) in cases {
            assert_eq!(parse(text, TIME), ns, "{text}");
        }
    }
}
