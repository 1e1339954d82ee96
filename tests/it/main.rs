//! Tests that need several crates or processes: one file per promise.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod apart;
mod certificates;
mod checkout;
mod cli;
mod client;
mod collector;
mod expressions;
mod hosts;
mod kill;
mod packaging;
mod restart;
mod shards;
mod traverse;
