//! A small service for tests with several hosts: it serves requests that are one line each, and calls the next hop of their path.
//!
//! Run by `bks-hop`, driven by the tests through [`Hop`] and [`Request`].
//!
//! # Shape
//! A request is `traceparent TAB tracestate TAB path`, a path is `address:port:action` for each hop, joined by commas; the first is the
//! receiver's.
//! The answer is `ok TAB crumb`, or nothing: the connection ends.

use crate::harness::binaries;
use crate::harness::network::{self, Host};
use anyhow::{Context as _, Result, bail, ensure};
use backsight::{Connection, Incoming, ResponseText, SegmentExt as _, SpanKind, StatusCode, TraceId, TriggerId};
use std::fmt;
use std::future::Future as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::task::{self, Poll, Waker};
use std::time::{Duration, Instant};

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// The trigger of [`Act::TriggerNamed`].
pub const NAMED: &str = "hop.named";

/// What a hop does beside calling the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Nothing.
    Serve,
    /// Nothing, but in a future that waits once.
    ServeInFuture,
    /// Fires a trigger before it calls the next hop.
    TriggerBefore,
    /// Fires a trigger after the next hop has answered.
    TriggerAfter,
    /// Fires a trigger called [`NAMED`] before it calls the next hop.
    TriggerNamed,
    /// Says that it failed, and fires a trigger.
    Fail,
    /// Kills its own process before it answers.
    Die,
    /// Aborts before it answers.
    Abort,
}

const ACTS: [(Act, &str); 8] = [
    (Act::Serve, "serve"),
    (Act::ServeInFuture, "future"),
    (Act::TriggerBefore, "before"),
    (Act::TriggerAfter, "after"),
    (Act::TriggerNamed, "named"),
    (Act::Fail, "fail"),
    (Act::Die, "die"),
    (Act::Abort, "abort"),
];

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ACTS.iter().find(|(act, _)| act == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for Act {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = ACTS.iter().find(|(_, name)| *name == text);
        found.map(|(act, _)| *act).with_context(|| format!("no act is called `{text}`"))
    }
}

/// One hop of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Where it listens.
    pub at: SocketAddrV4,
    /// What it does.
    pub act: Act,
}

/// A request on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The header `traceparent`.
    pub traceparent: String,
    /// The header `tracestate`, empty for none.
    pub tracestate: String,
    /// The receiver first.
    pub path: Vec<Step>,
}

impl Request {
    /// Returns a request of trace `trace`, as somebody without a recorder sends it.
    #[must_use]
    pub fn new(trace: TraceId, path: Vec<Step>) -> Self {
        Self { traceparent: format!("00-{trace}-00000000000000aa-01"), tracestate: String::new(), path }
    }

    /// Sends it to the first hop of its path; returns the answer's crumb, empty for none.
    ///
    /// # Errors
    /// No connection, or no answer.
    pub fn send(&self) -> Result<String> {
        self.send_over(self.connect()?)
    }

    /// Connects to the first hop of its path.
    fn connect(&self) -> Result<TcpStream> {
        let first = self.path.first().context("a path has a first hop")?;
        TcpStream::connect(first.at).context("connect to a hop")
    }

    fn send_over(&self, mut stream: TcpStream) -> Result<String> {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).context("set a time-out")?;
        stream.write_all(format!("{self}\n").as_bytes()).context("send a request")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).context("read an answer")?;
        let crumb = answer.strip_prefix("ok\t").context("the hop did not answer")?;
        Ok(crumb.trim_end().to_owned())
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: Vec<String> = self.path.iter().map(|step| format!("{}:{}", step.at, step.act)).collect();
        write!(f, "{}\t{}\t{}", self.traceparent, self.tracestate, path.join(","))
    }
}

impl FromStr for Request {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let mut fields = line.split('\t');
        let mut field = || fields.next().context("a request has three fields");
        let (traceparent, tracestate) = (field()?.to_owned(), field()?.to_owned());
        let step = |text: &str| {
            let (at, act) = text.rsplit_once(':').context("a hop is `address:port:action`")?;
            Ok(Step { at: at.parse().context("read an address")?, act: act.parse()? })
        };
        let path = field()?.split(',').map(step).collect::<Result<_>>()?;
        Ok(Self { traceparent, tracestate, path })
    }
}

/// The threads that serve requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threads {
    /// A new one for each request.
    PerRequest,
    /// So many, one request of each at a time.
    Pool(usize),
}

