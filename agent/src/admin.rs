//! The admin socket's side of the loop: commands, replies, and the bounded channel between them.
//!
//! The HTTP server ([`http`]) runs on a thread of its own; the loop answers between two rounds and never waits for it.

mod expressions;
mod http;
mod refused;

pub use refused::RefusedRequests;

use crate::recorder::Fired;
use crate::sessions::socket::Listener;
use backsight_core::expr::Expr;
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::names::TriggerNames;
use backsight_core::segment::Slice;
use backsight_proto::admin::{HorizonReport, KeptList, SetTriggerReply, Status, TestReply, TriggerList};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use tokio::sync::{oneshot, watch};

/// Commands that wait for the loop; more are refused.
const COMMANDS_MAX: usize = 64;

/// What the admin socket asks of the loop.
#[derive(Debug)]
pub enum Command {
    /// Everything about the agent.
    Status,
    /// How far back it can look.
    Horizon,
    /// The triggers it knows.
    Triggers,
    /// The traces it keeps.
    Kept,
    /// One trace.
    Trace(TraceId),
    /// Metrics as Prometheus text.
    Metrics,
    /// Fire a trigger.
    Fire {
        /// Which.
        trigger: TriggerId,
        /// Its name.
        name: String,
        /// For which trace.
        trace: TraceId,
        /// Traces to collect with it.
        laterals: Vec<TraceId>,
    },
    /// Have a trigger fire by an expression, or by none.
    SetTrigger {
        /// Its name.
        name: String,
        /// The expression.
        when: Option<Expr>,
    },
    /// Start a back-test.
    StartTest {
        /// Of what.
        expr: Expr,
        /// Traces to name.
        n_traces: u32,
    },
    /// A back-test, by its number.
    Test(u64),
}

/// What the loop answers.
#[derive(Debug)]
pub enum Reply {
    /// See [`Command::Status`].
    Status(Box<Status>),
    /// See [`Command::Horizon`].
    Horizon(HorizonReport),
    /// See [`Command::Triggers`].
    Triggers(TriggerList),
    /// See [`Command::Kept`].
    Kept(KeptList),
    /// See [`Command::Trace`].
    Trace {
        /// Which.
        trace: TraceId,
        /// What there is of it, `None` where nothing is here.
        slices: Option<Vec<Slice>>,
        /// Names of triggers that fired for it.
        names: TriggerNames,
    },
    /// See [`Command::Metrics`].
    Metrics(String),
    /// See [`Command::Fire`].
    Fired(Fired),
    /// See [`Command::SetTrigger`]; why not is for people.
    TriggerSet(Result<SetTriggerReply, String>),
    /// See [`Command::Test`]; `None` where another one was begun since.
    Test(Option<Box<TestReply>>),
    /// Another back-test is running.
    TestBusy,
}

type Asked = (Command, oneshot::Sender<Reply>);

/// The loop's end of the channel.
#[derive(Debug)]
pub struct Commands {
    queue: Receiver<Asked>,
    bell: Arc<OwnedFd>,
    refused: RefusedRequests,
}

/// The admin thread's end of the channel.
#[derive(Clone, Debug)]
pub struct Client {
    queue: SyncSender<Asked>,
    bell: Arc<OwnedFd>,
    refused: RefusedRequests,
}

/// The loop did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Too many commands wait.
    #[error("the agent has {COMMANDS_MAX} commands to answer already")]
    Busy,
    /// The loop has ended.
    #[error("the agent is stopping")]
    Stopping,
}

/// Makes the channel.
///
/// # Errors
/// No eventfd can be made.
pub fn channel() -> std::io::Result<(Commands, Client)> {
    let (sender, queue) = sync_channel(COMMANDS_MAX);
    let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let refused = RefusedRequests::default();
    let commands = Commands { queue, bell: bell.clone(), refused: refused.clone() };
    Ok((commands, Client { queue: sender, bell, refused }))
}

fn ring(bell: &OwnedFd) {
    // Full means that it is ringing already.
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}

impl Commands {
    /// Returns the descriptor that is readable while commands wait.
    pub fn eventfd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Quiets the descriptor, before the commands are taken.
    pub fn acknowledge(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.bell, &mut count); // only to quiet it
    }

    /// Makes the descriptor readable again.
    pub fn remind(&self) {
        ring(&self.bell);
    }

    /// Returns where requests are counted that the admin thread refused.
    pub const fn refused(&self) -> &RefusedRequests {
        &self.refused
    }

    /// Takes the next command and where its answer goes.
    pub fn take(&self) -> Option<(Command, oneshot::Sender<Reply>)> {
        self.queue.try_recv().ok()
    }
}

impl Client {
    /// Asks the loop.
    ///
    /// # Errors
    /// The loop is too busy, or has ended.
    pub async fn ask(&self, command: Command) -> Result<Reply, AskError> {
        let (sender, answer) = oneshot::channel();
        self.queue.try_send((command, sender)).map_err(|error| match error {
            TrySendError::Full(_) => AskError::Busy,
            TrySendError::Disconnected(_) => AskError::Stopping,
        })?;
        ring(&self.bell);
        answer.await.map_err(|_| AskError::Stopping)
    }
}

/// The admin thread; dropping this ends it.
#[derive(Debug)]
pub struct Server {
    /// Closed to say that the thread should end.
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _listener: Listener,
}

impl Server {
    /// Starts serving on `listener`.
    ///
    /// # Errors
    /// No thread or no descriptor is left.
    pub fn start(listener: Listener, client: Client) -> std::io::Result<Self> {
        let socket = std::os::unix::net::UnixListener::from(listener.try_clone()?);
        let (stop, stopped) = watch::channel(());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let thread = std::thread::Builder::new()
            .name("bks-admin".into())
            .spawn(move || runtime.block_on(http::serve(socket, client, stopped)))?;
        Ok(Self { stop: Some(stop), thread: Some(thread), _listener: listener })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there was printed there
        }
    }
}
