//! The connection to the collector: a thread of its own that dials, greets, carries messages both ways, and dials again.
//!
//! Started and fed by the daemon. It decides nothing about traces. Between it and the loop stand bounded channels that neither waits for:
//! the loop asks how much fits before it says anything, and what the collector says waits here until the loop has taken what came before.

use super::Room;
use super::driver::Port;
use super::tls;
use backsight_core::cause::chain;
use backsight_core::coordination::{Advice, Collection, Greeting};
use backsight_core::ids::{AgentId, TraceId};
use backsight_proto::packing::Packer;
use backsight_proto::tls::TlsFiles;
use backsight_proto::v1::coordinator_client::CoordinatorClient;
use backsight_proto::v1::intake_client::IntakeClient;
use backsight_proto::v1::{
    self, AgentSays, CoordinatorSays, ReportReply, ReportRequest, agent_says, coordinator_says, report_reply,
    report_request,
};
use backsight_proto::wire::WireError;
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// Messages to the coordinator that wait for the network.
const SAYS_MAX: usize = 256;
/// Batches that wait for the network: a megabyte, at the default size.
const BATCHES_MAX: usize = 8;
/// Messages of the collector that wait for the loop.
const HEARD_MAX: usize = 1024;
/// The largest message of a collector.
const MESSAGE_MAX_BYTES: usize = 1 << 20;
/// How long a connection, or the first message on it, may take.
const DIAL: Duration = Duration::from_secs(5);
/// The first pause before dialling again; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often an idle connection is tried.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long the answer to that may take.
const PING_WAIT: Duration = Duration::from_secs(5);

/// Who the agent is, and whom it dials.
#[derive(Clone, Debug)]
pub struct Identity {
    /// This agent.
    pub agent: AgentId,
    /// Random, drawn at start.
    pub instance: u64,
    /// The collector, as `http://host:port`, with certificates as `https://host:port`.
    pub collector: String,
    /// The certificates by which both know each other, if any.
    pub tls: Option<TlsFiles>,
}

/// What the loop is told.
#[derive(Clone, PartialEq, Debug)]
pub enum Heard {
    /// The coordinator is there.
    Connected(Greeting),
    /// The connection has ended, or was not made; why, for people.
    Disconnected(String),
    /// The collector takes batches of at most so many bytes.
    ReportReady(u64),
    /// It takes no more on this stream; why, for people.
    ReportLost(String),
    /// It asks for traces.
    Collects(Vec<Collection>),
    /// It has an announcement; why it does not follow it, if it does not.
    AnnounceAck {
        /// The announcement.
        id: u64,
        /// Why not; empty where it does.
        refusal: String,
    },
    /// What to do with the parts of these traces, by what others do with theirs.
    Advise(Vec<(TraceId, Advice)>),
    /// It has all batches up to this one.
    BatchAck(u64),
    /// It said something that no version says.
    Garbage(String),
}

/// A batch, to be packed and sent.
#[derive(Debug)]
pub struct Outgoing {
    /// Its number on its stream.
    pub number: u64,
    /// What it says.
    pub traces: v1::Traces,
}

/// A message with the number of the stream for which it was meant: on a later one it means nothing.
type Addressed<T> = (u64, T);

