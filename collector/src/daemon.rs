//! A running collector: opens the store, listens, and serves agents and people until it is told to stop.
//!
//! Called by `main` and by tests.

use crate::auth::{Tokens, TokensError};
use crate::config::{Config, IntakeConfig, StoreConfig};
use crate::coordination::Coordination;
use crate::coordinator::Limits;
use crate::door;
use crate::http::{self, Edges};
use crate::intake::IntakeService;
use crate::library::{self, Library};
use crate::otlp::{Counts, ListenError, Listeners};
use crate::query::QueryService;
use crate::spans::{SpanStore, SpansError};
use crate::status::Watch;
use crate::streams::Refused;
use crate::tls::{Speaks, Tls};
use crate::web::{self, Tally, Web};
use backsight_core::cause::chain;
use backsight_core::coordination::Greeting;
use backsight_core::units::Nanos;
use backsight_proto::tls::TlsError;
use backsight_proto::v1::query_server::QueryServer;
use backsight_store::log::{self, Log};
use backsight_store::{Losses, StoreError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::Server;
use tracing::{info, warn};

/// How often an idle connection is asked whether it lives, and how long it may take to say so.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEPALIVE_WAIT: Duration = Duration::from_secs(10);
/// How often traces that came to rest are looked for.
const SETTLE_EVERY: Duration = Duration::from_millis(200);
/// How long connections may take to end when the collector stops.
const STOP_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked whether all its parts are there.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A collector that could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store could not be opened.
    #[error("open the store in {}", .data_dir.display())]
    Store {
        /// Where.
        data_dir: PathBuf,
        /// Why not.
        source: StoreError,
    },
    /// The spans beside it could not be opened.
    #[error("open the spans in {}", .data_dir.display())]
    Spans {
        /// Where.
        data_dir: PathBuf,
        /// Why not.
        source: SpansError,
    },
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The address is taken, or not ours.
    #[error("listen on {address}: set {key} to another")]
    Listen {
        /// What the configuration calls it.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// OTLP cannot be taken.
    #[error(transparent)]
    Otlp(#[from] ListenError),
}

/// A running collector; it stops when this is dropped, or with [`Collector::stop`].
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    library: Library,
    spans: SpanStore,
    tls: Option<Arc<Tls>>,
    tokens: Option<Arc<Tokens>>,
    web: Option<Web>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), tonic::transport::Error>>,
    settles: JoinHandle<()>,
    /// Open where somebody takes spans.
    otlp: Option<Listeners>,
}

impl Collector {
    /// Opens the store and starts to serve.
    ///
    /// # Errors
    /// Certificates, tokens or rules of redaction that cannot be used, a store that cannot be opened, or an address that cannot be listened on.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let tls = config.collector.tls.clone().map(Tls::read).transpose()?.map(Arc::new);
        let tokens = config.auth.tokens.as_deref().map(Tokens::read).transpose()?.map(Arc::new);
        let data_dir = config.collector.data_dir.clone();
        let (store, intake) = (config.store.clone(), config.intake.clone());
        let opened = tokio::task::spawn_blocking(move || open(&data_dir, &store, &intake));
        let (library, spans) = match opened.await {
            Ok(opened) => opened?,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        let address = config.collector.listen;
        let listen_error = |source| StartError::Listen { key: "collector.listen", address, source };
        let listener = TcpListener::bind(address).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let limits = Limits { group_life: Nanos::from_ms(1000 * config.coordinator.ttl_s), ..Limits::default() };
        let coordination = Coordination::start(greeting(), limits, config.collector.agents_max, library.clone());
        let refused = coordination.refused().clone();
        let source = Arc::new(Watch::new(coordination.clone()));
        let parts = web::Parts {
            library: library.clone(),
            spans: spans.clone(),
            source: source.clone(),
            refused: refused.clone(),
            tls: tls.clone(),
            tokens: tokens.clone(),
            tally: Tally::default(),
        };
        let query = QueryService::new(library.clone(), source, refused.clone());
        let routes = Routes::new(coordination.server())
            .add_service(IntakeService::server(library.clone(), coordination.clone()))
            .add_service(QueryServer::new(query));
        let edges = Edges { otlp: Counts::default(), api: parts.tally.clone() };
        let routes = http::with_metrics(routes, library.clone(), coordination, edges.clone());
        let otlp = take_otlp(&config.intake, tls.as_deref(), refused.clone(), spans.clone(), edges.otlp).await?;
        let web = Web::start(config, parts).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server::builder()
            .accept_http1(true)
            .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
            .http2_keepalive_timeout(Some(KEEPALIVE_WAIT))
            .add_routes(routes);
        let stopped = async {
            let _ = stopped.await; // dropped is told as well
        };
        let served = match &tls {
            Some(tls) => {
                let incoming = tls.incoming(listener, refused, Speaks::Http2);
                tokio::spawn(server.serve_with_incoming_shutdown(incoming, stopped))
            }
            None => tokio::spawn(server.serve_with_incoming_shutdown(door::plain(listener), stopped)),
        };
        let settles = tokio::spawn(settle(library.clone()));
        let certificates = if tls.is_some() { "required" } else { "none" };
        info!(address = %address, certificates, data_dir = %config.collector.data_dir.display(), "collector started");
        if tls.is_none() && !address.ip().is_loopback() {
            warn!("whoever reaches this address may read and write traces");
        }
        Ok(Self { address, library, spans, tls, tokens, web, stop: Some(stop), served, settles, otlp })
    }

