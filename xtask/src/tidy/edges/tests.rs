//! Tests of the table of rooms: each kind of forbidden edge is refused.

use super::{Edge, EdgeKind, May, PackageEdges, ROOMS, check};

fn problems(name: &str, to: &str, kind: EdgeKind) -> usize {
    check(&[PackageEdges { name: name.to_owned(), edges: vec![Edge { to: to.to_owned(), kind }] }]).len()
}

#[test]
fn edge_downwards_is_allowed() {
    assert_eq!(problems("backsight-agent", "backsight-ringbuf", EdgeKind::Always), 0);
    assert_eq!(problems("backsight-tests", "backsight-collector", EdgeKind::Always), 0);
}

#[test]
fn edge_upwards_or_sideways_is_refused() {
    assert_eq!(problems("backsight-core", "backsight-ringbuf", EdgeKind::Always), 1);
    assert_eq!(problems("backsight-agent", "backsight-collector", EdgeKind::Always), 1);
    assert_eq!(problems("backsight-client", "backsight-proto", EdgeKind::Sometimes), 1);
    assert_eq!(problems("xtask", "backsight-core", EdgeKind::Always), 1);
}

#[test]
fn edge_for_development_is_free_but_never_to_the_tests() {
    assert_eq!(problems("backsight-core", "backsight-ringbuf", EdgeKind::Dev), 0);
    assert_eq!(problems("backsight-core", "backsight-tests", EdgeKind::Dev), 1);
    assert_eq!(problems("backsight-tests", "backsight-tests", EdgeKind::Always), 1);
}

#[test]
fn guest_brings_no_foreign_code_but_behind_a_feature() {
    assert_eq!(problems("backsight-client", "rustix", EdgeKind::Always), 0);
    assert_eq!(problems("backsight-client", "tokio", EdgeKind::Always), 1);
    assert_eq!(problems("backsight-client", "tracing", EdgeKind::Sometimes), 0);
    assert_eq!(problems("backsight-agent", "tokio", EdgeKind::Always), 0);
}

#[test]
fn unknown_package_must_be_added_to_the_table() {
    let unknown = PackageEdges { name: "backsight-attic".to_owned(), edges: Vec::new() };
    assert!(check(&[unknown])[0].contains("add it to"));
}

/// For all rows: what they name stands above them, so the table has no cycle.
#[test]
fn rooms_name_only_rooms_above_them() {
    for (i, (name, may)) in ROOMS.iter().enumerate() {
        let May::Only(allowed) = may else { continue };
        for to in *allowed {
            assert!(ROOMS[..i].iter().any(|(room, _)| room == to), "{name} names {to}");
        }
    }
}
