//! The archive against brute force: rows pushed into parts and batches, some twice, some late; searched page by page.

use super::any::Drawn;
use super::{Endless, Item, World, any, ask, resource};
use crate::archive::{Archive, Ask};
use crate::cursor::Sort;
use crate::language::matches;
use crate::parts::{Means, facts};
use crate::rows::{TraceRows, Union};
use backsight_core::ids::TraceId;
use backsight_store::rows::SpanRow;
use proptest::collection::vec;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any as any_of, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A row, or which of the rows before it comes again, and as what.
type DrawnItem = Result<Item, (prop::sample::Index, Option<&'static str>)>;

/// Rows of one part or batch; some repeat earlier rows, or say something else of the same span.
fn any_pieces(of: Drawn, n_max: usize) -> impl Strategy<Value = Vec<Vec<Item>>> {
    let again = prop_oneof![Just(None), Just(Some("again"))];
    let item = prop_oneof![
        5 => any::item(of).prop_map(Ok),
        1 => (any_of::<prop::sample::Index>(), again).prop_map(Err),
    ];
    vec(vec(item, 0..14), 0..n_max).prop_map(|pieces| {
        let mut spans: Vec<SpanRow<'static>> = Vec::new();
        let mut resolved = |item: DrawnItem| match item {
            Ok(Item::Span(span)) => {
                spans.push(span);
                spans.last().cloned().map(Item::Span)
            }
            Ok(facts) => Some(facts),
            Err((idx, operation)) if !spans.is_empty() => {
                let mut span = spans[idx.index(spans.len())].clone();
                if let Some(operation) = operation {
                    span.operation = operation.into();
                }
                Some(Item::Span(span))
            }
            Err(_) => None,
        };
        pieces.into_iter().map(|piece| piece.into_iter().filter_map(&mut resolved).collect()).collect()
    })
}

/// What is stored, united by the rules alone: every row of every place, place after place.
fn united(parts: &[Vec<Item>], batches: &[Vec<Item>]) -> BTreeMap<TraceId, TraceRows> {
    let mut unions: BTreeMap<TraceId, Union> = BTreeMap::new();
    for (idx, items) in parts.iter().chain(batches).enumerate() {
        let mut facts = BTreeMap::new();
        let mut spans = Vec::new();
        for item in items {
            match item {
                Item::Span(span) => spans.push(span),
                Item::Facts(trace, of_trace) => {
                    facts.insert(*trace, of_trace);
                }
            }
        }
        if idx < parts.len() {
            spans.sort_by_key(|span| (span.start_ns, span.id)); // as in a part
        }
        let traces: Vec<_> = spans.iter().map(|span| span.trace).chain(facts.keys().copied()).collect();
        let mut begun = BTreeSet::new();
        for trace in traces {
            let union = unions.entry(trace).or_insert_with(|| Union::new(trace));
            if idx >= parts.len() {
                union.set_pending();
            }
            if begun.insert(trace) {
                union.begin();
            }
        }
        for span in spans {
            let once = once(span);
            unions.get_mut(&span.trace).unwrap().add_span(once, &resource(span.resource.0));
        }
        for (trace, facts) in facts {
            unions.get_mut(&trace).unwrap().add_facts(facts);
        }
    }
    let traces = unions.into_iter().filter_map(|(id, union)| Some((id, union.finish()?)));
    // A trace of which only its row is stored is known, too.
    traces.collect()
}

/// Returns a span as a batch takes it: each key once, with its last value at its first place.
fn once(span: &SpanRow<'static>) -> SpanRow<'static> {
    let list = |attributes: &[backsight_store::rows::Attribute<'static>]| {
        let mut kept: Vec<backsight_store::rows::Attribute<'static>> = Vec::new();
        for attribute in attributes {
            match kept.iter_mut().find(|kept| kept.key == attribute.key) {
                Some(kept) => kept.value = attribute.value.clone(),
                None => kept.push(attribute.clone()),
            }
        }
        kept
    };
    let mut once = span.clone();
    once.attributes = list(&span.attributes).into();
    once.dropped.attrs += (span.attributes.len() - once.attributes.len()) as i32;
    let mut events = span.events.to_vec();
    for event in &mut events {
        event.attributes = list(&event.attributes).into();
    }
    once.events = events.into();
    once
}

/// What a search finds, by the rules alone.
fn found(traces: &BTreeMap<TraceId, TraceRows>, ask: &Ask) -> Vec<TraceRows> {
    let is_during = |trace: &TraceRows| {
        trace
            .spans
            .iter()
            .any(|span| span.start_ns < ask.during.end && span.start_ns + span.duration_ns >= ask.during.start)
    };
    let mut found: Vec<_> =
        traces.values().filter(|trace| is_during(trace) && matches(&ask.query, *trace)).cloned().collect();
    found.sort_by_key(|trace| (Reverse(facts::key(trace, ask.sort)), trace.id));
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For all rows in parts and batches, and all searches: each trace is found by its id as it is united by the rules; and each search answers,
    /// page by page, exactly the traces that match, each as it is united, in the order that is asked for.
    #[test]
    fn what_is_found_is_what_matches(
        (parts, batches) in Drawn::any().prop_flat_map(|of| (any_pieces(of, 4), any_pieces(of, 3))),
        queries in vec(any::query(), 4),
        sort in prop::sample::select(Sort::ALL.to_vec()),
        limit in 1..4_usize,
        during in prop_oneof![2 => Just(0..u64::MAX), 1 => (0..30_u64, 0..20_u64).prop_map(|(start, len)| start..start + len)],
        demote in prop::sample::subsequence(vec!["x", "y", "z"], 0..3),
        cache_bytes in prop_oneof![Just(64 << 20), Just(1)],
    ) {
        let mut world = World { demote, ..World::default() };
        let parts: Vec<_> = parts.into_iter().filter(|items| !items.is_empty()).collect();
        parts.iter().for_each(|items| { world.cut(items); });
        batches.iter().for_each(|items| world.add_batch(items));
        let archive = world.archive_with(Means { cache_bytes, ..Means::default() });
        let traces = united(&parts, &batches);
        for id in (0..31).map(any::trace_id) {
            let trace = archive.trace(id).unwrap();
            prop_assert_eq!(trace.as_ref(), traces.get(&id));
        }
        for query in queries {
            let mut ask = Ask { sort, limit, during: during.clone(), ..ask(query) };
            let want = found(&traces, &ask);
            let mut got: Vec<TraceRows> = Vec::new();
            loop {
                let page = archive.search(&ask, &Endless).unwrap();
                prop_assert_eq!(&page.partial, &[]);
                prop_assert!(page.traces.len() <= limit && (page.next.is_none() || page.traces.len() == limit));
                got.extend(page.traces);
                ask.behind = page.next;
                if ask.behind.is_none() || got.len() > want.len() {
                    break;
                }
            }
            let ids = |rows: &[TraceRows]| rows.iter().map(|trace| trace.id).collect::<Vec<_>>();
            prop_assert_eq!(ids(&got), ids(&want), "{}", ask.query);
            prop_assert_eq!(got, want, "{}", ask.query);
        }
    }
}
