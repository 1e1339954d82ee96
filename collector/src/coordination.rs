//! The service `Coordinator`: one task an agent hears and says, one task for all runs the pure coordinator.
//!
//! Called by tonic. Whoever is slow only loses its own connection: it dials again, and is asked again. Logic stands in
//! [`crate::coordinator`]; here are streams, clocks and channels.

mod session;
mod switchboard;

pub use switchboard::{AgentStatus, Overview};

use crate::coordinator::Limits;
use crate::library::Library;
use crate::streams::Refused;
use backsight_core::coordination::{Announcement, Answer, Greeting};
use backsight_core::holding::Holding;
use backsight_core::ids::AgentId;
use backsight_proto::v1;
use backsight_proto::v1::coordinator_server::{Coordinator, CoordinatorServer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use switchboard::Switchboard;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Messages of agents that wait for the coordinator's task; agents wait when it is full.
const HEARD_MAX: usize = 4096;
/// Messages that wait to be sent to one agent; one that lets so many wait is disconnected.
const SAYS_MAX: usize = 16_384;
/// The largest message that an agent may say: the holdings of one are at most 256, of at most 12 KiB.
const MESSAGE_MAX_BYTES: usize = 4 << 20;

type Says = Result<v1::CoordinatorSays, Status>;

/// What the coordinator's task hears.
#[derive(Debug)]
pub enum Heard {
    /// An agent dialed.
    Connected(Dialed),
    /// An agent said something.
    Said {
        /// Its connection.
        connection: u64,
        /// The agent.
        agent: AgentId,
        /// What.
        what: Said,
    },
    /// A connection ended.
    Disconnected {
        /// The connection.
        connection: u64,
        /// The agent.
        agent: AgentId,
    },
    /// A report was stored, which said what its agent holds.
    Reported {
        /// The agent.
        agent: AgentId,
        /// What it holds.
        holdings: Vec<Holding>,
        /// Of these, what it holds of traces whose report was left out: the view says that there is more.
        left_out: Vec<Holding>,
        /// Bytes of the batch.
        bytes: u64,
    },
}

/// An agent that dialed.
#[derive(Debug)]
pub struct Dialed {
    agent: AgentId,
    connection: u64,
    hello: v1::Hello,
    says: mpsc::Sender<Says>,
    /// Tells the connection whether it may go on.
    accepted: oneshot::Sender<Result<(), Status>>,
}

/// What an agent says after its hello.
#[derive(Debug)]
pub enum Said {
    /// A trigger fired.
    Announced(Announcement),
    /// It was asked, and answers.
    Answered(Vec<Answer>),
    /// What it holds has changed.
    Updated(Vec<Holding>),
}

/// A handle to the coordinator's task.
#[derive(Debug, Clone)]
pub struct Coordination {
    heard: mpsc::Sender<Heard>,
    next_connection: Arc<AtomicU64>,
    overview: watch::Receiver<Arc<Overview>>,
    refused: Refused,
}

impl Coordination {
    /// Starts the coordinator's task; it ends when all handles are gone.
    pub fn start(greeting: Greeting, limits: Limits, agents_max: usize, library: Library) -> Self {
        let refused = Refused::default();
        let (heard, hears) = mpsc::channel(HEARD_MAX);
        let (shown, overview) = watch::channel(Arc::default());
        let switchboard = Switchboard::new(greeting, limits, agents_max, library, shown, refused.clone());
        tokio::spawn(switchboard.run(hears));
        Self { heard, next_connection: Arc::new(AtomicU64::new(1)), overview, refused }
    }

    /// Tells the coordinator's task something; waits while it is behind.
    pub async fn tell(&self, heard: Heard) {
        let _ = self.heard.send(heard).await; // it ends with the collector
    }

    /// Returns how things were a moment ago.
    pub fn overview(&self) -> Arc<Overview> {
        self.overview.borrow().clone()
    }

    /// Returns where streams are counted that the collector refused, of all its services.
    pub const fn refused(&self) -> &Refused {
        &self.refused
    }

    /// Returns the service.
    pub fn server(&self) -> CoordinatorServer<Self> {
        CoordinatorServer::new(self.clone()).max_decoding_message_size(MESSAGE_MAX_BYTES)
    }
}

#[tonic::async_trait]
impl Coordinator for Coordination {
    type CoordinateStream = ReceiverStream<Says>;

    async fn coordinate(
        &self,
        request: Request<Streaming<v1::AgentSays>>,
    ) -> Result<Response<Self::CoordinateStream>, Status> {
        let (says, stream) = mpsc::channel(SAYS_MAX);
        let connection = self.next_connection.fetch_add(1, Ordering::Relaxed); // unique is all it must be
        tokio::spawn(session::serve(self.clone(), connection, request.into_inner(), says));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