/// The loop's end.
#[derive(Debug)]
pub struct Link {
    says: mpsc::Sender<Addressed<agent_says::What>>,
    batches: mpsc::Sender<Addressed<Outgoing>>,
    heard: mpsc::Receiver<(u64, Heard)>,
    bell: Arc<OwnedFd>,
    /// Streams of reports up to this one are to be ended.
    reset: watch::Sender<u64>,
    sent_bytes: Arc<AtomicU64>,
    /// The streams that are open, by what was heard.
    coordination: u64,
    reports: u64,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    /// Starts dialling.
    ///
    /// # Errors
    /// No descriptor or no thread is left, or an address that is no URL.
    pub fn start(identity: Identity) -> std::io::Result<Self> {
        let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
        let endpoint = Endpoint::from_shared(identity.collector.clone()).map_err(invalid)?;
        let endpoint = endpoint
            .connect_timeout(DIAL)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WAIT)
            .keep_alive_while_idle(true);
        let (says, says_queue) = mpsc::channel(SAYS_MAX);
        let (batches, batch_queue) = mpsc::channel(BATCHES_MAX);
        let (heard_queue, heard) = mpsc::channel(HEARD_MAX);
        let (reset, reset_at) = watch::channel(0);
        let (stop, mut stopped) = watch::channel(());
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let told = Told { queue: heard_queue, bell: bell.clone() };
        let sent_bytes = Arc::new(AtomicU64::new(0));
        let dialler = Dialler {
            identity,
            endpoint,
            told,
            says: says_queue,
            batches: batch_queue,
            reset: reset_at,
            sent_bytes: sent_bytes.clone(),
            n: 0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let thread = std::thread::Builder::new().name("bks-uplink".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = dialler.run() => {}
                    _ = stopped.changed() => {}
                }
            });
            runtime.shutdown_background(); // a name that is being looked up is not waited for
        })?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Self { says, batches, heard, bell, reset, sent_bytes, coordination: 0, reports: 0, stop, thread })
    }

    /// Returns the descriptor that is readable while something was heard.
    pub fn eventfd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Quiets the descriptor, before what was heard is taken.
    pub fn acknowledge(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.bell, &mut count); // only to quiet it
    }
}

impl Port for Link {
    fn remind(&self) {
        ring(&self.bell);
    }

    fn take(&mut self) -> Option<Heard> {
        let (stream, heard) = self.heard.try_recv().ok()?;
        match heard {
            Heard::Connected(_) => self.coordination = stream,
            Heard::ReportReady(_) => self.reports = stream,
            _ => {}
        }
        Some(heard)
    }

    fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed) // a count
    }

    fn room(&self) -> Room {
        Room { coordination: self.says.capacity(), batches: self.batches.capacity() }
    }

    fn say(&self, what: agent_says::What) {
        let _ = self.says.try_send((self.coordination, what)); // as on a broken connection
    }

    fn send(&self, batch: Outgoing) {
        let _ = self.batches.try_send((self.reports, batch)); // as above
    }

    fn reset_reports(&self) {
        self.reset.send_replace(self.reports);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop = None;
        self.heard.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there was printed there
        }
    }
}

fn ring(bell: &OwnedFd) {
    // Full means that it is ringing already.
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}

/// Where the loop hears from.
struct Told {
    queue: mpsc::Sender<(u64, Heard)>,
    bell: Arc<OwnedFd>,
}

impl Told {
    async fn tell(&self, stream: u64, heard: Heard) {
        // An acknowledgement can wait until the loop turns anyway: it only frees memory and room.
        let can_wait = matches!(heard, Heard::AnnounceAck { .. } | Heard::BatchAck(_));
        let _ = self.queue.send((stream, heard)).await; // closed: the loop has ended
        if !can_wait {
            ring(&self.bell);
        }
    }
}

/// The thread's end.
struct Dialler {
    identity: Identity,
    endpoint: Endpoint,
    told: Told,
    says: mpsc::Receiver<Addressed<agent_says::What>>,
    batches: mpsc::Receiver<Addressed<Outgoing>>,
    reset: watch::Receiver<u64>,
    /// Bytes of packed batches sent so far.
    sent_bytes: Arc<AtomicU64>,
    /// Streams opened so far, of either kind.
    n: u64,
}

impl Dialler {
    async fn run(mut self) {
        let mut pauses = Pauses::new(self.identity.instance);
        loop {
            let why = match timeout(DIAL, tls::connect(&self.endpoint, self.identity.tls.as_ref())).await {
                Ok(Ok(channel)) => self.connected(channel, &mut pauses).await,
                Ok(Err(error)) => clipped(&error),
                Err(_) => "no connection in time".to_owned(),
            };
            self.told.tell(0, Heard::Disconnected(why)).await;
            sleep(pauses.next()).await;
        }
    }

