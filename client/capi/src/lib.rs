//! The C face of the recorder: libbacksight.so, which `backsight.h` calls.
//!
//! Called by C and C++ programs, and by other languages through their foreign-function interface. No function panics, unwinds or keeps a
//! pointer that it was given, but for `bks_name`, which is static. Null pointers record nothing. `docs/spec/c-abi.md` is the contract.
#![allow(non_camel_case_types)] // the types' names are C's
#![allow(unreachable_pub)] // what is exported is reached by symbol, not by path

mod autotrigger;
mod context;
mod name;
mod process;
mod propagate;
mod record;
mod text;
mod thread;
mod trigger;

/// `major << 16 | minor` of this face: the header compares it with its own.
pub const BKS_ABI_VERSION: u32 = 1 << 16 | 6;
