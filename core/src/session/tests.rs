//! Claims about session messages: each round-trips, unknown fields are skipped, and any bytes give a message or an error.

use super::{Attachment, MESSAGE_MAX_BYTES, Message, MessageError, SERVICE_MAX_BYTES};
use crate::ids::{AgentId, RegionId};
use proptest::prelude::{any, proptest};

fn messages(service: &str) -> Vec<Message<'_>> {
    vec![
        Message::Hello { abi: 0x1_0002, service, fork_of: None, resume: None },
        Message::Hello { abi: 1, service, fork_of: Some(RegionId(7)), resume: Some(RegionId(8)) },
        Message::Welcome { agent: AgentId(9), region: RegionId(u64::MAX), n_attachments: 2 },
        Message::Attach(Attachment::Region),
        Message::Attach(Attachment::Doorbell),
        Message::Request(Attachment::SlotPage(63)),
        Message::Refused { reason: "sessions of uid 1000 are at their limit of 1024" },
        Message::Goodbye,
    ]
}

#[test]
fn every_message_round_trips() {
    for message in messages("checkout") {
        let mut buffer = [0; MESSAGE_MAX_BYTES];
        assert_eq!(Message::decode(message.encode(&mut buffer)), Ok(message));
    }
}

#[test]
fn every_truncation_is_an_error_or_another_message_never_a_panic() {
    for message in messages("checkout") {
        let mut buffer = [0; MESSAGE_MAX_BYTES];
        let bytes = message.encode(&mut buffer);
        for len in 0..bytes.len() {
            assert_ne!(Message::decode(&bytes[..len]), Ok(message), "{message:?} cut to {len}");
        }
    }
}

#[test]
fn unknown_fields_are_skipped_and_unknown_kinds_are_named() {
    let mut buffer = [0; MESSAGE_MAX_BYTES];
    let mut bytes = Message::Goodbye.encode(&mut buffer).to_vec();
    bytes.extend([0xfe, 0xff, 3, 0, 1, 2, 3]);
    assert_eq!(Message::decode(&bytes), Ok(Message::Goodbye));
    bytes[4] = 200;
    assert_eq!(Message::decode(&bytes), Err(MessageError::UnknownKind { kind: 200 }));
}

#[test]
fn a_long_service_name_is_cut_at_a_character() {
    let service = "é".repeat(SERVICE_MAX_BYTES);
    let mut buffer = [0; MESSAGE_MAX_BYTES];
    let hello = Message::Hello { abi: 1, service: &service, fork_of: None, resume: None };
    let Ok(Message::Hello { service: cut, .. }) = Message::decode(hello.encode(&mut buffer)) else {
        panic!("not a HELLO");
    };
    assert_eq!(cut, "é".repeat(SERVICE_MAX_BYTES / 2));
}

proptest! {
    #[test]
    fn any_bytes_end_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Message::decode(&bytes);
        let mut framed = b"bks1".to_vec();
        framed.extend(bytes);
        let _ = Message::decode(&framed);
    }
}
