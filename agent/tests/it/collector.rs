//! A stand-in for a collector: takes what agents say, remembers it, and answers as it is told to.

use backsight_core::holding::Holding;
use backsight_core::ids::{AgentId, TraceId};
use backsight_proto::packing::Unpacker;
use backsight_proto::v1::coordinator_server::{Coordinator, CoordinatorServer};
use backsight_proto::v1::intake_server::{Intake, IntakeServer};
use backsight_proto::v1::{AgentSays, Refusal};
use backsight_proto::v1::{
    Announce, AnnounceAck, AnnounceAcks, Answer, BatchAck, Collect, Collects, CoordinatorSays, Hello, PROTOCOL, Ready,
    ReportReply, ReportRequest, Traces, Update, Welcome, agent_says, coordinator_says, report_reply, report_request,
};
use backsight_proto::wire::Report;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// What it takes out of one batch.
const BATCH_MAX_BYTES: u64 = 4 << 20;

/// What the stand-in does with what it hears.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Conduct {
    /// It acknowledges.
    #[default]
    Honest,
    /// It acknowledges nothing.
    Silent,
    /// It refuses reports, as with a full disk.
    Full,
}

/// What was heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) hellos: Vec<Hello>,
    pub(crate) announces: Vec<Announce>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) updates: Vec<Update>,
    /// What each batch said, unpacked.
    pub(crate) batches: Vec<Traces>,
    pub(crate) n_report_streams: u64,
    conduct: Conduct,
    instance: u64,
    agents: Vec<mpsc::Sender<Result<CoordinatorSays, Status>>>,
}

type Shared = Arc<Mutex<Heard>>;

#[derive(Clone)]
struct Service(Shared);

/// A collector on a loopback port; killed when it is dropped.
pub(crate) struct Collector {
    pub(crate) port: u16,
    heard: Shared,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    pub(crate) fn start(conduct: Conduct) -> Self {
        Self::start_on(0, 1, conduct)
    }