/// Serves requests at an address, on a port of its own; prints both, and ends only when it is killed.
///
/// # Errors
/// No port, no thread, or standard output is closed.
pub fn serve(address: Ipv4Addr, threads: Threads) -> Result<()> {
    let listener = TcpListener::bind((address, 0)).context("listen on a port")?;
    println!("{}", listener.local_addr().context("ask for the port")?);
    std::io::stdout().flush().context("say the port")?;
    if let Threads::Pool(n_threads) = threads {
        for _ in 1..n_threads {
            let listener = listener.try_clone().context("share a port")?;
            std::thread::Builder::new().spawn(move || accept(&listener, serve_or_say)).context("start a thread")?;
        }
        return accept(&listener, serve_or_say);
    }
    accept(&listener, |stream| {
        std::thread::spawn(move || serve_or_say(stream));
    })
}

/// Takes connections, one after another.
fn accept(listener: &TcpListener, serve: impl Fn(TcpStream)) -> Result<()> {
    for stream in listener.incoming() {
        serve(stream.context("accept a connection")?);
    }
    Ok(())
}

fn serve_or_say(stream: TcpStream) {
    if let Err(error) = serve_one(stream) {
        eprintln!("request not served: {error:#}");
    }
}

fn serve_one(stream: TcpStream) -> Result<()> {
    let mut line = String::new();
    BufReader::new(stream.try_clone().context("copy a socket")?).read_line(&mut line).context("read a request")?;
    let request: Request = line.trim_end_matches('\n').parse()?;
    let state = (!request.tracestate.is_empty()).then_some(request.tracestate.as_bytes());
    let incoming = backsight::extract(Some(request.traceparent.as_bytes()), state);
    let is_future = request.path.first().is_some_and(|own| own.act == Act::ServeInFuture);
    let crumb = if is_future {
        visit_in_future(&incoming, &request)
    } else {
        let _segment = backsight::begin(&incoming.context);
        visit(&incoming, &request)
    };
    let crumb = crumb?;
    let crumb = crumb.as_ref().map(|crumb| crumb.as_str()).unwrap_or_default();
    (&stream).write_all(format!("ok\t{crumb}\n").as_bytes()).context("answer")
}

/// Serves a request whose trace the thread works for; returns what the answer says.
fn visit(incoming: &Incoming<'_>, request: &Request) -> Result<Option<ResponseText>> {
    let _serve = backsight::span!("serve", SpanKind::Server);
    work(incoming, request)?;
    Ok(backsight::response_crumb())
}

/// Serves a request as servers of futures do, which give them its context as it came.
fn visit_in_future(incoming: &Incoming<'_>, request: &Request) -> Result<Option<ResponseText>> {
    let mut has_waited = false;
    let waits_once = std::future::poll_fn(|_| match std::mem::replace(&mut has_waited, true) {
        false => Poll::Pending,
        true => Poll::Ready(()),
    });
    let serves = async {
        waits_once.await;
        visit(incoming, request)
    };
    let mut serves = std::pin::pin!(serves.in_segment(incoming.context));
    let mut task = task::Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(crumb) = serves.as_mut().poll(&mut task) {
            return crumb;
        }
    }
}

fn work(incoming: &Incoming<'_>, request: &Request) -> Result<()> {
    let (own, rest) = request.path.split_first().context("a path has a first hop")?;
    if own.act == Act::TriggerBefore {
        ensure!(backsight::trigger(TriggerId::MANUAL), "nobody took note of the trigger");
    }
    if own.act == Act::TriggerNamed {
        let named = backsight::register_trigger(NAMED).context("name a trigger")?;
        ensure!(backsight::trigger(named), "nobody took note of the trigger");
    }
    if !rest.is_empty() {
        call(incoming, rest);
    }
    match own.act {
        Act::Serve | Act::ServeInFuture | Act::TriggerBefore | Act::TriggerNamed => {}
        Act::TriggerAfter => ensure!(backsight::trigger(TriggerId::MANUAL), "nobody took note of the trigger"),
        Act::Fail => {
            backsight::status(StatusCode::Error, "told to fail");
            ensure!(backsight::trigger(TriggerId::MANUAL), "nobody took note of the trigger");
        }
        Act::Abort => std::process::abort(),
        Act::Die => {
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).context("kill this process")?;
        }
    }
    Ok(())
}

/// Calls the next hop. One that does not answer leaves its edge open; one that is not there was never called.
fn call(incoming: &Incoming<'_>, path: &[Step]) {
    /// There is one peer at most in each test.
    static PEER: Connection = Connection::new();
    let _call = backsight::span!("call", SpanKind::Client);
    let outgoing = backsight::inject(&incoming.context, incoming.others, &PEER);
    let request = Request {
        traceparent: outgoing.traceparent().to_owned(),
        tracestate: outgoing.tracestate().to_owned(),
        path: path.to_vec(),
    };
    let fail = |error: anyhow::Error| backsight::status(StatusCode::Error, &format!("{error:#}"));
    let stream = match request.connect() {
        Ok(stream) => stream,
        Err(error) => {
            outgoing.call.unsent();
            return fail(error);
        }
    };
    match request.send_over(stream) {
        Ok(crumb) => outgoing.call.answered((!crumb.is_empty()).then_some(crumb.as_bytes()), &PEER),
        Err(error) => fail(error),
    }
}

