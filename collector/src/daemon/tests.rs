//! Claims about the start, that what was not found whole on disk is said, and about streams, that whoever is refused is counted.

use super::{Collector, open};
use crate::config::{CollectorConfig, Config, IntakeConfig, QueryConfig, StoreConfig};
use backsight_proto::v1;
use backsight_proto::v1::coordinator_client::CoordinatorClient;
use backsight_proto::v1::intake_client::IntakeClient;
use backsight_proto::v1::query_client::QueryClient;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use tonic::Status;

/// What is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn files_that_are_removed_or_unreadable_at_the_start_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("0000000000000001.bks"), [0x55; 1000]).unwrap();
    std::fs::write(folder.path().join("0000000000000002.bks"), "BKS").unwrap();
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        open(folder.path(), &StoreConfig::default(), &IntakeConfig::default()).map(drop)
    })
    .unwrap();
    let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("WARN") && said.contains("0000000000000002.bks bytes=3"), "{said}");
    assert!(said.contains("lost_bytes=1000") && said.contains("n_unreadable_files=1"), "{said}");
}

fn hello() -> v1::Hello {
    v1::Hello { protocol: v1::PROTOCOL, agent: 7, instance: 1, version: "test".to_owned(), host: "host".to_owned() }
}

/// Says `messages` on a stream of reports; returns why it ended.
async fn report(url: &str, messages: Vec<v1::report_request::What>) -> Status {
    let messages = messages.into_iter().map(|what| v1::ReportRequest { what: Some(what) });
    let mut client = IntakeClient::connect(url.to_owned()).await.unwrap();
    let mut replies = client.report(tokio_stream::iter(messages)).await.unwrap().into_inner();
    loop {
        if let Err(status) = replies.message().await.map(Option::unwrap) {
            return status;
        }
    }
}

/// Says `messages` on a stream of coordination; returns why it ended.
async fn coordinate(url: &str, messages: Vec<v1::agent_says::What>) -> Status {
    let messages = messages.into_iter().map(|what| v1::AgentSays { what: Some(what) });
    let mut client = CoordinatorClient::connect(url.to_owned()).await.unwrap();
    let mut says = client.coordinate(tokio_stream::iter(messages)).await.unwrap().into_inner();
    loop {
        if let Err(status) = says.message().await.map(Option::unwrap) {
            return status;
        }
    }
}

fn metrics(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: collector\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_refused_are_counted_by_reason() {
    use v1::agent_says::What as Says;
    use v1::report_request::What as Report;
    let folder = tempfile::tempdir().unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let place = CollectorConfig { listen, data_dir: folder.path().to_owned(), ..CollectorConfig::default() };
    let collector = Collector::start(&Config { collector: place, ..Config::default() }).await.unwrap();
    let url = format!("http://{}", collector.address());
    let batch = |number| Report::Batch(v1::Batch { number, packed: vec![0xff; 9], unpacked_len: 5 });
    let later = v1::Hello { protocol: v1::PROTOCOL + 1, ..hello() };
    report(&url, vec![]).await;
    coordinate(&url, vec![]).await;
    report(&url, vec![batch(1)]).await;
    report(&url, vec![Report::Hello(later.clone())]).await;
    coordinate(&url, vec![Says::Update(v1::Update::default())]).await;
    coordinate(&url, vec![Says::Hello(later)]).await;
    report(&url, vec![Report::Hello(hello()), Report::Hello(hello())]).await;
    report(&url, vec![Report::Hello(hello()), batch(2)]).await;
    report(&url, vec![Report::Hello(hello()), batch(1)]).await;
    coordinate(&url, vec![Says::Hello(hello()), Says::Hello(hello())]).await;
    coordinate(&url, vec![Says::Hello(hello()), Says::Announce(v1::Announce::default())]).await;
    let long = v1::Hello { host: "x".repeat(5 << 20), ..hello() };
    coordinate(&url, vec![Says::Hello(hello()), Says::Hello(long)]).await;
    let expected =
        [("no_hello", 2), ("bad_hello", 4), ("not_next_batch", 2), ("bad_batch", 1), ("malformed", 2), ("too_long", 1)];
    let mut query = QueryClient::connect(url).await.unwrap();
    let drops = query.status(v1::StatusRequest {}).await.unwrap().into_inner().drops;
    let address = collector.address();
    let text = tokio::task::spawn_blocking(move || metrics(address)).await.unwrap();
    for (reason, n) in expected {
        assert_eq!(drops.get(&format!("refused_streams_{reason}")), Some(&n), "{reason}: {drops:?}");
        assert!(text.contains(&format!("refused_streams_total{{reason=\"{reason}\"}} {n}\n")), "{reason}: {text}");
    }
    collector.stop().await;
}

/// Asks `address` over HTTP, and returns the whole answer.
async fn ask(address: SocketAddr, head: String, body: &'static str) -> String {
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{head}Host: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    asked.await.unwrap()
}

const TRACE: &str = "0100000000000000000000000000002a";
const SPANS: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
    "scopeSpans":[{"spans":[{},{"traceId":"0100000000000000000000000000002a","spanId":"0100000000000000","name":"GET /cart",
    "startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000500000000"}]}]}]}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_of_strangers_are_counted_found_at_once_and_found_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let place = CollectorConfig { listen, data_dir: folder.path().to_owned(), ..CollectorConfig::default() };
    let intake = IntakeConfig { otlp_grpc: listen, otlp_http: listen, ..IntakeConfig::default() };
    let query = QueryConfig { listen: Some(listen), ..QueryConfig::default() };
    let config = Config { collector: place, intake, query, ..Config::default() };
    let off = Config { intake: IntakeConfig { otlp: false, ..config.intake.clone() }, ..config.clone() };
    let collector = Collector::start(&off).await.unwrap();
    assert!(collector.otlp().is_none());
    collector.stop().await;
    let collector = Collector::start(&config).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nContent-Type: application/json\r\n".to_owned();
    let answer = ask(collector.otlp().unwrap().http(), head, SPANS).await;
    assert!(answer.contains("rejectedSpans"), "{answer}");
    let metrics = ask(collector.address(), "GET /metrics HTTP/1.1\r\n".to_owned(), "").await;
    for line in
        ["requests_total 1", "spans_total 1", "rejected_spans_total{reason=\"trace_id\"} 1", "in_flight_bytes 0"]
    {
        assert!(metrics.contains(&format!("backsight_collector_otlp_{line}\n")), "{line}: {metrics}");
    }
    let found = async |collector: &Collector| {
        ask(collector.api_address().unwrap(), format!("GET /api/traces/{TRACE} HTTP/1.1\r\n"), "").await
    };
    let at_once = found(&collector).await;
    assert!(at_once.contains("GET /cart") && at_once.contains("shop"), "{at_once}");
    collector.stop().await;
    let collector = Collector::start(&config).await.unwrap();
    let later = found(&collector).await;
    assert!(later.contains("GET /cart"), "{later}");
    collector.stop().await;
}
