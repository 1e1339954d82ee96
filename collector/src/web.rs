//! The port of the HTTP API: connections come in, are bounded in number, size and time, and end when the collector stops.
//!
//! Started by the daemon. What is answered stands in `backsight_query::api`; who may ask in [`crate::auth`].

mod keeper;
mod tally;

pub use keeper::Steward;
pub use tally::Tally;

use crate::archive::LibraryArchive;
use crate::auth::{self, Tokens};
use crate::config::{Config, QUERY_LISTEN};
use crate::daemon::StartError;
use crate::door;
use crate::library::Library;
use crate::query::StatusSource;
use crate::spans::SpanStore;
use crate::streams::Refused;
use crate::tls::{Speaks, Tls};
use axum::Router;
use backsight_query::api;
use backsight_query::archive::Both;
use backsight_query::cursor::CursorKey;
use backsight_query::parts::{Means, Stored};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::{Stream, StreamExt as _};
use tracing::{info, warn};

/// How long the head of a request may take, and how long a connection may do nothing.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// The longest head of a request: parameters of 64 KiB, and what stands around them.
const HEAD_MAX_BYTES: usize = 96 << 10;
/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// How long a connection may live: whoever reads slowly holds an answer in memory for no longer.
const LIFE_MAX: Duration = Duration::from_secs(600);
/// How long it may take to end what it has begun.
const END_WITHIN: Duration = Duration::from_secs(2);

/// What the API needs of the rest of the collector.
pub struct Parts {
    /// What agents reported.
    pub library: Library,
    /// What came by OTLP.
    pub spans: SpanStore,
    /// What is known of agents.
    pub source: Arc<dyn StatusSource>,
    /// What else was refused, for `status`.
    pub refused: Refused,
    /// The certificates of the collector.
    pub tls: Option<Arc<Tls>>,
    /// The tokens that are known.
    pub tokens: Option<Arc<Tokens>>,
    /// Where it counts.
    pub tally: Tally,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("library", &self.library).finish_non_exhaustive()
    }
}

/// The API, while it is served; it stops when this is dropped.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl Web {
    /// Starts to serve; `None` where nobody said where and the usual port is taken.
    ///
    /// # Errors
    /// The address that is set cannot be listened on, or the system gives no random numbers.
    pub async fn start(config: &Config, parts: Parts) -> Result<Option<Self>, StartError> {
        let address = config.query.listen.unwrap_or(QUERY_LISTEN);
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) if config.query.listen.is_none() => {
                warn!(%address, cause = %error, "the HTTP API is off: set query.listen to an address that is free");
                return Ok(None);
            }
            Err(source) => return Err(StartError::Listen { key: "query.listen", address, source }),
        };
        let listen_error = |source| StartError::Listen { key: "query.listen", address, source };
        let address = listener.local_addr().map_err(listen_error)?;
        let has_tokens = parts.tokens.is_some();
        let (tls, refused) = (parts.tls.clone(), parts.refused.clone());
        let router = router(config, address, parts)?;
        let (stop, stopped) = watch::channel(false);
        let room = Arc::new(Semaphore::new(config.query.connections_max.min(Semaphore::MAX_PERMITS)));
        let served = match tls {
            Some(tls) => tokio::spawn(serve(tls.incoming(listener, refused, Speaks::Http1), router, room, stopped)),
            None => tokio::spawn(serve(door::plain(listener), router, room, stopped)),
        };
        let tokens = if has_tokens { "required" } else { "none" };
        info!(%address, tokens, "HTTP API started");
        Ok(Some(Self { address, stop, served }))
    }

    /// Returns where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns whether nobody listens any more.
    pub fn is_over(&self) -> bool {
        self.served.is_finished()
    }

    /// Stops: requests that are being answered are, within [`END_WITHIN`].
    pub async fn stop(mut self) {
        let _ = self.stop.send(true); // it has ended already
        if tokio::time::timeout(2 * END_WITHIN, &mut self.served).await.is_err() {
            self.served.abort();
        }
    }
}

fn router(config: &Config, address: SocketAddr, parts: Parts) -> Result<Router, StartError> {
    let query = &config.query;
    let options = api::Options {
        base_path: query.base_path.clone(),
        origins: query.cors.clone(),
        is_loopback: address.ip().is_loopback(),
        results_max: query.results_max,
        concurrent_max: query.concurrent_max,
        cursor_key: CursorKey::new(&auth::random()?),
    };
    let recorded = Arc::new(LibraryArchive::new(parts.library.clone(), parts.source.clone()));
    let stored = Stored::new(Arc::new(parts.spans.clone()), parts.spans.objects(), Means::default());
    let archive = Arc::new(Both(recorded, Arc::new(stored)));
    let keeper = Arc::new(Steward::new(parts, Duration::from_secs(query.timeout_s)));
    Ok(api::router(archive, keeper, options))
}

/// Serves connections until it is told to stop.
async fn serve<C: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    incoming: impl Stream<Item = std::io::Result<C>> + Unpin,
    router: Router,
    room: Arc<Semaphore>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut incoming = incoming;
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let permit = room.clone().acquire_owned().await.ok()?;
            incoming.next().await.map(|stream| (permit, stream))
        };
        let (permit, stream) = tokio::select! {
            next = next => match next {
                Some(next) => next,
                None => break,
            },
            _ = stopped.changed() => break, // dropped is told as well
        };
        let Ok(stream) = stream else { continue };
        let (router, stopped) = (router.clone(), stopped.clone());
        connections.spawn(async move {
            converse(stream, router, stopped).await;
            drop(permit);
        });
    }
    while connections.join_next().await.is_some() {}
}

/// Answers what comes on one connection.
async fn converse<C: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: C,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    builder.max_header_size(HEAD_MAX_BYTES).max_buf_size(2 * HEAD_MAX_BYTES).max_headers(HEADERS_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let is_over = tokio::select! {
        _ = connection.as_mut() => true, // whoever asked has gone, or spoke no HTTP: nobody is left to tell
        _ = stopped.changed() => false,
        () = tokio::time::sleep(LIFE_MAX) => false,
    };
    if !is_over {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(END_WITHIN, connection).await; // what is not over then is cut off
    }
}

#[cfg(test)]
mod tests;
