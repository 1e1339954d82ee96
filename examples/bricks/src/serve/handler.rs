//! The handler of visits: the same work for every tracer, and the only place that tells tracers anything.
//!
//! The order is: truth intended, tracer arrives, own work and fault, calls one after the other, tracer leaves, truth done. So what a tracer
//! recorded of a request lies between what the truth intended and what it saw done.

use super::peers::{Origin, Peers};
use crate::faults::FaultKind;
use crate::plan::{Api, Place, Plan};
use crate::rpc::brick_server::Brick;
use crate::rpc::{VisitRequest, VisitResponse};
use crate::tracer::{CallEnd, Recorded, Tracer, VisitEnd};
use crate::truth;
use crate::truth::VisitId;
use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// What a panic that is a fault says.
pub(crate) const PANIC_TEXT: &str = "the request carries a panic";
/// Visits of one process at the same time; more are refused.
const VISITS_MAX: u64 = 4000;
/// Own work is computed below this, and waited for from there on.
const COMPUTED_BELOW: Duration = Duration::from_millis(1);
/// The longest stay of a visit that waits for the death of its process.
const PARK: Duration = Duration::from_secs(5);
/// The share of a slow visit's extra time from which own work is called slow.
const SLOW_SHARE: f64 = 0.8;

/// The services of a process.
#[derive(Debug)]
pub(crate) struct Services<T> {
    plan: Arc<Plan>,
    process_idx: usize,
    tracer: T,
    peers: Peers,
    truth: Option<truth::Writer>,
    slow: Duration,
    under_way: AtomicU64,
    parked: AtomicU64,
}

/// What the server calls.
#[derive(Debug)]
pub(crate) struct Handler<T>(pub(crate) Arc<Services<T>>);

/// A visit as the request asks for it.
#[derive(Debug)]
struct Job<'p> {
    trace: u128,
    api: &'p Api,
    fault: FaultKind,
    is_fault_here: bool,
    truth: Option<VisitId>,
    request: VisitRequest,
}

/// How far a visit has come; what it says stands also where the visit panicked.
#[derive(Debug, Default)]
struct Progress {
    own_work: Duration,
    response: VisitResponse,
}

#[tonic::async_trait]
impl<T: Tracer> Brick for Handler<T> {
    async fn visit(&self, request: Request<VisitRequest>) -> Result<Response<VisitResponse>, Status> {
        let (headers, _, request) = request.into_parts();
        self.0.visit(&headers, request).await
    }
}

impl<T: Tracer> Services<T> {
    /// Returns the services that process `process_idx` of `plan` hosts.
    pub(crate) fn new(
        plan: Arc<Plan>,
        process_idx: usize,
        tracer: T,
        peers: Peers,
        truth: Option<truth::Writer>,
        slow: Duration,
    ) -> Self {
        let (under_way, parked) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { plan, process_idx, tracer, peers, truth, slow, under_way, parked }
    }

    /// Returns the number of visits that are parked.
    pub(crate) fn parked(&self) -> u64 {
        self.parked.load(Ordering::Relaxed) // a count that is polled
    }

    /// Returns what the tracer has written.
    pub(crate) fn recorded(&self) -> Option<Recorded> {
        self.tracer.recorded()
    }

    /// Returns the number of records of the truth that could not be written.
    pub(crate) fn truth_failed(&self) -> u64 {
        self.truth.as_ref().map_or(0, truth::Writer::n_failed)
    }

    /// Returns the tracer, to stop it.
    pub(crate) fn tracer(&self) -> &T {
        &self.tracer
    }

    async fn visit(&self, headers: &MetadataMap, request: VisitRequest) -> Result<Response<VisitResponse>, Status> {
        let _counted = Counted::new(&self.under_way);
        if self.under_way.load(Ordering::Relaxed) > VISITS_MAX {
            return Err(Status::resource_exhausted("too many visits are under way"));
        }
        let place = self.place_of(&request)?;
        let api = self.plan.api(place).ok_or_else(|| Status::invalid_argument("there is no such API"))?;
        let trace = u128::from(request.trace_hi) << 64 | u128::from(request.trace_lo);
        let truth = self.truth.as_ref().map(|truth| truth.intend(trace, place.service_idx));
        let (scope, visit) = self.tracer.arrive(place, headers, &request);
        let fault = FaultKind::from(request.fault());
        let is_fault_here = fault != FaultKind::None && request.fault_service == u32::from(place.service_idx);
        let job = Job { trace, api, fault, is_fault_here, truth, request };
        let answer = T::within(scope, self.recorded_visit(visit, &job)).await;
        if let (Some(truth), Some(visit)) = (&self.truth, job.truth) {
            truth.done(trace, visit);
        }
        answer
    }

