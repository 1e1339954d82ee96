//! Requests as the load generator makes them: trace ids of the seed, context, payload.

use crate::faults::Fault;
use crate::hash;
use crate::plan::{ENTRY_PATH, Place};
use crate::rpc;
use crate::rpc::VisitRequest;
use bytes::Bytes;
use tonic::Request;
use tonic::metadata::MetadataValue;

/// What each request carries beside its orders.
const PAYLOAD: &[u8] = &[b'.'; 128];
const TRACE_SALT: u64 = 0x7472_6163;
const SPAN_SALT: u64 = 0x7370_616e;

/// Returns the trace of request `number` of the run with `seed`; both halves look random.
pub(crate) fn trace_of(seed: u64, number: u64) -> u128 {
    let high = hash::join(hash::join(seed, TRACE_SALT), number);
    u128::from(high) << 64 | u128::from(hash::scatter(high ^ number).max(1))
}

/// Returns the request of `trace` to `entry`, sampled, as if a browser had begun it.
pub(crate) fn make(trace: u128, entry: Place, fault: Fault) -> Request<VisitRequest> {
    let mut request = Request::new(VisitRequest {
        trace_hi: (trace >> 64) as u64,
        trace_lo: trace as u64,
        path: ENTRY_PATH,
        service: u32::from(entry.service_idx),
        api: u32::from(entry.api_idx),
        fault: rpc::FaultKind::from(fault.kind).into(),
        fault_service: u32::from(fault.service_idx),
        payload: Bytes::from_static(PAYLOAD),
    });
    let span = hash::join(trace as u64, SPAN_SALT).max(1);
    if let Ok(parent) = MetadataValue::try_from(format!("00-{trace:032x}-{span:016x}-03")) {
        request.metadata_mut().insert("traceparent", parent); // 03: sampled, and the id is random
    }
    request
}

#[cfg(test)]
mod tests;
