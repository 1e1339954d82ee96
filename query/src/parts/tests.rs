//! Claims about the archive over parts: it answers what brute force over the united rows answers, whatever is where; and a part that cannot
//! be read costs its own rows alone.

mod any;
mod broken;
mod groups;
mod hostile;
mod limits;
mod memory;
mod model;
mod names;

use super::{Means, Stored, Views};
use crate::archive::{Archive, Ask, Budget, Found};
use crate::cursor::Sort;
use crate::language::{Query, parse};
use backsight_core::ids::TraceId;
use backsight_store::batch::Batch;
use backsight_store::manifest::State;
use backsight_store::manifest::entry::PartEntry;
use backsight_store::part::PartId;
use backsight_store::part::write::{Cut, write};
use backsight_store::promote::Forced;
use backsight_store::rows::{Attribute, SpanRow, TraceFacts, Value};
use backsight_store::view::View;
use memory::Memory;
use std::sync::{Arc, RwLock};

/// A budget that is never spent.
struct Endless;

impl Budget for Endless {
    fn is_spent(&self) -> bool {
        false
    }
}

/// What a batch is filled with.
#[derive(Clone, Debug)]
enum Item {
    Span(SpanRow<'static>),
    Facts(TraceId, TraceFacts<'static>),
}

/// What is stored, as it came to be.
#[derive(Default)]
struct World {
    objects: Memory,
    state: State,
    batches: Vec<Arc<RwLock<Batch>>>,
    demote: Vec<&'static str>,
}

impl Views for View {
    fn view(&self) -> View {
        self.clone()
    }
}

const N_RESOURCES: u32 = 3;

/// Returns the attributes of a resource.
fn resource(n: u32) -> Vec<Attribute<'static>> {
    let value = [Value::Str("a".into()), Value::Int(5), Value::Bool(true)][n as usize % 3].clone();
    vec![Attribute::new("service.name", Value::Str("never told".into())), Attribute::new("x", value)]
}

fn batch(items: &[Item]) -> Batch {
    let mut batch = Batch::new(1);
    for n in 0..N_RESOURCES {
        batch.push_resource(&resource(n)).unwrap();
    }
    for item in items {
        match item {
            Item::Span(span) => batch.push_span(span).unwrap(),
            Item::Facts(trace, facts) => batch.set_trace(*trace, facts).unwrap(),
        }
    }
    batch
}

impl World {
    /// Cuts a part of `items`.
    fn cut(&mut self, items: &[Item]) -> PartId {
        let n_before = self.state.parts.len() as u64;
        let id = PartId::new(1_782_864_000_000 + n_before, 7);
        let forced = Forced { demote: self.demote.iter().map(|key| (*key).to_owned()).collect(), ..Forced::default() };
        let cut = Cut { id, writer: "w", commit: "c", before: &[], forced: &forced, zstd_level: 1, parents: &[] };
        let entry = write(&batch(items), &cut, &self.objects).unwrap();
        self.state.version += 1;
        self.state.parts.insert(id, entry);
        id
    }

    fn part(&self, id: PartId) -> &PartEntry {
        &self.state.parts[&id]
    }

    fn add_batch(&mut self, items: &[Item]) {
        self.batches.push(Arc::new(RwLock::new(batch(items))));
    }

    fn archive(&self) -> Stored {
        self.archive_with(Means::default())
    }

    fn archive_with(&self, means: Means) -> Stored {
        let view = View { manifest: Arc::new(self.state.clone()), batches: self.batches.clone() };
        Stored::new(Arc::new(view), Arc::new(self.objects.clone()), means)
    }
}

fn ask(query: Query) -> Ask {
    Ask { query, during: 0..u64::MAX, sort: Sort::Recent, limit: 20, behind: None }
}

fn search(archive: &Stored, text: &str) -> Found {
    archive.search(&ask(parse(text, 0).unwrap()), &Endless).unwrap()
}

/// Returns span `n` of trace `trace`, which began at `start_ns`.
fn span(trace: u64, n: u64, start_ns: i64) -> SpanRow<'static> {
    SpanRow {
        trace: TraceId::new(0, trace),
        id: backsight_core::ids::SpanId(n),
        parent: (n > 1).then_some(backsight_core::ids::SpanId(1)),
        start_ns,
        duration_ns: 10,
        service: "shop".into(),
        operation: "GET".into(),
        source: 2,
        sampling_weight: 1.0,
        ..SpanRow::default()
    }
}

/// Returns the ids of what was found.
fn ids(found: &Found) -> Vec<u64> {
    found.traces.iter().map(|trace| trace.id.lo).collect()
}
