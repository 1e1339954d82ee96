//! The client of a collector's queries.
//!
//! Called by the subcommands that look at stored traces. Errors say which collector, why, and what to do.

use crate::args::value::CollectorUrl;
use anyhow::{Context, Result, anyhow};
use backsight_core::cause::root;
use backsight_core::ids::TraceId;
use backsight_proto::tls::{Side, TlsFiles};
use backsight_proto::v1;
use backsight_proto::v1::query_client::QueryClient;
use backsight_proto::wire::{StoredTrace, Summary, trace_bytes};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// How long a collector may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to answer, but for `tail`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read: the most that ten hosts keep of one trace.
const REPLY_MAX_BYTES: usize = 256 << 20;

/// A collector, by its address.
pub(crate) struct Collector {
    url: String,
    /// What it is shown.
    tls: Option<TlsFiles>,
}

/// What a collector has of a trace.
pub(crate) enum Lookup {
    Stored(Box<StoredTrace>),
    /// Nothing, and why.
    NotThere(String),
}

/// What a collector tells a reader that follows.
pub(crate) enum Told {
    /// From now on, traces that come to rest are told.
    Following,
    Trace(Box<Summary>),
}

/// How following ended.
pub(crate) enum Followed {
    /// The reader wanted no more.
    Enough,
    /// The collector was not reached, or the connection broke; and why.
    Lost(String),
}

/// What a search found.
pub(crate) struct Found {
    pub(crate) traces: Vec<Summary>,
    pub(crate) n_more: u64,
}

impl Collector {
    pub(crate) fn new(url: CollectorUrl, tls: Option<TlsFiles>) -> Self {
        Self { url: url.to_string(), tls }
    }

    /// Returns a stored trace, or why the collector has nothing of it.
    pub(crate) fn get(&self, trace: TraceId) -> Result<Lookup> {
        let reply = self
            .ask(REQUEST_TIMEOUT, async |mut client| client.get(v1::GetRequest { trace: trace_bytes(trace) }).await)?;
        match reply {
            Ok(reply) => {
                let stored = reply.into_inner().try_into().with_context(|| self.unread())?;
                Ok(Lookup::Stored(Box::new(stored)))
            }
            Err(status) if status.code() == Code::NotFound => {
                Ok(Lookup::NotThere(not_there(&self.url, trace, status.message())))
            }
            Err(status) => Err(self.refused(&status)),
        }
    }

    pub(crate) fn search(&self, filter: v1::Filter, limit: u32) -> Result<Found> {
        let request = v1::SearchRequest { filter: Some(filter), limit };
        let reply = self.ask(REQUEST_TIMEOUT, async |mut client| client.search(request.clone()).await)?;
        let reply = reply.map_err(|status| self.refused(&status))?.into_inner();
        let traces = reply.traces.into_iter().map(TryInto::try_into).collect::<Result<_, _>>();
        Ok(Found { traces: traces.with_context(|| self.unread())?, n_more: reply.n_more })
    }

    /// Returns what the collector says of itself.
    pub(crate) fn status(&self) -> Result<v1::StatusReply> {
        let reply = self.ask(REQUEST_TIMEOUT, async |mut client| client.status(v1::StatusRequest {}).await)?;
        Ok(reply.map_err(|status| self.refused(&status))?.into_inner())
    }

