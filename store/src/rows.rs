//! Rows as producers fill them and as readers hand them back: spans, traces and slices, with attributes typed as OTLP has them.
//!
//! Called by whoever has spans to keep, by `batch`, which stores rows by column until a cut, and by `part`, which reads them back. Each type
//! owns or borrows its texts (`Cow`): a decoder lends them from its request, a reader returns `SpanRow<'static>`. Plain data, no rules; [`recorded`]
//! makes rows of what agents recorded, [`unite`] one trace of what several parts hold of it.

mod any_value;
mod owned;
pub mod recorded;
pub mod unite;

use backsight_core::ids::{SpanId, TraceId};
use std::borrow::Cow;
use std::ops::Deref;

/// What a span's `flags` may hold, or-ed.
pub mod flag {
    /// No end was seen.
    pub const OPEN: i32 = 1;
    /// Its time was repaired.
    pub const REPAIRED_TIME: i32 = 2;
    /// A value was truncated.
    pub const TRUNCATED: i32 = 4;
    /// It stands for a visit without a span.
    pub const VISIT: i32 = 8;
    /// It came after its trace was cut.
    pub const LATE: i32 = 16;
    /// Another span of its trace has its id.
    pub const ID_CLASH: i32 = 32;
    /// Its parent ran in another process.
    pub const REMOTE_PARENT: i32 = 64;
    /// The sampled bit of its context was set.
    pub const SAMPLED: i32 = 128;
}

/// Where a span came from: the column `source`.
pub mod source {
    /// The recorder.
    pub const RECORDER: i8 = 1;
    /// OTLP.
    pub const OTLP: i8 = 2;
    /// A simulator.
    pub const SIM: i8 = 3;
    /// An import of foreign files.
    pub const IMPORT: i8 = 4;
}

/// A list that is lent or owned. Unlike `Cow` it may be lent for less long than what it holds lives.
#[derive(Clone, Debug)]
pub enum List<'a, T> {
    /// Of somebody else.
    Lent(&'a [T]),
    /// Its own.
    Owned(Vec<T>),
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self::Lent(&[])
    }
}

impl<T> Deref for List<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Lent(list) => list,
            Self::Owned(list) => list,
        }
    }
}

impl<T: PartialEq> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T> From<Vec<T>> for List<'_, T> {
    fn from(list: Vec<T>) -> Self {
        Self::Owned(list)
    }
}

/// The value of an attribute. Doubles are equal if their bits are.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// A string.
    Str(Cow<'a, str>),
    /// A signed integer.
    Int(i64),
    /// A floating-point number, any bits.
    Dbl(f64),
    /// True or false.
    Bool(bool),
    /// All else: the bytes of an OTLP `AnyValue` message (array, list of keys and values, bytes, or none), as it came.
    Other(Cow<'a, [u8]>),
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Dbl(a), Self::Dbl(b)) => a.to_bits() == b.to_bits(),
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Other(a), Self::Other(b)) => a == b,
            _ => false,
        }
    }
}

/// A key and its value.
#[derive(Clone, PartialEq, Debug)]
pub struct Attribute<'a> {
    /// The key.
    pub key: Cow<'a, str>,
    /// The value.
    pub value: Value<'a>,
}

impl<'a> Attribute<'a> {
    /// Returns an attribute.
    pub fn new(key: impl Into<Cow<'a, str>>, value: Value<'a>) -> Self {
        Self { key: key.into(), value }
    }
}

/// How much was left out of a span: what OTLP says, and what we left out. All zero is stored as null.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dropped {
    /// Attributes; one that was set again counts.
    pub attrs: i32,
    /// Events.
    pub events: i32,
    /// Links.
    pub links: i32,
}

/// Something that happened at an instant of a span.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Event<'a> {
    /// When, from the span's start.
    pub time_offset_ns: i64,
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its attributes; of several with one key the last counts.
    pub attributes: List<'a, Attribute<'a>>,
    /// Attributes that were left out.
    pub dropped: i32,
}

