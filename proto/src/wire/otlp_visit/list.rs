//! Lists of attributes as they are read: each key once, within the limits. Called by what reads spans, resources and scopes.

use super::value::{Attribute, Value, text};
use super::{Limits, Repairs, Stop};
use std::collections::HashMap;

/// Lists up to this length are searched by comparing keys, longer ones by their hashes.
const SEARCHED_MAX: usize = 16;

/// Attributes of one list after another, and where the keys of the last one are.
#[derive(Debug, Default)]
pub(super) struct Lists<'a> {
    attributes: Vec<Attribute<'a>>,
    /// Where the list that is being read begins.
    first_idx: usize,
    /// Places of its keys, once it is longer than [`SEARCHED_MAX`]. The hashes are seeded: no sender knows which keys collide.
    places: HashMap<&'a str, usize>,
}

impl<'a> Lists<'a> {
    /// Forgets all lists and begins one.
    pub(super) fn clear(&mut self) {
        self.attributes.clear();
        self.begin();
    }

    /// Begins another list, and returns where.
    pub(super) fn begin(&mut self) -> usize {
        self.first_idx = self.attributes.len();
        if !self.places.is_empty() {
            self.places.clear();
        }
        self.first_idx
    }

    /// Returns where the list that is being read ends.
    pub(super) fn end(&self) -> usize {
        self.attributes.len()
    }

    pub(super) fn all(&self) -> &[Attribute<'a>] {
        &self.attributes
    }

    /// Reads a pair into the list; of pairs with one key the last counts, at the place of the first.
    #[inline]
    pub(super) fn read(&mut self, pair: &'a [u8], limits: &Limits, repairs: &mut Repairs) -> Result<(), Stop> {
        let Attribute { key, value } = Attribute::read(pair)?;
        let value = match within(value, limits, repairs) {
            Some(value) if value.check(limits.levels())? => value,
            _ => {
                repairs.attributes_dropped += 1;
                return Ok(());
            }
        };
        self.add(Attribute { key: cut(key, limits, repairs), value }, limits, repairs);
        Ok(())
    }

    #[inline]
    fn add(&mut self, attribute: Attribute<'a>, limits: &Limits, repairs: &mut Repairs) {
        let list = &mut self.attributes[self.first_idx..];
        let place = match list.len() {
            0..=SEARCHED_MAX => list.iter().position(|other| other.key == attribute.key),
            _ => self.places.get(attribute.key).copied(),
        };
        if let Some(place) = place {
            list[place] = attribute;
            repairs.duplicate_keys += 1;
            return;
        }
        let n_attributes = list.len();
        if n_attributes >= limits.attrs_max {
            repairs.attributes_dropped += 1;
            return;
        }
        self.attributes.push(attribute);
        match n_attributes {
            0..SEARCHED_MAX => {}
            SEARCHED_MAX => {
                let list = &self.attributes[self.first_idx..];
                self.places.extend(list.iter().enumerate().map(|(place, attribute)| (attribute.key, place)));
            }
            _ => {
                self.places.insert(attribute.key, n_attributes);
            }
        }
    }

    /// Returns the bytes that are taken for the lists.
    #[cfg(test)]
    pub(super) fn capacity_bytes(&self) -> usize {
        self.attributes.capacity() * size_of::<Attribute<'_>>()
            + self.places.capacity() * 2 * size_of::<(&str, usize)>()
    }
}

/// Returns a value that is not too large, `None` where there is none of it.
#[inline]
fn within<'a>(value: Value<'a>, limits: &Limits, repairs: &mut Repairs) -> Option<Value<'a>> {
    if value.len() <= limits.attr_value_max {
        return Some(value);
    }
    match value {
        Value::Text(text) => Some(Value::Text(cut(text, limits, repairs))),
        Value::Bytes(bytes) => {
            repairs.values_truncated += 1;
            Some(Value::Bytes(&bytes[..limits.attr_value_max]))
        }
        _ => None,
    }
}

/// Returns a text, cut before the character that is over the limit.
#[inline]
fn cut<'a>(text: &'a str, limits: &Limits, repairs: &mut Repairs) -> &'a str {
    if text.len() <= limits.attr_value_max {
        return text;
    }
    repairs.values_truncated += 1;
    &text[..text.floor_char_boundary(limits.attr_value_max)]
}

/// Returns bytes as a text within the limits.
#[inline]
pub(super) fn text_within<'a>(bytes: &'a [u8], limits: &Limits, repairs: &mut Repairs) -> Result<&'a str, Stop> {
    Ok(cut(text(bytes)?, limits, repairs))
}
