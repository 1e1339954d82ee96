//! The fields of the search language: what they are called, of what type they are, and which operators fit.
//!
//! Read by the parser, the printer and completion; a field that is added to the table here is known to all of them.

use std::sync::Arc;

/// A field of spans.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SpanField {
    /// Its service.
    Service,
    /// Its name.
    Operation,
    /// `internal`, `server`, `client`, `producer`, `consumer`, or `unspecified`.
    Kind,
    /// `unset`, `ok` or `error`.
    Status,
    /// Whether its status is `error`.
    Error,
    /// How long it took, or has taken so far.
    Duration,
    /// The host on which it ran.
    Host,
    /// The process in which it ran: `service.instance.id`, else host and process id.
    Process,
    /// The texts of its events: their names, and their messages where they have any.
    Event,
    /// The traces that its links name.
    Link,
    /// What it used itself, without what it caused.
    Energy,
    /// Versions of specialised code that it ran.
    Version,
    /// Where it came from: `recorder`, `otlp`, `sim` or `import`.
    Source,
    /// An attribute.
    Attribute(Arc<str>),
    /// An attribute of its resource.
    Resource(Arc<str>),
    /// An attribute of it or of its resource: what Jaeger calls a tag, without saying whose.
    Tag(Arc<str>),
}

/// A field of traces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TraceField {
    /// From its first start to its last end.
    Duration,
    /// Its first start.
    Start,
    /// How many spans it has.
    Spans,
    /// How many services.
    Services,
    /// How many spans with status `error`.
    Errors,
    /// The operation of its root.
    Root,
    /// The service of its root.
    RootService,
    /// The names of the triggers that fired for it.
    Trigger,
    /// Why it was kept, as sampling says.
    Sampling,
    /// `complete`, `partial`, `unknown` or `none`, as its certificate says.
    Completeness,
    /// What it used.
    Energy,
    /// How rare it is: the higher, the rarer.
    Rarity,
    /// Whether parts of it may still come.
    Pending,
}

/// A field.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Field {
    /// Of spans.
    Span(SpanField),
    /// Of traces.
    Trace(TraceField),
}

/// Of what type the values of a field are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// Text.
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// True or false.
    Flag,
    /// Nanoseconds.
    Duration,
    /// Nanojoules.
    Energy,
    /// Nanoseconds since 1970.
    Instant,
    /// A whole number.
    Count,
    /// Any number.
    Real,
    /// The id of a trace.
    Trace,
    /// Whatever an attribute may be: text, a number, or a flag.
    Any,
}

/// An operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    /// `=`
    Is,
    /// `!=`
    IsNot,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `=~`: matches a regular expression, anywhere.
    Matches,
    /// `!~`: does not match it.
    MatchesNot,
    /// `~`: contains a text.
    Contains,
    /// `in(..)`: is one of several values.
    In,
    /// `exists`: has a value.
    Exists,
}

impl Operator {
    /// Every operator.
    pub const ALL: [Self; 11] = [
        Self::Is,
        Self::IsNot,
        Self::Below,
        Self::AtMost,
        Self::Above,
        Self::AtLeast,
        Self::Matches,
        Self::MatchesNot,
        Self::Contains,
        Self::In,
        Self::Exists,
    ];

    /// Returns how it is written.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Is => "=",
            Self::IsNot => "!=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Matches => "=~",
            Self::MatchesNot => "!~",
            Self::Contains => "~",
            Self::In => "in",
            Self::Exists => "exists",
        }
    }
}

/// What [`Type::operators`] answers for texts.
const OF_TEXT: &[Operator] = &[
    Operator::Is,
    Operator::IsNot,
    Operator::Contains,
    Operator::Matches,
    Operator::MatchesNot,
    Operator::In,
    Operator::Exists,
];
const OF_CHOICES: &[Operator] = &[Operator::Is, Operator::IsNot, Operator::In, Operator::Exists];
const OF_FLAGS: &[Operator] = &[Operator::Is, Operator::IsNot, Operator::Exists];
const OF_QUANTITIES: &[Operator] = &[
    Operator::Is,
    Operator::IsNot,
    Operator::Below,
    Operator::AtMost,
    Operator::Above,
    Operator::AtLeast,
    Operator::In,
    Operator::Exists,
];

impl Type {
    /// Returns the operators that fit.
    pub const fn operators(self) -> &'static [Operator] {
        match self {
            Self::Text => OF_TEXT,
            Self::Choice(_) | Self::Trace => OF_CHOICES,
            Self::Flag => OF_FLAGS,
            Self::Duration | Self::Energy | Self::Instant | Self::Count | Self::Real => OF_QUANTITIES,
            Self::Any => &Operator::ALL,
        }
    }
}

