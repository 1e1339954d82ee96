//! The cluster side of Backsight: it follows triggers from host to host, and stores what hosts report.
//!
//! Run by `main`, and by tests inside their own process. It knows no agent, no kernel and no shared memory: what it is told comes over the
//! network, in the messages of `backsight-proto`, and none of it is believed unchecked.
#![forbid(unsafe_code)]

pub mod archive;
pub mod auth;
pub mod certify;
pub mod config;
pub mod coordination;
pub mod coordinator;
pub mod daemon;
mod door;
pub mod http;
pub mod intake;
pub mod library;
pub mod otlp;
pub mod query;
mod seldom;
pub mod spans;
pub mod status;
pub mod streams;
pub mod tls;
pub mod web;
