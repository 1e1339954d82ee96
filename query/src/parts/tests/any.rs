//! Rows and searches whose words come from the same few values, so that most searches find something.
//!
//! Called by the comparison with the model.

use super::{Item, N_RESOURCES};
use crate::language::{Field, Group, Operator, Pattern, Query, SpanField, SpanTerm, Term, Test, Type, Value};
use backsight_core::expr::{Equality, Order};
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::units::{NanoJoules, Nanos};
use backsight_store::rows::{
    Attribute, Dropped, Energy, Event, FiredTrigger, Joules, Link, ResourceId, Sampling, SpanRow, SpecVersion,
    TraceFacts, Value as Stored,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use std::borrow::Cow;

const TEXTS: [&str; 6] = ["a", "ab", "b", "5", "2.5", "true"];

fn text() -> impl Strategy<Value = Cow<'static, str>> {
    select(TEXTS.to_vec()).prop_map(Cow::Borrowed)
}

/// Texts of which one is empty.
fn name() -> impl Strategy<Value = Cow<'static, str>> {
    prop_oneof![4 => text(), 1 => Just(Cow::Borrowed(""))]
}

/// An array of `a` and 5, one byte, and nothing, as OTLP has them.
const OTHERS: [&[u8]; 4] =
    [&[0x2a, 9, 0x0a, 3, 0x0a, 1, b'a', 0x0a, 2, 0x18, 5], &[0x3a, 1, 7], &[], b"\xff no message"];

fn value() -> impl Strategy<Value = Stored<'static>> {
    prop_oneof![
        4 => text().prop_map(Stored::Str),
        2 => (-1..7_i64).prop_map(Stored::Int),
        1 => (-2..12_i64).prop_map(|halves| Stored::Dbl(halves as f64 / 2.0)),
        1 => any::<bool>().prop_map(Stored::Bool),
        1 => select(OTHERS.to_vec()).prop_map(|bytes| Stored::Other(Cow::Borrowed(bytes))),
    ]
}

fn attributes(keys: &'static [&'static str]) -> impl Strategy<Value = Vec<Attribute<'static>>> {
    vec((select(keys), value()).prop_map(|(key, value)| Attribute::new(key, value)), 0..3)
}

/// What rows are drawn from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    /// Traces: the more, the fewer stand in several parts.
    pub(super) n_traces: u64,
    /// The first start and the least duration: below zero are times that no clock has.
    pub(super) least_ns: i64,
}

impl Drawn {
    /// Few traces, odd times.
    pub(super) const ODD: Self = Self { n_traces: 9, least_ns: -2 };

    pub(super) fn any() -> impl Strategy<Value = Self> {
        (select(vec![5, 9, 30]), select(vec![0, 0, 0, -2])).prop_map(|(n_traces, least_ns)| Self { n_traces, least_ns })
    }
}

fn trace(of: Drawn) -> impl Strategy<Value = TraceId> {
    (0..of.n_traces).prop_map(trace_id)
}

/// Returns the id of the trace with number `n`.
pub(super) fn trace_id(n: u64) -> TraceId {
    TraceId::new(n % 2, n)
}

fn energy() -> impl Strategy<Value = Energy<'static>> {
    (0..4_i64).prop_map(|nj| {
        let mut energy = Energy::default();
        energy.components[0] = Joules { nj, low: nj, high: nj };
        energy
    })
}

fn event() -> impl Strategy<Value = Event<'static>> {
    (0..5_i64, text(), attributes(&["message", "x"])).prop_map(|(time_offset_ns, name, attributes)| Event {
        time_offset_ns,
        name,
        attributes: attributes.into(),
        dropped: 0,
    })
}

pub(super) fn span(of: Drawn) -> impl Strategy<Value = SpanRow<'static>> {
    let ids = (trace(of), 1..5_u64, option::of(1..5_u64), of.least_ns..30, of.least_ns..9);
    let names = (name(), text(), name(), name());
    let numbers = (0..7_i8, 0..4_i8, 0..6_i8, 0..N_RESOURCES, 0..256_i32);
    let link = trace(of).prop_map(|trace| Link { trace, span: SpanId(1), ..Link::default() });
    let version = (0..3_i32).prop_map(|version| SpecVersion { point: 1, version });
    let rare = (vec(event(), 0..3), vec(link, 0..2), option::weighted(0.3, energy()), vec(version, 0..2));
    let lists = (attributes(&["x", "y", "z"]), rare, 0..2_i32);
    (ids, names, numbers, lists).prop_map(|(ids, names, numbers, (attributes, rare, dropped))| SpanRow {
        trace: ids.0,
        id: SpanId(ids.1),
        parent: ids.2.map(SpanId),
        start_ns: ids.3,
        duration_ns: ids.4,
        service: names.0,
        operation: names.1,
        host: names.2,
        process: names.3,
        kind: numbers.0,
        status: numbers.1,
        source: numbers.2,
        resource: ResourceId(numbers.3),
        flags: numbers.4,
        attributes: attributes.into(),
        events: rare.0.into(),
        links: rare.1.into(),
        energy: rare.2,
        spec_versions: rare.3.into(),
        dropped: Dropped { attrs: dropped, ..Dropped::default() },
        sampling_weight: 1.0,
        ..SpanRow::default()
    })
}