    fn place_of(&self, request: &VisitRequest) -> Result<Place, Status> {
        let idx = |number: u32| u16::try_from(number).map_err(|_| Status::invalid_argument("no such place"));
        let place = Place { service_idx: idx(request.service)?, api_idx: idx(request.api)? };
        let service = self.plan.services.get(usize::from(place.service_idx));
        if service.is_none_or(|service| service.process_idx != self.process_idx) {
            return Err(Status::invalid_argument("this process does not host that service"));
        }
        Ok(place)
    }

    /// Does the visit's work and ends its record, also where the work panicked.
    async fn recorded_visit(&self, mut visit: T::Visit, job: &Job<'_>) -> Result<Response<VisitResponse>, Status> {
        let mut progress = Progress::default();
        let work = AssertUnwindSafe(self.work(&mut visit, job, &mut progress)).catch_unwind();
        let result = work.await.unwrap_or_else(|_| Err(Status::internal("the handler panicked")));
        let is_slow = progress.own_work >= self.slow.mul_f64(SLOW_SHARE);
        let mut answer = MetadataMap::new();
        let end = VisitEnd { is_slow, error: result.as_ref().err() };
        self.tracer.leave(visit, &end, &mut answer);
        match result {
            Ok(()) => Ok(Response::from_parts(answer, progress.response, tonic::Extensions::default())),
            Err(status) => Err(Status::with_metadata(status.code(), status.message(), answer)),
        }
    }

    async fn work(&self, visit: &mut T::Visit, job: &Job<'_>, progress: &mut Progress) -> Result<(), Status> {
        progress.response.visits = 1;
        let start = Instant::now();
        execute(Duration::from_micros(job.api.exec_us)).await;
        if job.is_fault_here {
            progress.response.fault_acted = true;
            if let (Some(truth), Some(visit)) = (&self.truth, job.truth) {
                truth.acted(job.trace, visit, job.fault);
            }
            self.act(job.fault).await?;
        }
        progress.own_work = start.elapsed();
        for (child, path) in job.api.calls(job.trace, job.request.path) {
            let response = self.call(visit, child.place, path, job, progress.response.fault_acted).await?;
            progress.response.fault_acted |= response.fault_acted;
            progress.response.visits = progress.response.visits.saturating_add(response.visits);
        }
        Ok(())
    }

    /// Carries out the fault.
    async fn act(&self, fault: FaultKind) -> Result<(), Status> {
        match fault {
            FaultKind::None => {}
            FaultKind::Slow => tokio::time::sleep(self.slow).await,
            FaultKind::Error => return Err(Status::aborted("the request carries an error")),
            FaultKind::Panic => panic!("{PANIC_TEXT}"),
            FaultKind::Park => {
                let _parked = Counted::new(&self.parked);
                tokio::time::sleep(PARK).await;
            }
        }
        Ok(())
    }

    /// Calls a child, and passes the fault on unless it has acted.
    async fn call(
        &self,
        visit: &mut T::Visit,
        place: Place,
        path: u64,
        job: &Job<'_>,
        has_fault_acted: bool,
    ) -> Result<VisitResponse, Status> {
        let message = VisitRequest {
            path,
            service: u32::from(place.service_idx),
            api: u32::from(place.api_idx),
            fault: if has_fault_acted { 0 } else { job.request.fault },
            ..job.request.clone()
        };
        let mut request = Request::new(message);
        let call = self.tracer.depart(visit, place, request.metadata_mut());
        let process_idx = self.plan.services[usize::from(place.service_idx)].process_idx;
        let result = self.peers.client(process_idx).visit(request).await;
        let end = match &result {
            Ok(response) => CallEnd::Answered(response.metadata()),
            Err(status) => match Origin::of(status) {
                Origin::Callee => CallEnd::Refused(status),
                Origin::Transport => CallEnd::Lost(status),
                Origin::Nobody => CallEnd::Unsent(status),
            },
        };
        self.tracer.returned(visit, call, &end);
        result.map(Response::into_inner)
    }
}

/// Spends `time`: a short one by computing, a longer one by waiting.
async fn execute(time: Duration) {
    if time >= COMPUTED_BELOW {
        tokio::time::sleep(time).await;
    } else if !time.is_zero() {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    }
}

/// Counts one as long as it lives.
struct Counted<'c>(&'c AtomicU64);

impl<'c> Counted<'c> {
    fn new(count: &'c AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed); // a count; nothing is ordered by it
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed); // as above
    }
}
