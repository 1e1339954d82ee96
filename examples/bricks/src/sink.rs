//! `bricks sink`: takes in what OpenTelemetry's exporters send, and counts it; with `--tail`, as a model of tail sampling.
//!
//! Called by `main`. A peer of Backsight has to send its spans somewhere; this is the least that such a place costs. The model decides as
//! a tail sampler does, by its own clock and with its bounds, but forwards nothing, and holds what its decision needs instead of the spans.
//! What it knows of traces is in [`ledger`], without a clock or a socket.

mod ledger;

use crate::check::kept::KeptLine;
use anyhow::{Context as _, Result};
use clap::Args;
use ledger::{Kept, Ledger, Limits, Policy, Summary};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// How often the model looks for traces whose wait is over.
const TICK: Duration = Duration::from_secs(1);
/// How long exporters that are still connected may take to leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest request that is read: far more than a batch of 512 spans.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// Requests of one exporter at the same time; each sends one.
const REQUESTS_MAX: usize = 4;

/// Where to listen, and what to keep.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Where to listen for OTLP over gRPC; with port 0 on one that is free
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Decide trace by trace what to keep, as a model of tail sampling
    #[arg(long)]
    tail: bool,
    /// Write what was kept, as JSON lines
    #[arg(long, value_name = "FILE")]
    kept: Option<PathBuf>,
    /// How long the model waits for the rest of a trace
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "tail")]
    decision_wait: u64,
    /// Traces that are known at the same time; of more, the oldest go first
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    traces_max: u64,
    /// The model keeps traces with a span that took at least so long, or with an error
    #[arg(long, value_name = "MS", default_value_t = 48, requires = "tail")]
    slow_ms: u64,
}

/// Listens until standard input ends or a signal comes, then prints what came.
pub(crate) fn listen(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    let summary = runtime.block_on(serve(&options))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(&summary).context("write JSON")?).context("standard output")
}

async fn serve(options: &Options) -> Result<Summary> {
    let policy = match options.tail {
        false => Policy::All,
        true => Policy::Tail {
            wait: Duration::from_secs(options.decision_wait),
            slow: Duration::from_millis(options.slow_ms),
        },
    };
    let limits = Limits { traces_max: usize::try_from(options.traces_max).unwrap_or(usize::MAX) };
    let sink = Sink {
        start: Instant::now(),
        state: Arc::new(Mutex::new(State {
            ledger: Ledger::new(policy, limits),
            file: options.kept.as_deref().map(KeptFile::create).transpose()?,
        })),
    };
    let incoming = TcpIncoming::bind(options.listen).with_context(|| format!("listen on {}", options.listen))?;
    let incoming = incoming.with_nodelay(Some(true));
    let incoming = incoming.with_nodelay(Some(true));
    println!("{}", incoming.local_addr().context("look up the address")?);
    let (mut interrupts, mut ends) =
        (signal(SignalKind::interrupt()).context("signals")?, signal(SignalKind::terminate()).context("signals")?);
    let (stop, stopped) = oneshot::channel::<()>();
    let service = TraceServiceServer::new(sink.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
    let server = Server::builder().concurrency_limit_per_connection(REQUESTS_MAX).add_service(service);
    let server = server.serve_with_incoming_shutdown(incoming, async {
        drop(stopped.await); // nothing is ever sent: it ends with its sender
    });
    let server = tokio::spawn(server);
    let input = watch_input()?;
    tokio::select! {
        () = sink.tick() => {}
        _ = interrupts.recv() => {}
        _ = ends.recv() => {}
        () = end_of(input) => {}
    }
    drop(stop);
    match tokio::time::timeout(LEAVE_TIMEOUT, server).await {
        Ok(ended) => ended.context("the server")?.context("serve OTLP")?,
        Err(_) => eprintln!("bricks: some exporters are still connected"),
    }
    sink.finish()
}

/// Watches standard input, and returns what ends with it. One that nobody holds open, as that of a job in the background, is not watched.
fn watch_input() -> Result<Option<oneshot::Receiver<()>>> {
    let input = std::io::stdin().as_fd().try_clone_to_owned().context("standard input")?;
    let mut input = File::from(input);
    let kind = input.metadata().context("standard input")?.file_type();
    if kind.is_char_device() && !input.is_terminal() {
        return Ok(None);
    }
    let (end, ended) = oneshot::channel();
    // A thread of its own: the runtime would wait for a read that never returns.
    let watch = move || {
        let mut bytes = [0; 256];
        while input.read(&mut bytes).is_ok_and(|n| n > 0) {}
        drop(end);
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(watch).context("start a thread")?;
    Ok(Some(ended))
}

async fn end_of(input: Option<oneshot::Receiver<()>>) {
    match input {
        Some(ended) => drop(ended.await), // nothing is ever sent: it ends with its sender
        None => std::future::pending().await,
    }
}

/// The service, and what it knows.
#[derive(Clone)]
struct Sink {
    start: Instant,
    state: Arc<Mutex<State>>,
}

struct State {
    ledger: Ledger,
    file: Option<KeptFile>,
}

/// The file of what was kept.
struct KeptFile {
    path: PathBuf,
    lines: BufWriter<File>,
    error: Option<std::io::Error>,
}

impl Sink {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides now and then; never ends.
    async fn tick(&self) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            self.state().ledger.tick(self.start.elapsed());
        }
    }

    /// Decides what is undecided, and writes down what is not yet written.
    fn finish(&self) -> Result<Summary> {
        let mut state = self.state();
        let State { ledger, file } = &mut *state;
        ledger.finish(|kept| KeptFile::write(file.as_mut(), kept));
        if let Some(file) = file {
            let written = file.error.take().map_or_else(|| file.lines.flush(), Err);
            written.with_context(|| format!("write {}", file.path.display()))?;
        }
        Ok(ledger.summary())
    }
}

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut state = self.state();
        let State { ledger, file } = &mut *state;
        ledger.add(self.start.elapsed(), request.get_ref(), |kept| KeptFile::write(file.as_mut(), kept));
        Ok(Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}

impl KeptFile {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path: path.to_owned(), lines: BufWriter::with_capacity(1 << 18, file), error: None })
    }

    /// Writes a line; the first error stands until the end, and nothing is written after it.
    fn write(file: Option<&mut Self>, kept: Kept<'_>) {
        let Some(file) = file else { return };
        if file.error.is_some() {
            return;
        }
        let spans = kept.visits.map(|(service, n)| (service.to_owned(), n)).collect();
        let line = KeptLine { trace: format!("{:032x}", kept.trace), spans };
        let written = serde_json::to_writer(&mut file.lines, &line).map_err(std::io::Error::from);
        file.error = written.and_then(|()| file.lines.write_all(b"\n")).err();
    }
}

#[cfg(test)]
mod tests;
