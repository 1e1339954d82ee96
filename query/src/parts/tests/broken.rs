//! Parts that are missing, cut short, foreign, newer or damaged: named, while the others answer.

use super::{Endless, Item, World, ask, ids, search, span};
use crate::archive::{Archive, Ask, Budget, Unanswered};
use crate::cursor::Sort;
use crate::language::{Query, parse};
use backsight_core::ids::TraceId;
use backsight_store::manifest::entry::FileEntry;
use backsight_store::objects::Objects;
use backsight_store::part::PartId;
use backsight_store::rows::{Attribute, Value};
use backsight_store::schema::Table;
use std::sync::Mutex;

/// Two parts, of traces 1 and 2; a third of trace 3 with a late span of trace 1.
fn world() -> (World, [PartId; 3]) {
    let mut world = World::default();
    let parts = [
        world.cut(&[Item::Span(span(1, 1, 100)), Item::Span(span(1, 2, 110))]),
        world.cut(&[Item::Span(span(2, 1, 200))]),
        world.cut(&[Item::Span(span(3, 1, 300)), Item::Span(span(1, 3, 120))]),
    ];
    (world, parts)
}

fn file(world: &World, part: PartId, table: Table) -> FileEntry {
    world.part(part).file(table).unwrap().clone()
}

/// Checks what is answered where `spoil` was done to a file of the second part.
fn check(table: Table, reason: &str, spoil: impl Fn(&World, &FileEntry)) {
    let (world, parts) = world();
    spoil(&world, &file(&world, parts[1], table));
    let archive = world.archive();
    let found = search(&archive, "service = shop");
    assert_eq!(ids(&found), [3, 1], "{reason}");
    let named: Vec<_> = found.partial.iter().map(|partial| partial.reason).collect();
    assert_eq!(named, [reason], "{:?}", found.partial);
    assert!(found.partial[0].what.contains(&parts[1].to_string()), "{:?}", found.partial);
    let first = archive.trace(TraceId::new(0, 1)).unwrap().unwrap();
    assert_eq!(first.spans.len(), 3);
    if table == Table::Traces {
        assert!(first.facts.warnings[0].contains(&parts[1].to_string()), "{:?}", first.facts.warnings);
        assert!(matches!(archive.trace(TraceId::new(0, 2)), Err(Unanswered::Unreadable(_))));
    }
}

/// Replaces the first such text in a file's footer.
fn replaced(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let at = bytes.windows(from.len()).rposition(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
}

#[test]
fn a_part_that_cannot_be_read_is_named_and_the_others_answer() {
    for table in [Table::Traces, Table::Spans] {
        check(table, "missing", |world, file| world.objects.delete(&file.path).unwrap());
        check(table, "foreign", |world, file| {
            world.objects.change(&file.path, |bytes| bytes.truncate(bytes.len() / 2))
        });
        check(table, "foreign", |world, file| {
            world.objects.change(&file.path, |bytes| replaced(bytes, b"backsight.schema", b"backsight.schemb"));
        });
        check(table, "newer", |world, file| {
            let key = b"backsight.schema\x18\x011";
            world.objects.change(&file.path, |bytes| replaced(bytes, key, b"backsight.schema\x18\x017"));
        });
        check(table, "damaged", |world, file| {
            world.objects.change(&file.path, |bytes| {
                let end = bytes.len() - 8;
                bytes[end - 40..end].fill(0xff);
            });
        });
    }
}

#[test]
fn a_part_that_comes_back_answers_again() {
    let (world, parts) = world();
    let entry = file(&world, parts[1], Table::Traces);
    let bytes = world.objects.get(&entry.path, u64::MAX).unwrap().unwrap();
    let archive = world.archive();
    world.objects.delete(&entry.path).unwrap();
    assert_eq!(ids(&search(&archive, "")), [3, 1]);
    world.objects.put(&entry.path, &bytes).unwrap();
    assert_eq!(ids(&search(&archive, "")), [3, 2, 1]);
}

#[test]
fn a_trace_has_the_spans_of_all_parts_and_is_found_by_any_two_of_them() {
    let (mut world, _) = world();
    let late = |trace, n, service: &str| {
        let mut span = span(trace, n, 90);
        span.service = service.to_owned().into();
        span.attributes = vec![Attribute::new("rare", Value::Str("needle".into()))].into();
        Item::Span(span)
    };
    world.cut(&[late(1, 4, "late")]);
    world.add_batch(&[late(2, 2, "recent")]);
    let archive = world.archive();
    assert_eq!(archive.trace(TraceId::new(0, 1)).unwrap().unwrap().spans.len(), 4);
    assert_eq!(ids(&search(&archive, "{service = late} && {service = shop}")), [1]);
    assert_eq!(ids(&search(&archive, "trace.services = 2")), [1, 2], "equal starts are in the order of their ids");
    assert_eq!(ids(&search(&archive, "attr.rare = \"needle\"")), [1, 2]);
    assert_eq!(ids(&search(&archive, "trace.pending")), [2]);
    assert_eq!(ids(&search(&archive, "trace.spans >= 4")), [1]);
    // Of trace 1 only the part from before has the service, and only the late one lies in this time.
    let query = parse("service = shop", 0).unwrap();
    let found = archive.search(&Ask { during: 85..100, ..ask(query) }, &Endless).unwrap();
    assert_eq!(ids(&found), [1, 2]);
}

/// A budget of so many questions.
struct Spent(Mutex<usize>);

impl Budget for Spent {
    fn is_spent(&self) -> bool {
        let mut left = self.0.lock().unwrap();
        let is_spent = *left == 0;
        *left = left.saturating_sub(1);
        is_spent
    }
}

#[test]
fn a_search_whose_time_is_used_up_says_so() {
    let (world, _) = world();
    let archive = world.archive();
    let found = archive.search(&ask(Query::default()), &Spent(Mutex::new(1))).unwrap();
    assert_eq!(found.partial.iter().map(|partial| partial.reason).collect::<Vec<_>>(), ["timeout"]);
    assert_eq!(found.next, None);
}

#[test]
fn pages_stay_while_new_traces_come() {
    let (mut world, _) = world();
    let first = Ask { limit: 1, ..ask(Query::default()) };
    let page = world.archive().search(&first, &Endless).unwrap();
    assert_eq!((ids(&page), page.next.is_some()), (vec![3], true));
    world.cut(&[Item::Span(span(4, 1, 400))]);
    world.add_batch(&[Item::Span(span(5, 1, 500))]);
    let page = world.archive().search(&Ask { behind: page.next, sort: Sort::Duration, ..first }, &Endless).unwrap();
    assert_eq!(ids(&page), [2], "the order is the cursor's");
}

#[test]
fn what_comes_while_a_batch_is_read_is_not_of_the_view() {
    let mut world = World::default();
    world.add_batch(&[Item::Span(span(1, 1, 100))]);
    let batch = world.batches[0].clone();
    let recent = crate::parts::recent::Recent::new(&world.batches);
    batch.write().unwrap().push_span(&span(1, 2, 50)).unwrap();
    batch.write().unwrap().push_span(&span(2, 1, 50)).unwrap();
    assert_eq!(recent.ids(), [TraceId::new(0, 1)]);
    assert_eq!(recent.extent(TraceId::new(0, 1)), (1, Some(100)));
    assert_eq!(recent.scan(&Query::default(), &(0..u64::MAX), &Endless).len(), 1);
    assert_eq!(recent.extent(TraceId::new(0, 2)), (0, None));
}
