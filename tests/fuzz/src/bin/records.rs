//! Records from bytes that nobody vouches for: the walk stays inside, moves forward, and ends after its first error.
#![no_main]

use backsight_core::record::{Header, Kind, Record, Records};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut end = 0;
    let mut walk = Records::new(bytes);
    while let Some(record) = walk.next() {
        let Ok(record) = record else {
            assert!(walk.next().is_none(), "the walk goes on after an error");
            return;
        };
        assert!(record.offset >= end, "records overlap");
        end = record.offset + 8 + record.body.len();
        assert!(end <= bytes.len(), "a record ends behind the bytes");
        assert_eq!(Header::unpack(record.header.pack()), record.header, "a header is its word");
        assert_eq!(usize::from(record.header.len), 8 + record.body.len(), "a body is what the length says");
        let kind = Kind::from_code(record.header.kind);
        match Record::decode(record.header, record.body) {
            // A crumb may point in a direction of a later version.
            Ok(Record::Unknown) => assert!(matches!(kind, None | Some(Kind::Crumb)), "known kinds are not skipped"),
            Ok(_) => assert!(kind.is_some(), "unknown kinds are skipped"),
            Err(_) => assert!(kind.is_some(), "a kind that nobody knows cannot be malformed"),
        }
    }
});
