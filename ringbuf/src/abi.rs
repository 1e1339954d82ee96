//! The byte layout that client and agent share: every offset, size and magic number, each in one place.
//!
//! `docs/spec/shm-abi.md` draws it; `cargo xtask tidy` compares that document with [`TABLES`]. Changing anything here bumps
//! [`ABI_VERSION`]: the major half where old clients could not go on.

/// `major << 16 | minor`. An agent refuses another major; a newer minor only adds words that were zero.
pub const ABI_VERSION: u32 = 1 << 16 | 4;

/// First word of a region.
pub const REGION_MAGIC: u64 = u64::from_le_bytes(*b"bksregn1");
/// Low half of a chunk's identity word.
pub const CHUNK_MAGIC: u32 = u32::from_le_bytes(*b"bksc");

/// Where the leases begin.
pub const LEASES_OFFSET: u64 = 4 << 10;
/// Bytes of a lease's entry: two cache lines, so that claiming and sealing do not share one.
pub const LEASE_BYTES: u64 = 128;
/// Leases of a region; with 64 chunks each a chunk id has 15 bits.
pub const LEASES_MAX: u32 = 512;
/// Chunks of a lease: one u64 then holds a lease, and no queue slot can be left half-written.
pub const CHUNKS_PER_LEASE: u32 = 64;

/// Where the thread slots begin.
pub const SLOTS_OFFSET: u64 = 1 << 20;
/// Bytes of a thread slot: a page, so that only threads that exist cost memory.
pub const SLOT_BYTES: u64 = 4 << 10;
/// Thread slots of a region.
pub const SLOTS_MAX: u32 = 4096;

/// Where the string table begins: its cursor, then descriptors.
pub const STRINGS_OFFSET: u64 = 20 << 20;
/// String descriptors; number 0 holds the table's cursor.
pub const STRINGS_MAX: u32 = 65_536;
/// Bytes of a descriptor.
pub const STRING_DESCRIPTOR_BYTES: u64 = 16;
/// Where the bytes of strings begin.
pub const STRING_BYTES_OFFSET: u64 = STRINGS_OFFSET + STRINGS_MAX as u64 * STRING_DESCRIPTOR_BYTES;
/// Bytes for strings: what the descriptors leave of 4 MiB.
pub const STRING_BYTES: u64 = (4 << 20) - STRINGS_MAX as u64 * STRING_DESCRIPTOR_BYTES;
/// The longest string that is interned; longer ones are written inline.
pub const STRING_MAX_BYTES: u64 = 4096;

/// Where leased chunks begin; the region ends after the span that the pool's budget allows.
pub const SPAN_OFFSET: u64 = 32 << 20;

/// Bytes of a chunk header.
pub const CHUNK_HEADER_BYTES: u64 = 64;
/// The chunk id that stands for none.
pub const NO_CHUNK: u32 = u32::MAX;

/// Entries of a thread's signal ring.
pub const RING_ENTRIES: u64 = 32;
/// Bytes of a ring entry.
pub const RING_ENTRY_BYTES: u64 = 64;
/// Laterals that one trigger may name.
pub const LATERALS_MAX: usize = 32;
/// Return addresses in a thread's last words.
pub const LAST_WORDS_FRAMES: usize = 16;

/// The size of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Class {
    /// 4 KiB: what a thread starts with.
    Small = 1,
    /// 16 KiB.
    Medium = 2,
    /// 64 KiB.
    Large = 3,
}

impl Class {
    /// Every class, smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// Returns the class with number `code`.
    pub const fn from_code(code: u64) -> Option<Self> {
        match code {
            1 => Some(Self::Small),
            2 => Some(Self::Medium),
            3 => Some(Self::Large),
            _ => None,
        }
    }

    /// Returns the bytes of a chunk.
    pub const fn bytes(self) -> u64 {
        1 << self.shift()
    }

    /// Returns the bytes of a lease of 64 such chunks.
    pub const fn lease_bytes(self) -> u64 {
        self.bytes() * CHUNKS_PER_LEASE as u64
    }

    /// Returns the next larger class, or this one.
    pub const fn larger(self) -> Self {
        match self {
            Self::Small => Self::Medium,
            _ => Self::Large,
        }
    }

    /// Returns the next smaller class, or this one.
    pub const fn smaller(self) -> Self {
        match self {
            Self::Large => Self::Medium,
            _ => Self::Small,
        }
    }

    const fn shift(self) -> u32 {
        10 + 2 * self as u32
    }
}

/// One word of a layout, as the document shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word {
    /// Bytes from the start of the structure.
    pub offset: u64,
    /// The constant's name.
    pub name: &'static str,
    /// Who writes it.
    pub writer: &'static str,
    /// What it holds.
    pub holds: &'static str,
}

