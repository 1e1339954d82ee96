//! Connections to the processes that are called, the own one included: one each, made at its first call, and again after it broke.

use crate::rpc::brick_client::BrickClient;
use anyhow::{Context as _, Result};
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// The longest wait for an answer: longer than anything is parked.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The connections of one process.
#[derive(Debug)]
pub(crate) struct Peers {
    clients: Vec<BrickClient<Channel>>,
}

impl Peers {
    /// Prepares a connection to each address; nothing is sent yet.
    pub(crate) fn connect(addresses: &[SocketAddr]) -> Result<Self> {
        Ok(Self { clients: addresses.iter().map(|address| client(*address)).collect::<Result<_>>()? })
    }

    /// Returns a client of the process at `process_idx`.
    pub(crate) fn client(&self, process_idx: usize) -> BrickClient<Channel> {
        self.clients[process_idx].clone()
    }
}

/// Returns a client that connects at its first call.
pub(crate) fn client(address: SocketAddr) -> Result<BrickClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).with_context(|| format!("address {address}"))?;
    let endpoint = endpoint.timeout(CALL_TIMEOUT).connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
    Ok(BrickClient::new(endpoint.connect_lazy()))
}

/// Where an error of a call comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// The callee said it.
    Callee,
    /// The connection broke, or the deadline passed.
    Transport,
    /// Nobody listened.
    Nobody,
}

impl Origin {
    /// Returns where `status` comes from.
    pub(crate) fn of(status: &Status) -> Self {
        let mut cause = status.source();
        if cause.is_none() {
            return Self::Callee; // what arrives in trailers has no cause here
        }
        while let Some(error) = cause {
            let io = error.downcast_ref::<std::io::Error>();
            if io.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
                return Self::Nobody;
            }
            cause = error.source();
        }
        Self::Transport
    }
}

#[cfg(test)]
mod tests;