fn facts() -> impl Strategy<Value = TraceFacts<'static>> {
    let trigger = (0..3_i64, text()).prop_map(|(id, name)| FiredTrigger { id, name, ..FiredTrigger::default() });
    (vec(trigger, 0..3), name(), 0..4_i8, option::of(-1..6_i64), 0..5_u8, 0..4_i64).prop_map(
        |(triggers, reason, completeness, energy_nj, rarity, wal_seq)| TraceFacts {
            triggers,
            sampling: Sampling { reason, ..Sampling::default() },
            completeness,
            energy_nj,
            rarity: f32::from(rarity) / 2.0,
            wal_seq,
            ..TraceFacts::default()
        },
    )
}

pub(super) fn item(of: Drawn) -> impl Strategy<Value = Item> {
    prop_oneof![
        5 => span(of).prop_map(Item::Span),
        1 => (trace(of), facts()).prop_map(|(trace, facts)| Item::Facts(trace, facts)),
    ]
}

fn any_value(of: Type) -> BoxedStrategy<Value> {
    let text = || select(TEXTS.to_vec()).prop_map(|text| Value::Text(text.into()));
    let real = || (-2..12_i64).prop_map(|halves| Value::Real(halves as f64 / 2.0));
    match of {
        Type::Text => text().boxed(),
        Type::Choice(choices) => select(choices).prop_map(|text| Value::Text(text.into())).boxed(),
        Type::Flag => any::<bool>().prop_map(Value::Flag).boxed(),
        Type::Duration => (0..14_u64).prop_map(|ns| Value::Duration(Nanos(ns))).boxed(),
        Type::Energy => (0..6_u64).prop_map(|nj| Value::Energy(NanoJoules(nj))).boxed(),
        Type::Instant => (0..30_u64).prop_map(Value::Instant).boxed(),
        Type::Count => (0..5_u64).prop_map(Value::Count).boxed(),
        Type::Real => real().boxed(),
        Type::Trace => trace(Drawn::ODD).prop_map(Value::Trace).boxed(),
        Type::Any => {
            prop_oneof![3 => text(), 1 => real(), 2 => (-1..7_i64).prop_map(Value::Integer), 1 => any::<bool>().prop_map(Value::Flag)]
                .boxed()
        }
    }
}

fn any_test(of: Type) -> BoxedStrategy<Test> {
    let of_operator = move |operator| {
        let value = any_value(of);
        let quantity = if of == Type::Any { any_value(Type::Real) } else { any_value(of) };
        let ordered = |order| quantity.prop_map(move |value| Test::Ordered(order, value)).boxed();
        let pattern = select(vec!["^a", "b$", "5", "t"]).prop_map(|text| Pattern::new(text).unwrap());
        match operator {
            Operator::Is => value.prop_map(|value| Test::Equal(Equality::Is, value)).boxed(),
            Operator::IsNot => value.prop_map(|value| Test::Equal(Equality::IsNot, value)).boxed(),
            Operator::Below => ordered(Order::Below),
            Operator::AtMost => ordered(Order::AtMost),
            Operator::Above => ordered(Order::Above),
            Operator::AtLeast => ordered(Order::AtLeast),
            Operator::Matches => pattern.prop_map(|pattern| Test::Matches(Equality::Is, pattern)).boxed(),
            Operator::MatchesNot => pattern.prop_map(|pattern| Test::Matches(Equality::IsNot, pattern)).boxed(),
            Operator::Contains => select(vec!["a", "b", "5"]).prop_map(|text| Test::Contains(text.into())).boxed(),
            Operator::In => vec(value, 1..3).prop_map(Test::In).boxed(),
            Operator::Exists => Just(Test::Exists).boxed(),
        }
    };
    select(of.operators()).prop_flat_map(of_operator).boxed()
}

fn any_field() -> impl Strategy<Value = Field> {
    let keyed = (0..3_usize, select(vec!["x", "y", "z", "service.name"])).prop_map(|(of, key)| {
        let of_key = [SpanField::Attribute, SpanField::Resource, SpanField::Tag][of];
        Field::Span(of_key(key.into()))
    });
    prop_oneof![2 => select(Field::ALL.to_vec()).prop_map(|(_, field, _)| field), 1 => keyed]
}

/// Terms as they come; those of the trace are put where they belong.
pub(super) fn query() -> impl Strategy<Value = Query> {
    let term =
        any_field().prop_flat_map(|field| any_test(field.of_type()).prop_map(move |test| Ok((field.clone(), test))));
    let word = select(vec!["a", "b", "5"]).prop_map(Err);
    let group = vec(prop_oneof![1 => word, 8 => term], 1..3);
    vec(group, 0..3).prop_map(|groups| {
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