const KINDS: &[&str] = &["internal", "server", "client", "producer", "consumer", "unspecified"];
const STATES: &[&str] = &["unset", "ok", "error"];
const SOURCES: &[&str] = &["recorder", "otlp", "sim", "import"];
const VERDICTS: &[&str] = &["complete", "partial", "unknown", "none"];

/// What fields of attributes begin with.
pub(super) const ATTRIBUTE: &str = "attr.";
/// What fields of attributes of resources begin with.
pub(super) const RESOURCE: &str = "resource.";
/// What fields of attributes of either begin with.
pub(super) const TAG: &str = "tag.";
/// Makes the field of a key.
type OfKey = fn(Arc<str>) -> SpanField;
/// What each of them begins with, and what makes its fields.
pub(super) const KEYED: [(&str, OfKey); 3] =
    [(ATTRIBUTE, SpanField::Attribute), (RESOURCE, SpanField::Resource), (TAG, SpanField::Tag)];

impl Field {
    /// Every field that has a name of its own, in the order in which they are offered.
    pub const ALL: [(&'static str, Self, Type); 26] = [
        ("service", Self::Span(SpanField::Service), Type::Text),
        ("operation", Self::Span(SpanField::Operation), Type::Text),
        ("kind", Self::Span(SpanField::Kind), Type::Choice(KINDS)),
        ("status", Self::Span(SpanField::Status), Type::Choice(STATES)),
        ("error", Self::Span(SpanField::Error), Type::Flag),
        ("duration", Self::Span(SpanField::Duration), Type::Duration),
        ("host", Self::Span(SpanField::Host), Type::Text),
        ("process", Self::Span(SpanField::Process), Type::Text),
        ("event", Self::Span(SpanField::Event), Type::Text),
        ("link", Self::Span(SpanField::Link), Type::Trace),
        ("energy", Self::Span(SpanField::Energy), Type::Energy),
        ("version", Self::Span(SpanField::Version), Type::Count),
        ("source", Self::Span(SpanField::Source), Type::Choice(SOURCES)),
        ("trace.duration", Self::Trace(TraceField::Duration), Type::Duration),
        ("trace.start", Self::Trace(TraceField::Start), Type::Instant),
        ("trace.spans", Self::Trace(TraceField::Spans), Type::Count),
        ("trace.services", Self::Trace(TraceField::Services), Type::Count),
        ("trace.errors", Self::Trace(TraceField::Errors), Type::Count),
        ("trace.root", Self::Trace(TraceField::Root), Type::Text),
        ("trace.root_service", Self::Trace(TraceField::RootService), Type::Text),
        ("trace.trigger", Self::Trace(TraceField::Trigger), Type::Text),
        ("trace.sampling", Self::Trace(TraceField::Sampling), Type::Text),
        ("trace.completeness", Self::Trace(TraceField::Completeness), Type::Choice(VERDICTS)),
        ("trace.energy", Self::Trace(TraceField::Energy), Type::Energy),
        ("trace.rarity", Self::Trace(TraceField::Rarity), Type::Real),
        ("trace.pending", Self::Trace(TraceField::Pending), Type::Flag),
    ];

    /// A trigger is looked for so often that it needs no prefix; it is one of the trace all the same.
    const SHORT: (&'static str, Self) = ("trigger", Self::Trace(TraceField::Trigger));

    /// Returns the field called `name`. One of attributes needs a key.
    pub fn from_name(name: &str) -> Option<Self> {
        for (prefix, of_key) in KEYED {
            if let Some(key) = name.strip_prefix(prefix).filter(|key| !key.is_empty()) {
                return Some(Self::Span(of_key(key.into())));
            }
        }
        if name == Self::SHORT.0 {
            return Some(Self::SHORT.1);
        }
        Self::ALL.into_iter().find(|(known, ..)| *known == name).map(|(_, field, _)| field)
    }

    /// Returns its type.
    pub fn of_type(&self) -> Type {
        let row = Self::ALL.iter().find(|(_, field, _)| field == self);
        row.map_or(Type::Any, |(.., of_type)| *of_type) // those that are not in the table are attributes
    }

    /// Returns the key, of an attribute.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Span(SpanField::Attribute(key) | SpanField::Resource(key) | SpanField::Tag(key)) => Some(key),
            Self::Span(_) | Self::Trace(_) => None,
        }
    }

    /// Returns its name, without the key of an attribute.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Span(SpanField::Attribute(_)) => ATTRIBUTE,
            Self::Span(SpanField::Resource(_)) => RESOURCE,
            Self::Span(SpanField::Tag(_)) => TAG,
            _ => Self::ALL.iter().find(|(_, field, _)| field == self).map_or("", |(name, ..)| name),
        }
    }
}