/// Declares a structure of 8-byte words: a module of offsets, and the table that the document shows.
macro_rules! layout {
    ($(#[doc = $doc:literal])* $module:ident, $len:expr; $($offset:literal $name:ident $writer:literal $holds:literal;)*) => {
        $(#[doc = $doc])*
        pub mod $module {
            $(#[doc = concat!($holds, ". Written by: ", $writer, ".")] pub const $name: u64 = $offset;)*
            /// Bytes of the structure.
            pub const BYTES: u64 = $len;
            /// The words in order.
            pub const WORDS: &[super::Word] =
                &[$(super::Word { offset: $offset, name: stringify!($name), writer: $writer, holds: $holds },)*];
            const _: () = {
                let mut i = 0;
                while i < WORDS.len() {
                    assert!(WORDS[i].offset % 8 == 0 && WORDS[i].offset < BYTES);
                    assert!(i == 0 || WORDS[i].offset > WORDS[i - 1].offset);
                    i += 1;
                }
            };
        }
    };
}

layout! {
    /// The region header, at offset 0.
    header, 4096;
    0 MAGIC "agent" "`bksregn1`, stored last when the region is made";
    8 ABI "agent" "`ABI_VERSION`";
    16 REGION "agent" "region id";
    24 PID "agent" "process id, as the agent sees it";
    32 START_TIME "agent" "the process's start in clock ticks since boot";
    40 BOOT_HI "agent" "boot id, first half";
    48 BOOT_LO "agent" "boot id, second half";
    56 AGENT "agent" "agent id";
    64 SEED_EPOCH "agent" "epoch of the cluster seed";
    72 CLUSTER_SEED "agent" "seed of trace priorities";
    80 N_SLOTS "agent" "thread slots that may be used";
    88 TICKS_PER_SECOND "agent" "rate of the record clock";
    96 ENDING "agent" "0: the process runs; 1: it said goodbye; 2: it has ended after that; 3: it has died";
    104 ENDED_AT "agent" "record clock when `ENDING` became 2 or 3";
    128 RECORDING "agent" "1: record; 0: threads take no further chunk";
    136 CLOCK "agent" "0: TSC; 1: CLOCK_MONOTONIC";
    144 RECORD_THRESHOLD "agent" "traces of a lower priority are not recorded; 0: all are (section 4)";
    152 DETAIL_THRESHOLD_1 "agent" "traces of a lower priority lose records of level 1";
    160 DETAIL_THRESHOLD_2 "agent" "traces of a lower priority lose records of level 2";
    168 DETAIL_THRESHOLD_3 "agent" "traces of a lower priority lose records of level 3; 0: none loses any";
    176 CRUMBS "agent" "bits 0-7: crumbs that travel, 0 for 3; bit 8: 1: responses name no agent";
    192 N_LEASES "agent" "leases in use are below this number";
    200 CLASS_FLOOR "agent" "smallest class that a thread should take next";
    208 GRANT_SEQ "agent" "raised after each grant; a thread in drop mode looks again when it moves";
    216 SLEEPING "agent" "1 while the agent waits for the doorbell";
    224 HEARTBEAT "agent" "CLOCK_MONOTONIC ns of the agent's last round";
    232 CHANGES "both" "changes of chunk until the doorbell rings for them; 0: while it waits, it rings for each";
    256 CALIBRATION_SEQ "agent" "odd while the next three words change";
    264 CALIBRATION_TICKS "agent" "record clock";
    272 CALIBRATION_REALTIME "agent" "CLOCK_REALTIME ns at that tick";
    280 CALIBRATION_MONOTONIC "agent" "CLOCK_MONOTONIC ns at that tick";
    320 NO_SLOT "client" "writes refused because all thread slots were taken";
    336 SERVICE_LEN "agent" "bytes of the service's name";
    344 SERVICE "agent" "16 words: the service's name";
    512 SLOT_BITS "both" "64 words: bit i of word w is set while slot 64w+i is taken";
}

layout! {
    /// A lease's entry.
    lease, super::LEASE_BYTES;
    0 CLASS "agent" "class of its chunks, 0 while the entry is unused";
    8 OFFSET "agent" "where its first chunk stands in the region";
    16 GRANTED "both" "bit i: chunk i waits to be claimed; set by the agent, cleared by whoever takes it";
    64 SEALED "both" "bit i: chunk i is full; set by its thread, swapped to 0 by the agent";
}

layout! {
    /// A chunk's header.
    chunk, super::CHUNK_HEADER_BYTES;
    0 HEAD "both" "committed bytes, last segment, generation, sealed (see below)";
    8 IDENTITY "agent" "`bksc` in bits 0-31, class in 32-39";
    16 REGION "agent" "region id";
    24 OWNER "client" "thread slot in bits 0-31, thread id in 32-63";
    32 FIRST_TICKS "client" "ticks when the chunk was opened";
    40 LAST_TICKS "client" "ticks when it was sealed";
    48 LINKS "client" "the thread's chunk before this in bits 0-31, number of segments in 32-63";
    56 LOST "client" "records that the thread lost before it had this chunk";
}

layout! {
    /// A thread slot. Its first 64 bytes are the context that kernel probes read too.
    slot, super::SLOT_BYTES;
    0 TRACE_HI "client" "active trace, high half; 0 and 0 outside a segment";
    8 TRACE_LO "client" "active trace, low half";
    16 SPAN "client" "innermost open span; says nothing outside a segment";
    24 SEQ_API "client" "bits 0-31: change number, odd while the context changes; 32-63: API id";
    32 ON_SINCE "kernel" "reserved for probes";
    40 ON_CPU "kernel" "reserved for probes";
    48 KERNEL_GENERATION "kernel" "reserved for probes";
    56 CHANGED "client" "ticks of the last change";
    64 STATE "both" "bits 0-31: thread id; bit 63: the thread has exited";
    72 OPEN "client" "open chunk id + 1 in bits 0-31, its generation in 32-63; 0 for none";
    128 DROPS "client" "16 counters by drop reason";
    256 LOSS_RECORDS "client" "records lost since the last LOST record";
    264 LOSS_BYTES "client" "their bytes";
    272 LOSS_FIRST "client" "ticks of the first";
    280 LOSS_LAST "client" "ticks of the last";
    512 WORDS_SIGNAL "client" "last words: the fatal signal, stored last; 0 for none";
    520 WORDS_ADDRESS "client" "faulting address";
    528 WORDS_INSTRUCTION "client" "instruction";
    536 WORDS_TRACE_HI "client" "active trace, high half";
    544 WORDS_TRACE_LO "client" "active trace, low half";
    552 WORDS_TICKS "client" "ticks";
    560 WORDS_N_FRAMES "client" "return addresses that follow, at most 16";
    568 WORDS_FRAMES "client" "16 return addresses, innermost first";
    1024 RING_TAIL "client" "signal entries ever written";
    1088 RING_HEAD "agent" "signal entries ever taken";
    1152 RING "client" "32 entries of 64 bytes";
}

layout! {
    /// The string table: the cursor in the place of descriptor 0, then descriptors of two words.
    strings, super::STRING_DESCRIPTOR_BYTES * 2;
    0 CURSOR_IDS "client" "descriptors ever claimed";
    8 CURSOR_BYTES "client" "bytes ever claimed";
    16 PLACE "client" "of descriptor 1: offset in the string bytes in bits 0-31, length in 32-63";
    24 READY "client" "of descriptor 1: hash in bits 0-31, 1 in 32-63 once the string may be read; stored last";
}

/// Every layout with its name in the document.
pub const TABLES: &[(&str, &[Word])] = &[
    ("header", header::WORDS),
    ("lease", lease::WORDS),
    ("chunk", chunk::WORDS),
    ("slot", slot::WORDS),
    ("strings", strings::WORDS),
];

const _: () = {
    assert!(LEASES_OFFSET + LEASES_MAX as u64 * LEASE_BYTES <= SLOTS_OFFSET);
    assert!(SLOTS_OFFSET + SLOTS_MAX as u64 * SLOT_BYTES <= STRINGS_OFFSET);
    assert!(STRING_BYTES_OFFSET + STRING_BYTES <= SPAN_OFFSET);
    assert!(header::SLOT_BITS + SLOTS_MAX as u64 / 8 <= header::BYTES);
    assert!(slot::RING + RING_ENTRIES * RING_ENTRY_BYTES <= SLOT_BYTES);
    assert!(slot::WORDS_FRAMES + 8 * LAST_WORDS_FRAMES as u64 <= slot::RING_TAIL);
    assert!(Class::Large.bytes() == 64 << 10 && Class::Small.bytes() == 4 << 10);
};

/// Returns where the entry of lease `lease` stands.
#[inline(always)]
pub const fn lease_offset(lease: u32) -> u64 {
    LEASES_OFFSET + lease as u64 * LEASE_BYTES
}

/// Returns where thread slot `slot` stands.
#[inline(always)]
pub const fn slot_offset(slot: u32) -> u64 {
    SLOTS_OFFSET + slot as u64 * SLOT_BYTES
}

/// Names a chunk of a region: `lease << 6 | bit`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChunkId(u32);

impl ChunkId {
    /// Returns the id of chunk `bit` of lease `lease`; both are taken modulo their range.
    pub const fn new(lease: u32, bit: u32) -> Self {
        Self((lease % LEASES_MAX) << 6 | (bit % CHUNKS_PER_LEASE))
    }

    /// Returns the id with number `code`, or `None` where no region has so many chunks.
    pub const fn from_code(code: u32) -> Option<Self> {
        if code < LEASES_MAX * CHUNKS_PER_LEASE { Some(Self(code)) } else { None }
    }

    /// Returns the number.
    pub const fn code(self) -> u32 {
        self.0
    }

    /// Returns the lease.
    pub const fn lease(self) -> u32 {
        self.0 >> 6
    }

    /// Returns the bit of the lease's words.
    pub const fn mask(self) -> u64 {
        1 << (self.0 & 63)
    }

    /// Returns the chunk's place within its lease.
    pub const fn bit(self) -> u32 {
        self.0 & 63
    }
}
