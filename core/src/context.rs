//! Trace context on the wire: W3C `traceparent` and `tracestate`, and the breadcrumbs that travel in it.
//!
//! Called by the client for each request that comes in or goes out. It allocates nothing and believes nothing: a malformed header gives a
//! new trace, a malformed member is passed over. The layout is drawn in `docs/spec/wire.md`.

pub mod others;
pub mod response;
pub mod traceparent;
pub mod tracestate;
pub mod trail;

pub use others::{KeptOthers, Others, STATE_BYTES_MAX};
pub use response::{BEYOND_MAX, RESPONSE_BYTES_MAX, RESPONSE_HEADER, ResponseCrumb, ResponseText};
pub use traceparent::TraceParent;
pub use tracestate::TraceState;
pub use trail::{CRUMBS_MAX, TRIGGERS_MAX, Trail, TrailFlags};

#[cfg(test)]
mod tests;
