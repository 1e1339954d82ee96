//! The per-host daemon: takes in what processes record, keeps it for as long as its memory lasts, and holds on to what triggers ask for.
//!
//! The data plane ([`recorder`]) and its parts are pure or know shared memory only; the loop around it ([`daemon`]) owns descriptors and
//! clocks; the admin socket ([`admin`]) is served by a thread of its own. Unsafe code stands in `clock.rs` and
//! `keep/inherited.rs` alone.
#![deny(unsafe_code)]

pub mod admin;
pub mod afterlife;
pub mod backtest;
pub mod carried;
pub mod chains;
pub mod clock;
pub mod collect;
pub mod config;
pub mod crumbs;
pub mod daemon;
pub mod damage;
pub mod deaths;
pub mod demand;
pub mod expressions;
pub mod horizon;
pub mod host;
pub mod ident;
pub mod index;
pub mod journal;
pub mod keep;
pub mod kept;
pub mod limits;
pub mod losses;
pub mod names;
pub mod notify;
pub mod recorder;
pub mod region;
pub mod retention;
pub mod sessions;
pub mod state_dir;
pub mod status;
pub mod totals;
pub mod triggers;
pub mod uplink;
pub mod walk;
pub mod weights;
