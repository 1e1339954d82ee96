//! The official types read what is replied, in both forms.

use super::{Response, Status};
use crate::wire::otlp_json;
use crate::wire::otlp_visit::testing::Seen;
use crate::wire::otlp_visit::{Limits, OtlpError};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use std::time::Duration;

fn json(reply: &impl serde::Serialize) -> String {
    serde_json::to_string(reply).unwrap()
}

#[test]
fn full_success_says_nothing() {
    let (_, decoded) = Seen::of(&[]);
    let response = Response::of(&decoded.rejected);
    assert_eq!((response.to_protobuf(), json(&response).as_str()), (Vec::new(), "{}"));
}

#[test]
fn the_official_types_read_partial_success_in_both_forms() {
    // One resource, one scope, two spans without ids.
    let (_, decoded) = Seen::of(&[0x0a, 6, 0x12, 4, 0x12, 0, 0x12, 0]);
    let response = Response::of(&decoded.rejected);
    let error_message = "2 spans rejected: 2 trace_id".to_owned();
    let expected = ExportTracePartialSuccess { rejected_spans: 2, error_message };
    let read = ExportTraceServiceResponse::decode(response.to_protobuf().as_slice()).unwrap();
    assert_eq!(read.partial_success, Some(expected.clone()));
    assert_eq!(
        json(&response),
        r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"2 spans rejected: 2 trace_id"}}"#
    );
    let warning = Response { rejected_spans: 0, error_message: "old version".to_owned() };
    let read = ExportTraceServiceResponse::decode(warning.to_protobuf().as_slice()).unwrap();
    assert_eq!(read.partial_success.unwrap().error_message, "old version");
}

#[test]
fn refusals_name_the_cause_and_stay_short() {
    let status = Status::invalid(&OtlpError::Group { field: 7 });
    assert_eq!(json(&status), r#"{"code":3,"message":"field 7 is a group"}"#);
    assert_eq!(status.to_protobuf(), [&[8, 3, 0x12, 18][..], b"field 7 is a group"].concat());
    let long = format!(r#"{{"resourceSpans": "{}"}}"#, "é".repeat(100_000));
    let error = otlp_json::visit(long.as_bytes(), &Limits::default(), &mut Seen::default()).unwrap_err();
    let status = Status::invalid(&error);
    assert!(status.message.starts_with("request is not OTLP/JSON: invalid type: string"), "{:.80}", status.message);
    assert!(json(&status).len() < 2000 && status.to_protobuf().len() < 2000);
}

#[test]
fn a_refusal_tells_when_to_try_again() {
    let retry_after = Some(Duration::from_millis(1500));
    let status = Status { code: Status::RESOURCE_EXHAUSTED, message: "full".to_owned(), retry_after };
    let name = "type.googleapis.com/google.rpc.RetryInfo";
    assert_eq!(
        json(&status),
        format!(r#"{{"code":8,"message":"full","details":[{{"@type":"{name}","retryDelay":"1.500000000s"}}]}}"#)
    );
    let delay = [8, 1, 0x10, 0x80, 0xca, 0xb5, 0xee, 1];
    let any = [&[0x0a, name.len() as u8][..], name.as_bytes(), &[0x12, 10, 0x0a, 8], &delay].concat();
    let expected = [&[8, 8, 0x12, 4][..], b"full", &[0x1a, any.len() as u8], &any].concat();
    assert_eq!(status.to_protobuf(), expected);
}
