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
        let known = Kind::from_code(record.header.kind).is_some();
        match Record::decode(record.header, record.body) {
            Ok(decoded) => {
                assert_eq!(decoded == Record::Unknown, !known, "unknown kinds are skipped, known ones are not")
            }
            Err(_) => assert!(known, "a kind that nobody knows cannot be malformed"),
        }
    }
});
