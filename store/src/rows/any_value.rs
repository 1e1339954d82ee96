//! Values that no column has a type for, as OTLP's message `AnyValue`: what the columns of other values hold.
//!
//! Called for what was recorded; what came as OTLP is kept as it came.

use backsight_core::trace::AttributeValue;

/// Keys of the fields of `AnyValue`: number and wire type. `ArrayValue` has only `values`, 1.
mod field {
    pub(super) const STRING: u8 = 1 << 3 | 2;
    pub(super) const BOOL: u8 = 2 << 3;
    pub(super) const INT: u8 = 3 << 3;
    pub(super) const DOUBLE: u8 = 4 << 3 | 1;
    pub(super) const ARRAY: u8 = 5 << 3 | 2;
    pub(super) const BYTES: u8 = 7 << 3 | 2;
    pub(super) const VALUES: u8 = 1 << 3 | 2;
}

/// Returns the bytes of the message.
///
/// # Source
/// opentelemetry/proto/common/v1/common.proto, OTLP 1.x.
pub(super) fn encode(value: &AttributeValue) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        AttributeValue::Bool(value) => out.extend([field::BOOL, u8::from(*value)]),
        AttributeValue::I64(value) => {
            out.push(field::INT);
            put_varint(value.cast_unsigned(), &mut out);
        }
        AttributeValue::F64(value) => {
            out.push(field::DOUBLE);
            out.extend(value.to_bits().to_le_bytes());
        }
        AttributeValue::Str(text) => put_bytes(field::STRING, text.as_bytes(), &mut out),
        AttributeValue::Bytes(bytes) => put_bytes(field::BYTES, bytes, &mut out),
        AttributeValue::Array(values) => {
            let mut list = Vec::new();
            values.iter().for_each(|value| put_bytes(field::VALUES, &encode(value), &mut list));
            put_bytes(field::ARRAY, &list, &mut out);
        }
    }
    out
}

fn put_bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(field);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::encode;
    use backsight_core::trace::AttributeValue;

    #[test]
    fn values_are_written_as_protobuf_has_them() {
        assert_eq!(encode(&AttributeValue::Bytes(vec![0xfb; 200]))[..4], [0x3a, 0xc8, 0x01, 0xfb]);
        assert_eq!(encode(&AttributeValue::Array(Vec::new())), [0x2a, 0]);
        assert_eq!(encode(&(-1_i64).into()), [0x18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        assert_eq!(encode(&AttributeValue::F64(1.0)), [0x21, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        let list = AttributeValue::Array(vec![1_i64.into(), "b".into(), true.into()]);
        let want = [0x2a, 13, 0x0a, 2, 0x18, 1, 0x0a, 3, 0x0a, 1, b'b', 0x0a, 2, 0x10, 1];
        assert_eq!(encode(&list), want);
    }
}