/// Waits until `is_so`, at most as long as an answer may take.
fn eventually(what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "{what}: not within {ANSWER_TIMEOUT:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// A running hop; killed when it drops.
#[derive(Debug)]
pub struct Hop {
    process: Child,
    at: SocketAddrV4,
    /// Open as long as the hop, which would otherwise fail to print.
    _stdout: BufReader<ChildStdout>,
}

impl Hop {
    /// Starts a hop that records with the agent at `socket`, with a thread for each request.
    ///
    /// # Errors
    /// The binary cannot be had, or does not start.
    pub fn start(socket: &Path, service: &str) -> Result<Self> {
        Self::start_with(socket, service, Threads::PerRequest)
    }

    /// As [`Hop::start`], with these threads.
    ///
    /// # Errors
    /// As [`Hop::start`].
    pub fn start_with(socket: &Path, service: &str, threads: Threads) -> Result<Self> {
        Self::start_at(None, socket, service, threads)
    }

    /// As [`Hop::start`], on a host of its own.
    ///
    /// # Errors
    /// As [`Hop::start`].
    pub fn start_on(host: &Host, socket: &Path, service: &str) -> Result<Self> {
        Self::start_at(Some(host), socket, service, Threads::PerRequest)
    }

    fn start_at(host: Option<&Host>, socket: &Path, service: &str, threads: Threads) -> Result<Self> {
        let mut command = Command::new(binaries::find("bks-hop")?);
        command.arg("--socket").arg(socket).arg("--service").arg(service);
        if let Threads::Pool(n_threads) = threads {
            command.arg("--threads").arg(n_threads.to_string());
        }
        if let Some(host) = host {
            command.arg("--listen").arg(host.address().to_string());
        }
        let mut process = network::spawn(host, command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let stdout = process.stdout.take().context("a hop has a standard output")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line).context("read a hop's address")?;
        let Ok(at) = line.trim().parse() else {
            let _ = process.kill();
            let _ = process.wait();
            bail!("the hop said `{line}` instead of its address");
        };
        Ok(Self { process, at, _stdout: stdout })
    }

    /// Stops the hop: it reads no request any more, while its host still takes connections for it.
    ///
    /// # Errors
    /// It is not there, or does not stop.
    pub fn stop(&self) -> Result<()> {
        let own = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(own, rustix::process::Signal::STOP).context("stop a hop")?;
        let stat = format!("/proc/{}/stat", self.process.id());
        eventually("the hop stops", || {
            let stat = std::fs::read_to_string(&stat).context("read a hop's state")?;
            Ok(stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')))
        })
    }

    /// Kills the hop and waits for its end.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill().context("kill a hop")?;
        self.process.wait().context("wait for a hop")?;
        Ok(())
    }

    /// Waits until a request lies unread in a socket of this hop, which was stopped.
    ///
    /// # Errors
    /// None comes.
    pub fn until_request_waits(&self) -> Result<()> {
        let port = format!(":{:04X}", self.at.port());
        // Fields: number, local address, remote address, state, tx_queue:rx_queue.
        let has_bytes = |line: &str| {
            let mut fields = line.split_whitespace().skip(1);
            let is_here = fields.next().is_some_and(|local| local.ends_with(&port));
            let is_connected = fields.nth(1) == Some("01");
            let queued = fields.next().and_then(|queues| u64::from_str_radix(queues.split_once(':')?.1, 16).ok());
            is_here && is_connected && queued.is_some_and(|bytes| bytes > 0)
        };
        eventually("a request waits", || {
            let sockets = std::fs::read_to_string("/proc/net/tcp").context("read the table of sockets")?;
            Ok(sockets.lines().any(has_bytes))
        })
    }

    /// Returns this hop as a step of a path.
    #[must_use]
    pub const fn does(&self, act: Act) -> Step {
        Step { at: self.at, act }
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::{Act, Request, Step};
    use backsight::TraceId;
    use std::net::SocketAddrV4;

    #[test]
    fn requests_come_through_as_text() {
        let at = |port| SocketAddrV4::new([10, 0, 0, 1].into(), port);
        let path = vec![Step { at: at(7), act: Act::Serve }, Step { at: at(8), act: Act::Die }];
        let request = Request { tracestate: "a=b".to_owned(), ..Request::new(TraceId::new(1, 2), path) };
        assert_eq!(request.to_string().parse::<Request>().unwrap(), request);
        assert!("a\tb\t7".parse::<Request>().is_err());
    }
}
