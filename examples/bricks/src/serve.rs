//! `bricks serve`: one process with its services, under orders of the supervisor that started it.
//!
//! It reads orders from standard input (`protocol`), serves its services at one address, and ends when its input ends.

mod handler;
mod peers;

use crate::plan::Plan;
use crate::protocol::{Order, Setup, Standing, Word};
use crate::rpc::brick_server::BrickServer;
use crate::tracer::{Backsight, Headers, NoTracer, Otel, Tracer, TracerKind};
use crate::truth;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use handler::{Handler, PANIC_TEXT, Services};
use peers::Peers;
pub(crate) use peers::client;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, Stdin};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// Requests of one connection at the same time; the handler's own bound is below.
const STREAMS_MAX: u32 = 4096;
/// How long the tracer has at the end to hand over what it holds.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What the command line says; everything else comes as an order.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The process's name, for those who look at a list of processes.
    name: String,
}

/// Serves until standard input ends.
pub(crate) fn serve(options: Options) -> Result<()> {
    let mut first = String::new();
    std::io::stdin().read_line(&mut first).context("standard input")?;
    let order = serde_json::from_str(&first).with_context(|| format!("{}: first order", options.name))?;
    let Order::Begin(setup) = order else { bail!("{}: the first order is not what to be", options.name) };
    silence_faults();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(setup.threads)
        .thread_name("bricks-worker")
        .enable_all()
        .build()
        .context("runtime")?;
    let served = runtime.block_on(async {
        match setup.tracer {
            TracerKind::None => host::<NoTracer>(*setup).await,
            TracerKind::Headers => host::<Headers>(*setup).await,
            TracerKind::Backsight => host::<Backsight>(*setup).await,
            TracerKind::OtelHead | TracerKind::OtelTailModel => host::<Otel>(*setup).await,
        }
    });
    runtime.shutdown_background(); // visits that are parked are not waited for
    served.with_context(|| options.name.clone())
}

/// Keeps panics that are faults out of standard error; all others are reported as ever.
fn silence_faults() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some(PANIC_TEXT) {
            before(info);
        }
    }));
}

/// Serves with tracer `T`.
async fn host<T: Tracer>(setup: Setup) -> Result<()> {
    let plan = Arc::new(Plan::of(&setup.topology));
    let process = plan.processes.get(setup.process_idx).context("the plan has no such process")?;
    let truth = setup.truth.as_deref().map(|dir| truth::Writer::create(dir, &process.name, &plan.service_names()));
    let truth = truth.transpose().context("ground truth")?;
    let (kind, agent, sink) = (setup.tracer, setup.agent.as_deref(), setup.sink.as_deref());
    let tracer = T::start(crate::tracer::Setup { kind, plan: &plan, process, agent, sink })?;
    let listener = listen(setup.address).with_context(|| format!("listen at {}", setup.address))?;
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    say(&Word::Listening(listener.local_addr().context("own address")?)).await?;
    let Some(Order::Peers(addresses)) = next_order(&mut orders).await? else { return Ok(()) };
    let peers = Peers::connect(&addresses)?;
    let slow = Duration::from_millis(setup.slow_ms);
    let services = Arc::new(Services::new(Arc::clone(&plan), setup.process_idx, tracer, peers, truth, slow));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(BrickServer::new(Handler(Arc::clone(&services))))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async {
            let _ = stopped.await; // a dropped sender says the same
        });
    let server = tokio::spawn(server);
    say(&Word::Serving).await?;
    obey(&mut orders, &services).await?;
    drop(stop);
    server.abort(); // who is still connected has heard enough
    let _ = server.await; // that it was aborted is no news
    // Connections that still stand hold the services too, so the tracer is stopped in its place.
    if tokio::time::timeout(STOP_TIMEOUT, services.tracer().stop()).await.is_err() {
        eprintln!("bricks: {}: the tracer has not handed over all that it holds", process.name);
    }
    Ok(())
}

/// Answers orders until they end.
async fn obey<T: Tracer>(orders: &mut Lines<BufReader<Stdin>>, services: &Services<T>) -> Result<()> {
    while let Some(order) = next_order(orders).await? {
        match order {
            Order::Stand => say(&Word::Standing(standing(services))).await?,
            Order::Begin(_) | Order::Peers(_) => bail!("an order that came before comes again"),
        }
    }
    Ok(())
}

fn standing<T: Tracer>(services: &Services<T>) -> Standing {
    Standing {
        cpu_ns: cpu_ns(),
        parked: services.parked(),
        recorded: services.recorded(),
        truth_failed: services.truth_failed(),
    }
}

/// Returns the CPU time that this process has used, user and system, by all its threads, ended ones too.
pub(crate) fn cpu_ns() -> u64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec.unsigned_abs() * 1_000_000_000 + used.tv_nsec.unsigned_abs()
}

/// Listens at `address`, also where a process that died has listened a moment ago.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn next_order(orders: &mut Lines<BufReader<Stdin>>) -> Result<Option<Order>> {
    let Some(line) = orders.next_line().await.context("standard input")? else { return Ok(None) };
    serde_json::from_str(&line).map(Some).with_context(|| format!("order `{line}`"))
}

async fn say(word: &Word) -> Result<()> {
    let mut line = serde_json::to_string(word).context("a word as JSON")?;
    line.push('\n');
    let mut out = tokio::io::stdout();
    out.write_all(line.as_bytes()).await.context("standard output")?;
    out.flush().await.context("standard output")
}
