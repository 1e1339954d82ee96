//! What the cross-crate tests and the benches share: the bench harness and the peers that Backsight is measured against.
//!
//! Called by the bins in `bench/` and the tests in `it/`. It is no part of what users install, and nothing but tests may depend on it.
#![deny(unsafe_code)]

pub mod autotrigger;
pub mod bench;
pub mod delay;
pub mod harness;
pub mod hop;
pub mod peers;
pub mod rpc;
pub mod scale;
pub mod slow;
pub mod soak;
pub mod traverse;
pub mod victim;
pub mod writer;
