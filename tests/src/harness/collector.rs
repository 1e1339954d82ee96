//! A collector process in a folder of its own, which may be killed and started again on what it has stored.

use super::binaries;
use super::network::{self, Host};
use anyhow::{Context as _, Result, bail};
use backsight_core::ids::TraceId;
use backsight_proto::tls::{Side, TlsFiles};
use backsight_proto::v1;
use backsight_proto::v1::query_client::QueryClient;
use backsight_proto::wire::{StoredTrace, Summary, trace_bytes};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// How long a collector may take to listen, and anything else that is waited for.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A collector; killed when it drops.
#[derive(Debug)]
pub struct Collector {
    process: Child,
    folder: TempDir,
    address: SocketAddr,
    host: Option<Host>,
    reader: Option<TlsFiles>,
    runtime: Runtime,
}

/// What differs from collector to collector.
#[derive(Clone, Copy, Debug, Default)]
pub struct CollectorOptions<'a> {
    /// The host that it runs on, and is asked from; none for this machine.
    pub host: Option<&'a Host>,
    /// Its certificates, and those of whoever asks it; none for neither.
    pub tls: Option<Sides<'a>>,
}

/// The certificates of both ends.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    /// Of the collector.
    pub collector: &'a TlsFiles,
    /// Of whoever asks it.
    pub reader: &'a TlsFiles,
}

impl Collector {
    /// Starts a collector on a port of its own and waits until it listens.
    ///
    /// # Errors
    /// The binary cannot be had, or the collector ends or stays silent.
    pub fn start() -> Result<Self> {
        Self::start_with(CollectorOptions::default())
    }

    /// As [`Collector::start`], with these options.
    ///
    /// # Errors
    /// As [`Collector::start`].
    pub fn start_with(options: CollectorOptions<'_>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bks-").tempdir().context("make a folder for a collector")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
        let config = match (options.tls, options.host) {
            (Some(tls), _) => tls_section("collector", tls.collector),
            // Nobody else reaches the hosts of a test.
            (None, Some(_)) => "[collector]\ninsecure = true\n".to_owned(),
            (None, None) => String::new(),
        };
        std::fs::write(folder.path().join("collector.toml"), config).context("write the collector's configuration")?;
        let any = SocketAddr::from((options.host.map_or(Ipv4Addr::LOCALHOST, Host::address), 0));
        let (process, address) = spawn(&folder, any, options.host)?;
        let (host, reader) = (options.host.cloned(), options.tls.map(|tls| tls.reader.clone()));
        Ok(Self { process, folder, address, host, reader, runtime })
    }

    /// Kills it: it has no chance to write anything any more.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        let _ = self.process.kill(); // it may have ended by itself
        self.process.wait().context("wait for the collector's end")?;
        Ok(())
    }

    /// Starts it again where it was, on what it has stored.
    ///
    /// # Errors
    /// As [`Collector::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        (self.process, self.address) = spawn(&self.folder, self.address, self.host.as_ref())?;
        Ok(())
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its address, as agents are told.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.reader.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Returns what it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("collector.log")).unwrap_or_default()
    }

    /// Returns a stored trace, `None` where there is nothing of it.
    ///
    /// # Errors
    /// The collector cannot be asked, or answers nonsense.
    pub fn get(&self, trace: TraceId) -> Result<Option<StoredTrace>> {
        self.ask(async |mut client| get(&mut client, trace).await)
    }

    /// Returns the stored ones of `traces`, in their order, over one connection.
    ///
    /// # Errors
    /// As [`Collector::get`].
    pub fn get_stored(&self, traces: &[TraceId]) -> Result<Vec<StoredTrace>> {
        self.ask(async |mut client| {
            let mut found = Vec::new();
            for trace in traces {
                found.extend(get(&mut client, *trace).await?);
            }
            Ok(found)
        })
    }

    /// Returns the newest stored traces that match.
    ///
    /// # Errors
    /// As [`Collector::get`].
    pub fn search(&self, filter: &v1::Filter) -> Result<Vec<Summary>> {
        self.ask(async |mut client| {
            let request = v1::SearchRequest { filter: Some(filter.clone()), limit: 1000 };
            let reply = client.search(request).await?.into_inner();
            Ok(reply.traces.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
        })
    }

    /// Asks for a trace until `accept` likes it.
    ///
    /// # Errors
    /// The time is over; says what was there last.
    pub fn until(&self, trace: TraceId, accept: impl Fn(&StoredTrace) -> bool) -> Result<StoredTrace> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let found = self.get(trace);
            match found {
                Ok(Some(stored)) if accept(&stored) => return Ok(stored),
                _ if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                Ok(Some(stored)) => bail!("trace {trace} is not as expected: {:#?}", stored.to_json()),
                Ok(None) => bail!("trace {trace} is not stored\n{}", self.log()),
                Err(error) => return Err(error),
            }
        }
    }

    fn ask<T: Send>(&self, exchange: impl AsyncFnOnce(QueryClient<Channel>) -> Result<T> + Send) -> Result<T> {
        let ask = || {
            let mut endpoint = Endpoint::from_shared(self.url()).context("understand the collector's address")?;
            if let Some(reader) = &self.reader {
                endpoint = endpoint.tls_config(reader.read("reader.", Side::Client)?.for_client())?;
            }
            self.runtime.block_on(async {
                let channel = endpoint.connect().await.context("connect to the collector")?;
                exchange(QueryClient::new(channel).max_decoding_message_size(64 << 20)).await
            })
        };
        match &self.host {
            Some(host) => host.inside(ask)?,
            None => ask(),
        }
    }
}

/// Returns the lines by which a daemon's configuration names certificates, in its section `section`.
#[must_use]
pub fn tls_section(section: &str, files: &TlsFiles) -> String {
    let TlsFiles { ca, cert, key } = files;
    format!("[{section}.tls]\nca = {ca:?}\ncert = {cert:?}\nkey = {key:?}\n")
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

async fn get(client: &mut QueryClient<Channel>, trace: TraceId) -> Result<Option<StoredTrace>> {
    match client.get(v1::GetRequest { trace: trace_bytes(trace) }).await {
        Ok(reply) => Ok(Some(reply.into_inner().try_into()?)),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status.into()),
    }
}

/// Starts a collector and waits until it has said where it listens.
fn spawn(folder: &TempDir, listen: SocketAddr, host: Option<&Host>) -> Result<(Child, SocketAddr)> {
    let path = folder.path().join("collector.log");
    let log = std::fs::File::create(&path).context("create the collector's log")?;
    let mut command = Command::new(binaries::find("backsight-collector")?);
    command.arg("--config").arg(folder.path().join("collector.toml"));
    command.arg("--listen").arg(listen.to_string()).arg("--data-dir").arg(folder.path().join("data"));
    command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut process = network::spawn(host, &mut command)?;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let said = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some(address) = address_in(&said) {
            return Ok((process, address));
        }
        let ended = process.try_wait().context("ask for the collector's status")?;
        if ended.is_some() || Instant::now() > deadline {
            let _ = process.kill();
            let _ = process.wait();
            bail!("the collector does not listen: {said}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the address in the line that says that the collector has started.
fn address_in(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("collector started"))?;
    line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok()
}
