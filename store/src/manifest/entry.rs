//! What a manifest says of a part: its files, and the ranges by which a search passes it over.
//!
//! Made by `part::write`, stored by `manifest`. As JSON, drawn in `docs/spec/parts.md`.

use crate::part::{PINNED_FOLDER, PartId};
use crate::promote::{Kind, Promoted};
use crate::schema::Table;
use backsight_core::checksum::checksum;
use backsight_core::ids::TraceId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// The most names of services that are listed; beyond, they stand in a Bloom filter.
pub const SERVICES_MAX: usize = 256;
/// The bytes of that filter.
pub const SERVICE_BLOOM_BYTES: usize = 1024;
/// Bits of the filter for each name.
const SERVICE_BLOOM_HASHES: u32 = 4;

/// What a part's `flags` may hold, or-ed.
pub mod flag {
    /// A span has an error.
    pub const ERRORS: u32 = 1;
    /// A trace has a trigger.
    pub const TRIGGERS: u32 = 2;
    /// A span or trace has energy.
    pub const ENERGY: u32 = 4;
}

/// A part.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PartEntry {
    /// Its id.
    #[serde(with = "as_text")]
    pub id: PartId,
    /// Its files.
    pub files: Vec<FileEntry>,
    /// The start of its first trace. Ranges of a part without spans and traces are of its slices.
    pub min_start_ns: i64,
    /// The start of its last trace.
    pub max_start_ns: i64,
    /// The latest end of a trace.
    pub max_end_ns: i64,
    /// The longest span.
    pub max_duration_ns: i64,
    /// The services of its spans.
    pub services: Services,
    /// Keys of attributes with a column of their own, and its type.
    #[serde(with = "promoted")]
    pub promoted: Vec<Promoted>,
    /// Of [`flag`].
    pub flags: u32,
    /// When the first of its traces came.
    pub min_ingest_ns: i64,
    /// When the last of them came.
    pub max_ingest_ns: i64,
    /// The parts that it took the place of.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "as_texts")]
    pub parents: Vec<PartId>,
}

impl PartEntry {
    /// Returns the file of a table, where the part has one.
    pub fn file(&self, table: Table) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.table == table.name())
    }

    /// Returns whether it is of pinned traces.
    pub fn is_pinned(&self) -> bool {
        self.files.iter().any(|file| file.path.starts_with(PINNED_FOLDER))
    }

    /// Returns what is left of the part when the rows of its traces go: what was counted over all, and tables that are not known; `None` where
    /// that is nothing.
    pub fn without_rows(&self) -> Option<Self> {
        let files: Vec<_> = self.files.iter().filter(|file| !file.is_of_rows()).cloned().collect();
        let (services, promoted) = (Services::default(), Vec::new());
        let rest = Self { files, services, promoted, max_duration_ns: 0, flags: 0, ..self.clone() };
        (!rest.files.is_empty()).then_some(rest)
    }

    /// Returns the bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// A file of a part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its table; readers pass over tables that they do not know.
    pub table: String,
    /// Its path.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// XXH3, 64 bits, of all its bytes; 16 hex digits in JSON.
    #[serde(with = "as_hex")]
    pub xxh3: u64,
}

impl FileEntry {
    /// Returns whether it holds rows of traces, which are kept for less long than what is counted over all.
    pub fn is_of_rows(&self) -> bool {
        matches!(Table::of_name(&self.table), Some(Table::Spans | Table::Traces | Table::Slices | Table::Reports))
    }
}

/// The services of a part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Services {
    /// All of them.
    Names(BTreeSet<String>),
    /// Too many to list: a Bloom filter, in hex.
    Bloom(#[serde(with = "bloom_hex")] Vec<u8>),
}

