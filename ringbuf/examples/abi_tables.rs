//! Prints the tables of `docs/spec/shm-abi.md` from the code; `cargo xtask tidy` compares the two block by block.

use backsight_core::record::{Kind, flags, seg_flags};
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::abi::{self, Class, Word};

fn main() {
    for (name, words) in abi::TABLES {
        block(name, &["offset", "word", "written by", "holds"], words.iter().map(word_row));
    }
    block("constants", &["constant", "value", "constant", "value"], paired(constants().collect()));
    let kind = |kind: &Kind| vec![format!("`{:#04x}`", *kind as u8), screaming(*kind)];
    block("kinds", &["code", "kind", "code", "kind"], paired(Kind::ALL.iter().map(kind).collect()));
    block("flags", &["bit", "record flag"], record_flags());
    block("seg_flags", &["bit", "segment flag"], segment_flags());
    let reason = |reason: &DropReason| vec![(*reason as u8).to_string(), format!("`{reason}`")];
    block("reasons", &["code", "reason", "code", "reason"], paired(DropReason::ALL.iter().map(reason).collect()));
}

/// Returns rows of twice the width: the first half of `rows` on the left, the second on the right.
fn paired(mut rows: Vec<Vec<String>>) -> impl Iterator<Item = Vec<String>> {
    let n_left = rows.len().div_ceil(2);
    let width = rows.first().map_or(0, Vec::len);
    let right = rows.split_off(n_left).into_iter().chain(std::iter::repeat(vec![String::new(); width]));
    rows.into_iter().zip(right).map(|(left, right)| [left, right].concat())
}

/// Prints one table between its markers.
fn block(name: &str, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    println!("<!-- abi:{name} -->");
    println!("| {} |", columns.join(" | "));
    println!("|{}", "---|".repeat(columns.len()));
    rows.for_each(|row| println!("| {} |", row.join(" | ")));
    println!("<!-- /abi -->");
}

fn word_row(word: &Word) -> Vec<String> {
    vec![word.offset.to_string(), format!("`{}`", word.name), word.writer.to_owned(), word.holds.to_owned()]
}

fn constants() -> impl Iterator<Item = Vec<String>> {
    let class = |class: Class| format!("{} KiB", class.bytes() >> 10);
    let rows = [
        ("ABI version", format!("{}.{}", abi::ABI_VERSION >> 16, abi::ABI_VERSION & 0xffff)),
        ("region magic", format!("{:#018x}", abi::REGION_MAGIC)),
        ("chunk magic", format!("{:#010x}", abi::CHUNK_MAGIC)),
        ("leases begin at", format!("{:#x}", abi::LEASES_OFFSET)),
        ("bytes of a lease entry", abi::LEASE_BYTES.to_string()),
        ("leases", abi::LEASES_MAX.to_string()),
        ("chunks of a lease", abi::CHUNKS_PER_LEASE.to_string()),
        ("chunk of class 1, 2, 3", Class::ALL.map(class).join(", ")),
        ("bytes of a chunk header", abi::CHUNK_HEADER_BYTES.to_string()),
        ("thread slots begin at", format!("{:#x}", abi::SLOTS_OFFSET)),
        ("bytes of a thread slot", abi::SLOT_BYTES.to_string()),
        ("thread slots", abi::SLOTS_MAX.to_string()),
        ("ring entries of a slot", abi::RING_ENTRIES.to_string()),
        ("bytes of a ring entry", abi::RING_ENTRY_BYTES.to_string()),
        ("laterals of a trigger, at most", abi::LATERALS_MAX.to_string()),
        ("return addresses of last words, at most", abi::LAST_WORDS_FRAMES.to_string()),
        ("string table begins at", format!("{:#x}", abi::STRINGS_OFFSET)),
        ("string descriptors, with the cursor", abi::STRINGS_MAX.to_string()),
        ("bytes of a string descriptor", abi::STRING_DESCRIPTOR_BYTES.to_string()),
        ("string bytes begin at", format!("{:#x}", abi::STRING_BYTES_OFFSET)),
        ("string bytes", abi::STRING_BYTES.to_string()),
        ("bytes of a string, at most", abi::STRING_MAX_BYTES.to_string()),
        ("span begins at", format!("{:#x}", abi::SPAN_OFFSET)),
        ("bytes that one call records, at most", backsight_core::record::PAYLOAD_MAX_BYTES.to_string()),
    ];
    rows.into_iter().map(|(name, value)| vec![name.to_owned(), value])
}

fn record_flags() -> impl Iterator<Item = Vec<String>> {
    let bit = |bit: u8, name: &str| vec![bit.trailing_zeros().to_string(), format!("`{name}`")];
    let detail = vec![
        format!("{}-{}", flags::DETAIL_SHIFT, flags::DETAIL_SHIFT + 1),
        "detail level: 0 always to 3 verbose".to_owned(),
    ];
    let rows = [
        bit(flags::ELIDED, "ELIDED"),
        bit(flags::MORE, "MORE"),
        bit(flags::CONTINUES, "CONTINUES"),
        bit(flags::TRUNCATED, "TRUNCATED"),
        detail,
        bit(flags::OF_EVENT, "OF_EVENT"),
    ];
    rows.into_iter()
}

fn segment_flags() -> impl Iterator<Item = Vec<String>> {
    let rows = [
        (seg_flags::RESUME, "RESUME"),
        (seg_flags::CONTINUED, "CONTINUED"),
        (seg_flags::FIRED, "FIRED"),
        (seg_flags::HEAD_KEPT, "HEAD_KEPT"),
        (seg_flags::IMPLICIT_END, "IMPLICIT_END"),
        (seg_flags::LOSS, "LOSS"),
        (seg_flags::CRUMBS, "CRUMBS"),
        (seg_flags::UNSAMPLED, "UNSAMPLED"),
        (seg_flags::RANDOM_ID, "RANDOM_ID"),
        (seg_flags::RECORDED, "RECORDED"),
    ];
    let (first, last) = (seg_flags::DETAIL_SHIFT, seg_flags::DETAIL.ilog2());
    let detail =
        vec![format!("{first}-{last}"), "`DETAIL`: the lowest detail level that was left out, 0 for none".to_owned()];
    let bits = rows.into_iter().map(|(bit, name)| vec![bit.trailing_zeros().to_string(), format!("`{name}`")]);
    bits.chain(std::iter::once(detail))
}

/// Returns a kind's name as the documents write it: `SpanStart` is `SPAN_START`.
fn screaming(kind: Kind) -> String {
    let mut name = String::new();
    for letter in format!("{kind:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    format!("`{name}`")
}
