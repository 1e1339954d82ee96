//! Claims about a file's header and name: what is written is read, each change is noticed, and a later version is told from damage.

use super::{Fault, FileHeader, HEADER_BYTES, Name, bytes_for, name_of, spare_name_of};
use crate::wal::record::{PAYLOAD_MAX_BYTES, Seq};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

const HEADER: FileHeader = FileHeader { node: 3, number: 17, first_seq: Seq(900), epoch: 4, salt: 0x5a17 };

#[test]
fn a_later_version_is_told_from_damage() {
    let mut bytes = HEADER.encode();
    bytes[8] = 2;
    assert_eq!(FileHeader::decode(&bytes), Err(Fault::Unsound), "a flipped bit makes no version");
    let sum = crc32c::crc32c(&bytes[..60]);
    bytes[60..].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(FileHeader::decode(&bytes), Err(Fault::Version(2)));
}

#[test]
fn names_of_others_are_none_of_ours() {
    assert_eq!(Name::parse("00000000000000ff.wal"), Some(Name::Live(255)));
    assert_eq!(Name::parse("00000000000000ff.spare"), Some(Name::Spare(255)));
    for name in ["ff.wal", "00000000000000FF.wal", "+0000000000000ff.wal", "00000000000000ff.wal.bak", "lock", ".wal"] {
        assert_eq!(Name::parse(name), None, "{name}");
    }
}

#[test]
fn a_file_is_as_long_as_its_longest_record_needs() {
    assert_eq!(bytes_for(100, 1 << 20), 1 << 20);
    assert_eq!(bytes_for(PAYLOAD_MAX_BYTES, 64 << 20), (64 << 20) + 4096);
}

proptest! {
    /// For all headers: what is encoded is decoded; for all changes of one byte: it is noticed; for all that is shorter: no header.
    #[test]
    fn what_is_written_is_read_and_a_change_is_noticed(
        node in any::<u32>(), words in any::<[u64; 4]>(), at in 0..HEADER_BYTES as usize, flip in 1..=u8::MAX,
    ) {
        let header = FileHeader { node, number: words[0], first_seq: Seq(words[1]), epoch: words[2], salt: words[3] };
        let mut bytes = header.encode();
        prop_assert_eq!(FileHeader::decode(&bytes), Ok(header));
        prop_assert_eq!(FileHeader::decode(&bytes[..at]), Err(Fault::Unsound));
        bytes[at] ^= flip;
        prop_assert_eq!(FileHeader::decode(&bytes), Err(Fault::Unsound));
    }

    /// For all numbers: a file's name says its number.
    #[test]
    fn a_name_says_the_number(number in any::<u64>()) {
        prop_assert_eq!(Name::parse(&name_of(number)), Some(Name::Live(number)));
        prop_assert_eq!(Name::parse(&spare_name_of(number)), Some(Name::Spare(number)));
        prop_assert!(name_of(number) < name_of(number.saturating_add(1)) || number == u64::MAX);
    }
}
