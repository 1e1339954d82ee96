//! What a sink is shown is what the official decoder reads, whatever the order and the pieces in which it comes.

pub(in crate::wire) mod disturb;
mod hostile;

use super::testing::{Seen, expected, some_request};
use super::{Limits, visit};
use disturb::{Dice, disturbed};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use prost::Message;

proptest! {
    /// For any request, as it is written by the official encoder: every field arrives, and every span is taken or rejected.
    #[test]
    fn every_field_arrives(request in some_request()) {
        let n_spans: usize = request.resource_spans.iter().flat_map(|of| &of.scope_spans).map(|of| of.spans.len()).sum();
        let (seen, decoded) = Seen::of(&request.encode_to_vec());
        let expected = expected(request);
        prop_assert_eq!(seen.encode_to_vec(), expected.encode_to_vec(), "{:#?} {:#?}", seen, expected);
        prop_assert_eq!(decoded.n_taken + decoded.rejected.total(), n_spans as u64);
    }

    /// For any request whose fields were shuffled, repeated, torn apart and mixed with unknown ones: what arrives is what prost makes of it.
    #[test]
    fn order_pieces_repetition_and_unknown_fields_mean_what_protobuf_says(request in some_request(), seed in any::<u64>()) {
        let bytes = disturbed(&request.encode_to_vec(), &mut Dice(seed));
        let theirs = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
        let (seen, _) = Seen::of(&bytes);
        let expected = expected(theirs);
        prop_assert_eq!(seen.encode_to_vec(), expected.encode_to_vec(), "{:#?} {:#?}", seen, expected);
    }

    /// For any request in which bytes were changed, cut out or put in: it is refused only where prost refuses it, or for a group, and where
    /// both read it, they read the same.
    #[test]
    fn changed_bytes_are_refused_or_read_as_prost_does(
        request in some_request(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut bytes = request.encode_to_vec();
        for (at, byte, how) in changes {
            match how {
                0 if !bytes.is_empty() => drop(bytes.remove(at.index(bytes.len()))),
                1 if !bytes.is_empty() => {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                _ => bytes.insert(at.index(bytes.len() + 1), byte),
            }
        }
        let theirs = ExportTraceServiceRequest::decode(bytes.as_slice());
        let mut seen = Seen::default();
        match (visit(&bytes, &Limits::default(), &mut seen), theirs) {
            (Err(super::OtlpError::Group { .. }), _) | (_, Err(_)) => {}
            (Err(error), Ok(_)) => prop_assert!(false, "prost reads what is refused with: {error}"),
            (Ok(_), Ok(theirs)) => prop_assert_eq!(seen.0.encode_to_vec(), expected(theirs).encode_to_vec()),
        }
    }
}
