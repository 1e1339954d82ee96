//! Wire formats between Backsight processes, and their conversions to and from the types of `core`.
//!
//! The agent, the collector and the command line share these; none of them knows another. Types here are what stands on the wire: they only
//! grow, and readers ignore fields that they do not know. The schema of what goes over the network is in `schema/backsight/v1`, drawn in
//! `docs/spec/wire.md`; what goes over the agent's admin socket is JSON. What people write for the two daemons, their
//! configuration files, is read here too, and the certificates that these name.
#![forbid(unsafe_code)]

pub mod admin;
pub mod base64;
pub mod compare_json;
pub mod config;
pub mod export;
pub mod otlp;
pub mod packing;
pub mod perfetto;
pub mod summary_json;
pub mod text;
#[cfg(feature = "tls")]
pub mod tls;
pub mod trace_json;
pub mod v1;
pub mod wire;
