//! The walk over a request: resources, their scopes, their spans. Called by [`super::visit`].
//!
//! A message is looked at twice where what it says of its spans may stand behind them. What stands in pieces is put together only where it does.

use super::fields::{Fields, Raw, unlike_schema};
use super::list::{Lists, text_within};
use super::pieces::{self, Message};
use super::span::Room;
use super::{Decoded, Limits, OtlpError, OtlpSink, Reason, Repairs, ResourceView, ScopeView, Stop};
use std::borrow::Cow;

struct Walk<'w, S> {
    limits: &'w Limits,
    sink: &'w mut S,
    decoded: Decoded,
}

/// What a message says of all that stands in it: in `ResourceSpans` and `ScopeSpans` field 1, and the schema of that in field 3.
#[derive(Default)]
struct Head<'a> {
    message: Cow<'a, [u8]>,
    schema_url: &'a [u8],
}

pub(super) fn request(request: &[u8], limits: &Limits, sink: &mut impl OtlpSink) -> Result<Decoded, OtlpError> {
    let mut walk = Walk { limits, sink, decoded: Decoded::default() };
    let mut room = Room::default();
    let mut fields = Fields::of(request);
    while let Some((field, raw)) = fields.next()? {
        match (field, raw) {
            (1, Raw::Bytes(resource_spans)) => walk.resource_spans(resource_spans, &mut room)?,
            (1, _) => return Err(unlike_schema("ExportTraceServiceRequest", field)),
            _ => {}
        }
    }
    Ok(walk.decoded)
}

impl<S: OtlpSink> Walk<'_, S> {
    fn resource_spans<'a>(&mut self, message: &'a [u8], room: &mut Room<'a>) -> Result<(), OtlpError> {
        let head = Head::of(message, "ResourceSpans")?;
        let said = or_joined(Message::Resource, &head.message, self.limits, |resource| {
            self.resource(resource, head.schema_url)
        })?;
        let mut fields = Fields::of(message);
        while let Some((field, raw)) = fields.next()? {
            if let (2, Raw::Bytes(scope_spans)) = (field, raw) {
                match said {
                    Ok(()) => self.scope_spans(scope_spans, room)?,
                    Err(reason) => self.reject_all(scope_spans, reason)?,
                }
            }
        }
        Ok(())
    }

    fn scope_spans<'a>(&mut self, message: &'a [u8], room: &mut Room<'a>) -> Result<(), OtlpError> {
        let head = Head::of(message, "ScopeSpans")?;
        let said = or_joined(Message::Scope, &head.message, self.limits, |scope| self.scope(scope, head.schema_url))?;
        if let Err(reason) = said {
            return self.reject_all(message, reason);
        }
        let mut fields = Fields::of(message);
        while let Some((field, raw)) = fields.next()? {
            if let (2, Raw::Bytes(span)) = (field, raw) {
                self.spans(span, room)?;
            }
        }
        Ok(())
    }

    /// Counts the spans of a `ScopeSpans` as rejected.
    fn reject_all(&mut self, scope_spans: &[u8], reason: Reason) -> Result<(), OtlpError> {
        let mut fields = Fields::of(scope_spans);
        while let Some((field, _)) = fields.next()? {
            self.decoded.rejected.add(reason, u64::from(field == 2));
        }
        Ok(())
    }

    fn spans<'a>(&mut self, span: &'a [u8], room: &mut Room<'a>) -> Result<(), OtlpError> {
        let taken = match self.span(span, room) {
            Ok(()) => Ok(()),
            Err(Stop::InPieces) => {
                or_joined(Message::Span, span, self.limits, |span| self.span(span, &mut Room::default()))?
            }
            Err(stop) => stop.of_span()?,
        };
        match taken {
            Ok(()) => self.decoded.n_taken += 1,
            Err(reason) => self.decoded.rejected.add(reason, 1),
        }
        Ok(())
    }

    fn span<'a>(&mut self, span: &'a [u8], room: &mut Room<'a>) -> Result<(), Stop> {
        let view = room.read(span, self.limits)?;
        self.sink.span(&view).map_err(Stop::Span)?;
        self.decoded.repairs.add(&view.repairs);
        Ok(())
    }

    fn resource(&mut self, resource: &[u8], schema_url: &[u8]) -> Result<(), Stop> {
        let (mut lists, mut repairs) = (Lists::default(), Repairs::default());
        let schema_url = text_within(schema_url, self.limits, &mut repairs)?;
        let mut view = ResourceView { schema_url, ..ResourceView::default() };
        let mut fields = Fields::of(resource);
        while let Some((field, raw)) = fields.next()? {
            match (field, raw) {
                (1, Raw::Bytes(pair)) => lists.read(pair, self.limits, &mut repairs)?,
                (2, Raw::Varint(n)) => view.dropped_attributes = n as u32,
                (1 | 2, _) => return Err(unlike_schema("Resource", field).into()),
                _ => {}
            }
        }
        self.decoded.repairs.add(&repairs);
        self.sink.resource(&ResourceView { attributes: lists.all(), ..view });
        Ok(())
    }

    fn scope(&mut self, scope: &[u8], schema_url: &[u8]) -> Result<(), Stop> {
        let (mut lists, mut repairs) = (Lists::default(), Repairs::default());
        let schema_url = text_within(schema_url, self.limits, &mut repairs)?;
        let mut view = ScopeView { schema_url, ..ScopeView::default() };
        let mut fields = Fields::of(scope);
        while let Some((field, raw)) = fields.next()? {
            match (field, raw) {
                (1, Raw::Bytes(name)) => view.name = text_within(name, self.limits, &mut repairs)?,
                (2, Raw::Bytes(version)) => view.version = text_within(version, self.limits, &mut repairs)?,
                (3, Raw::Bytes(pair)) => lists.read(pair, self.limits, &mut repairs)?,
                (4, Raw::Varint(n)) => view.dropped_attributes = n as u32,
                (1..=4, _) => return Err(unlike_schema("InstrumentationScope", field).into()),
                _ => {}
            }
        }
        self.decoded.repairs.add(&repairs);
        self.sink.scope(&ScopeView { attributes: lists.all(), ..view });
        Ok(())
    }
}

