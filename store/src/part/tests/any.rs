//! Rows of every kind, drawn at random: all that is optional, odd values, empty texts, keys that come twice.

use crate::rows::{
    Attribute, ClockOffset, Dropped, Energy, Event, FiredTrigger, Joules, Link, ResourceId, Sampling, SliceRow,
    SpanRow, SpecVersion, TraceFacts, Value,
};
use backsight_core::ids::{SpanId, TraceId};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::borrow::Cow;

/// Resources of a batch.
pub(crate) const N_RESOURCES: u32 = 3;

fn text() -> impl Strategy<Value = Cow<'static, str>> {
    let texts = prop_oneof![
        4 => "[a-d]{0,2}",
        1 => "\\PC{0,12}",
        1 => Just("x".repeat(70_000)),
        1 => Just("\0\u{202e}<b>\u{1b}[31m\u{10ffff}".to_owned()),
    ];
    texts.prop_map(Cow::Owned)
}

fn name() -> impl Strategy<Value = Cow<'static, str>> {
    prop_oneof![8 => "[a-c]", 1 => "\\PC{0,6}"].prop_map(Cow::Owned)
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), any::<u64>().prop_map(f64::from_bits), Just(-0.0), Just(0.1)]
}

fn value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        text().prop_map(Value::Str),
        any::<i64>().prop_map(Value::Int),
        double().prop_map(Value::Dbl),
        any::<bool>().prop_map(Value::Bool),
        vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Other(Cow::Owned(bytes))),
    ]
}

/// Attributes whose keys may come twice. Some keys have one type nearly always, so that they are promoted with exceptions.
pub(crate) fn attributes(n_max: usize) -> impl Strategy<Value = Vec<Attribute<'static>>> {
    let attribute = prop_oneof![
        (name(), value()),
        "[g-i]".prop_flat_map(|key| text().prop_map(move |text| (Cow::Owned(key.clone()), Value::Str(text)))),
        any::<i64>().prop_map(|value| (Cow::Borrowed("int"), Value::Int(value))),
        double().prop_map(|value| (Cow::Borrowed("dbl"), Value::Dbl(value))),
    ];
    vec(attribute.prop_map(|(key, value)| Attribute { key, value }), 0..n_max)
}

fn energy() -> impl Strategy<Value = Energy<'static>> {
    (any::<[[i64; 3]; 6]>(), any::<(i8, i32)>(), text(), 0..100_u8).prop_map(
        |(joules, (kind, model), hardware, share)| Energy {
            components: joules.map(|[nj, low, high]| Joules { nj, low, high }),
            kind,
            model,
            hardware,
            covered_share: f32::from(share) / 100.0,
        },
    )
}

/// Few traces, of which one is none.
pub(crate) fn trace() -> impl Strategy<Value = TraceId> {
    prop_oneof![
        (0..4_u64, 0..3_u64).prop_map(|(hi, lo)| TraceId::new(hi << 62, lo)),
        any::<(u64, u64)>().prop_map(|(hi, lo)| TraceId::new(hi, lo)),
    ]
}

fn span_id() -> impl Strategy<Value = SpanId> {
    prop_oneof![(0..4_u64).prop_map(SpanId), any::<u64>().prop_map(SpanId)]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..20_i64, 1 => any::<i64>(), 1 => Just(1_782_864_000_000_000_000)]
}

fn events() -> impl Strategy<Value = Vec<Event<'static>>> {
    let event =
        (any::<i64>(), text(), attributes(4), 0..5_i32).prop_map(|(time_offset_ns, name, attributes, dropped)| Event {
            time_offset_ns,
            name,
            attributes: attributes.into(),
            dropped,
        });
    prop_oneof![3 => Just(Vec::new()), 1 => vec(event, 0..4)]
}

fn links() -> impl Strategy<Value = Vec<Link<'static>>> {
    let link = (trace(), span_id(), option::of(text()), attributes(3), any::<i32>()).prop_map(
        |(trace, span, trace_state, attributes, flags)| Link {
            trace,
            span,
            trace_state,
            attributes: attributes.into(),
            dropped: 0,
            flags,
        },
    );
    prop_oneof![3 => Just(Vec::new()), 1 => vec(link, 0..3)]
}

