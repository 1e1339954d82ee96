//! What endpoints ask of whoever holds traces.
//!
//! Asked by the endpoints of Jaeger's API and of ours; fulfilled by the collector for what it holds itself, and by a search over parts. Calls
//! block, and read the disk: not on a thread that serves others.

mod both;

pub use both::Both;

use crate::cursor::{Cursor, Sort};
use crate::language::Query;
use crate::rows::TraceRows;
use backsight_core::ids::TraceId;
use backsight_core::record::SpanKind;
use std::ops::Range;

/// Somebody who holds traces.
///
/// Each question has a [`Budget`]; what is found until it is spent is answered, and [`Found::partial`] says so.
pub trait Archive: Send + Sync {
    /// Returns a trace, or `None` where nothing is known of it.
    ///
    /// # Errors
    /// What is stored of it cannot be read.
    fn trace(&self, id: TraceId) -> Result<Option<TraceRows>, Unanswered>;

    /// Returns the first traces that match, in the order that is asked for.
    ///
    /// # Errors
    /// The page that the cursor names is not kept any more, or nothing can be read.
    fn search(&self, ask: &Ask, budget: &dyn Budget) -> Result<Found, Unanswered>;

    /// Returns the names of the services that have spans in `during`, each once, in their order.
    ///
    /// # Errors
    /// Nothing can be read.
    fn services(&self, during: Range<u64>, budget: &dyn Budget) -> Result<Vec<String>, Unanswered>;

    /// Returns the operations of `service` in `during`, each with each of its kinds once, in their order.
    ///
    /// # Errors
    /// Nothing can be read.
    fn operations(&self, service: &str, during: Range<u64>, budget: &dyn Budget) -> Result<Vec<Operation>, Unanswered>;

    /// Returns how often services called each other in `during`, in the order of their names.
    ///
    /// # Errors
    /// Nothing can be read.
    fn calls(&self, during: Range<u64>, budget: &dyn Budget) -> Result<Vec<Calls>, Unanswered>;
}

/// How long a question may take.
pub trait Budget: Sync {
    /// Returns whether it is used up; asked every few milliseconds of work.
    fn is_spent(&self) -> bool;
}

/// What is searched for.
#[derive(Clone, PartialEq, Debug)]
pub struct Ask {
    /// What traces must be.
    pub query: Query,
    /// Traces that have a span within these nanoseconds since 1970.
    pub during: Range<u64>,
    /// In which order they are answered.
    pub sort: Sort,
    /// How many at most.
    pub limit: usize,
    /// Those behind this one; the order is the cursor's.
    pub behind: Option<Cursor>,
}

/// What a search found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Found {
    /// Traces, whole, in the order that was asked for.
    pub traces: Vec<TraceRows>,
    /// Where the next page begins; `None` where there is none.
    pub next: Option<Cursor>,
    /// Why there may be more that match: empty where there is not.
    pub partial: Vec<Partial>,
    /// Traces that were looked at.
    pub n_scanned: u64,
}

/// What was not looked at, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Partial {
    /// Why, a word for programs: `timeout`, `damaged`.
    pub reason: &'static str,
    /// Of what, for people.
    pub what: String,
}

/// An operation of a service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// The kind of its spans, where they say it.
    pub kind: Option<SpanKind>,
}

/// How often a service called another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Calls {
    /// Who called.
    pub caller: String,
    /// Who was called.
    pub callee: String,
    /// How often.
    pub n: u64,
}

/// A question without answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unanswered {
    /// The traces of an earlier page are gone.
    #[error(
        "the search began before version {oldest} of what is stored, which is the oldest that is kept: begin at the first page"
    )]
    Stale {
        /// The oldest version that can be read.
        oldest: u64,
    },
    /// What is stored cannot be read.
    #[error("{0}")]
    Unreadable(String),
}
