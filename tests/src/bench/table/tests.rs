//! Claims about the tables.

use super::{medians, number};
use crate::bench::runner::Series;

#[test]
fn columns_are_as_wide_as_their_widest_cell() {
    let floor = Series { name: "floor".into(), samples: vec![12.0, 13.0, 12.5], failure: None };
    let lttng = Series { name: "lttng".into(), samples: vec![], failure: Some("gone".into()) };
    let expected = "\
span_ns  median  min    max    unit
floor    12.50   12.00  13.00  ns
lttng    gave up: gone

";
    assert_eq!(medians("span_ns", "ns", &[floor, lttng]), expected);
}

#[test]
fn numbers_have_about_four_digits() {
    let printed = [0.0, 0.012_34, 3.456, 128.44, 12_345.6].map(number);
    assert_eq!(printed, ["0.00", "0.0123", "3.46", "128.4", "12346"]);
}
