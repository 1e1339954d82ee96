//! Names of parts: an id that sorts by time, and the paths of the files.
//!
//! Called by `write`, `manifest`, `sweep` and compaction.

use crate::schema::Table;
use std::fmt;
use std::str::FromStr;

/// The folder of the parts that pinned traces were moved to.
pub const PINNED_FOLDER: &str = "pinned";
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TEXT_LEN: usize = 26;
/// The bits of an id that are random.
const RANDOM_MASK: u128 = (1 << 80) - 1;
const HOUR_MS: u64 = 3_600_000;
/// The last millisecond that an id can hold; years beyond it have five digits anyway.
const TIME_MAX_MS: u64 = 253_402_300_799_999;

/// Where the files of a part stand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Shelf {
    /// By the hour of writing.
    Hour,
    /// With the pinned traces.
    Pinned,
}

/// The id of a part: a ULID, 48 bits of milliseconds since 1970 and 80 random ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartId(u128);

impl PartId {
    /// Returns the id of a part written at `time_ms`, with the low 80 bits of `random`. Times beyond the year 9999 count as its end.
    pub fn new(time_ms: u64, random: u128) -> Self {
        Self(u128::from(time_ms.min(TIME_MAX_MS)) << 80 | random & RANDOM_MASK)
    }

    /// Returns when the part was written, in milliseconds since 1970.
    pub fn time_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// Returns an id between this one and `next`, `None` where there is none between them: of this time if possible, so that what takes the
    /// place of this part stands in the order in which it stood, and in its folder.
    pub fn between(self, next: Option<Self>, random: u128) -> Option<Self> {
        let end_of_time = (self.0 | RANDOM_MASK) + 1;
        let end = next.map_or(end_of_time, |next| next.0.min(end_of_time));
        let n_free = end.checked_sub(self.0)?.checked_sub(1).filter(|n_free| *n_free > 0)?;
        Some(Self(self.0 + 1 + random % n_free))
    }

    /// Returns the path of a table's file on `shelf`.
    pub fn path_on(self, shelf: Shelf, table: Table) -> String {
        match shelf {
            Shelf::Hour => self.path(table),
            Shelf::Pinned => format!("{PINNED_FOLDER}/{self}.{}.parquet", table.name()),
        }
    }

    /// Returns the path of a table's file by the hour of writing.
    pub fn path(self, table: Table) -> String {
        let (year, month, day) = date(self.time_ms() / HOUR_MS / 24);
        let hour = self.time_ms() / HOUR_MS % 24;
        format!("data/dt={year:04}-{month:02}-{day:02}/hh={hour:02}/{self}.{}.parquet", table.name())
    }
}

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..TEXT_LEN).rev().try_for_each(|digit| {
            let value = (self.0 >> (5 * digit)) & 31;
            fmt::Write::write_char(f, char::from(CROCKFORD[value as usize]))
        })
    }
}

impl fmt::Debug for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no id of a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the id of a part: expected 26 digits of Crockford's base 32")]
pub struct BadPartId;

impl FromStr for PartId {
    type Err = BadPartId;

    fn from_str(text: &str) -> Result<Self, BadPartId> {
        if text.len() != TEXT_LEN {
            return Err(BadPartId);
        }
        let mut id = 0_u128;
        for byte in text.bytes() {
            let digit = CROCKFORD.iter().position(|digit| *digit == byte).ok_or(BadPartId)?;
            id = id.checked_mul(32).ok_or(BadPartId)? | digit as u128;
        }
        let id = Self(id);
        if id.time_ms() > TIME_MAX_MS { Err(BadPartId) } else { Ok(id) }
    }
}

/// The file of a table of a part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PartName {
    /// The part.
    pub id: PartId,
    /// The table.
    pub table: Table,
}

impl PartName {
    /// Returns whose file `path` names, `None` where it is none of a part.
    pub fn of_path(path: &str) -> Option<Self> {
        let file = path.rsplit('/').next()?.strip_suffix(".parquet")?;
        let (id, table) = file.split_once('.')?;
        let name = Self { id: id.parse().ok()?, table: Table::of_name(table)? };
        [Shelf::Hour, Shelf::Pinned].iter().any(|shelf| name.id.path_on(*shelf, name.table) == path).then_some(name)
    }
}

/// Returns year, month and day of a day since 1970.
///
/// # Source
/// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
