//! Processes for tests and benches: agents and collectors, each in a folder of its own, found or built, ended with their owner.
//!
//! Nothing here uses a fixed path or port, so any number of tests run at once.

pub mod agent;
pub mod api;
pub mod binaries;
pub mod collector;
pub mod cpu;
pub mod dialogue;
pub mod manager;
pub mod metrics;
pub mod network;
pub mod relay;
pub mod session;
