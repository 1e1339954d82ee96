//! The service `Intake`: agents report segments, and are told once these are on disk.
//!
//! Called by tonic, one task an agent. A batch is acknowledged only when the library has it durably; where it cannot take one, the stream
//! ends with the reason, and the data stays the agent's.

use crate::coordination::{Coordination, Heard};
use crate::library::Library;
use backsight_core::holding::Holding;
use backsight_core::ids::AgentId;
use backsight_proto::v1;
use backsight_proto::v1::intake_server::{Intake, IntakeServer};
use prost::Message;
use std::collections::VecDeque;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;

/// The largest batch that is taken: the most that one host keeps of one trace, with room for its strings.
pub const BATCH_MAX_BYTES: usize = 16 << 20;
/// Batches of one agent that may wait for the disk together.
const IN_FLIGHT_MAX: usize = 16;
/// Replies that wait to be sent.
const REPLIES_MAX: usize = 64;

/// See the module.
#[derive(Debug, Clone)]
pub struct IntakeService {
    library: Library,
    coordination: Coordination,
}

impl IntakeService {
    /// Returns the service over `library`; what agents say that they hold goes to `coordination` too.
    pub fn server(library: Library, coordination: Coordination) -> IntakeServer<Self> {
        IntakeServer::new(Self { library, coordination }).max_decoding_message_size(BATCH_MAX_BYTES)
    }
}

type Reply = Result<v1::ReportReply, Status>;

#[tonic::async_trait]
impl Intake for IntakeService {
    type ReportStream = ReceiverStream<Reply>;

    async fn report(
        &self,
        request: Request<Streaming<v1::ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let (replies, stream) = mpsc::channel(REPLIES_MAX);
        let service = self.clone();
        tokio::spawn(async move {
            if let Err(status) = service.serve(request.into_inner(), &replies).await {
                let _ = replies.send(Err(status)).await; // the agent may be gone
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// A batch that is on disk.
struct Stored {
    /// What the agent says that it holds of the traces.
    holdings: Vec<Holding>,
    bytes: u64,
}

/// A batch on its way to the disk.
struct InFlight {
    number: u64,
    stored: JoinHandle<Result<Stored, String>>,
}

impl IntakeService {
    async fn serve(
        &self,
        mut requests: Streaming<v1::ReportRequest>,
        replies: &mpsc::Sender<Reply>,
    ) -> Result<(), Status> {
        let agent = self.greet(requests.message().await?)?;
        let ready = v1::Ready { batch_max_bytes: BATCH_MAX_BYTES as u64 };
        send(replies, v1::report_reply::What::Ready(ready)).await?;
        let mut in_flight: VecDeque<InFlight> = VecDeque::new();
        let mut next_number = 1;
        loop {
            let has_room = in_flight.len() < IN_FLIGHT_MAX;
            tokio::select! {
                request = requests.message(), if has_room => {
                    let Some(request) = request? else { break };
                    let batch = batch_of(request, next_number)?;
                    next_number += 1;
                    in_flight.push_back(self.store(agent, batch));
                }
                stored = first_of(&mut in_flight), if !in_flight.is_empty() => {
                    if !self.acknowledge(agent, stored, replies).await? {
                        return Ok(());
                    }
                }
            }
        }
        // The agent said all it had to say: what it sent is still stored and acknowledged.
        while !in_flight.is_empty() {
            let stored = first_of(&mut in_flight).await;
            if !self.acknowledge(agent, stored, replies).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn greet(&self, first: Option<v1::ReportRequest>) -> Result<AgentId, Status> {
        let Some(v1::report_request::What::Hello(hello)) = first.and_then(|request| request.what) else {
            return Err(Status::failed_precondition("the first message of a report stream must be a hello"));
        };
        hello.check().map_err(|error| Status::failed_precondition(error.to_string()))
    }

    fn store(&self, agent: AgentId, batch: v1::Batch) -> InFlight {
        let library = self.library.clone();
        let number = batch.number;
        let holdings = batch.traces.iter().filter_map(holding).collect();
        let bytes = batch.encoded_len() as u64;
        let stored = tokio::spawn(async move {
            library.add(agent, batch.traces).await.map_err(|error| crate::chain(&error))?;
            Ok(Stored { holdings, bytes })
        });
        InFlight { number, stored }
    }

    /// Tells the agent what became of a batch; returns whether it may go on.
    async fn acknowledge(
        &self,
        agent: AgentId,
        (number, stored): (u64, Result<Stored, String>),
        replies: &mpsc::Sender<Reply>,
    ) -> Result<bool, Status> {
        match stored {
            Ok(Stored { holdings, bytes }) => {
                self.coordination.tell(Heard::Reported { agent, holdings, bytes }).await;
                send(replies, v1::report_reply::What::Ack(v1::BatchAck { number })).await?;
                Ok(true)
            }
            Err(reason) => {
                warn!(agent = %agent, reason, "batch not stored");
                send(replies, v1::report_reply::What::Refusal(v1::Refusal { reason })).await?;
                Ok(false)
            }
        }
    }
}

/// Waits for the batch that came first: numbers are acknowledged in order.
///
/// Safe to be cancelled: the batch stays in front until it is stored.
async fn first_of(in_flight: &mut VecDeque<InFlight>) -> (u64, Result<Stored, String>) {
    let Some(first) = in_flight.front_mut() else { return std::future::pending().await };
    let stored = (&mut first.stored).await.unwrap_or_else(|error| Err(error.to_string()));
    let number = first.number;
    in_flight.pop_front();
    (number, stored)
}

fn batch_of(request: v1::ReportRequest, expected: u64) -> Result<v1::Batch, Status> {
    let Some(v1::report_request::What::Batch(batch)) = request.what else {
        return Err(Status::invalid_argument("expected a batch"));
    };
    if batch.number != expected {
        let reason = format!("batch has number {}, expected is {expected}", batch.number);
        return Err(Status::invalid_argument(reason));
    }
    Ok(batch)
}

/// Returns what a report says that its agent holds; a malformed one is the library's to count.
fn holding(report: &v1::TraceReport) -> Option<Holding> {
    report.holding.clone()?.try_into().ok()
}

async fn send(replies: &mpsc::Sender<Reply>, what: v1::report_reply::What) -> Result<(), Status> {
    let reply = v1::ReportReply { what: Some(what) };
    replies.send(Ok(reply)).await.map_err(|_| Status::cancelled("the agent is gone"))
}
