//! Parts of several row groups.

use super::{Endless, Item, World, ids, search, span};
use crate::archive::Archive;
use backsight_core::ids::TraceId;
use backsight_store::part::ROW_GROUP_ROWS;
use backsight_store::rows::{Attribute, Value};

#[test]
fn rows_of_every_row_group_are_found() {
    const OF_TRACE: u64 = 7;
    let n_spans = ROW_GROUP_ROWS as u64 + 5000;
    let item = |n: u64| {
        let mut span = span(n / OF_TRACE, n % OF_TRACE + 1, n as i64);
        let mut attributes = vec![Attribute::new("n", Value::Int(n as i64))];
        if n == n_spans - 100 {
            attributes.push(Attribute::new("rare", Value::Str("needle".into())));
        }
        span.attributes = attributes.into();
        Item::Span(span)
    };
    let mut world = World::default();
    world.cut(&(0..n_spans).map(item).collect::<Vec<_>>());
    let archive = world.archive();
    let edge = ROW_GROUP_ROWS as u64;
    let needles = [
        ("attr.rare = \"needle\"".to_owned(), n_spans - 100),
        ("attr.rare exists attr.n > 5".to_owned(), n_spans - 100),
        (format!("attr.n = {edge}"), edge),
        (format!("attr.n = {} service = shop", edge - 1), edge - 1),
        (format!("{{attr.n = {edge}}} && {{attr.n = {}}}", edge - 1), edge),
        (format!("attr.n in({}, 7) duration = 10ns trace.spans = 7 trace.start > 100", edge + 1), edge + 1),
    ];
    for (text, n) in needles {
        let found = search(&archive, &text);
        assert_eq!((ids(&found), found.partial), (vec![n / OF_TRACE], vec![]), "{text}");
        assert_eq!(found.traces[0].spans.len(), OF_TRACE as usize);
    }
    assert_eq!(search(&archive, &format!("{{attr.n = {edge}}} && {{attr.n = 3}}")).traces, []);
    assert_eq!(archive.trace(TraceId::new(0, edge / OF_TRACE)).unwrap().unwrap().spans.len(), OF_TRACE as usize);
    assert_eq!(archive.services(edge..edge + 1, &Endless).unwrap(), ["shop"]);
}
