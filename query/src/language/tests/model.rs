//! Evaluation against a model that knows nothing of it: small traces, and searches whose words come from the same few values.

use crate::language::{
    Field, Group, Operand, Pattern, Query, SpanField, SpanTerm, SpanView, Term, Test, TraceField, TraceView, Value,
    matches, span_matches,
};
use backsight_core::expr::{Equality, Order};
use backsight_core::units::{NanoJoules, Nanos};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use std::collections::BTreeMap;

/// A value of a row.
#[derive(Clone, PartialEq, Debug)]
enum Owned {
    Text(&'static str),
    Integer(i64),
    Half(i64),
    Flag(bool),
    Opaque,
}

impl Owned {
    fn operand(&self) -> Operand<'_> {
        match self {
            Self::Text(text) => Operand::Text(text),
            Self::Integer(number) => Operand::Integer((*number).into()),
            Self::Half(halves) => Operand::Real(*halves as f64 / 2.0),
            Self::Flag(flag) => Operand::Flag(*flag),
            Self::Opaque => Operand::Opaque,
        }
    }

    /// Its number in halves, if it is one.
    fn halves(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(number * 2),
            Self::Half(halves) => Some(*halves),
            _ => None,
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some((*text).to_owned()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Half(halves) if halves % 2 == 0 => Some((halves / 2).to_string()),
            Self::Half(halves) => Some(format!("{}{}.5", if *halves < 0 { "-" } else { "" }, (halves / 2).abs())),
            Self::Flag(flag) => Some(flag.to_string()),
            Self::Opaque => None,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Row(BTreeMap<SpanField, Vec<Owned>>);

impl SpanView for Row {
    fn any(&self, field: &SpanField, is_it: &mut dyn FnMut(Operand<'_>) -> bool) -> bool {
        self.0.get(field).into_iter().flatten().any(|value| is_it(value.operand()))
    }
}

#[derive(Clone, Debug)]
struct Rows {
    spans: Vec<Row>,
    facts: BTreeMap<TraceField, Vec<Owned>>,
}

impl TraceView for Rows {
    fn any(&self, field: TraceField, is_it: &mut dyn FnMut(Operand<'_>) -> bool) -> bool {
        self.facts.get(&field).into_iter().flatten().any(|value| is_it(value.operand()))
    }

    fn any_span(&self, is_it: &mut dyn FnMut(&dyn SpanView) -> bool) -> bool {
        self.spans.iter().any(|span| is_it(span))
    }
}

const TEXTS: [&str; 6] = ["a", "ab", "b", "5", "2.5", "true"];

/// Whether a value is the one that was written.
fn model_is(value: &Value, of: &Owned) -> bool {
    let read = match of {
        Owned::Text("5") => Some(Owned::Integer(5)),
        Owned::Text("2.5") => Some(Owned::Half(5)),
        Owned::Text("true") => Some(Owned::Flag(true)),
        _ => None,
    };
    match value {
        Value::Text(text) => *of == Owned::Text(TEXTS.into_iter().find(|known| *known == &**text).unwrap_or("?")),
        Value::Flag(flag) => [Some(of), read.as_ref()].contains(&Some(&Owned::Flag(*flag))),
        Value::Integer(_) | Value::Real(_) => {
            [Some(of), read.as_ref()].into_iter().flatten().any(|of| of.halves() == model_halves(value))
        }
        _ => of.halves() == model_halves(value),
    }
}

fn model_halves(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(number * 2),
        Value::Real(number) => Some((number * 2.0) as i64),
        Value::Duration(Nanos(number)) | Value::Energy(NanoJoules(number)) => Some(*number as i64 * 2),
        Value::Count(number) | Value::Instant(number) => Some(*number as i64 * 2),
        Value::Text(_) | Value::Flag(_) | Value::Trace(_) => None,
    }
}

fn model_test(test: &Test, values: &[Owned]) -> bool {
    let is_in_order = |order: Order, of: &Owned, value: &Value| match (of.halves(), model_halves(value)) {
        (Some(of), Some(bound)) => match order {
            Order::Below => of < bound,
            Order::AtMost => of <= bound,
            Order::AtLeast => of >= bound,
            Order::Above => of > bound,
        },
        _ => false,
    };
    let n_that = |is_it: &dyn Fn(&Owned) -> bool| values.iter().filter(|value| is_it(value)).count();
    match test {
        Test::Exists => !values.is_empty(),
        Test::Equal(Equality::Is, value) => n_that(&|of| model_is(value, of)) > 0,
        Test::Equal(Equality::IsNot, value) => !values.is_empty() && n_that(&|of| model_is(value, of)) == 0,
        Test::Ordered(order, value) => n_that(&|of| is_in_order(*order, of, value)) > 0,
        Test::In(choices) => choices.iter().any(|value| n_that(&|of| model_is(value, of)) > 0),
        Test::Contains(text) => n_that(&|of| of.text().is_some_and(|of| of.contains(&**text))) > 0,
        // The only patterns of these searches are texts that are anchored at the start.
        Test::Matches(equality, pattern) => {
            let start = pattern.as_str().trim_start_matches('^');
            let n_matching = n_that(&|of| of.text().is_some_and(|of| of.starts_with(start)));
            if *equality == Equality::Is { n_matching > 0 } else { !values.is_empty() && n_matching == 0 }
        }
    }
}

fn model_span(group: &Group, span: &Row) -> bool {
    let values = |field: &SpanField| span.0.get(field).cloned().unwrap_or_default();
    group.terms.iter().all(|term| match term {
        SpanTerm::Field(Term { field: SpanField::Tag(key), test }) => {
            let both = [values(&SpanField::Attribute(key.clone())), values(&SpanField::Resource(key.clone()))].concat();
            model_test(test, &both)
        }
        SpanTerm::Field(term) => model_test(&term.test, &values(&term.field)),
        SpanTerm::Word(word) => {
            let texts = [SpanField::Service, SpanField::Operation, SpanField::Event].iter().flat_map(values);
            texts.filter_map(|value| value.text()).any(|text| text.contains(&**word))
        }
    })
}

fn any_owned() -> impl Strategy<Value = Owned> {
    prop_oneof![
        4 => prop::sample::select(TEXTS.to_vec()).prop_map(Owned::Text),
        2 => (-1_i64..7).prop_map(Owned::Integer),
        2 => (-2_i64..12).prop_map(Owned::Half),
        1 => any::<bool>().prop_map(Owned::Flag),
        1 => Just(Owned::Opaque),
    ]
}

/// Attributes may be anything; of the fields with a type, one of texts and one of numbers.
fn any_row() -> impl Strategy<Value = Row> {
    let texts = || prop::collection::vec(prop::sample::select(TEXTS.to_vec()).prop_map(Owned::Text), 0..3);
    let anything = || prop::collection::vec(any_owned(), 0..3);
    (texts(), texts(), (0_i64..7), anything(), anything()).prop_map(|(service, event, duration, x, resource_x)| {
        Row(BTreeMap::from([
            (SpanField::Service, service),
            (SpanField::Event, event),
            (SpanField::Duration, vec![Owned::Integer(duration)]),
            (SpanField::Attribute("x".into()), x),
            (SpanField::Resource("x".into()), resource_x),
        ]))
    })
}

fn any_rows() -> impl Strategy<Value = Rows> {
    let triggers = prop::collection::vec(prop::sample::select(TEXTS.to_vec()).prop_map(Owned::Text), 0..3);
    let rarity = prop::collection::vec((0_i64..12).prop_map(Owned::Half), 0..2);
    (prop::collection::vec(any_row(), 0..4), triggers, rarity).prop_map(|(spans, triggers, rarity)| Rows {
        spans,
        facts: BTreeMap::from([(TraceField::Trigger, triggers), (TraceField::Rarity, rarity)]),
    })
}

fn any_value(field: &Field) -> impl Strategy<Value = Value> + use<> {
    let text = prop::sample::select(TEXTS.to_vec()).prop_map(|text| Value::Text(text.into()));
    let real = (-2_i64..12).prop_map(|halves| Value::Real(halves as f64 / 2.0));
    match field {
        Field::Span(SpanField::Service | SpanField::Event) | Field::Trace(TraceField::Trigger) => text.boxed(),
        Field::Span(SpanField::Duration) => (0_u64..7).prop_map(|ns| Value::Duration(Nanos(ns))).boxed(),
        Field::Trace(_) => real.boxed(),
        _ => prop_oneof![text, real, (-1_i64..7).prop_map(Value::Integer), any::<bool>().prop_map(Value::Flag)].boxed(),
    }
}

fn any_term() -> impl Strategy<Value = (Field, Test)> {
    let x: std::sync::Arc<str> = "x".into();
    let fields = vec![
        Field::Span(SpanField::Service),
        Field::Span(SpanField::Event),
        Field::Span(SpanField::Duration),
        Field::Span(SpanField::Attribute(x.clone())),
        Field::Span(SpanField::Resource(x.clone())),
        Field::Span(SpanField::Tag(x)),
        Field::Trace(TraceField::Trigger),
        Field::Trace(TraceField::Rarity),
    ];
    let orders = vec![Order::Below, Order::AtMost, Order::AtLeast, Order::Above];
    prop::sample::select(fields).prop_flat_map(move |field| {
        let value = || any_value(&field);
        let equality = || prop::sample::select(vec![Equality::Is, Equality::IsNot]);
        let text = || prop::sample::select(TEXTS.to_vec());
        let test = prop_oneof![
            Just(Test::Exists),
            (equality(), value()).prop_map(|(equality, value)| Test::Equal(equality, value)),
            (prop::sample::select(orders.clone()), value()).prop_map(|(order, value)| Test::Ordered(order, value)),
            prop::collection::vec(value(), 1..3).prop_map(Test::In),
            text().prop_map(|text| Test::Contains(text.into())),
            (equality(), prop::sample::select(vec!["a", "b", "5", "t"]))
                .prop_map(|(equality, start)| { Test::Matches(equality, Pattern::new(&format!("^{start}")).unwrap()) }),
        ];
        test.prop_map(move |test| (field.clone(), test))
    })
}

fn any_search() -> impl Strategy<Value = Query> {
    let word = prop::sample::select(vec!["a", "b", "5"]);
    let group = prop::collection::vec(prop_oneof![1 => word.prop_map(Err), 5 => any_term().prop_map(Ok)], 1..4);
    prop::collection::vec(group, 0..3).prop_map(|groups| {
        let mut query = Query::default();
        for terms in groups {
            let mut of_span = Vec::new();
            for term in terms {
                match term {
                    Err(word) => of_span.push(SpanTerm::Word(word.into())),
                    Ok((Field::Span(field), test)) => of_span.push(SpanTerm::Field(Term { field, test })),
                    Ok((Field::Trace(field), test)) => query.of_trace.push(Term { field, test }),
                }
            }
            query.groups.extend((!of_span.is_empty()).then_some(Group { terms: of_span }));
        }
        query
    })
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]

    /// For every search and trace: evaluation says what the model says, of the trace and of each span.
    #[test]
    fn evaluation_agrees_with_the_model(query in any_search(), rows in any_rows()) {
        let of_trace = |term: &Term<TraceField>| model_test(&term.test, rows.facts.get(&term.field).map_or(&[], Vec::as_slice));
        let expected = query.of_trace.iter().all(of_trace)
            && query.groups.iter().all(|group| rows.spans.iter().any(|span| model_span(group, span)));
        prop_assert_eq!(matches(&query, &rows), expected, "{}", query);
        for (group, span) in query.groups.iter().flat_map(|group| rows.spans.iter().map(move |span| (group, span))) {
            prop_assert_eq!(span_matches(group, span), model_span(group, span), "{}", group);
        }
    }
}