    /// Talks for as long as the coordinator's stream lasts; returns why it ended.
    async fn connected(&mut self, channel: Channel, pauses: &mut Pauses) -> String {
        self.n += 1;
        let (number, hello) = (self.n, hello(&self.identity));
        let Self { told, says, batches, reset, n, sent_bytes, .. } = self;
        let (told, sent_bytes) = (&*told, &**sent_bytes);
        let coordination = async {
            let mut client = CoordinatorClient::new(channel.clone()).max_decoding_message_size(MESSAGE_MAX_BYTES);
            let (out, stream) = mpsc::channel(1);
            let _ = out.try_send(AgentSays { what: Some(agent_says::What::Hello(hello.clone())) });
            let opened = timeout(DIAL, client.coordinate(ReceiverStream::new(stream))).await;
            let inbound = opened.map_err(|_| "no welcome in time".to_owned())?.map_err(|error| of_status(&error))?;
            let pump = async {
                while let Some((stream, what)) = says.recv().await {
                    if stream == number && out.send(AgentSays { what: Some(what) }).await.is_err() {
                        break;
                    }
                }
            };
            tokio::select! {
                ended = hear(inbound.into_inner(), number, told) => ended,
                () = pump => Err("the connection was closed".to_owned()),
            }
        };
        let reports = async {
            let mut pauses = Pauses::new(number);
            loop {
                *n += 1;
                let started = Instant::now();
                let why = report(channel.clone(), &hello, *n, told, sent_bytes, batches, reset).await;
                told.tell(*n, Heard::ReportLost(why)).await;
                pauses.begin_anew_after(started.elapsed());
                sleep(pauses.next()).await;
            }
        };
        let started = Instant::now();
        let ended: Result<(), String> = tokio::select! {
            ended = coordination => ended,
            () = reports => Ok(()),
        };
        pauses.begin_anew_after(started.elapsed());
        let why = ended.err().unwrap_or_default();
        if started.elapsed() > DIAL {
            return why;
        }
        tls::explained(why, &self.identity.collector, self.identity.tls.as_ref()).await
    }
}

/// Carries batches on a stream of its own; returns why that ended.
async fn report(
    channel: Channel,
    hello: &v1::Hello,
    number: u64,
    told: &Told,
    sent_bytes: &AtomicU64,
    batches: &mut mpsc::Receiver<Addressed<Outgoing>>,
    reset: &mut watch::Receiver<u64>,
) -> String {
    let mut client = IntakeClient::new(channel).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let (out, stream) = mpsc::channel(1);
    let _ = out.try_send(ReportRequest { what: Some(report_request::What::Hello(hello.clone())) });
    let mut inbound = match timeout(DIAL, client.report(ReceiverStream::new(stream))).await {
        Ok(Ok(inbound)) => inbound.into_inner(),
        Ok(Err(status)) => return of_status(&status),
        Err(_) => return "no answer in time".to_owned(),
    };
    let pump = async {
        let mut packer = Packer::default();
        while let Some((stream, Outgoing { number: batch, traces })) = batches.recv().await {
            if stream != number {
                continue;
            }
            let batch = match packer.pack(batch, &traces) {
                Ok(batch) => batch,
                Err(error) => return clipped(&chain(&error)),
            };
            sent_bytes.fetch_add(batch.packed.len() as u64, Ordering::Relaxed); // a count; nothing is ordered by it
            if out.send(ReportRequest { what: Some(report_request::What::Batch(batch)) }).await.is_err() {
                break;
            }
        }
        "the stream was closed".to_owned()
    };
    let replies = async {
        loop {
            match inbound.message().await {
                Ok(Some(ReportReply { what: Some(report_reply::What::Ready(ready)) })) => {
                    told.tell(number, Heard::ReportReady(ready.batch_max_bytes)).await;
                }
                Ok(Some(ReportReply { what: Some(report_reply::What::Ack(ack)) })) => {
                    told.tell(number, Heard::BatchAck(ack.number)).await;
                }
                Ok(Some(ReportReply { what: Some(report_reply::What::Refusal(refusal)) })) => {
                    return format!("refused: {}", clipped(&refusal.reason));
                }
                Ok(Some(ReportReply { what: None })) => {} // of a later version
                Ok(None) => return "the stream was closed".to_owned(),
                Err(status) => return of_status(&status),
            }
        }
    };
    let is_reset = reset.wait_for(|upto| *upto >= number);
    tokio::select! {
        why = replies => why,
        why = pump => why,
        _ = is_reset => "nothing was acknowledged".to_owned(),
    }
}

