//! How Backsight scales: from 10 to 10,000 hosts, by a simulation that knows this machine only by what one operation of the real code costs
//! on it.
//!
//! Called by the bench `scale-costs`, which measures those costs ([`measure`]), and by `bks-scale`, which simulates and writes
//! `docs/scale.md`.
//!
//! # Shape
//! [`collector`] is a collector: the real coordinator, on threads whose work takes what was measured. [`host`] is a host: the real uplink on an
//! agent whose work does. [`world`] has many of them on one clock, under the load of [`workload`]; [`loopback`] is the bench `rec-traverse`
//! built of the same parts, which says how wrong all that is. [`queue`] is what both are made of, [`study`] what is asked of them, [`document`]
//! what is written.

pub mod collector;
pub mod costs;
pub mod document;
pub mod host;
pub mod loopback;
pub mod measure;
pub mod queue;
pub mod store;
pub mod study;
pub mod workload;
pub mod world;
