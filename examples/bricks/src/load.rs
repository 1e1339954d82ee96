//! The load: requests that are due at their time whatever the services do, or as many as a few callers get answered.
//!
//! Called by `run`. With a rate the loop is open: a request that is due is sent, or refused where too many are under way, but never waits
//! for another; and its latency counts from when it was due, so that a service that stalls is seen by all who would have come meanwhile.

pub(crate) mod ledger;
mod request;

use crate::faults::{Fault, FaultKind, Shares};
use crate::plan::Plan;
use crate::rpc::brick_client::BrickClient;
use crate::truth;
use anyhow::{Result, ensure};
use ledger::{Counts, Ledger, Outcome};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tonic::transport::Channel;

/// Connections to the entry: its requests are framed by one task for each.
const CONNECTIONS: usize = 2;
/// Numbers of requests that park begin here: no load comes so far.
const PARKED_FROM: u64 = 1 << 48;
/// How many numbers are looked through for each request that has to reach a certain service.
const LOOKED_AT_MAX: u64 = 100_000;
/// The longest sleep between two looks at whether the load is over.
const NAP_MAX: Duration = Duration::from_millis(100);

/// What kind of load.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Pace {
    /// Requests a second, whatever becomes of them.
    Rate(f64),
    /// So many callers, each of whom sends the next request when the last one is answered.
    Callers(usize),
}

/// What the load generator is told.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Settings {
    /// How many requests, and when.
    pub(crate) pace: Pace,
    /// Decides trace ids and faults.
    pub(crate) seed: u64,
    /// What faults there are once the warm-up is over.
    pub(crate) shares: Shares,
    /// Requests under way at the same time; more are refused.
    pub(crate) in_flight_max: u64,
    /// Requests in all; after them the load is over.
    pub(crate) requests_max: u64,
}

/// The load generator.
#[derive(Debug)]
pub(crate) struct Load {
    settings: Settings,
    plan: Arc<Plan>,
    clients: Vec<BrickClient<Channel>>,
    truth: Option<truth::Writer>,
    start: Instant,
    /// The number of the next request of callers.
    next_number: AtomicU64,
    in_flight: AtomicU64,
    is_measured: AtomicBool,
    is_over: AtomicBool,
    ledger: Mutex<Ledger>,
}

impl Load {
    /// Prepares load for the process at `entry`; inside a runtime. Nothing is sent yet.
    pub(crate) fn new(
        settings: Settings,
        plan: Arc<Plan>,
        entry: SocketAddr,
        truth: Option<truth::Writer>,
    ) -> Result<Arc<Self>> {
        let clients = (0..CONNECTIONS).map(|_| crate::serve::client(entry)).collect::<Result<_>>()?;
        Ok(Arc::new(Self {
            settings,
            plan,
            clients,
            truth,
            start: Instant::now(),
            next_number: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            is_measured: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            ledger: Mutex::new(Ledger::new()?),
        }))
    }

    /// Starts to send, until [`Self::finish`].
    pub(crate) fn begin(self: &Arc<Self>) -> Result<()> {
        match self.settings.pace {
            Pace::Rate(rate) => {
                let (load, handle) = (Arc::clone(self), Handle::current());
                // A thread of its own: the runtime's timer knows milliseconds only.
                std::thread::Builder::new()
                    .name("bricks-pacer".to_owned())
                    .spawn(move || load.keep_pace(rate, &handle))?;
            }
            Pace::Callers(n) => {
                for caller in 0..n {
                    let load = Arc::clone(self);
                    tokio::spawn(async move { load.keep_calling(caller).await });
                }
            }
        }
        Ok(())
    }

    /// Requests that are due from now on count, and carry faults.
    pub(crate) fn end_warm_up(&self) {
        self.is_measured.store(true, Ordering::Relaxed); // a moment between two requests; nothing else hangs on it
    }

    /// Ends the load and waits for the requests under way, at most `timeout`; returns how many are still without an answer.
    pub(crate) async fn finish(&self, timeout: Duration) -> u64 {
        self.is_over.store(true, Ordering::Relaxed); // looked at before each request
        let end = Instant::now() + timeout;
        while self.in_flight() > 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.in_flight()
    }

    /// Returns whether all requests that there may be are sent and answered, or known to have failed.
    pub(crate) fn is_spent(&self) -> bool {
        self.in_flight() == 0 && self.counts().sent >= self.settings.requests_max
    }

    /// Returns what has been counted.
    pub(crate) fn counts(&self) -> Counts {
        self.ledger().counts()
    }

