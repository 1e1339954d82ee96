//! Claims about promotion: frequent keys get a column, and keep it until they are rare.

use super::{Forced, Kind, PROMOTED_MAX, Promoted, promote};
use crate::batch::Batch;
use crate::rows::{Attribute, SpanRow, Value};

/// Returns a batch of 1,000 spans in which each key has its value in so many of them.
fn batch(keys: &[(&str, usize, Value<'static>)]) -> Batch {
    let mut batch = Batch::new(1);
    batch.push_resource(&[]).unwrap();
    for n in 0..1000 {
        let of_row = keys.iter().filter(|(_, n_rows, _)| n < *n_rows);
        let attributes: Vec<_> = of_row.map(|(key, _, value)| Attribute::new(*key, value.clone())).collect();
        batch.push_span(&SpanRow { attributes: attributes.into(), ..SpanRow::default() }).unwrap();
    }
    batch
}

fn keys(promoted: &[Promoted]) -> Vec<&str> {
    promoted.iter().map(|promoted| promoted.key.as_str()).collect()
}

fn text() -> Value<'static> {
    Value::Str("v".into())
}

#[test]
fn a_key_comes_at_five_percent_and_goes_below_two() {
    let none = Forced::default();
    let with = |n_rows| batch(&[("k", n_rows, text())]);
    assert!(promote(&with(49), &[], &none).is_empty());
    let promoted = promote(&with(50), &[], &none);
    assert_eq!(keys(&promoted), ["k"]);
    assert_eq!(promote(&with(20), &promoted, &none), promoted);
    assert!(promote(&with(19), &promoted, &none).is_empty());
}

#[test]
fn the_most_frequent_keys_win_and_columns_stand_in_the_order_of_their_names() {
    let names: Vec<String> = (0..60).map(|n| format!("k{n:02}")).collect();
    let rows: Vec<_> = names.iter().enumerate().map(|(n, name)| (name.as_str(), 900 - n, text())).collect();
    let promoted = promote(&batch(&rows), &[], &Forced::default());
    assert_eq!(promoted.len(), PROMOTED_MAX);
    assert_eq!(keys(&promoted), names[..PROMOTED_MAX].iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn people_may_force_a_key_in_or_out() {
    let batch = batch(&[("common", 900, text()), ("rare", 1, Value::Int(1))]);
    let forced = Forced {
        promote: ["rare", "common", "missing"].map(str::to_owned).into(),
        demote: ["common".to_owned()].into(),
    };
    assert_eq!(promote(&batch, &[], &forced), [Promoted { key: "rare".to_owned(), kind: Kind::Int }]);
}

#[test]
fn a_column_has_the_type_of_most_rows() {
    let mut mixed = Batch::new(1);
    mixed.push_resource(&[]).unwrap();
    for n in 0..100 {
        let value = if n % 2 == 0 { Value::Int(n) } else { Value::Str("x".into()) };
        let attributes = vec![Attribute::new("k", value), Attribute::new("o", Value::Other(vec![1].into()))];
        mixed.push_span(&SpanRow { attributes: attributes.into(), ..SpanRow::default() }).unwrap();
    }
    let kind = |before: &[Promoted]| promote(&mixed, before, &Forced::default())[0].kind;
    assert_eq!(kind(&[]), Kind::Str);
    assert_eq!(kind(&[Promoted { key: "k".to_owned(), kind: Kind::Int }]), Kind::Int, "as many: as before");
    assert_eq!(kind(&[Promoted { key: "k".to_owned(), kind: Kind::Bool }]), Kind::Str);
    assert_eq!(keys(&promote(&mixed, &[], &Forced::default())), ["k"], "other values have no column");
}

#[test]
fn keys_that_engines_would_confuse_get_one_column() {
    let batch = batch(&[("User", 500, text()), ("user", 600, text()), ("", 900, text()), ("a\nb", 900, text())]);
    assert_eq!(keys(&promote(&batch, &[], &Forced::default())), ["user"]);
}

#[test]
fn a_key_that_comes_twice_in_a_row_counts_once() {
    let mut batch = Batch::new(1);
    batch.push_resource(&[]).unwrap();
    let attributes = vec![Attribute::new("k", text()), Attribute::new("k", Value::Int(1))];
    batch.push_span(&SpanRow { attributes: attributes.into(), ..SpanRow::default() }).unwrap();
    assert_eq!(batch.key_rows().collect::<Vec<_>>(), [("k", [0, 1, 0, 0])]);
}
