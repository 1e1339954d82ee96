//! What a list of traces takes once it is decoded, told before it is: a list of empty messages is a hundred times as large in memory as on the wire.
//!
//! Called by the unpacker. Walks the wire format along those fields of the schema that repeat; what stands alone is part of the message around it.

use crate::v1;
use prost::encoding::{WireType, decode_key, decode_varint};

/// What a field's values take each, beside their bytes, and which of their own fields are to be looked at: of a text none.
struct Kind {
    bytes: u64,
    fields: &'static [(u32, &'static Kind)],
}

const fn one_of_many<T>(fields: &'static [(u32, &'static Kind)]) -> Kind {
    Kind { bytes: size_of::<T>() as u64, fields }
}

const fn alone(fields: &'static [(u32, &'static Kind)]) -> Kind {
    Kind { bytes: 0, fields }
}

static TEXT: Kind = one_of_many::<String>(&[]);
static HOLDING: Kind = alone(&[(10, &one_of_many::<v1::CrumbTo>(&[])), (11, &one_of_many::<v1::LossInterval>(&[]))]);
static PROCESS: Kind =
    alone(&[(5, &one_of_many::<v1::InternedString>(&[])), (6, &one_of_many::<v1::CalibrationPoint>(&[]))]);
static SLICE: Kind = one_of_many::<v1::Slice>(&[(1, &PROCESS), (2, &one_of_many::<v1::Segment>(&[]))]);
static REPORT: Kind = one_of_many::<v1::TraceReport>(&[(1, &HOLDING), (5, &SLICE), (6, &TEXT)]);
static TRACES: Kind = alone(&[(1, &REPORT)]);

/// Returns the bytes that an encoded [`v1::Traces`] takes in memory, within a factor of two; `None` where it is malformed.
pub(super) fn of_traces(encoded: &[u8]) -> Option<u64> {
    Some(encoded.len() as u64 + of_fields(&TRACES, encoded)?)
}

/// As deep as the schema.
fn of_fields(kind: &Kind, mut bytes: &[u8]) -> Option<u64> {
    let mut sum = 0;
    while !bytes.is_empty() {
        let (tag, wire_type) = decode_key(&mut bytes).ok()?;
        let len = match wire_type {
            WireType::Varint => {
                decode_varint(&mut bytes).ok()?;
                continue;
            }
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => usize::try_from(decode_varint(&mut bytes).ok()?).ok()?,
            WireType::StartGroup | WireType::EndGroup => return None, // of no version of the schema
        };
        let (value, rest) = bytes.split_at_checked(len)?;
        bytes = rest;
        let field = kind.fields.iter().find(|(field, _)| *field == tag && wire_type == WireType::LengthDelimited);
        if let Some((_, kind)) = field {
            sum += kind.bytes + if kind.fields.is_empty() { 0 } else { of_fields(kind, value)? };
        }
    }
    Some(sum)
}
