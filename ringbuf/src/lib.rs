//! Shared memory of the recorder: regions, leases of chunks, thread logs, signal rings, and a reader that trusts nothing.
//!
//! Called by `client` (one process writes) and `agent` (reads and grants). It is the only crate that maps memory shared between
//! processes. It knows bytes, chunks and threads, never spans, and it reads no clock: ticks come in as arguments.
//!
//! Every algorithm is written over [`storage::Storage`]: a mapping in production, words on the heap under loom, shuttle and proptest,
//! so that what the models explore is what ships. `docs/spec/shm-abi.md` draws the layout and the states of a chunk.

pub mod abi;
pub mod head;
pub mod lease;
pub mod reader;
pub mod region;
pub mod ring;
#[cfg(not(any(loom, shuttle)))]
pub mod shm;
pub mod slot;
pub mod storage;
pub mod strings;
pub mod writer;