    /// Hands each trace that comes to rest to `show`, until the connection breaks or `show` wants no more.
    ///
    /// # Errors
    /// The collector refuses, its answer makes no sense, or `show` fails.
    pub(crate) fn follow(&self, filter: &v1::Filter, mut show: impl FnMut(Told) -> Result<bool>) -> Result<Followed> {
        let followed = self.ask(Duration::MAX, async |mut client| {
            let mut stream = client.tail(v1::TailRequest { filter: Some(filter.clone()) }).await?.into_inner();
            let mut told = Ok(Told::Following);
            loop {
                match told.and_then(&mut show) {
                    Ok(true) => {}
                    Ok(false) => return Ok(Ok(Followed::Enough)),
                    Err(error) => return Ok(Err(error)),
                }
                let Some(summary) = stream.message().await? else { break };
                let summary = summary.try_into().with_context(|| self.unread());
                told = summary.map(|summary| Told::Trace(Box::new(summary)));
            }
            Ok(Ok(Followed::Lost(format!("the collector at {} has ended", self.url))))
        });
        match followed {
            Ok(Ok(followed)) => followed,
            Ok(Err(status)) if is_lost(status.code()) => Ok(Followed::Lost(format!(
                "the connection to the collector at {} broke: {}",
                self.url,
                status.message()
            ))),
            Ok(Err(status)) => Err(self.refused(&status)),
            Err(error) => Ok(Followed::Lost(format!("{error:#}"))),
        }
    }

    /// Connects and runs `exchange`.
    fn ask<T>(
        &self,
        timeout: Duration,
        exchange: impl AsyncFnOnce(QueryClient<Channel>) -> Result<T, Status>,
    ) -> Result<Result<T, Status>> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
        runtime.block_on(async {
            let mut endpoint = Endpoint::from_shared(self.url.clone())
                .with_context(|| format!("`{}` is not a collector's address, as http://host:4390", self.url))?;
            let credentials = self.tls.as_ref().map(|tls| tls.read("--tls-", Side::Client)).transpose()?;
            if let Some(credentials) = &credentials {
                endpoint = endpoint.tls_config(credentials.for_client())?;
            }
            let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await;
            let channel = channel.map_err(|error| self.unreachable(&error))?;
            let client = QueryClient::new(channel).max_decoding_message_size(REPLY_MAX_BYTES);
            let answered = tokio::time::timeout(timeout, exchange(client)).await;
            if let (Ok(Err(status)), Some(credentials)) = (&answered, &credentials)
                && is_lost(status.code())
                && let Some(why) = credentials.refusal(&self.url).await
            {
                return Err(anyhow!("collector at {}: {why}", self.url));
            }
            answered.map_err(|_| anyhow!("collector at {} did not answer within {} s", self.url, timeout.as_secs()))
        })
    }

    fn unreachable(&self, error: &tonic::transport::Error) -> anyhow::Error {
        let cause = root(error);
        if is_of_tls(error) {
            return anyhow!("the collector at {} is not known by its certificate: {cause}", self.url);
        }
        anyhow!(
            "no collector at {}: {cause}; start one with `backsight-collector`, or name its address with --collector or BACKSIGHT_COLLECTOR",
            self.url
        )
    }

    fn refused(&self, status: &Status) -> anyhow::Error {
        let cause = std::error::Error::source(status);
        // Whoever speaks TLS answers plain text with what is no HTTP, or hangs up.
        let is_plain = cause.is_some() && self.tls.is_none();
        let hint = if is_plain { "; where it wants certificates, name it as https://" } else { "" };
        let cause = cause.map_or_else(|| status.message().to_owned(), |cause| root(cause).to_string());
        anyhow!("collector at {}: {cause}{hint}", self.url)
    }

    fn unread(&self) -> String {
        format!("read the answer of the collector at {}: is it of another version?", self.url)
    }
}

/// Returns what `backsight` says where a collector has nothing of a trace: more than that only if the collector knows more.
fn not_there(url: &str, trace: TraceId, said: &str) -> String {
    let said = said.strip_prefix(&format!("trace {trace} ")).unwrap_or(said);
    if said.is_empty() || said.starts_with("is not stored") {
        format!("not stored at {url}")
    } else {
        format!("the collector at {url} says it {said}")
    }
}

/// Returns whether a connection failed because its two ends do not take each other's certificates.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::InvalidData)
}

/// Returns whether a stream ended in this way because its connection did, rather than because the collector refuses it.
const fn is_lost(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled | Code::DeadlineExceeded)
}
