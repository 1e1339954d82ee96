//! Quantities with their unit in the type, and how people write them.

pub mod scaled;

use std::fmt;

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Returns `n` KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// Returns `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
}

impl fmt::Display for Bytes {
    /// Prints a binary unit with at most one decimal: `600 B`, `4 KiB`, `1.5 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut unit = 0;
        while unit + 1 < UNITS.len() && self.0 >> (10 * unit) >= 1024 {
            unit += 1;
        }
        let tenths = (u128::from(self.0) * 10) >> (10 * unit);
        match tenths % 10 {
            0 => write!(f, "{} {}", tenths / 10, UNITS[unit]),
            tenth => write!(f, "{}.{tenth} {}", tenths / 10, UNITS[unit]),
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A span of time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Returns `n` milliseconds.
    pub const fn from_ms(n: u64) -> Self {
        Self(n * 1_000_000)
    }

    /// Returns the whole milliseconds.
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000_000
    }
}

impl fmt::Display for Nanos {
    /// Prints three significant digits in the unit that fits: `950 ns`, `12.3 us`, `1.07 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(f64, &str); 3] = [(1e9, "s"), (1e6, "ms"), (1e3, "us")];
        let ns = self.0 as f64;
        for (scale, unit) in UNITS {
            if ns >= scale {
                let value = ns / scale;
                let decimals = if value >= 100.0 {
                    0
                } else if value >= 10.0 {
                    1
                } else {
                    2
                };
                return write!(f, "{value:.decimals$} {unit}");
            }
        }
        write!(f, "{} ns", self.0)
    }
}

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An energy in nanojoules.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct NanoJoules(pub u64);

#[cfg(test)]
mod tests {
    use super::{Bytes, Nanos};

    #[test]
    fn quantities_print_in_the_unit_that_fits() {
        let bytes =
            [(600, "600 B"), (4096, "4 KiB"), (1536, "1.5 KiB"), (3 << 29, "1.5 GiB"), (u64::MAX, "16777215.9 TiB")];
        for (n, text) in bytes {
            assert_eq!(Bytes(n).to_string(), text);
        }
        let times = [(950, "950 ns"), (12_340, "12.3 us"), (1_070_000_000, "1.07 s"), (250_000_000, "250 ms")];
        for (n, text) in times {
            assert_eq!(Nanos(n).to_string(), text);
        }
    }
}