/// Another span that a span names.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Link<'a> {
    /// Its trace.
    pub trace: TraceId,
    /// Its id.
    pub span: SpanId,
    /// Its trace state.
    pub trace_state: Option<Cow<'a, str>>,
    /// The link's attributes; of several with one key the last counts.
    pub attributes: List<'a, Attribute<'a>>,
    /// Attributes that were left out.
    pub dropped: i32,
    /// Flags, as OTLP has them.
    pub flags: i32,
}

/// An amount of energy with its bounds, in nanojoules.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Joules {
    /// The estimate.
    pub nj: i64,
    /// Not less than this.
    pub low: i64,
    /// Not more than this.
    pub high: i64,
}

/// The components that energy is split by, in the order of [`Energy::components`].
pub const ENERGY_COMPONENTS: [&str; 6] = ["cpu_core", "cpu_shared", "dram", "nic", "disk", "rest"];

/// The energy of a span without its children.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Energy<'a> {
    /// By component, in the order of [`ENERGY_COMPONENTS`].
    pub components: [Joules; 6],
    /// 1 measured, 2 modelled, 3 mixed.
    pub kind: i8,
    /// The version of the model.
    pub model: i32,
    /// The id of the hardware.
    pub hardware: Cow<'a, str>,
    /// How much of its time was covered, 0 to 1.
    pub covered_share: f32,
}

/// Which version of a specialised function ran in a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpecVersion {
    /// The point.
    pub point: i32,
    /// Its version.
    pub version: i32,
}

/// The resource of a span, by its position in the batch or part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ResourceId(pub u32);

/// A span.
///
/// # Shape
/// Times are nanoseconds since 1970, of any sign; the end is `start_ns + duration_ns`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SpanRow<'a> {
    /// Its trace.
    pub trace: TraceId,
    /// Its id.
    pub id: SpanId,
    /// The span that caused it.
    pub parent: Option<SpanId>,
    /// When it began.
    pub start_ns: i64,
    /// How long it took.
    pub duration_ns: i64,
    /// Its service.
    pub service: Cow<'a, str>,
    /// Its name.
    pub operation: Cow<'a, str>,
    /// The instrumentation scope.
    pub scope: Option<Cow<'a, str>>,
    /// Its host.
    pub host: Cow<'a, str>,
    /// Its process: `service.instance.id`, else host and pid.
    pub process: Cow<'a, str>,
    /// Its thread.
    pub thread: Option<Cow<'a, str>>,
    /// Its kind, OTLP's number.
    pub kind: i8,
    /// Its status, OTLP's number.
    pub status: i8,
    /// One of [`source`].
    pub source: i8,
    /// Why it has that status.
    pub status_message: Option<Cow<'a, str>>,
    /// Its trace state.
    pub trace_state: Option<Cow<'a, str>>,
    /// Of [`flag`].
    pub flags: i32,
    /// Its attributes; of several with one key the last counts.
    pub attributes: List<'a, Attribute<'a>>,
    /// What was left out.
    pub dropped: Dropped,
    /// Its resource.
    pub resource: ResourceId,
    /// Its events.
    pub events: List<'a, Event<'a>>,
    /// Its links.
    pub links: List<'a, Link<'a>>,
    /// Its energy.
    pub energy: Option<Energy<'a>>,
    /// Versions of specialised code that ran in it; an empty list is stored as null.
    pub spec_versions: List<'a, SpecVersion>,
    /// Its time on the critical path.
    pub self_cp_ns: Option<i64>,
    /// How many spans it stands for.
    pub sampling_weight: f64,
}

/// A trigger that fired for a trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FiredTrigger<'a> {
    /// The trigger.
    pub id: i64,
    /// Its name, or its id as text.
    pub name: Cow<'a, str>,
    /// When.
    pub fired_at_ns: i64,
    /// The agent that told of it.
    pub agent: Cow<'a, str>,
}

/// How a trace was chosen.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Sampling<'a> {
    /// The head that decided.
    pub head: Cow<'a, str>,
    /// The share that the head asked for.
    pub rho: f64,
    /// The probability with which it was kept.
    pub p: f64,
    /// How many traces it stands for.
    pub weight: f64,
    /// The threshold in 56 bits, where it is known.
    pub threshold: Option<i64>,
    /// Why.
    pub reason: Cow<'a, str>,
    /// The policy.
    pub policy: Cow<'a, str>,
    /// The model's epoch.
    pub model_epoch: i32,
    /// The threshold as `tracestate` has it.
    pub ot_th: Option<Cow<'a, str>>,
}

