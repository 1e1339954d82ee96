//! Names of spans, events and attributes: interned once per call site, or written in place.

use crate::block;
use backsight_core::ids::StringId;
use backsight_core::record::name_word;
use backsight_core::sync::{AtomicU64, Ordering};
use backsight_ringbuf::shm::View;
use backsight_ringbuf::strings;
use backsight_ringbuf::writer::Writer;

/// A name that its call site interns once; `backsight::span!` and its sisters make one.
///
/// # Cost
/// 16 bytes of text pointer and one cached word; after the first use a name costs 4 bytes in the log.
#[derive(Debug)]
pub struct StaticName {
    text: &'static str,
    /// The session's epoch in the high half, the id in the low one; 0 before the first use.
    cached: AtomicU64,
}

impl StaticName {
    /// Returns the name `text`.
    pub const fn new(text: &'static str) -> Self {
        Self { text, cached: AtomicU64::new(0) }
    }

    /// Returns the id in the region that `writer` writes to; [`StringId::NONE`] where the table is full or there is no region.
    #[inline(always)]
    fn id(&self, writer: &Writer<View>, epoch: u32) -> StringId {
        self.known(epoch).unwrap_or_else(|| self.intern(writer, epoch))
    }

    /// Returns the id if session `epoch` knows it already.
    #[inline(always)]
    fn known(&self, epoch: u32) -> Option<StringId> {
        self.known_in_session(epoch).filter(|_| epoch != 0)
    }

    /// Does what [`StaticName::known`] does, for a caller that uses the id only if there is a session: `epoch` is not 0 then.
    #[inline(always)]
    pub(crate) fn known_in_session(&self, epoch: u32) -> Option<StringId> {
        let cached = self.cached.load(Ordering::Relaxed); // an id is valid for whoever sees it: the table is published by itself
        ((cached >> 32) as u32 == epoch).then_some(StringId(cached as u32))
    }

    #[cold]
    #[inline(never)]
    fn intern(&self, writer: &Writer<View>, epoch: u32) -> StringId {
        let id = intern_in(writer, self.text);
        if !id.is_none() {
            self.cached.store(u64::from(epoch) << 32 | u64::from(id.0), Ordering::Relaxed); // as above
        }
        id
    }
}

/// How a record names something.
#[derive(Clone, Copy, Debug)]
pub enum Name<'a> {
    /// Interned by its call site.
    Static(&'static StaticName),
    /// Interned by hand ([`crate::ffi::intern`]).
    Interned(StringId),
    /// Made as the program runs. A span's is written in place. Those of events, keys, payloads and exceptions are interned while half of the
    /// table is free, and written in place after, where what follows them is cut at half a kilobyte: what differs from request to request
    /// belongs into a value.
    Text(&'a str),
}

impl From<&'static StaticName> for Name<'_> {
    fn from(name: &'static StaticName) -> Self {
        Self::Static(name)
    }
}

impl<'a> From<&'a str> for Name<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

/// A name as it goes into a record: an id, or the text where that is 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved<'a> {
    pub(crate) id: StringId,
    pub(crate) text: &'a str,
}

impl<'a> Resolved<'a> {
    /// Returns the name word and the text that follows it, at most as long as the word can say.
    #[inline(always)]
    pub(crate) fn in_place(self, aux: u8) -> (u64, &'a [u8]) {
        let text = self.text.get(..self.text.floor_char_boundary(usize::from(u16::MAX))).unwrap_or("");
        (name_word(self.id.0, text.len() as u16, aux), text.as_bytes())
    }
}

impl<'a> Name<'a> {
    /// Resolves the name; a text stays a text.
    #[inline(always)]
    pub(crate) fn resolve(self, writer: &Writer<View>, epoch: u32) -> Resolved<'a> {
        match self {
            Self::Static(name) => match name.id(writer, epoch) {
                StringId::NONE => Resolved { id: StringId::NONE, text: name.text },
                id => Resolved { id, text: "" },
            },
            Self::Interned(id) => Resolved { id, text: "" },
            Self::Text(text) => Resolved { id: StringId::NONE, text },
        }
    }

    /// Resolves the name; a text is interned where the table has room: for keys, of which a program has few.
    #[inline(always)]
    pub(crate) fn resolve_interned(self, writer: &Writer<View>, epoch: u32) -> Resolved<'a> {
        let resolved = self.resolve(writer, epoch);
        let has_room = || writer.store().is_mapped() && strings::is_half_free(writer.store());
        if !resolved.id.is_none() || resolved.text.is_empty() || !has_room() {
            return resolved;
        }
        match intern_in(writer, resolved.text) {
            StringId::NONE => resolved,
            id => Resolved { id, text: "" },
        }
    }
}

/// Interns `text` in the process's region and returns its id; [`StringId::NONE`] without a session or where the table is full.
///
/// # Cost
/// A search among the newest 4096 strings: keep the id.
pub fn intern(text: &str) -> StringId {
    let interned = block::with_writer(|writer, now| {
        block::attached(writer, now)?;
        Some(intern_in(writer, text))
    });
    interned.flatten().unwrap_or(StringId::NONE)
}

fn intern_in(writer: &Writer<View>, text: &str) -> StringId {
    let view = writer.store();
    if !view.is_mapped() || text.is_empty() {
        return StringId::NONE;
    }
    let id = strings::intern(view, text.as_bytes(), backsight_core::priority::text_hash(text));
    id.unwrap_or_else(|| {
        writer.count_drop(backsight_core::telemetry::DropReason::StringTable);
        StringId::NONE
    })
}