    /// Returns the latency that `share` of the answers that count did not exceed.
    pub(crate) fn latency_us(&self, share: f64) -> u64 {
        self.ledger().latency_us(share)
    }

    /// Returns the number of requests under way.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed) // a count that is polled
    }

    /// Returns the number of truth records that could not be written.
    pub(crate) fn truth_failed(&self) -> u64 {
        self.truth.as_ref().map_or(0, truth::Writer::n_failed)
    }

    /// Sends `n` requests that will park in service `service_idx`.
    pub(crate) fn park(self: &Arc<Self>, n: u64, service_idx: u16) -> Result<()> {
        let reaches =
            |number: &u64| self.plan.walk(request::trace_of(self.settings.seed, *number)).contains(&service_idx);
        let looked_at = PARKED_FROM..PARKED_FROM + n.saturating_mul(LOOKED_AT_MAX);
        let numbers: Vec<u64> = looked_at.filter(reaches).take(n as usize).collect();
        ensure!(numbers.len() as u64 == n, "only {} of {n} requests would reach the service", numbers.len());
        for number in numbers {
            let (load, due) = (Arc::clone(self), Instant::now());
            self.in_flight.fetch_add(1, Ordering::Relaxed); // as in `try_start`
            self.ledger().sent(FaultKind::Park);
            let fault = Fault { kind: FaultKind::Park, service_idx };
            tokio::spawn(async move { load.send(number, due, fault, true).await });
        }
        Ok(())
    }

    /// Sends what is due, when it is due.
    fn keep_pace(self: &Arc<Self>, rate: f64, handle: &Handle) {
        let start = Instant::now();
        for number in 0..self.settings.requests_max {
            let due = start + Duration::from_secs_f64(number as f64 / rate);
            while let Some(early) = due.checked_duration_since(Instant::now()).filter(|early| !early.is_zero()) {
                if self.is_over() {
                    return;
                }
                std::thread::sleep(early.min(NAP_MAX));
            }
            if self.is_over() {
                return;
            }
            if let Some((fault, is_measured)) = self.try_start(number) {
                let load = Arc::clone(self);
                handle.spawn(async move { load.send(number, due, fault, is_measured).await });
            }
        }
    }

    /// Sends a request when the last one is answered.
    async fn keep_calling(&self, _caller: usize) {
        while !self.is_over() {
            let number = self.next_number.fetch_add(1, Ordering::Relaxed); // a name; nothing is ordered by it
            if number >= self.settings.requests_max {
                return;
            }
            match self.try_start(number) {
                Some((fault, is_measured)) => self.send(number, Instant::now(), fault, is_measured).await,
                None => tokio::task::yield_now().await,
            }
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) // looked at again for each request
    }

    /// Takes a place among the requests under way; returns the request's fault and whether it counts, `None` where it is refused.
    fn try_start(&self, number: u64) -> Option<(Fault, bool)> {
        let is_measured = self.is_measured.load(Ordering::Relaxed); // see `end_warm_up`
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.settings.in_flight_max {
            self.in_flight.fetch_sub(1, Ordering::Relaxed); // a count; nothing is ordered by it
            self.ledger().refused(is_measured);
            return None;
        }
        let seed = self.settings.seed;
        let kind = if is_measured { self.settings.shares.decide(seed, number) } else { FaultKind::None };
        let fault = match kind {
            FaultKind::None => Fault::default(),
            kind => crate::faults::place(kind, seed, number, &self.plan.walk(request::trace_of(seed, number))),
        };
        if is_measured {
            self.ledger().sent(fault.kind);
        }
        Some((fault, is_measured))
    }

    /// Sends request `number` and counts what becomes of it.
    async fn send(&self, number: u64, due: Instant, fault: Fault, is_measured: bool) {
        let trace = request::trace_of(self.settings.seed, number);
        if let Some(truth) = &self.truth {
            truth.request(trace, &fault);
        }
        let mut client = self.clients[number as usize % self.clients.len()].clone();
        let result = client.visit(request::make(trace, self.plan.entry, fault)).await;
        if let Some(truth) = &self.truth {
            truth.answered(trace, result.is_ok());
        }
        let outcome = Outcome {
            due_ns: self.since_start(due),
            done_ns: self.since_start(Instant::now()),
            is_ok: result.is_ok(),
            fault: fault.kind,
            is_measured,
        };
        self.ledger().settle(&outcome);
        self.in_flight.fetch_sub(1, Ordering::Relaxed); // a count that is polled; the ledger has its lock
    }

    fn since_start(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_nanos() as u64
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner) // counts are whole after each call
    }
}