    /// Returns its certificates, if it has any.
    pub const fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Returns the tokens that it knows, if it wants any.
    pub const fn tokens(&self) -> Option<&Arc<Tokens>> {
        self.tokens.as_ref()
    }

    /// Returns where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns where it listens for OTLP, if it does.
    pub const fn otlp(&self) -> Option<&Listeners> {
        self.otlp.as_ref()
    }

    /// Returns where the HTTP API is, if it is anywhere.
    pub fn api_address(&self) -> Option<SocketAddr> {
        self.web.as_ref().map(Web::address)
    }

    /// Waits until a part of it has ended that must not, and returns which: what is left looks well and is not.
    pub async fn broken(&self) -> &'static str {
        let mut ticks = tokio::time::interval(CHECK_EVERY);
        loop {
            ticks.tick().await;
            let parts = [
                (self.served.is_finished(), "nobody listens any more"),
                (self.web.as_ref().is_some_and(Web::is_over), "nobody answers the HTTP API any more"),
                (self.settles.is_finished(), "nobody sums traces up any more"),
                (self.library.is_closed(), "nobody writes to the store any more"),
                (self.otlp.as_ref().is_some_and(Listeners::is_closed), "nobody listens for OTLP any more"),
            ];
            if let Some((_, what)) = parts.into_iter().find(|(is_over, _)| *is_over) {
                return what;
            }
        }
    }

    /// Stops: connections end, and what was acknowledged is on disk.
    pub async fn stop(mut self) {
        self.stop = None;
        self.settles.abort();
        if let Some(otlp) = self.otlp.take() {
            otlp.stop(STOP_WAIT).await;
        }
        if let Some(web) = self.web.take() {
            web.stop().await;
        }
        // Streams of agents never end by themselves.
        if tokio::time::timeout(STOP_WAIT, &mut self.served).await.is_err() {
            self.served.abort();
        }
        self.library.close().await;
        self.spans.close().await;
        info!("collector stopped");
    }
}

/// Starts to listen for OTLP, if it is to be taken. Where nobody said where and something else has the usual ports, it is not.
async fn take_otlp(
    config: &IntakeConfig,
    tls: Option<&Tls>,
    refused: Refused,
    spans: SpanStore,
    counts: Counts,
) -> Result<Option<Listeners>, StartError> {
    if !config.otlp {
        return Ok(None);
    }
    let usual = IntakeConfig::default();
    let is_usual = (config.otlp_grpc, config.otlp_http) == (usual.otlp_grpc, usual.otlp_http);
    match Listeners::start(config, tls, refused, Arc::new(spans), counts).await {
        Err(error @ ListenError::Listen { .. }) if is_usual => {
            warn!(
                cause = chain(&error),
                "OTLP is not taken: set intake.otlp_grpc and intake.otlp_http to what is free"
            );
            Ok(None)
        }
        started => Ok(Some(started?)),
    }
}

/// Opens the store in `data_dir`, the library of what it holds, and the spans beside it.
fn open(data_dir: &Path, config: &StoreConfig, intake: &IntakeConfig) -> Result<(Library, SpanStore), StartError> {
    let store_error = |source| StartError::Store { data_dir: data_dir.to_owned(), source };
    let log = Log::open(log::Options::new(data_dir)).map_err(store_error)?;
    for removed in log.removed() {
        warn!(file = %removed.path.display(), bytes = removed.bytes, "a file that holds no entry was removed");
    }
    let StoreConfig { max_bytes, traces_max, queue_bytes } = *config;
    let options = library::Options { max_bytes, traces_max, queue_bytes };
    let library = Library::open(Box::new(log), options).map_err(store_error)?;
    let Losses { cut_bytes, lost_bytes, n_holes, n_unreadable_files, n_removed_files: _ } = library.stats().losses;
    if cut_bytes + lost_bytes + n_holes + n_unreadable_files > 0 {
        warn!(cut_bytes, lost_bytes, n_holes, n_unreadable_files, "not all of the store can be read back");
    }
    let spans = SpanStore::open(data_dir, intake);
    let spans = spans.map_err(|source| StartError::Spans { data_dir: data_dir.to_owned(), source })?;
    Ok((library, spans))
}

/// Returns what agents are told first. There is one coordinator, so its list of members has epoch 1.
fn greeting() -> Greeting {
    let instance = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
    Greeting { instance, cluster_seed: 0, seed_epoch: 0, shard_epoch: 1 }
}

/// Sums traces up as they come to rest; without a pause while more of them wait than one round takes.
async fn settle(library: Library) {
    let started = Instant::now();
    let mut ticks = tokio::time::interval(SETTLE_EVERY);
    loop {
        ticks.tick().await;
        if library.stats().n_waiting == 0 {
            continue;
        }
        let library = library.clone();
        let settled = tokio::task::spawn_blocking(move || {
            let now = || u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            while library.settle(now()).n > 0 {}
        });
        if settled.await.is_err() {
            return; // it panicked, and said so
        }
    }
}

#[cfg(test)]
mod tests;
