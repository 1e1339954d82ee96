//! The service `Intake`: agents report segments, and are told once these are on disk.
//!
//! Called by tonic, one task an agent. A batch is acknowledged only when the library has it durably; where it cannot take one, the stream
//! ends with the reason, and the data stays the agent's.

use crate::coordination::{Coordination, Heard};
use crate::library::{LeftOut, Library, Room};
use crate::seldom::Seldom;
use crate::streams::{Reason, Refused};
use backsight_core::cause::chain;
use backsight_core::holding::Holding;
use backsight_core::ids::AgentId;
use backsight_proto::packing::Unpacker;
use backsight_proto::v1;
use backsight_proto::v1::intake_server::{Intake, IntakeServer};
use backsight_proto::wire::WireError;
use backsight_store::StoreError;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, StreamExt as _};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;

/// The largest batch that is taken, in bytes of its unpacked traces: the most that one host keeps of one trace, with room for its strings.
pub const BATCH_MAX_BYTES: usize = 16 << 20;
/// The largest message: what cannot be packed becomes a little longer by it.
const MESSAGE_MAX_BYTES: usize = BATCH_MAX_BYTES + (BATCH_MAX_BYTES >> 8);
/// Batches of one agent that may wait for the disk together.
const IN_FLIGHT_MAX: usize = 16;
/// Replies that wait to be sent.
const REPLIES_MAX: usize = 64;

/// See the module.
#[derive(Debug, Clone)]
pub struct IntakeService {
    library: Library,
    coordination: Coordination,
    refused: Refused,
    /// Of batches that were not stored: agents bring each of them again.
    said: Arc<Mutex<Seldom>>,
}

impl IntakeService {
    /// Returns the service over `library`; what agents say that they hold goes to `coordination` too.
    pub fn server(library: Library, coordination: Coordination) -> IntakeServer<Self> {
        let refused = coordination.refused().clone();
        IntakeServer::new(Self { library, coordination, refused, said: Arc::default() })
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
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

/// A batch that was stored, or was not.
struct Stored {
    number: u64,
    /// What the agent says that it holds of the traces.
    holdings: Vec<Holding>,
    /// Its length on the wire.
    bytes: u64,
    /// What of it was left out, or why it was not stored.
    stored: Result<LeftOut, StoreError>,
}

impl IntakeService {
    async fn serve(
        &self,
        mut requests: Streaming<v1::ReportRequest>,
        replies: &mpsc::Sender<Reply>,
    ) -> Result<(), Status> {
        let agent = self.greet(self.refused.first(&mut requests).await?)?;
        let ready = v1::Ready { batch_max_bytes: BATCH_MAX_BYTES as u64 };
        send(replies, v1::report_reply::What::Ready(ready)).await?;
        // Numbers are acknowledged in order, so the batch that came first is waited for first.
        let mut in_flight = FuturesOrdered::new();
        let mut unpacker = Unpacker::default();
        let mut next_number = 1;
        // What waits for room in the library is packed as it came.
        let mut waiting: Option<(v1::Batch, BoxFuture<'_, Result<Room, StoreError>>)> = None;
        loop {
            let may_come = waiting.is_none() && in_flight.len() < IN_FLIGHT_MAX;
            tokio::select! {
                request = requests.message(), if may_come => {
                    let Some(request) = request.map_err(|status| self.refused.unread(status))? else { break };
                    let batch = batch_of(request, next_number);
                    let batch = batch.map_err(|status| self.refused.with(Reason::NotNextBatch, status))?;
                    next_number += 1;
                    let bytes = batch.unpacked_len.min(BATCH_MAX_BYTES as u64) as usize;
                    waiting = Some((batch, self.library.room(bytes).boxed()));
                }
                room = room_of(&mut waiting), if waiting.is_some() => {
                    let Some((batch, _)) = waiting.take() else { continue };
                    let room = room.map_err(|error| Status::unavailable(chain(&error)))?;
                    let traces = unpacker.unpack(&batch, BATCH_MAX_BYTES);
                    let traces = traces.map_err(|error| {
                        self.refused.with(Reason::BadBatch, Status::invalid_argument(chain(&error)))
                    })?;
                    let bytes = batch.packed.len() as u64;
                    in_flight.push_back(self.store(agent, (batch.number, bytes), traces.traces, room));
                }
                Some(stored) = in_flight.next() => {
                    if !self.acknowledge(agent, stored, replies).await? {
                        return Ok(());
                    }
                }
            }
        }
        // The agent said all it had to say: what it sent is still stored and acknowledged.
        while let Some(stored) = in_flight.next().await {
            if !self.acknowledge(agent, stored, replies).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn greet(&self, first: v1::ReportRequest) -> Result<AgentId, Status> {
        let Some(v1::report_request::What::Hello(hello)) = first.what else {
            let status = Status::failed_precondition("the first message of a report stream must be a hello");
            return Err(self.refused.with(Reason::BadHello, status));
        };
        let bad = |error: WireError| Status::failed_precondition(error.to_string());
        hello.check().map_err(|error| self.refused.with(Reason::BadHello, bad(error)))
    }

    async fn store(
        &self,
        agent: AgentId,
        (number, bytes): (u64, u64),
        traces: Vec<v1::TraceReport>,
        room: Room,
    ) -> Stored {
        let holdings = traces.iter().filter_map(holding).collect();
        let stored = self.library.add_in(room, agent, traces).await;
        Stored { number, holdings, bytes, stored }
    }

    /// Tells the agent what became of a batch; returns whether it may go on.
    async fn acknowledge(&self, agent: AgentId, stored: Stored, replies: &mpsc::Sender<Reply>) -> Result<bool, Status> {
        let Stored { number, holdings, bytes, stored } = stored;
        let left_out = match stored {
            Ok(left_out) => left_out,
            Err(error) => {
                let reason = chain(&error);
                if let Some(n_silenced) = self.said.lock().unwrap_or_else(PoisonError::into_inner).admit() {
                    warn!(agent = %agent, reason, n_silenced, "batch not stored");
                }
                send(replies, v1::report_reply::What::Refusal(v1::Refusal { reason })).await?;
                return Ok(false);
            }
        };
        self.coordination.tell(Heard::Reported { agent, holdings, left_out, bytes }).await;
        send(replies, v1::report_reply::What::Ack(v1::BatchAck { number })).await?;
        Ok(true)
    }
}

/// Waits for the room of a batch, where one waits.
async fn room_of(
    waiting: &mut Option<(v1::Batch, BoxFuture<'_, Result<Room, StoreError>>)>,
) -> Result<Room, StoreError> {
    match waiting {
        Some((_, room)) => room.await,
        None => std::future::pending().await,
    }
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
