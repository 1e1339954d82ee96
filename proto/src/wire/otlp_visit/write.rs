//! Writes protobuf fields that hold bytes or messages. Pure; called by what makes a request of another form, and for values that leave as they came.

use prost::encoding::{self, WireType};

/// Appends a field that holds bytes, a text or an encoded message.
pub(in crate::wire) fn bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encoding::encode_key(field, WireType::LengthDelimited, out);
    encoding::encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a field that holds a message, which `write` appends.
///
/// # Cost
/// Where the message is longer than 127 bytes, it is moved once to make room for its length.
pub(in crate::wire) fn message<T>(field: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    encoding::encode_key(field, WireType::LengthDelimited, out);
    let len_at = out.len();
    out.push(0);
    let written = write(out);
    let len = out.len() - len_at - 1;
    let mut buffer = [0; 10];
    let mut rest = &mut buffer[..];
    encoding::encode_varint(len as u64, &mut rest);
    let n_bytes = 10 - rest.len();
    if n_bytes > 1 {
        out.resize(out.len() + n_bytes - 1, 0);
        out.copy_within(len_at + 1..len_at + 1 + len, len_at + n_bytes);
    }
    out[len_at..len_at + n_bytes].copy_from_slice(&buffer[..n_bytes]);
    written
}
