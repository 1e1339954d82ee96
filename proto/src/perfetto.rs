//! Perfetto's native format: a trace as ui.perfetto.dev and `trace_processor` open it.
//!
//! Written by the command line and whoever exports; read back only by tests. The schema is `schema/perfetto.proto`: the fields that we
//! use, with the official names and numbers, and never one of our own.
//!
//! Checked by hand besides the tests: the trace of the tests decodes with the official classes (Python package `perfetto` 0.59.1,
//! `protos.perfetto.trace.perfetto_trace_pb2`) without an unknown field, with the tracks, slices and flows that it should have, and what
//! they encode again is the same message. It was not opened in `trace_processor`.

mod convert;
mod lanes;
mod slices;
mod schema {
    //! What `build.rs` makes of `schema/perfetto.proto`; nothing is checked here.
    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines, reason = "generated")]

    tonic::include_proto!("perfetto.protos");
}

use crate::export::Extras;
use backsight_core::flat::FlatTrace;
use backsight_core::trace::Trace;
use prost::Message;

/// Returns `trace` as a Perfetto trace.
///
/// # Shape
/// A track for each process and each thread; spans of the flat form ([`FlatTrace`]) are slices on their thread, on a child track of it where they
/// overlap without nesting.
/// Events, payloads and open edges are instants, attributes are debug annotations. A span whose parent is in another process is the end of
/// a flow from there. Process and thread ids are those of their hosts; one that a second host has too is replaced by a free one above all
/// real ones, and the label of the process says so. Visits are slices `visit`; ends that are not known are the last instant
/// that is.
/// # Cost
/// Time `n log n` in what is recorded, and linear in how many spans of one thread overlap.
pub fn export(trace: &Trace, extras: Extras<'_>) -> Vec<u8> {
    schema::Trace { packet: convert::packets(&FlatTrace::of(trace), extras) }.encode_to_vec()
}

#[cfg(test)]
mod tests;