impl<'a> Head<'a> {
    /// Reads the head of a message, wherever it stands in it; what comes in pieces is put together by writing one behind the other.
    fn of(message: &'a [u8], name: &'static str) -> Result<Self, OtlpError> {
        let mut head = Head::default();
        let mut fields = Fields::of(message);
        while let Some((field, raw)) = fields.next()? {
            match (field, raw) {
                (1, Raw::Bytes(piece)) if head.message.is_empty() => head.message = Cow::Borrowed(piece),
                (1, Raw::Bytes(piece)) => head.message.to_mut().extend_from_slice(piece),
                (2, Raw::Bytes(_)) => {}
                (3, Raw::Bytes(url)) => head.schema_url = url,
                (1..=3, _) => return Err(unlike_schema(name, field)),
                _ => {}
            }
        }
        Ok(head)
    }
}

/// Reads `bytes`, and where a value in it comes in pieces, reads it with these put together. What is no error of the request is a reason.
fn or_joined(
    message: Message,
    bytes: &[u8],
    limits: &Limits,
    mut read: impl FnMut(&[u8]) -> Result<(), Stop>,
) -> Result<Result<(), Reason>, OtlpError> {
    match read(bytes) {
        Err(Stop::InPieces) => {
            read(&pieces::joined(message, bytes, limits)?).map_or_else(Stop::of_span, |()| Ok(Ok(())))
        }
        read => read.map_or_else(Stop::of_span, |()| Ok(Ok(()))),
    }
}

impl Stop {
    /// Returns why a span is rejected, where the request goes on.
    fn of_span(self) -> Result<Result<(), Reason>, OtlpError> {
        match self {
            Self::Request(error) => Err(error),
            Self::Span(reason) => Ok(Err(reason)),
            Self::InPieces => {
                debug_assert!(false, "what was put together is in one piece");
                Ok(Err(Reason::NotTaken))
            }
        }
    }
}
