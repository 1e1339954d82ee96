//! Resources by what they say: one that many traces share is put into a batch once.
//!
//! Called for each trace by whoever does not know which resources the batch has.

use super::{Batch, BatchFull};
use crate::rows::{Attribute, ResourceId, Value};

impl Batch {
    /// Returns the number of the resource with these attributes, in this order: that of an earlier call, else a new one.
    ///
    /// # Errors
    /// The batch is full, and as before.
    /// # Cost
    /// Each new resource is held a second time, by which it is found.
    pub fn shared_resource(&mut self, attributes: &[Attribute<'_>]) -> Result<ResourceId, BatchFull> {
        let content = content(attributes);
        if let Some(known) = self.known_resources.get(&content) {
            return Ok(*known);
        }
        let id = self.push_resource(attributes)?;
        self.known_resources.insert(content, id);
        Ok(id)
    }
}

/// Returns bytes that are equal for equal attributes alone.
fn content(attributes: &[Attribute<'_>]) -> Vec<u8> {
    let mut content = Vec::new();
    let put = |content: &mut Vec<u8>, kind: u8, bytes: &[u8]| {
        content.push(kind);
        content.extend((bytes.len() as u64).to_le_bytes());
        content.extend_from_slice(bytes);
    };
    for Attribute { key, value } in attributes {
        put(&mut content, 0, key.as_bytes());
        match value {
            Value::Str(text) => put(&mut content, 1, text.as_bytes()),
            Value::Int(value) => put(&mut content, 2, &value.to_le_bytes()),
            Value::Dbl(value) => put(&mut content, 3, &value.to_bits().to_le_bytes()),
            Value::Bool(value) => put(&mut content, 4, &[u8::from(*value)]),
            Value::Other(bytes) => put(&mut content, 5, bytes),
        }
    }
    content
}