pub(crate) fn span() -> impl Strategy<Value = SpanRow<'static>> {
    let ids = (trace(), span_id(), option::of(span_id()), time(), time());
    let names = (name(), name(), option::of(name()), name(), name(), option::of(name()));
    let numbers = (any::<(i8, i8, i32)>(), 0..3_i8, 0..N_RESOURCES, option::of(any::<i64>()), 0..1000_u32);
    let texts = (option::of(text()), option::of(text()), attributes(7));
    let dropped = prop_oneof![2 => Just([0; 3]), 1 => any::<[i32; 3]>()];
    let version = any::<(i32, i32)>().prop_map(|(point, version)| SpecVersion { point, version });
    let rare = (dropped, events(), links(), option::weighted(0.2, energy()), vec(version, 0..3));
    (ids, names, numbers, texts, rare).prop_map(|(ids, names, numbers, texts, rare)| SpanRow {
        trace: ids.0,
        id: ids.1,
        parent: ids.2,
        start_ns: ids.3,
        duration_ns: ids.4,
        service: names.0,
        operation: names.1,
        scope: names.2,
        host: names.3,
        process: names.4,
        thread: names.5,
        kind: numbers.0.0,
        source: numbers.0.1,
        flags: numbers.0.2,
        status: numbers.1,
        resource: ResourceId(numbers.2),
        self_cp_ns: numbers.3,
        sampling_weight: f64::from(numbers.4) / 8.0,
        status_message: texts.0,
        trace_state: texts.1,
        attributes: texts.2.into(),
        dropped: Dropped { attrs: rare.0[0], events: rare.0[1], links: rare.0[2] },
        events: rare.1.into(),
        links: rare.2.into(),
        energy: rare.3,
        spec_versions: rare.4.into(),
    })
}

pub(crate) fn facts() -> impl Strategy<Value = TraceFacts<'static>> {
    let trigger = (any::<i64>(), text(), time(), text()).prop_map(|(id, name, fired_at_ns, agent)| FiredTrigger {
        id,
        name,
        fired_at_ns,
        agent,
    });
    let clock = (text(), any::<[i64; 3]>(), any::<i32>())
        .prop_map(|(host, [offset_ns, low, high], pairs)| ClockOffset { host, offset_ns, low, high, pairs });
    let sampling =
        (text(), [0.0..1.0, 0.0..1.0, 0.0..9.0_f64], option::of(any::<i64>()), text(), text(), option::of(text()))
            .prop_map(|(head, [rho, p, weight], threshold, reason, policy, ot_th)| Sampling {
                head,
                rho,
                p,
                weight,
                threshold,
                reason,
                policy,
                model_epoch: 7,
                ot_th,
            });
    let lists = (vec(trigger, 0..3), vec(clock, 0..3), sampling);
    let rare = (option::of(text()), option::of(vec(any::<u8>(), 0..9)), option::of(energy()), option::of(any::<i64>()));
    let numbers = (any::<i8>(), 0..100_u8, any::<i64>(), time(), any::<i32>());
    (lists, rare, numbers).prop_map(|(lists, rare, numbers)| TraceFacts {
        triggers: lists.0,
        clock: lists.1,
        sampling: lists.2,
        entry: rare.0,
        certificate: rare.1.map(Cow::Owned),
        energy_no_span: rare.2,
        energy_nj: rare.3,
        completeness: numbers.0,
        rarity: f32::from(numbers.1) / 100.0,
        wal_seq: numbers.2,
        ingest_ns: numbers.3,
        flags: numbers.4,
    })
}

pub(crate) fn slice() -> impl Strategy<Value = SliceRow<'static>> {
    let names = (name(), name(), name(), option::of(text()), option::of(vec(any::<u8>(), 0..9)));
    let numbers = (any::<(i32, i16, i32)>(), any::<[i64; 4]>(), time(), time());
    (trace(), option::of(span_id()), names, numbers).prop_map(|(trace, span, names, numbers)| SliceRow {
        trace,
        span,
        host: names.0,
        process: names.1,
        thread: names.2,
        text: names.3,
        raw: names.4.map(Cow::Owned),
        cpu: numbers.0.0,
        kind: numbers.0.1,
        flags: numbers.0.2,
        numbers: numbers.1,
        start_ns: numbers.2,
        duration_ns: numbers.3,
    })
}
