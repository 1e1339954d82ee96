//! Random traces for the tests of what reads rows.

use super::{Columns, Labels, Row};
use crate::ids::SpanId;
use crate::record::SpanKind;
use proptest::prelude::{Just, Strategy, any, prop};

/// A row, before its names are numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) id: u64,
    pub(crate) parent: u64,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) label: u64,
    pub(crate) kind: SpanKind,
    pub(crate) host: u8,
}

impl Sample {
    /// Returns an internal span called by its id, on host 0.
    pub(crate) fn new(id: u64, parent: u64, start_ns: u64, end_ns: u64) -> Self {
        Self { id, parent, start_ns, end_ns, label: id, ..Self::default() }
    }

    pub(crate) fn of_kind(self, kind: SpanKind) -> Self {
        Self { kind, ..self }
    }

    pub(crate) fn on(self, host: u8) -> Self {
        Self { host, ..self }
    }

    pub(crate) fn labelled(self, label: u64) -> Self {
        Self { label, ..self }
    }
}

/// Returns the rows of samples.
pub(crate) fn columns(samples: &[Sample], labels: &mut Labels) -> Columns {
    let mut columns = Columns::default();
    for sample in samples {
        let row = Row {
            id: SpanId(sample.id),
            parent: SpanId(sample.parent),
            start_ns: sample.start_ns,
            end_ns: sample.end_ns,
            label: labels.intern("service", &format!("op {}", sample.label), sample.kind),
            host: columns.host(&format!("host {}", sample.host)),
            flags: 0,
        };
        columns.push(row);
    }
    columns
}

fn any_kind() -> impl Strategy<Value = SpanKind> {
    (0_u8..9).prop_map(SpanKind::from_code)
}

/// Any rows: ids that clash, parents that are not there or that are their own descendants, several roots, overlaps, ends before starts, children
/// outside their parents, at the end of time.
pub(crate) fn any_samples() -> impl Strategy<Value = Vec<Sample>> {
    let sample = (0_u64..16, 0_u64..18, 0_u64..60, 0_u64..70, 0_u64..4, any_kind(), 0_u8..3).prop_map(
        |(id, parent, start_ns, end_ns, label, kind, host)| Sample { id, parent, start_ns, end_ns, label, kind, host },
    );
    let base = prop::sample::select(vec![0, 1_000_000, u64::MAX - 70]);
    (prop::collection::vec(sample, 0..40), base).prop_map(|(mut samples, base)| {
        for sample in &mut samples {
            sample.start_ns += base;
            sample.end_ns += base;
        }
        samples
    })
}

/// A sound trace of up to `n_max` spans whose ids count from 1, the root's; parents stand before their children, no two starts are equal. Each span is
/// called after its id modulo `n_labels`.
pub(crate) fn tree_samples(n_max: usize, n_labels: u64) -> impl Strategy<Value = Vec<Sample>> {
    let span = (any::<prop::sample::Index>(), 0_u64..500, 1_u64..500);
    (prop::collection::vec(span, 0..n_max), Just(n_labels)).prop_map(|(spans, n_labels)| {
        let mut samples = vec![Sample::new(1, 0, 0, 10_000_000).labelled(1 % n_labels)];
        for (parent, offset, duration) in spans {
            let id = samples.len() as u64 + 1;
            let parent = samples[parent.index(samples.len())].clone();
            let start_ns = parent.start_ns + 1000 * offset + id;
            samples.push(Sample::new(id, parent.id, start_ns, start_ns + 1000 * duration).labelled(id % n_labels));
        }
        samples
    })
}
