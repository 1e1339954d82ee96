//! Connections of OTLP exporters: so many and no more, and none on which nothing comes.
//!
//! Put by the listeners around what the door lets in. What is said on them is not looked at.

use super::counts::{Counts, Unheard};
use crate::seldom::Seldom;
use futures_util::{Stream, StreamExt as _};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tonic::transport::server::Connected;
use tracing::warn;

/// A connection that ends where nothing comes on it for too long, and has its place among all until it does.
pub(crate) struct Connection<IO> {
    io: IO,
    idle: Duration,
    /// When it has waited for too long; counts only while it waits.
    alarm: Pin<Box<Sleep>>,
    is_waiting: bool,
    counts: Counts,
    _place: OwnedSemaphorePermit,
}

/// Returns the connections of `incoming` for which there is a place; others are closed, and counted.
pub(crate) fn bounded<IO>(
    incoming: impl Stream<Item = io::Result<IO>>,
    places: Arc<Semaphore>,
    idle: Duration,
    counts: Counts,
) -> impl Stream<Item = io::Result<Connection<IO>>> {
    let mut said = Seldom::default();
    incoming.filter_map(move |io| {
        let connection = io.map(|io| {
            let Ok(place) = places.clone().try_acquire_owned() else {
                counts.unheard(Unheard::TooMany);
                if let Some(n_silenced) = said.admit() {
                    let advice = "raise intake.connections_max, or have a collector of OpenTelemetry gather them";
                    warn!(advice, n_silenced, "connection of an OTLP exporter closed, there are too many");
                }
                return None;
            };
            counts.connected();
            let (alarm, counts) = (Box::pin(sleep(idle)), counts.clone());
            Some(Connection { io, idle, alarm, is_waiting: false, counts, _place: place })
        });
        std::future::ready(connection.transpose())
    })
}

impl<IO> Drop for Connection<IO> {
    fn drop(&mut self) {
        self.counts.disconnected();
    }
}

impl<IO: Connected> Connected for Connection<IO> {
    type ConnectInfo = IO::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Connection<IO> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(read) = Pin::new(&mut this.io).poll_read(context, buffer) {
            this.is_waiting = false;
            return Poll::Ready(read);
        }
        if !this.is_waiting {
            this.is_waiting = true;
            this.alarm.as_mut().reset(Instant::now() + this.idle);
        }
        ready!(this.alarm.as_mut().poll(context));
        this.is_waiting = false;
        this.counts.unheard(Unheard::Idle);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Connection<IO> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
