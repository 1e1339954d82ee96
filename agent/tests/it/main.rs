//! The agent as its users meet it: a process, its sockets, and clients that write to shared memory.
//!
//! Nothing here sleeps to wait for something: conditions are polled, with a deadline.
#![allow(clippy::unwrap_used)] // the whole crate is a test; clippy spares only the functions marked so

mod afterlife;
mod client;
mod collector;
mod damage;
mod death;
mod drops;
mod expressions;
mod harness;
mod hostile;
mod limbo;
mod retention;
mod shares;
mod start;
mod triggers;
mod uplink;
