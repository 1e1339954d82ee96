//! Messages of the producer socket: whatever decodes, encodes to a message of the same meaning.
#![no_main]

use backsight_core::session::{MESSAGE_MAX_BYTES, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(received) = Message::decode(bytes) else { return };
    // The first encoding may shorten what is too long; after that nothing changes.
    let (mut first, mut second) = ([0; MESSAGE_MAX_BYTES], [0; MESSAGE_MAX_BYTES]);
    let sent = Message::decode(received.encode(&mut first)).expect("a message that was encoded decodes");
    assert_eq!(Message::decode(sent.encode(&mut second)), Ok(sent));
});
