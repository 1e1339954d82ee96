//! Where connections come in, whoever they are: as long as there are descriptors for them, and without a hurry where there are none.
//!
//! Called by the daemon and by `tls`.

use crate::seldom::Seldom;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tracing::warn;

/// The pause after a connection could not be accepted: descriptors may be short, and come back as others end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that does not spin.
pub(crate) struct Door {
    listener: TcpListener,
    said: Seldom,
}

impl Door {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, said: Seldom::default() }
    }

    /// Returns the next connection. Small messages that answer each other: none waits for an acknowledgement of the one before.
    pub(crate) async fn next(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true); // a connection that has broken already breaks later
                    return (stream, peer);
                }
                Err(error) => {
                    if let Some(n_silenced) = self.said.admit() {
                        let advice = "a collector has one descriptor for each agent and reader: raise its limit of open files (LimitNOFILE)";
                        warn!(cause = %error, advice, n_silenced, "connection not accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Returns the connections of a collector without certificates.
pub(crate) fn plain(listener: TcpListener) -> ReceiverStream<io::Result<TcpStream>> {
    let (known, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut door = Door::new(listener);
        loop {
            tokio::select! {
                (stream, _) = door.next() => drop(known.send(Ok(stream)).await),
                () = known.closed() => return, // the collector stops
            }
        }
    });
    ReceiverStream::new(stream)
}
