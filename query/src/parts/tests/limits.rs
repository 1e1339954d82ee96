//! What footers and manifests say excludes nothing that is there, not even at its very limit.

use super::{Item, World, ids, search, span};
use backsight_store::rows::{Attribute, ResourceId, Value};

/// An array of `a` and 5, as OTLP has it.
const ARRAY: &[u8] = &[0x2a, 9, 0x0a, 3, 0x0a, 1, b'a', 0x0a, 2, 0x18, 5];

/// Returns a part of one trace, whose keys have columns or stand in maps.
fn world(demote: &[&'static str]) -> World {
    let mut span = span(1, 1, 100);
    span.attributes = vec![
        Attribute::new("array", Value::Other(ARRAY.into())),
        Attribute::new("int", Value::Int(5)),
        Attribute::new("dbl", Value::Dbl(2.5)),
        Attribute::new("flag", Value::Bool(true)),
        Attribute::new("str", Value::Str("v".into())),
        Attribute::new("number", Value::Str("5".into())),
    ]
    .into();
    span.resource = ResourceId(1);
    span.status = 2;
    span.kind = 3;
    let mut world = World { demote: demote.to_vec(), ..World::default() };
    world.cut(&[Item::Span(span)]);
    world
}

#[test]
fn what_is_there_is_found_at_its_limits_and_what_is_not_is_not() {
    let there = [
        "duration = 10ns duration >= 10ns duration <= 10ns duration in(1ns, 10ns) duration > 9ns",
        "service = shop service in(a, shop) operation = GET operation in(GET)",
        "error status = error kind = client source = otlp kind in(server, client)",
        "attr.array = \"a\" attr.array = 5 attr.array in(\"z\", \"a\") attr.array exists attr.array != 6",
        "attr.int = 5 attr.int = 5.0 attr.int >= 5 attr.int <= 5 attr.int in(4, 5) attr.int != \"5\" attr.int ~ 5",
        "attr.dbl = 2.5 attr.dbl > 2 attr.dbl < 3 attr.dbl in(2.5)",
        "attr.flag = true attr.flag != false attr.flag =~ tr",
        "attr.str = v attr.str = \"v\" attr.str in(\"a\", \"v\") attr.str != 5",
        "attr.number = 5 attr.number = \"5\" attr.number = 5.0 attr.number ~ 5",
        "tag.str = v tag.x = 5 resource.x = 5 resource.service.name = shop tag.service.name = shop",
        "trace.duration = 10ns trace.spans = 1 trace.services = 1 trace.errors = 1 trace.root = GET trace.start = 100",
        "trace.completeness = none trace.pending = false trace.root_service = shop",
    ];
    let not_there = [
        "duration > 10ns",
        "duration < 10ns",
        "service = shops",
        "kind = server",
        "attr.array = \"5\"",
        "attr.int = \"5\"",
        "attr.int > 5",
        "attr.str = 5",
        "attr.str exists attr.none exists",
        "attr.none != 5",
        "host exists",
        "energy exists",
        "tag.none != 1",
        "trace.pending",
        "trace.energy exists",
        "trace.rarity exists",
    ];
    for demote in [&[][..], &["int", "dbl", "flag", "str", "number"]] {
        let archive = world(demote).archive();
        for text in there {
            assert_eq!(ids(&search(&archive, text)), [1], "{text}");
        }
        for text in not_there {
            assert_eq!(search(&archive, text).traces, [], "{text}");
        }
    }
}
