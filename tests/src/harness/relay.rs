//! A relay that counts: agents dial it in place of the collector, and it says how many bytes they sent.
//!
//! Called by benches, because only what crosses a socket tells what a network would carry, framing and coordination included.

use anyhow::{Context as _, Result};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// A relay to one address; its threads end with the connections, and the connections with those who dialled.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    sent_bytes: Arc<AtomicU64>,
}

impl Relay {
    /// Starts a relay on a port of its own to `upstream`.
    ///
    /// # Errors
    /// No port or no thread is to be had.
    pub fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("listen for agents")?;
        let address = listener.local_addr().context("ask for the relay's address")?;
        let sent_bytes = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent_bytes);
        let accept = move || {
            // A connection that cannot be relayed is closed; who dialled tries again.
            for connection in listener.incoming().flatten() {
                let _ = relay(connection, upstream, &count);
            }
        };
        std::thread::Builder::new().name("relay".into()).spawn(accept).context("start the relay")?;
        Ok(Self { address, sent_bytes })
    }

    /// Returns its address, as agents are told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many bytes went to the upstream so far.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        // Relaxed: a count that orders nothing.
        self.sent_bytes.load(Ordering::Relaxed)
    }
}

/// Copies both ways, on a thread each, until either side ends.
fn relay(downstream: TcpStream, upstream: SocketAddr, sent_bytes: &Arc<AtomicU64>) -> Result<()> {
    let upstream = TcpStream::connect(upstream).context("dial the upstream")?;
    downstream.set_nodelay(true).context("set no delay")?;
    upstream.set_nodelay(true).context("set no delay")?;
    let (from, to) = (downstream.try_clone()?, upstream.try_clone()?);
    let count = Arc::clone(sent_bytes);
    std::thread::Builder::new().name("relay-up".into()).spawn(move || {
        copy(from, to, |n| {
            count.fetch_add(n, Ordering::Relaxed); // a count that orders nothing
        });
    })?;
    std::thread::Builder::new().name("relay-down".into()).spawn(move || copy(upstream, downstream, |_| {}))?;
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream, count: impl Fn(u64)) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        count(n as u64);
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    // Either may be closed already.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests;
