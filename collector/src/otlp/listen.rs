//! The listeners of OTLP: one for gRPC, one for HTTP, open from [`Listeners::start`] until they are stopped.
//!
//! Called by the daemon. Whether an address may be open to others is checked by the configuration; with certificates, whoever connects shows
//! one, as agents do.

use super::connection::bounded;
use super::counts::Counts;
use super::receive::{Receiver, Waits};
use super::redact::{RedactError, Rules};
use super::{Spans, grpc, http};
use crate::config::IntakeConfig;
use crate::door;
use crate::streams::Refused;
use crate::tls::{Speaks, Tls};
use futures_util::Stream;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tracing::{info, warn};

/// What an exporter may send before it is read, on one request and on one connection.
const WINDOW_BYTES: u32 = 256 << 10;
/// Requests of one connection at a time: exporters send one after the other, or a few.
const REQUESTS_MAX: u32 = 64;
/// Bytes of a request's headers.
const HEADERS_MAX_BYTES: u32 = 16 << 10;
/// How often an idle connection of HTTP/2 is asked whether it lives, and how long it may take to say so.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEPALIVE_WAIT: Duration = Duration::from_secs(20);

/// Listeners that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, or not ours.
    #[error("listen on {address}: set {key} to another")]
    Listen {
        /// The key that names it.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The rules of redaction cannot be used.
    #[error(transparent)]
    Redact(#[from] RedactError),
}

/// Open listeners; they close when this is dropped, or with [`Listeners::stop`].
#[derive(Debug)]
pub struct Listeners {
    grpc: Listening,
    http: Listening,
}

#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// What both listeners share.
struct Shared<'a> {
    receiver: Arc<Receiver>,
    places: Arc<Semaphore>,
    idle: Duration,
    tls: Option<&'a Tls>,
    refused: Refused,
}

impl Listeners {
    /// Opens the listeners; what comes in goes to `spans`. Connections without a certificate, where one is asked for, count in `refused`.
    ///
    /// # Errors
    /// An address cannot be listened on, or the rules of redaction cannot be used.
    pub async fn start(
        config: &IntakeConfig,
        tls: Option<&Tls>,
        refused: Refused,
        spans: Arc<dyn Spans>,
        counts: Counts,
    ) -> Result<Self, ListenError> {
        Self::start_with(config, Waits::default(), tls, refused, spans, counts).await
    }

    pub(super) async fn start_with(
        config: &IntakeConfig,
        waits: Waits,
        tls: Option<&Tls>,
        refused: Refused,
        spans: Arc<dyn Spans>,
        counts: Counts,
    ) -> Result<Self, ListenError> {
        let rules = Rules::read(config)?;
        let grpc = bind("intake.otlp_grpc", config.otlp_grpc).await?;
        let http = bind("intake.otlp_http", config.otlp_http).await?;
        let receiver = Arc::new(Receiver::new(config, rules, waits, spans, counts));
        let places = Arc::new(Semaphore::new(config.connections_max));
        let shared = Shared { receiver: receiver.clone(), places, idle: waits.idle, tls, refused };
        let grpc = shared.serve(grpc, server(), grpc::routes(receiver.clone()));
        let http = shared.serve(http, server().accept_http1(true), http::routes(receiver));
        if tls.is_none() && [&grpc, &http].iter().any(|of| !of.address.ip().is_loopback()) {
            warn!("whoever reaches the addresses for OTLP may write traces");
        }
        info!(grpc = %grpc.address, http = %http.address, n_redact = config.redact.len(), "OTLP is taken");
        Ok(Self { grpc, http })
    }

    /// Returns where gRPC is listened for.
    pub const fn grpc(&self) -> SocketAddr {
        self.grpc.address
    }

    /// Returns where HTTP is listened for.
    pub const fn http(&self) -> SocketAddr {
        self.http.address
    }

    /// Returns whether one of them is closed.
    pub fn is_closed(&self) -> bool {
        self.grpc.served.is_finished() || self.http.served.is_finished()
    }

    /// Closes them; requests that came have `within` to be answered.
    pub async fn stop(self, within: Duration) {
        let Self { grpc, http } = self;
        tokio::join!(grpc.stop(within), http.stop(within));
    }
}

impl Listening {
    async fn stop(mut self, within: Duration) {
        self.stop = None;
        if tokio::time::timeout(within, &mut self.served).await.is_err() {
            self.served.abort();
        }
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let error = |source| ListenError::Listen { key, address, source };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let address = listener.local_addr().map_err(error)?;
    Ok((listener, address))
}

fn server() -> Server {
    Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_streams(REQUESTS_MAX)
        .http2_max_header_list_size(HEADERS_MAX_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_WAIT))
}

impl Shared<'_> {
    fn serve(&self, (listener, address): (TcpListener, SocketAddr), server: Server, routes: axum::Router) -> Listening {
        let (stop, stopped) = oneshot::channel();
        let served = match self.tls {
            Some(tls) => {
                self.spawn(tls.incoming(listener, self.refused.clone(), Speaks::Http2), stopped, server, routes)
            }
            None => self.spawn(door::plain(listener), stopped, server, routes),
        };
        Listening { address, stop: Some(stop), served }
    }

    fn spawn<IO>(
        &self,
        incoming: impl Stream<Item = io::Result<IO>> + Send + 'static,
        stopped: oneshot::Receiver<()>,
        mut server: Server,
        routes: axum::Router,
    ) -> JoinHandle<Result<(), tonic::transport::Error>>
    where
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let incoming = bounded(incoming, self.places.clone(), self.idle, self.receiver.counts().clone());
        let stopped = async {
            let _ = stopped.await; // dropped is told as well
        };
        let served = server.add_routes(Routes::from(routes)).serve_with_incoming_shutdown(incoming, stopped);
        tokio::spawn(served)
    }
}
