//! Connections of a collector that has certificates: whoever connects shows one of its authority, or is refused, counted and logged.
//!
//! Started by the daemon, told by `main` to read the files again. What agents and people do on their connections is decided elsewhere.

use crate::door::Door;
use crate::seldom::Seldom;
use crate::streams::{Reason, Refused};
use backsight_core::cause::chain;
use backsight_proto::tls::{Side, TlsError, TlsFiles};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tracing::warn;

/// What the configuration calls the files.
const PREFIX: &str = "collector.tls.";
/// Handshakes at a time; beyond, connections wait in the kernel.
const HANDSHAKES_MAX: usize = 256;
/// How long a handshake may take: two messages each way, and a network may lose any of them twice.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// What is spoken on connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speaks {
    /// HTTP/2, or HTTP/1.1 with those who speak nothing else.
    Http2,
    /// HTTP/1.1 alone.
    Http1,
}

/// A collector's certificates.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    config: watch::Sender<Arc<ServerConfig>>,
}

/// Checks files without using them.
///
/// # Errors
/// They cannot be used.
pub fn check(files: &TlsFiles) -> Result<(), TlsError> {
    config(files).map(drop)
}

fn config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    files.read(PREFIX, Side::Server)?.for_server().map(Arc::new)
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn read(files: TlsFiles) -> Result<Self, TlsError> {
        let (config, _) = watch::channel(config(&files)?);
        Ok(Self { files, config })
    }

    /// Reads the files again, for connections from now on; those that there are stay.
    ///
    /// # Errors
    /// They cannot be used; what was read before stays in use.
    pub fn read_again(&self) -> Result<(), TlsError> {
        self.config.send_replace(config(&self.files)?);
        Ok(())
    }

    /// Returns the connections that `listener` accepts once their certificates are known; those that are refused are counted in `refused`.
    pub(crate) fn incoming(
        &self,
        listener: TcpListener,
        refused: Refused,
        speaks: Speaks,
    ) -> ReceiverStream<std::io::Result<TlsStream<TcpStream>>> {
        let (known, stream) = mpsc::channel(1);
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let doorman = Doorman { known, handshakes, log: Log::new(refused), speaks };
        tokio::spawn(doorman.accept(listener, self.config.subscribe()));
        ReceiverStream::new(stream)
    }
}

/// Takes connections until nobody wants them any more.
#[derive(Clone)]
struct Doorman {
    known: mpsc::Sender<std::io::Result<TlsStream<TcpStream>>>,
    handshakes: Arc<Semaphore>,
    log: Log,
    speaks: Speaks,
}

impl Doorman {
    async fn accept(self, listener: TcpListener, config: watch::Receiver<Arc<ServerConfig>>) {
        let accept = async {
            let mut door = Door::new(listener);
            while let Ok(permit) = self.handshakes.clone().acquire_owned().await {
                let (stream, peer) = door.next().await;
                let (doorman, config) = (self.clone(), config.borrow().clone());
                tokio::spawn(async move {
                    doorman.ask(stream, peer, config).await;
                    drop(permit);
                });
            }
        };
        tokio::select! {
            () = accept => {}
            () = self.known.closed() => {}
        }
    }

    /// Asks for a certificate, and passes the connection on if it is known.
    async fn ask(&self, stream: TcpStream, peer: SocketAddr, mut config: Arc<ServerConfig>) {
        if self.speaks == Speaks::Http1 {
            Arc::make_mut(&mut config).alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        match tokio::time::timeout(HANDSHAKE_WITHIN, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) => {
                let _ = self.known.send(Ok(stream)).await; // nobody: the collector stops
            }
            Ok(Err(error)) => self.log.refuse(peer, reason(&error), &chain(&error)),
            Err(_) => {
                let why = format!("it took longer than {} s", HANDSHAKE_WITHIN.as_secs());
                self.log.refuse(peer, Reason::NoHandshake, &why);
            }
        }
    }
}

/// Returns why a handshake failed.
fn reason(error: &std::io::Error) -> Reason {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::NoCertificatesPresented) => Reason::NoCertificate,
        Some(rustls::Error::InvalidCertificate(_)) => Reason::BadCertificate,
        _ => Reason::NoHandshake,
    }
}

/// Returns what to do about it.
const fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::NoCertificate => "set uplink.tls on agents, and --tls-ca, --tls-cert and --tls-key of backsight",
        Reason::BadCertificate => "give it a certificate that an authority in collector.tls.ca signed",
        _ => "does it dial http:// in place of https://, or trust another authority?",
    }
}

/// Counts refusals, and logs them as often as people can read: a host with a wrong certificate dials for ever.
#[derive(Clone)]
struct Log {
    refused: Refused,
    /// By reason.
    said: Arc<Mutex<[Seldom; Reason::ALL.len()]>>,
}

impl Log {
    fn new(refused: Refused) -> Self {
        Self { refused, said: Arc::default() }
    }

    fn refuse(&self, peer: SocketAddr, reason: Reason, cause: &str) {
        self.refused.count(reason);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(n_silenced) = said[reason as usize].admit() else { return };
        warn!(%peer, reason = reason.name(), cause, advice = advice(reason), n_silenced, "connection refused");
    }
}

#[cfg(test)]
mod tests;
