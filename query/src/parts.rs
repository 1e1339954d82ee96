//! An archive over parts, and over rows that are in no part yet: what is stored, found again.
//!
//! Asked by endpoints, on threads of their own, as questions read the disk. Every answer unites all parts and batches that have rows of a
//! trace. What is passed over unread is passed over for certain; what cannot be read is named, and the rest answers.
//!
//! A trace that stands in one part alone is *tight*: what the part's table of traces says of it is what is answered. One that stands in
//! several, or in a batch, is *loose*: only its rows, united, can tell ([`splits`]).

mod attributes;
mod byid;
mod cache;
mod facts;
mod find;
mod names;
mod plan;
mod recent;
mod scan;
mod skeleton;
mod splits;
mod terms;

pub(crate) use facts::key;

use crate::archive::{Archive, Ask, Budget, Calls, Found, Operation, Unanswered};
use crate::rows::TraceRows;
use backsight_core::ids::TraceId;
use backsight_store::objects::Objects;
use backsight_store::view::View;
use byid::Reader;
use std::ops::Range;
use std::sync::Arc;

/// Where it is known what is stored.
pub trait Views: Send + Sync {
    /// Returns what is stored at this instant.
    fn view(&self) -> View;
}

/// What an archive may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Means {
    /// Footers, filters and indexes that are kept, in bytes.
    pub cache_bytes: usize,
    /// Threads of one search.
    pub threads: usize,
}

impl Default for Means {
    fn default() -> Self {
        Self { cache_bytes: 128 << 20, threads: 2 }
    }
}

/// An archive over what is stored.
pub struct Stored {
    views: Arc<dyn Views>,
    cache: cache::Cache,
    splits: splits::Known,
    threads: usize,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Stored {
    /// Returns an archive over `views`, whose parts stand in `objects`.
    pub fn new(views: Arc<dyn Views>, objects: Arc<dyn Objects>, means: Means) -> Self {
        let cache = cache::Cache::new(objects, means.cache_bytes);
        Self { views, cache, splits: splits::Known::default(), threads: means.threads }
    }

    fn reader(&self) -> Reader<'_> {
        Reader::new(&self.cache, self.views.view())
    }

    fn splits_of(&self, reader: &Reader<'_>) -> Arc<splits::Splits> {
        self.splits.splits(&reader.view.manifest.parts, &self.cache)
    }
}

impl Archive for Stored {
    fn trace(&self, id: TraceId) -> Result<Option<TraceRows>, Unanswered> {
        let mut reader = self.reader();
        let found = reader.read(&[id]).pop();
        match reader.lost.values().next() {
            Some(lost) if found.is_none() => Err(Unanswered::Unreadable(lost.what.clone())),
            _ => Ok(found),
        }
    }

    fn search(&self, ask: &Ask, budget: &dyn Budget) -> Result<Found, Unanswered> {
        let reader = self.reader();
        let splits = self.splits_of(&reader);
        Ok(find::find(reader, &splits, ask, scan::Means { budget, threads: self.threads }))
    }

    fn services(&self, during: Range<u64>, budget: &dyn Budget) -> Result<Vec<String>, Unanswered> {
        names::services(self.reader(), &during, budget)
    }

    fn operations(&self, service: &str, during: Range<u64>, budget: &dyn Budget) -> Result<Vec<Operation>, Unanswered> {
        names::operations(self.reader(), service, &during, budget)
    }

    fn calls(&self, during: Range<u64>, budget: &dyn Budget) -> Result<Vec<Calls>, Unanswered> {
        let reader = self.reader();
        let splits = self.splits_of(&reader);
        names::calls(reader, &splits, &during, budget)
    }
}

#[cfg(test)]
mod tests;
