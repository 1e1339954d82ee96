//! Strings by number: each text once, numbered in the order in which it came.
//!
//! Called by `Batch` for names and keys, of which there are few. Open addressing over one arena: a look-up is a hash and a comparison.

use backsight_core::checksum::checksum;

/// No string.
pub(crate) const NO_CODE: u32 = u32::MAX;
const EMPTY: u32 = u32::MAX;

/// A set of strings, numbered from 0.
#[derive(Clone, Debug)]
pub(crate) struct Interner {
    seed: u64,
    text: String,
    /// Where each string ends in `text`.
    ends: Vec<u32>,
    hashes: Vec<u32>,
    /// Codes by hash, a power of two of them, at most half of them taken.
    slots: Vec<u32>,
}

impl Interner {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, text: String::new(), ends: Vec::new(), hashes: Vec::new(), slots: vec![EMPTY; 1024] }
    }

    /// Returns the number of `text`. The caller has made sure that there is room for it.
    pub(crate) fn code(&mut self, text: &str) -> u32 {
        let hash = checksum(self.seed, text.as_bytes()) as u32;
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let code = self.slots[at];
            if code == EMPTY {
                break;
            }
            if self.hashes[code as usize] == hash && self.text(code) == text {
                return code;
            }
            at = (at + 1) & mask;
        }
        let code = self.ends.len() as u32;
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
        self.hashes.push(hash);
        self.slots[at] = code;
        if self.ends.len() * 2 > self.slots.len() {
            self.grow();
        }
        code
    }

    /// Returns the string with number `code`.
    pub(crate) fn text(&self, code: u32) -> &str {
        let idx = code as usize;
        let start = if idx == 0 { 0 } else { self.ends[idx - 1] as usize };
        &self.text[start..self.ends[idx] as usize]
    }

    /// Forgets all strings.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.hashes.clear();
        self.slots.fill(EMPTY);
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the bytes of all strings.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    fn grow(&mut self) {
        let n_slots = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(n_slots, EMPTY);
        for (code, hash) in self.hashes.iter().enumerate() {
            let mut at = *hash as usize & (n_slots - 1);
            while self.slots[at] != EMPTY {
                at = (at + 1) & (n_slots - 1);
            }
            self.slots[at] = code as u32;
        }
    }
}
