//! What a reader sees at one instant: the parts of one version of the manifest, and the rows that are in no part yet.
//!
//! Taken by searches and by whoever looks up a trace. A view never changes in what it is of: a row that was there when it was taken is in
//! exactly one of its parts and batches, also while a cut moves rows from one to the other.

use crate::batch::Batch;
use crate::manifest;
use std::sync::{Arc, RwLock};

/// What is stored, at one instant.
#[derive(Clone, Debug)]
pub struct View {
    /// The parts.
    pub manifest: Arc<manifest::State>,
    /// Rows that are in no part yet, the oldest batch first. The last one still grows: what comes in behind the rows that a reader counted
    /// first is none of its business. Whoever reads holds the lock for as long as a few thousand rows take, as rows that come in wait for it.
    pub batches: Vec<Arc<RwLock<Batch>>>,
}
