//! Writes a request otherwise than an encoder does: fields in another order, several times, torn into pieces, between unknown ones.

use crate::wire::otlp_visit::fields::{Fields, Raw};
use crate::wire::otlp_visit::write;
use prost::encoding;

/// Numbers that look random, after a seed.
pub(in crate::wire) struct Dice(pub(in crate::wire) u64);

impl Dice {
    /// Returns a number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Messages by the fields in which others stand: this one's name, the field, the other's name, and whether all there mean one message.
const WITHIN: &[(&str, u32, &str, bool)] = &[
    ("request", 1, "resource_spans", false),
    ("resource_spans", 1, "resource", true),
    ("resource_spans", 2, "scope_spans", false),
    ("resource", 1, "pair", false),
    ("scope_spans", 1, "scope", true),
    ("scope_spans", 2, "span", false),
    ("scope", 3, "pair", false),
    ("span", 9, "pair", false),
    ("span", 11, "event", false),
    ("span", 13, "link", false),
    ("span", 15, "status", true),
    ("event", 3, "pair", false),
    ("link", 4, "pair", false),
    ("pair", 2, "value", true),
    ("value", 5, "list", true),
    ("value", 6, "map", true),
    ("list", 1, "value", false),
    ("map", 1, "pair", false),
];

/// Returns an encoded request, written otherwise.
pub(in crate::wire) fn disturbed(request: &[u8], dice: &mut Dice) -> Vec<u8> {
    message("request", request, dice)
}

fn message(name: &str, bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut rest = Fields::of(bytes);
    while let Some((number, raw)) = rest.next().unwrap() {
        let inner = WITHIN.iter().find(|(of, field, ..)| *of == name && *field == number);
        match (raw, inner) {
            (Raw::Bytes(bytes), Some((_, _, inner, is_one))) => {
                let torn = *is_one && dice.one_in(3);
                for piece in if torn { pieces(bytes, dice) } else { vec![bytes.to_vec()] } {
                    let mut field = Vec::new();
                    write::bytes(number, &message(inner, &piece, dice), &mut field);
                    fields.push(field);
                }
            }
            (raw, _) => fields.push(written(number, raw)),
        }
    }
    for _ in 0..dice.below(3) {
        match dice.below(3) {
            0 if !fields.is_empty() => {
                let again = fields[dice.below(fields.len())].clone();
                fields.insert(dice.below(fields.len() + 1), again);
            }
            1 => fields.insert(dice.below(fields.len() + 1), unknown(dice)),
            _ if fields.len() > 1 => {
                let (one, other) = (dice.below(fields.len()), dice.below(fields.len()));
                fields.swap(one, other);
            }
            _ => {}
        }
    }
    fields.concat()
}

/// Returns a message as two, which mean it together.
fn pieces(bytes: &[u8], dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut pieces = vec![Vec::new(), Vec::new()];
    let mut rest = Fields::of(bytes);
    while let Some((number, raw)) = rest.next().unwrap() {
        pieces[dice.below(2)].extend(written(number, raw));
    }
    pieces
}

fn written(number: u32, raw: Raw<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match raw {
        Raw::Varint(value) => encoding::uint64::encode(number, &value, &mut out),
        Raw::Fixed64(bits) => encoding::fixed64::encode(number, &bits, &mut out),
        Raw::Fixed32(bits) => encoding::fixed32::encode(number, &bits, &mut out),
        Raw::Bytes(bytes) => write::bytes(number, bytes, &mut out),
    }
    out
}

fn unknown(dice: &mut Dice) -> Vec<u8> {
    let number = [20, 100, 1000, (1 << 29) - 1][dice.below(4)];
    let raw = match dice.below(4) {
        0 => Raw::Varint(u64::MAX >> dice.below(64)),
        1 => Raw::Fixed64(7),
        2 => Raw::Fixed32(7),
        _ => Raw::Bytes(&[0xff; 9][..dice.below(10)]),
    };
    written(number, raw)
}