impl Services {
    /// Returns the services of these names.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut services = Self::default();
        names.for_each(|name| services.add(name));
        services
    }

    /// Adds a service.
    pub(crate) fn add(&mut self, name: &str) {
        match self {
            Self::Names(names) if names.contains(name) => {}
            Self::Names(names) if names.len() < SERVICES_MAX => {
                names.insert(name.to_owned());
            }
            Self::Names(names) => {
                let mut bloom = vec![0; SERVICE_BLOOM_BYTES];
                names.iter().map(String::as_str).chain([name]).for_each(|name| set_bits(&mut bloom, name));
                *self = Self::Bloom(bloom);
            }
            Self::Bloom(bloom) => set_bits(bloom, name),
        }
    }

    /// Returns whether the part may have spans of `service`; false is certain.
    pub fn may_hold(&self, service: &str) -> bool {
        match self {
            Self::Names(names) => names.contains(service),
            Self::Bloom(bloom) => {
                bloom_bits(service).all(|bit| bloom.get(bit / 8).is_none_or(|byte| byte & 1 << (bit % 8) != 0))
            }
        }
    }
}

impl Default for Services {
    fn default() -> Self {
        Self::Names(BTreeSet::new())
    }
}

fn set_bits(bloom: &mut [u8], name: &str) {
    for bit in bloom_bits(name) {
        bloom[bit / 8] |= 1 << (bit % 8);
    }
}

/// Returns the bits of a name: 13 bits each of its XXH3, from the lowest up.
fn bloom_bits(name: &str) -> impl Iterator<Item = usize> {
    let hash = checksum(0, name.as_bytes());
    (0..SERVICE_BLOOM_HASHES).map(move |idx| (hash >> (13 * idx)) as usize % (8 * SERVICE_BLOOM_BYTES))
}

mod as_text {
    use super::{Deserialize, Deserializer, PartId, Serializer};
    use serde::de::Error;

    pub(super) fn serialize<S: Serializer>(id: &PartId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PartId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

pub(super) mod as_texts {
    use super::{Deserialize, Deserializer, PartId, Serializer};
    use serde::de::Error;

    pub(in crate::manifest) fn serialize<S: Serializer>(ids: &[PartId], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ids.iter().map(ToString::to_string))
    }

    pub(in crate::manifest) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<PartId>, D::Error> {
        let texts = Vec::<String>::deserialize(d)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}

pub(super) mod as_traces {
    use super::{Deserialize, Deserializer, Serializer, TraceId};
    use serde::de::Error;

    pub(in crate::manifest) fn serialize<S: Serializer>(ids: &[TraceId], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ids.iter().map(ToString::to_string))
    }

    pub(in crate::manifest) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<TraceId>, D::Error> {
        let id = |text: &String| {
            let id = u128::from_str_radix(text, 16).map_err(D::Error::custom)?;
            Ok(TraceId::new((id >> 64) as u64, id as u64))
        };
        Vec::<String>::deserialize(d)?.iter().map(id).collect()
    }
}

pub(super) mod as_hex {
    use super::{Deserialize, Deserializer, Serializer};
    use serde::de::Error;

    pub(in crate::manifest) fn serialize<S: Serializer>(sum: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{sum:016x}"))
    }

    pub(in crate::manifest) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        u64::from_str_radix(&String::deserialize(deserializer)?, 16).map_err(D::Error::custom)
    }
}

mod bloom_hex {
    use super::{Deserialize, Deserializer, SERVICE_BLOOM_BYTES, Serializer};
    use serde::de::Error;

    pub(super) fn serialize<S: Serializer>(bloom: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&bloom.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() != 2 * SERVICE_BLOOM_BYTES {
            return Err(D::Error::custom("a filter of services has 1,024 bytes"));
        }
        let pair = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Option<_> = text.as_bytes().chunks_exact(2).map(pair).collect();
        bytes.ok_or_else(|| D::Error::custom("a filter of services is not in hex"))
    }
}

mod promoted {
    use super::{BTreeMap, Deserialize, Deserializer, Kind, Promoted, Serializer};
    use serde::de::Error;

    pub(super) fn serialize<S: Serializer>(promoted: &[Promoted], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(promoted.iter().map(|promoted| (&promoted.key, promoted.kind.name())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Promoted>, D::Error> {
        let kinds = BTreeMap::<String, String>::deserialize(deserializer)?;
        let promoted = |(key, kind): (String, String)| {
            let kind = Kind::of_name(&kind).ok_or_else(|| D::Error::custom(format!("no type `{kind}`")))?;
            Ok(Promoted { key, kind })
        };
        kinds.into_iter().map(promoted).collect()
    }
}
