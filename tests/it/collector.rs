//! The collector against peers that are no sound agents: each is told why, and harms nobody else.

use backsight_core::holding::{Holding, HoldingState};
use backsight_core::ids::{TraceId, TriggerId};
use backsight_proto::packing::Packer;
use backsight_proto::v1;
use backsight_proto::v1::coordinator_client::CoordinatorClient;
use backsight_proto::v1::intake_client::IntakeClient;
use backsight_proto::v1::report_reply::What as Reply;
use backsight_proto::v1::report_request::What as Report;
use backsight_proto::wire;
use backsight_tests::harness::collector::Collector;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

fn hello(agent: u32, instance: u64) -> v1::Hello {
    v1::Hello { protocol: v1::PROTOCOL, agent, instance, version: "test".to_owned(), host: "host".to_owned() }
}

/// A report of a trace of which the agent has nothing.
fn report(lo: u64) -> v1::TraceReport {
    let holding = Holding { trace: TraceId::new(7, lo), state: HoldingState::Kept, ..Holding::default() };
    (&wire::Report { holding, trigger: TriggerId::MANUAL, fired_ns: 1, ..wire::Report::default() }).into()
}

/// A batch; the first one of its stream, as far as packing goes.
fn batch(number: u64, traces: Vec<v1::TraceReport>) -> Report {
    Report::Batch(Packer::default().pack(number, &v1::Traces { traces }).unwrap())
}

/// An agent's report stream, spoken by hand.
struct Reports {
    says: mpsc::Sender<v1::ReportRequest>,
    hears: Streaming<v1::ReportReply>,
}

impl Reports {
    async fn open(url: &str, first: Report) -> Self {
        let (says, stream) = mpsc::channel(8);
        says.send(v1::ReportRequest { what: Some(first) }).await.unwrap();
        let mut client = IntakeClient::connect(url.to_owned()).await.unwrap();
        let hears = client.report(ReceiverStream::new(stream)).await.unwrap().into_inner();
        Self { says, hears }
    }

    async fn say(&self, what: Report) {
        self.says.send(v1::ReportRequest { what: Some(what) }).await.unwrap();
    }

    async fn hear(&mut self) -> Result<Reply, Status> {
        Ok(self.hears.message().await?.unwrap().what.unwrap())
    }
}

/// Runs `test` against a collector of its own.
fn with_collector(test: impl AsyncFnOnce(&str)) {
    let collector = Collector::start().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test(&collector.url()));
}

#[test]
fn garbage_on_its_port_disturbs_nobody() {
    with_collector(async |url| {
        let address = url.strip_prefix("http://").unwrap();
        let mut sound = Reports::open(url, Report::Hello(hello(1, 1))).await;
        assert!(matches!(sound.hear().await, Ok(Reply::Ready(_))));
        for garbage in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], &[0xff; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff"]
        {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
            let _ = stream.write_all(garbage); // it may hang up in between
            let _ = stream.read(&mut [0; 64]);
        }
        sound.say(batch(1, vec![report(1)])).await;
        assert!(matches!(sound.hear().await, Ok(Reply::Ack(v1::BatchAck { number: 1 }))));
    });
}

#[test]
fn whoever_does_not_speak_the_protocol_is_told_why() {
    with_collector(async |url| {
        let later = v1::Hello { protocol: 2, ..hello(1, 1) };
        let status = Reports::open(url, Report::Hello(later)).await.hear().await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "hello.protocol is 2, allowed is 1"));
        let status = Reports::open(url, batch(1, Vec::new())).await.hear().await.unwrap_err();
        assert_eq!(status.message(), "the first message of a report stream must be a hello");
        let mut reports = Reports::open(url, Report::Hello(hello(1, 1))).await;
        assert!(matches!(reports.hear().await, Ok(Reply::Ready(_))));
        reports.say(batch(2, Vec::new())).await;
        assert_eq!(reports.hear().await.unwrap_err().message(), "batch has number 2, expected is 1");
    });
}

#[test]
fn a_batch_that_cannot_be_unpacked_ends_its_stream_and_takes_no_memory() {
    with_collector(async |url| {
        let refused = async |packed: &[u8], unpacked_len| {
            let mut reports = Reports::open(url, Report::Hello(hello(1, 1))).await;
            assert!(matches!(reports.hear().await, Ok(Reply::Ready(_))));
            reports.say(Report::Batch(v1::Batch { number: 1, packed: packed.to_vec(), unpacked_len })).await;
            reports.hear().await.unwrap_err().message().to_owned()
        };
        assert!(refused(&[0xff; 9], 5).await.starts_with("unpack a batch: deflate"));
        assert_eq!(refused(&[], 5).await, "unpack a batch of 5 bytes: 0 came out, and 0 are left");
        let huge = refused(&[3, 0], u64::MAX).await;
        assert_eq!(huge, "unpack a batch of 18446744073709551615 bytes: at most 16777216 are taken");
    });
}

#[test]
fn a_malformed_report_does_not_hold_up_the_others_of_its_batch() {
    with_collector(async |url| {
        let mut reports = Reports::open(url, Report::Hello(hello(1, 1))).await;
        assert!(matches!(reports.hear().await, Ok(Reply::Ready(_))));
        reports.say(batch(1, vec![v1::TraceReport::default(), report(5)])).await;
        assert!(matches!(reports.hear().await, Ok(Reply::Ack(v1::BatchAck { number: 1 }))));
        let mut query = v1::query_client::QueryClient::connect(url.to_owned()).await.unwrap();
        let trace = wire::trace_bytes(TraceId::new(7, 5));
        assert!(query.get(v1::GetRequest { trace }).await.is_ok());
        let status = query.status(v1::StatusRequest {}).await.unwrap().into_inner();
        assert_eq!(status.drops.get("malformed"), Some(&1));
    });
}

#[test]
fn an_agent_id_that_is_in_use_is_refused_until_its_owner_is_gone() {
    /// Dials as an agent; returns what the coordinator says first.
    async fn dial(
        url: &str,
        instance: u64,
    ) -> Result<(mpsc::Sender<v1::AgentSays>, Streaming<v1::CoordinatorSays>), Status> {
        let (says, stream) = mpsc::channel(8);
        let first = v1::AgentSays { what: Some(v1::agent_says::What::Hello(hello(9, instance))) };
        says.send(first).await.unwrap();
        let mut client = CoordinatorClient::connect(url.to_owned()).await.unwrap();
        let mut hears = client.coordinate(ReceiverStream::new(stream)).await?.into_inner();
        let first = hears.message().await?.unwrap();
        assert!(matches!(first.what, Some(v1::coordinator_says::What::Welcome(_))));
        Ok((says, hears))
    }
    with_collector(async |url| {
        let owner = dial(url, 1).await.unwrap();
        let status = dial(url, 2).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::AlreadyExists, "agent id 0000009 is in use on host `host`")
        );
        // The same agent dials again: its last connection is dead, whatever it looks like.
        let again = dial(url, 1).await.unwrap();
        drop(owner);
        drop(again);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while dial(url, 2).await.is_err() {
            assert!(std::time::Instant::now() < deadline, "the id is still in use");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
}
