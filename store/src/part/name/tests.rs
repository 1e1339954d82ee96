//! Claims about names of parts: they sort by time, say where files are, and nothing else passes for one.

use super::{PartId, PartName, Shelf, date};
use crate::schema::Table;
use proptest::prelude::*;

#[test]
fn paths_name_the_hour_of_writing() {
    let id = PartId::new(1_782_864_000_000 + 5 * 3_600_000 + 17, 0);
    assert_eq!(id.path(Table::Traces), "data/dt=2026-07-01/hh=05/01KWE0RQ4H0000000000000000.traces.parquet");
    assert_eq!(date(0), (1970, 1, 1));
    assert_eq!(date(11_016), (2000, 2, 29));
    assert_eq!(date(2_932_896), (9999, 12, 31));
}

proptest! {
    /// For all times and random bits: the path names the part, and ids sort as their texts, and by time.
    #[test]
    fn paths_and_texts_name_parts(a in any::<(u64, u128)>(), b in any::<(u64, u128)>()) {
        let (a, b) = (PartId::new(a.0 % (1 << 48), a.1), PartId::new(b.0 % (1 << 48), b.1));
        prop_assert_eq!(a.to_string().parse(), Ok(a));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        for table in Table::ALL {
            for shelf in [Shelf::Hour, Shelf::Pinned] {
                prop_assert_eq!(PartName::of_path(&a.path_on(shelf, table)), Some(PartName { id: a, table }));
            }
        }
    }

    /// For all pairs of ids and random bits: an id between them is between them, and there is one wherever there is room at one time.
    #[test]
    fn what_takes_a_place_stands_in_it(time_ms in 0..3_u64, bits in any::<[u128; 3]>(), gap in 0..4_u64, near in any::<bool>()) {
        let id = PartId::new(time_ms, bits[0]);
        let next = if near { PartId(id.0 + 1 + u128::from(gap)) } else { PartId(id.0.max(bits[1] & (u128::MAX >> 3)) + 1) };
        for next in [Some(next), None] {
            match id.between(next, bits[2]) {
                Some(between) => {
                    prop_assert!(id < between && next.is_none_or(|next| between < next));
                    prop_assert_eq!(between.time_ms(), id.time_ms());
                }
                None => prop_assert!(next.is_some_and(|next| next.0 == id.0 + 1) || id.0 & super::RANDOM_MASK == super::RANDOM_MASK),
            }
        }
    }

    /// For all texts: reading one as a path never panics, and what passes is the path that it names.
    #[test]
    fn foreign_names_are_no_parts(text in "\\PC{0,80}") {
        if let Some(name) = PartName::of_path(&text) {
            prop_assert!(name.id.path(name.table) == text || name.id.path_on(Shelf::Pinned, name.table) == text);
        }
    }
}

#[test]
fn files_in_a_wrong_folder_are_no_parts() {
    let path = PartId::new(1_782_864_000_000, 9).path(Table::Spans);
    assert!(PartName::of_path(&path.replace("hh=00", "hh=01")).is_none());
    assert!(PartName::of_path(&path.replace("spans", "other")).is_none());
    assert!(PartName::of_path(&path.to_lowercase()).is_none());
}
