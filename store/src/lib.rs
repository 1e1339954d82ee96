//! What a collector keeps on disk.
#![forbid(unsafe_code)]
