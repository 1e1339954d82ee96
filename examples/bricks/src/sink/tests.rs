//! Claims about the sink as others see it: an exporter sends to it, and the file says what came.

use super::{KeptFile, Ledger, Limits, Policy, Sink, State};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::TraceServiceServer;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};

#[tokio::test]
async fn what_an_exporter_sends_stands_in_the_file_of_what_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kept.jsonl");
    let state = State {
        ledger: Ledger::new(Policy::All, Limits { traces_max: 10 }),
        file: Some(KeptFile::create(&path).unwrap()),
    };
    let sink = Sink { start: Instant::now(), state: Arc::new(Mutex::new(state)) };
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let server = Server::builder().add_service(TraceServiceServer::new(sink.clone())).serve_with_incoming(incoming);
    let server = tokio::spawn(server);
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let span = |name: &str, kind| Span {
        trace_id: 7_u128.to_be_bytes().to_vec(),
        name: name.to_owned(),
        kind,
        ..Span::default()
    };
    let spans = vec![span("front/home", 2), span("back/get", 3), span("back/get", 2), span("back/get", 2)];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let request =
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] };
    TraceServiceClient::new(channel).export(request).await.unwrap();
    let summary = sink.finish().unwrap();
    server.abort();
    assert_eq!((summary.spans, summary.traces, summary.kept), (4, 1, 1));
    let line = std::fs::read_to_string(&path).unwrap();
    assert_eq!(line, "{\"trace\":\"00000000000000000000000000000007\",\"spans\":{\"back\":2,\"front\":1}}\n");
}
