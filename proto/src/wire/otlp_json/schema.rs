//! The messages of an OTLP trace request: what their fields are called in JSON, and how they stand in protobuf. Called by the transcription.

/// A message.
pub(super) struct Message {
    pub(super) fields: &'static [Field],
    /// Whether it is an `AnyValue`: of these, only so many may stand below each other.
    pub(super) is_value: bool,
}

/// A field of a message.
pub(super) struct Field {
    /// In lowerCamelCase.
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) form: Form,
}

/// What stands in a field.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Text,
    /// Hex in JSON, bytes in protobuf.
    Id,
    /// Base64 in JSON.
    Bytes,
    Bool,
    Double,
    Int64,
    Uint32,
    Fixed32,
    Fixed64,
    /// A number, or one of these names for 0, 1, ...
    Enumeration(&'static [&'static str]),
    One(&'static Message),
    Many(&'static Message),
}

impl Message {
    /// Returns the field called `name`, in lowerCamelCase or snake_case.
    pub(super) fn field(&self, name: &[u8]) -> Option<&'static Field> {
        self.fields.iter().find(|field| is_called(field.name.as_bytes(), name))
    }
}

/// Returns whether `name` is `camel`, or that in snake_case.
fn is_called(camel: &[u8], name: &[u8]) -> bool {
    if camel == name {
        return true;
    }
    let mut name = name.iter().copied();
    let is_written = |of: u8| match of.is_ascii_uppercase() {
        true => name.next() == Some(b'_') && name.next() == Some(of.to_ascii_lowercase()),
        false => name.next() == Some(of),
    };
    camel.iter().copied().all(is_written) && name.next().is_none()
}

const fn of(number: u32, name: &'static str, form: Form) -> Field {
    Field { name, number, form }
}

const fn message(fields: &'static [Field]) -> Message {
    Message { fields, is_value: false }
}

pub(super) static REQUEST: Message = message(&[of(1, "resourceSpans", Form::Many(&RESOURCE_SPANS))]);

static RESOURCE_SPANS: Message = message(&[
    of(1, "resource", Form::One(&RESOURCE)),
    of(2, "scopeSpans", Form::Many(&SCOPE_SPANS)),
    of(3, "schemaUrl", Form::Text),
]);

static RESOURCE: Message =
    message(&[of(1, "attributes", Form::Many(&KEY_VALUE)), of(2, "droppedAttributesCount", Form::Uint32)]);

static SCOPE_SPANS: Message =
    message(&[of(1, "scope", Form::One(&SCOPE)), of(2, "spans", Form::Many(&SPAN)), of(3, "schemaUrl", Form::Text)]);

static SCOPE: Message = message(&[
    of(1, "name", Form::Text),
    of(2, "version", Form::Text),
    of(3, "attributes", Form::Many(&KEY_VALUE)),
    of(4, "droppedAttributesCount", Form::Uint32),
]);

static SPAN: Message = message(&[
    of(1, "traceId", Form::Id),
    of(2, "spanId", Form::Id),
    of(3, "traceState", Form::Text),
    of(4, "parentSpanId", Form::Id),
    of(16, "flags", Form::Fixed32),
    of(5, "name", Form::Text),
    of(6, "kind", Form::Enumeration(KINDS)),
    of(7, "startTimeUnixNano", Form::Fixed64),
    of(8, "endTimeUnixNano", Form::Fixed64),
    of(9, "attributes", Form::Many(&KEY_VALUE)),
    of(10, "droppedAttributesCount", Form::Uint32),
    of(11, "events", Form::Many(&EVENT)),
    of(12, "droppedEventsCount", Form::Uint32),
    of(13, "links", Form::Many(&LINK)),
    of(14, "droppedLinksCount", Form::Uint32),
    of(15, "status", Form::One(&STATUS)),
]);

static KINDS: &[&str] = &[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

static EVENT: Message = message(&[
    of(1, "timeUnixNano", Form::Fixed64),
    of(2, "name", Form::Text),
    of(3, "attributes", Form::Many(&KEY_VALUE)),
    of(4, "droppedAttributesCount", Form::Uint32),
]);

static LINK: Message = message(&[
    of(1, "traceId", Form::Id),
    of(2, "spanId", Form::Id),
    of(3, "traceState", Form::Text),
    of(4, "attributes", Form::Many(&KEY_VALUE)),
    of(5, "droppedAttributesCount", Form::Uint32),
    of(6, "flags", Form::Fixed32),
]);

static STATUS: Message = message(&[
    of(2, "message", Form::Text),
    of(3, "code", Form::Enumeration(&["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"])),
]);

static KEY_VALUE: Message = message(&[of(1, "key", Form::Text), of(2, "value", Form::One(&ANY_VALUE))]);

static ANY_VALUE: Message = Message {
    fields: &[
        of(1, "stringValue", Form::Text),
        of(2, "boolValue", Form::Bool),
        of(3, "intValue", Form::Int64),
        of(4, "doubleValue", Form::Double),
        of(5, "arrayValue", Form::One(&LIST)),
        of(6, "kvlistValue", Form::One(&MAP)),
        of(7, "bytesValue", Form::Bytes),
    ],
    is_value: true,
};

static LIST: Message = message(&[of(1, "values", Form::Many(&ANY_VALUE))]);

static MAP: Message = message(&[of(1, "values", Form::Many(&KEY_VALUE))]);