/// The clock of one host against the others of a trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClockOffset<'a> {
    /// The host.
    pub host: Cow<'a, str>,
    /// What to add to its times.
    pub offset_ns: i64,
    /// Not less than this.
    pub low: i64,
    /// Not more than this.
    pub high: i64,
    /// From how many pairs of spans.
    pub pairs: i32,
}

/// What is known of a trace beyond its spans.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TraceFacts<'a> {
    /// Where the request came in.
    pub entry: Option<Cow<'a, str>>,
    /// The triggers that fired for it.
    pub triggers: Vec<FiredTrigger<'a>>,
    /// How it was chosen.
    pub sampling: Sampling<'a>,
    /// 1 complete, 2 partial, 3 unknown, 0 none.
    pub completeness: i8,
    /// Its certificate, protobuf in zstd.
    pub certificate: Option<Cow<'a, [u8]>>,
    /// Energy that belongs to no span of it.
    pub energy_no_span: Option<Energy<'a>>,
    /// Clocks of its hosts.
    pub clock: Vec<ClockOffset<'a>>,
    /// Its energy, all components.
    pub energy_nj: Option<i64>,
    /// How rare it is, 0 to 1.
    pub rarity: f32,
    /// Its spans are included up to this record of the write-ahead log.
    pub wal_seq: i64,
    /// When it came.
    pub ingest_ns: i64,
    /// Flags of its own.
    pub flags: i32,
}

/// What a trace has of one service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServiceShare {
    /// The service.
    pub name: String,
    /// Its spans.
    pub spans: i32,
    /// Those of them with an error.
    pub errors: i32,
}

/// A trace as a part has it. All but `facts` is derived from its spans in the part.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TraceRow {
    /// Its id.
    pub trace: TraceId,
    /// Its first row in the spans of the part.
    pub first_row: u64,
    /// Its rows there.
    pub n_rows: u32,
    /// The start of its first span; when it came, where it has none.
    pub start_ns: i64,
    /// The end of its last span.
    pub end_ns: i64,
    /// The time between.
    pub duration_ns: i64,
    /// The service of its root: the first span without a parent.
    pub root_service: Option<String>,
    /// The root's operation.
    pub root_operation: Option<String>,
    /// The root's id.
    pub root_span: Option<SpanId>,
    /// Spans with an error.
    pub n_errors: i32,
    /// By service, in the order of their names.
    pub services: Vec<ServiceShare>,
    /// What else is known.
    pub facts: TraceFacts<'static>,
    /// The resources of its spans, in the order of their numbers, values as text.
    pub resources: Vec<Vec<(String, String)>>,
}

/// What a producer said of a trace, as it said it. Rows of the trace are made again from all its reports where more of them come.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReportRow<'a> {
    /// The trace.
    pub trace: TraceId,
    /// What the payload is; its reader's business.
    pub kind: i16,
    /// When it came.
    pub ingest_ns: i64,
    /// The bytes.
    pub payload: Cow<'a, [u8]>,
}

/// A visit or a kernel record.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SliceRow<'a> {
    /// Its trace.
    pub trace: TraceId,
    /// The innermost span that was open.
    pub span: Option<SpanId>,
    /// Its host.
    pub host: Cow<'a, str>,
    /// Its process.
    pub process: Cow<'a, str>,
    /// Its thread.
    pub thread: Cow<'a, str>,
    /// Its processor.
    pub cpu: i32,
    /// The type of its record.
    pub kind: i16,
    /// When it began.
    pub start_ns: i64,
    /// How long it took.
    pub duration_ns: i64,
    /// Flags by kind.
    pub flags: i32,
    /// `a` to `d`, numbers by kind.
    pub numbers: [i64; 4],
    /// Text by kind.
    pub text: Option<Cow<'a, str>>,
    /// Bytes by kind.
    pub raw: Option<Cow<'a, [u8]>>,
}
