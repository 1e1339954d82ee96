//! Parts whose bytes were changed: whatever they say, the others answer, and nothing panics.

use super::{Endless, Item, World, ids, search, span};
use crate::archive::Archive;
use backsight_core::ids::TraceId;
use backsight_store::rows::{Attribute, Event, FiredTrigger, ResourceId, TraceFacts, Value};
use backsight_store::schema::Table;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};

/// Returns two parts: one of several traces with something in most columns, and one of trace 100.
fn world() -> World {
    let item = |n: u64| {
        let mut span = span(n / 3, n % 3 + 1, 1000 + n as i64);
        span.attributes = vec![
            Attribute::new("common", Value::Str(format!("v{n}").into())),
            Attribute::new("n", Value::Int(n as i64)),
            Attribute::new("rare", Value::Other(vec![0x18, 5].into())),
        ]
        .into();
        span.events = vec![Event { name: "e".into(), ..Event::default() }].into();
        span.resource = ResourceId(n as u32 % 3);
        Item::Span(span)
    };
    let facts = TraceFacts {
        triggers: vec![FiredTrigger { name: "tail".into(), ..FiredTrigger::default() }],
        energy_nj: Some(5),
        ..TraceFacts::default()
    };
    let mut items: Vec<_> = (0..60).map(item).collect();
    items.push(Item::Facts(TraceId::new(0, 1), facts));
    let mut world = World { demote: vec!["rare"], ..World::default() };
    world.cut(&items);
    world.cut(&[Item::Span(span(100, 1, 500))]);
    world
}

const SEARCHES: [&str; 9] = [
    "attr.common = v7 attr.n = 7",
    "attr.rare = 5 attr.common ~ v",
    "event = e operation = GET resource.x exists",
    "tag.x exists status = unset kind = unspecified",
    "duration = 10ns service in(shop, web) link exists",
    "trace.trigger = tail trace.energy > 1nJ trace.spans = 3",
    "trace.root = GET trace.services = 1 trace.errors = 0",
    "version exists energy exists source = otlp",
    "\"GE\" host != a",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For all places and values: a part with changed bytes answers something or is named, and the other part answers. Half of the changes hit the
    /// metadata.
    #[test]
    fn changed_parts_harm_themselves_alone(
        table in 0..2_usize,
        changes in vec((any::<bool>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let world = world();
        let part = world.state.parts.values().next().unwrap();
        world.objects.change(&part.file([Table::Spans, Table::Traces][table]).unwrap().path, |bytes| {
            let len = bytes.len();
            let footer_len = 8 + u32::from_le_bytes(bytes[len - 8..len - 4].try_into().unwrap()) as usize;
            for (in_footer, place, byte) in changes {
                let at = if in_footer { len - footer_len + place.index(footer_len) } else { place.index(len) };
                bytes[at] = byte;
            }
        });
        let archive = world.archive();
        for text in SEARCHES {
            search(&archive, text);
        }
        let found = search(&archive, "service = shop trace.start = 500");
        prop_assert_eq!(ids(&found), [100]);
        let _ = archive.services(0..u64::MAX, &Endless);
        let _ = archive.operations("shop", 0..u64::MAX, &Endless);
        let _ = archive.calls(0..u64::MAX, &Endless);
        prop_assert!(archive.trace(TraceId::new(0, 100)).unwrap().is_some());
    }
}
