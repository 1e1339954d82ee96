//! A row of table `agg`: one key of one hour and population, and what it counts.
//!
//! Lent by `Aggregates`, written and read by `part`, and taken back by `Aggregates`: merging goes by rows, whether they come from memory or from files.

use super::contention::{ProcessSums, SecondSums};
use super::labels::LabelRef;
use super::slot::Slot;
use super::sums::{EdgeSums, EventSums, OpSums, PathSums, RootSums};
use std::borrow::Cow;

/// A row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AggRow<'a> {
    /// Hour and population.
    pub slot: Slot,
    /// Key and sums.
    pub fact: Fact<'a>,
}

/// An event in spans of a label.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventOf<'a> {
    /// The label.
    pub label: LabelRef<'a>,
    /// The key of the event.
    pub key: Cow<'a, str>,
}

/// Spans of one label under spans of another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EdgeOf<'a> {
    /// The label above.
    pub parent: LabelRef<'a>,
    /// The label below.
    pub child: LabelRef<'a>,
    /// Whether those above wait for those below.
    pub is_sync: bool,
}

/// A key of one of the tables, `None` for other, and its sums.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact<'a> {
    /// Table `ops`.
    Op(Option<LabelRef<'a>>, Cow<'a, OpSums>),
    /// Table `events`.
    Event(Option<EventOf<'a>>, EventSums),
    /// Table `edges`.
    Edge(Option<EdgeOf<'a>>, EdgeSums),
    /// All traces of a root, of which table `paths` has a part.
    Root(Option<LabelRef<'a>>, RootSums),
    /// Table `paths`: labels from the root down.
    Path(Cow<'a, [LabelRef<'a>]>, Cow<'a, PathSums>),
    /// Table `contention`: a process.
    Process(Option<&'a str>, Cow<'a, ProcessSums>),
    /// Table `contention`: a second of a process, counted from 1970.
    Second(&'a str, i64, Cow<'a, SecondSums>),
}

/// A table of aggregates, with its number in the column `table`. Two of them are in two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(i8)]
pub enum AggTable {
    /// `ops`.
    Ops = 1,
    /// `events`.
    Events = 2,
    /// `edges`.
    Edges = 3,
    /// `paths`: the roots.
    Roots = 4,
    /// `paths`.
    Paths = 5,
    /// `contention`: the processes.
    Processes = 6,
    /// `contention`: their seconds.
    Seconds = 7,
}

impl AggTable {
    /// All of them, by number.
    pub const ALL: [Self; 7] =
        [Self::Ops, Self::Events, Self::Edges, Self::Roots, Self::Paths, Self::Processes, Self::Seconds];

    /// Returns the table with number `code`.
    pub fn of_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as i8 == code)
    }
}

impl Fact<'_> {
    /// Returns its table.
    pub const fn table(&self) -> AggTable {
        match self {
            Self::Op(..) => AggTable::Ops,
            Self::Event(..) => AggTable::Events,
            Self::Edge(..) => AggTable::Edges,
            Self::Root(..) => AggTable::Roots,
            Self::Path(..) => AggTable::Paths,
            Self::Process(..) => AggTable::Processes,
            Self::Second(..) => AggTable::Seconds,
        }
    }

    /// Returns the same sums under other, `None` where they are in another row already: paths in their root, seconds in the tasks of their process.
    pub(super) fn as_other(&self) -> Option<Fact<'_>> {
        Some(match self {
            Self::Op(_, sums) => Fact::Op(None, Cow::Borrowed(&**sums)),
            Self::Event(_, sums) => Fact::Event(None, *sums),
            Self::Edge(_, sums) => Fact::Edge(None, *sums),
            Self::Root(_, sums) => Fact::Root(None, *sums),
            Self::Process(_, sums) => Fact::Process(None, Cow::Borrowed(&**sums)),
            Self::Path(..) | Self::Second(..) => return None,
        })
    }
}