    pub(crate) fn start_on(port: u16, instance: u64, conduct: Conduct) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Shared::new(Mutex::new(Heard { conduct, instance, ..Heard::default() }));
        let (service, (stop, stopped)) = (Service(heard.clone()), oneshot::channel::<()>());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
            runtime.block_on(async {
                let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
                let intake = IntakeServer::new(service.clone()).max_decoding_message_size(16 << 20);
                let server = Server::builder().add_service(CoordinatorServer::new(service)).add_service(intake);
                tokio::select! {
                    served = server.serve_with_incoming(incoming) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { port, heard, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns the rest of an agent's configuration that dials this collector.
    pub(crate) fn config(&self) -> String {
        format!("[uplink]\ncollectors = [\"http://127.0.0.1:{}\"]\n", self.port)
    }

    /// Looks at what was heard.
    pub(crate) fn heard<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.heard.lock().unwrap())
    }

    pub(crate) fn set_conduct(&self, conduct: Conduct) {
        self.heard.lock().unwrap().conduct = conduct;
    }

    /// Asks all agents for traces.
    pub(crate) fn collect(&self, collect: &Collect) {
        for agent in &self.heard.lock().unwrap().agents {
            let collects = Collects { collects: vec![collect.clone()] };
            let says = CoordinatorSays { what: Some(coordinator_says::What::Collects(collects)) };
            let _ = agent.try_send(Ok(says)); // a stream that has ended
        }
    }

    /// Returns the reports of `trace` in the order in which they came.
    pub(crate) fn reports(&self, trace: TraceId) -> Vec<Report> {
        let reports = |heard: &Heard| {
            let all = heard.batches.iter().flat_map(|batch| batch.traces.clone());
            all.map(|report| report.into_report(AgentId(1)).unwrap()).collect::<Vec<_>>()
        };
        self.heard(reports).into_iter().filter(|report| report.holding.trace == trace).collect()
    }

    /// Returns the newest holding of `trace`, wherever it stood.
    pub(crate) fn holding(&self, trace: TraceId) -> Option<Holding> {
        let holdings = |heard: &Heard| {
            let announced = heard.announces.iter().flat_map(|said| said.holdings.clone());
            let answered = heard.answers.iter().flat_map(|said| said.holdings.clone());
            let updated = heard.updates.iter().flat_map(|said| said.holdings.clone());
            announced.chain(answered).chain(updated).map(|holding| Holding::try_from(holding).unwrap()).collect()
        };
        let mut holdings: Vec<Holding> = self.heard(holdings);
        holdings.extend(self.reports(trace).into_iter().map(|report| report.holding));
        holdings.into_iter().filter(|holding| holding.trace == trace).max_by_key(|holding| holding.revision)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop = None;
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
    }
}

#[tonic::async_trait]
impl Coordinator for Service {
    type CoordinateStream = ReceiverStream<Result<CoordinatorSays, Status>>;

    async fn coordinate(
        &self,
        request: Request<Streaming<AgentSays>>,
    ) -> Result<Response<Self::CoordinateStream>, Status> {
        let (says, stream) = mpsc::channel(1024);
        let mut inbound = request.into_inner();
        let shared = self.0.clone();
        tokio::spawn(async move {
            while let Ok(Some(AgentSays { what: Some(what) })) = inbound.message().await {
                let mut heard = shared.lock().unwrap();
                let reply = match what {
                    agent_says::What::Hello(hello) => {
                        heard.hellos.push(hello);
                        heard.agents.push(says.clone());
                        let instance = heard.instance;
                        let welcome = Welcome { protocol: PROTOCOL, instance, cluster_seed: 7, ..Welcome::default() };
                        coordinator_says::What::Welcome(welcome)
                    }
                    agent_says::What::Announce(announce) => {
                        let id = announce.id;
                        heard.announces.push(announce);
                        if heard.conduct == Conduct::Silent {
                            continue;
                        }
                        let acks = vec![AnnounceAck { id, refusal: String::new() }];
                        coordinator_says::What::AnnounceAcks(AnnounceAcks { acks })
                    }
                    agent_says::What::Answers(answers) => {
                        heard.answers.extend(answers.answers);
                        continue;
                    }
                    agent_says::What::Update(update) => {
                        heard.updates.push(update);
                        continue;
                    }
                };
                let _ = says.try_send(Ok(CoordinatorSays { what: Some(reply) }));
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

#[tonic::async_trait]
impl Intake for Service {
    type ReportStream = ReceiverStream<Result<ReportReply, Status>>;

    async fn report(&self, request: Request<Streaming<ReportRequest>>) -> Result<Response<Self::ReportStream>, Status> {
        let (replies, stream) = mpsc::channel(1024);
        let mut inbound = request.into_inner();
        let shared = self.0.clone();
        shared.lock().unwrap().n_report_streams += 1;
        tokio::spawn(async move {
            let mut unpacker = Unpacker::default();
            while let Ok(Some(ReportRequest { what: Some(what) })) = inbound.message().await {
                let mut heard = shared.lock().unwrap();
                let reply = match (what, heard.conduct) {
                    (_, Conduct::Full) => report_reply::What::Refusal(Refusal { reason: "the disk is full".into() }),
                    (report_request::What::Hello(_), _) => {
                        report_reply::What::Ready(Ready { batch_max_bytes: BATCH_MAX_BYTES })
                    }
                    (report_request::What::Batch(batch), conduct) => {
                        let number = batch.number;
                        heard.batches.push(unpacker.unpack(&batch, BATCH_MAX_BYTES as usize).unwrap());
                        if conduct == Conduct::Silent {
                            continue;
                        }
                        report_reply::What::Ack(BatchAck { number })
                    }
                };
                let _ = replies.try_send(Ok(ReportReply { what: Some(reply) }));
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