/// Passes on what the coordinator says, until it says no more.
async fn hear(mut inbound: Streaming<CoordinatorSays>, number: u64, told: &Told) -> Result<(), String> {
    let first = timeout(DIAL, inbound.message()).await.map_err(|_| "no welcome in time".to_owned())?;
    let Some(CoordinatorSays { what: Some(coordinator_says::What::Welcome(welcome)) }) =
        first.map_err(|status| of_status(&status))?
    else {
        return Err("the first message is no welcome".to_owned());
    };
    if welcome.protocol != v1::PROTOCOL {
        return Err(format!("the collector speaks protocol {}, this agent {}", welcome.protocol, v1::PROTOCOL));
    }
    told.tell(number, Heard::Connected(welcome.into())).await;
    while let Some(message) = inbound.message().await.map_err(|status| of_status(&status))? {
        let heard = match message.what {
            Some(coordinator_says::What::AnnounceAcks(acks)) => {
                for ack in acks.acks {
                    let heard = Heard::AnnounceAck { id: ack.id, refusal: clipped(&ack.refusal) };
                    told.tell(number, heard).await;
                }
                continue;
            }
            Some(coordinator_says::What::Collects(collects)) => or_garbage(collects.try_into().map(Heard::Collects)),
            Some(coordinator_says::What::Advise(advise)) => or_garbage(advise.try_into().map(Heard::Advise)),
            Some(coordinator_says::What::Welcome(_)) | None => continue, // said before, or of a later version
        };
        told.tell(number, heard).await;
    }
    Err("the stream was closed".to_owned())
}

fn or_garbage(heard: Result<Heard, WireError>) -> Heard {
    heard.unwrap_or_else(|error| Heard::Garbage(error.to_string()))
}

fn hello(identity: &Identity) -> v1::Hello {
    v1::Hello {
        protocol: v1::PROTOCOL,
        agent: identity.agent.0,
        instance: identity.instance,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
    }
}

/// The pauses between attempts: doubling, with jitter, so that the agents of a cluster do not come back at once.
struct Pauses {
    next: Duration,
    noise: u64,
}

impl Pauses {
    const fn new(seed: u64) -> Self {
        Self { next: PAUSE_FIRST, noise: seed | 1 }
    }

    /// What lasted for long ended for another reason than what comes next.
    fn begin_anew_after(&mut self, lasted: Duration) {
        if lasted > PAUSE_MAX {
            self.next = PAUSE_FIRST;
        }
    }

    /// Returns between half and all of the next pause.
    fn next(&mut self) -> Duration {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        let pause = self.next;
        self.next = (self.next * 2).min(PAUSE_MAX);
        pause / 2 + pause * (self.noise % 1024) as u32 / 2048
    }
}

/// Returns text of a collector as far as people read it.
fn clipped(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Returns what a status says, and where a connection broke, what broke it.
fn of_status(status: &Status) -> String {
    let cause = std::error::Error::source(status).map(|source| format!(": {}", chain(source)));
    clipped(&format!("{}: {}{}", status.code(), status.message(), cause.unwrap_or_default()))
}
