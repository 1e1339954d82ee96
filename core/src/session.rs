//! The messages between a client and its agent over the producer socket: small, typed, extensible.
//!
//! One message per `SOCK_SEQPACKET` packet. Encoding and decoding allocate nothing, because a forked child opens its session inside its
//! first write. Unknown messages and fields are skipped, so that either side may be the newer one.
//!
//! # Shape
//! `magic u32 | kind u16 | 0 u16`, then fields `tag u16 | len u16 | len bytes`, little-endian, unpadded. At most [`MESSAGE_MAX_BYTES`].

use crate::ids::{AgentId, RegionId};

/// The largest message, as both sides' buffers have it.
pub const MESSAGE_MAX_BYTES: usize = 512;
/// The longest service name; longer ones are cut at a character boundary.
pub const SERVICE_MAX_BYTES: usize = 128;
/// The longest reason that a refusal carries.
pub const REASON_MAX_BYTES: usize = 256;

const MAGIC: u32 = u32::from_le_bytes(*b"bks1");
const HEADER_BYTES: usize = 8;

mod kind {
    pub(super) const HELLO: u16 = 1;
    pub(super) const WELCOME: u16 = 2;
    pub(super) const ATTACH: u16 = 3;
    pub(super) const REFUSED: u16 = 4;
    pub(super) const REQUEST: u16 = 5;
    pub(super) const GOODBYE: u16 = 6;
}

mod tag {
    pub(super) const ABI: u16 = 1;
    pub(super) const SERVICE: u16 = 2;
    pub(super) const FORK_OF: u16 = 3;
    pub(super) const RESUME: u16 = 4;
    pub(super) const AGENT: u16 = 5;
    pub(super) const REGION: u16 = 6;
    pub(super) const WHAT: u16 = 7;
    pub(super) const NUMBER: u16 = 8;
    pub(super) const REASON: u16 = 9;
}

/// What a descriptor passed with ATTACH is, or what a REQUEST asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attachment {
    /// The process's region.
    Region,
    /// The eventfd that wakes the agent.
    Doorbell,
    /// A page of thread slots shared with the kernel's probes, by number.
    SlotPage(u32),
}

impl Attachment {
    const fn code(self) -> (u32, u32) {
        match self {
            Self::Region => (1, 0),
            Self::Doorbell => (2, 0),
            Self::SlotPage(n) => (3, n),
        }
    }

    const fn from_code(what: u32, number: u32) -> Option<Self> {
        match what {
            1 => Some(Self::Region),
            2 => Some(Self::Doorbell),
            3 => Some(Self::SlotPage(number)),
            _ => None,
        }
    }
}

/// A message of the producer socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// Client to agent, first: who I am.
    Hello {
        /// The shared-memory ABI that the client was built with: `major << 16 | minor`.
        abi: u32,
        /// The name of the service; empty to let the agent take the executable's.
        service: &'a str,
        /// The region of the parent process, after a fork.
        fork_of: Option<RegionId>,
        /// The region that the client still holds, after its agent was replaced.
        resume: Option<RegionId>,
    },
    /// Agent to client: accepted; the attachments follow.
    Welcome {
        /// The agent.
        agent: AgentId,
        /// The client's region.
        region: RegionId,
        /// How many ATTACH messages follow at once.
        n_attachments: u32,
    },
    /// Agent to client, with one descriptor.
    Attach(Attachment),
    /// Agent to client, then the socket closes.
    Refused {
        /// Why, for people.
        reason: &'a str,
    },
    /// Client to agent: please attach.
    Request(Attachment),
    /// Client to agent: this process ends on purpose.
    Goodbye,
}

/// Bytes that are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Too short for a header, or not ours.
    #[error("{len} B without the message magic")]
    NotAMessage {
        /// Bytes received.
        len: usize,
    },
    /// A field that ends behind the message, or has another size than its tag demands.
    #[error("field {tag} of {len} B is malformed")]
    Field {
        /// The field's tag.
        tag: u16,
        /// Its stated length.
        len: usize,
    },
    /// A field that the message needs is absent.
    #[error("message {kind} lacks field {tag}")]
    Missing {
        /// The message's kind.
        kind: u16,
        /// The absent field.
        tag: u16,
    },
    /// A kind of a later version: to be skipped.
    #[error("message kind {kind} is unknown")]
    UnknownKind {
        /// The message's kind.
        kind: u16,
    },
}

impl<'a> Message<'a> {
    /// Writes the message to `buffer` and returns its bytes.
    pub fn encode<'b>(&self, buffer: &'b mut [u8; MESSAGE_MAX_BYTES]) -> &'b [u8] {
        let mut out = Encoder { buffer, len: HEADER_BYTES };
        let kind = match *self {
            Self::Hello { abi, service, fork_of, resume } => {
                out.u32(tag::ABI, abi);
                out.field(tag::SERVICE, cut(service, SERVICE_MAX_BYTES).as_bytes());
                fork_of.iter().for_each(|region| out.u64(tag::FORK_OF, region.0));
                resume.iter().for_each(|region| out.u64(tag::RESUME, region.0));
                kind::HELLO
            }
            Self::Welcome { agent, region, n_attachments } => {
                out.u32(tag::AGENT, agent.0);
                out.u64(tag::REGION, region.0);
                out.u32(tag::NUMBER, n_attachments);
                kind::WELCOME
            }
            Self::Attach(attachment) => {
                out.attachment(attachment);
                kind::ATTACH
            }
            Self::Request(attachment) => {
                out.attachment(attachment);
                kind::REQUEST
            }
            Self::Refused { reason } => {
                out.field(tag::REASON, cut(reason, REASON_MAX_BYTES).as_bytes());
                kind::REFUSED
            }
            Self::Goodbye => kind::GOODBYE,
        };
        out.finish(kind)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Bytes that no version writes, and kinds of later versions as [`MessageError::UnknownKind`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, MessageError> {
        let kind = match bytes {
            [a, b, c, d, low, high, _, _, ..] if u32::from_le_bytes([*a, *b, *c, *d]) == MAGIC => {
                u16::from_le_bytes([*low, *high])
            }
            _ => return Err(MessageError::NotAMessage { len: bytes.len() }),
        };
        let fields = Fields::decode(kind, bytes.get(HEADER_BYTES..).unwrap_or_default())?;
        match kind {
            kind::HELLO => Ok(Self::Hello {
                abi: fields.need(tag::ABI, fields.abi)?,
                service: fields.service.unwrap_or(""),
                fork_of: fields.fork_of.map(RegionId),
                resume: fields.resume.map(RegionId),
            }),
            kind::WELCOME => Ok(Self::Welcome {
                agent: AgentId(fields.need(tag::AGENT, fields.agent)?),
                region: RegionId(fields.need(tag::REGION, fields.region)?),
                n_attachments: fields.number.unwrap_or(0),
            }),
            kind::ATTACH => fields.attachment().map(Self::Attach),
            kind::REQUEST => fields.attachment().map(Self::Request),
            kind::REFUSED => Ok(Self::Refused { reason: fields.reason.unwrap_or("no reason given") }),
            kind::GOODBYE => Ok(Self::Goodbye),
            _ => Err(MessageError::UnknownKind { kind }),
        }
    }
}

/// Returns the longest prefix of `text` that has at most `max` bytes and ends at a character.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or("")
}

struct Encoder<'b> {
    buffer: &'b mut [u8; MESSAGE_MAX_BYTES],
    len: usize,
}

impl<'b> Encoder<'b> {
    /// Appends a field. The bounds of the strings make every message fit; one that does not is left out.
    fn field(&mut self, tag: u16, value: &[u8]) {
        let Some(room) = self.buffer.get_mut(self.len..self.len + 4 + value.len()) else {
            debug_assert!(false, "field {tag} of {} B does not fit", value.len());
            return;
        };
        room[..2].copy_from_slice(&tag.to_le_bytes());
        room[2..4].copy_from_slice(&(value.len() as u16).to_le_bytes());
        room[4..].copy_from_slice(value);
        self.len += 4 + value.len();
    }

    fn u32(&mut self, tag: u16, value: u32) {
        self.field(tag, &value.to_le_bytes());
    }

    fn u64(&mut self, tag: u16, value: u64) {
        self.field(tag, &value.to_le_bytes());
    }

    fn attachment(&mut self, attachment: Attachment) {
        let (what, number) = attachment.code();
        self.u32(tag::WHAT, what);
        self.u32(tag::NUMBER, number);
    }

    fn finish(self, kind: u16) -> &'b [u8] {
        self.buffer[..4].copy_from_slice(&MAGIC.to_le_bytes());
        self.buffer[4..6].copy_from_slice(&kind.to_le_bytes());
        self.buffer[6..8].copy_from_slice(&[0; 2]);
        &self.buffer[..self.len]
    }
}

/// The fields of one message, each at most once; of repeated ones the last counts.
#[derive(Default)]
struct Fields<'a> {
    kind: u16,
    abi: Option<u32>,
    service: Option<&'a str>,
    fork_of: Option<u64>,
    resume: Option<u64>,
    agent: Option<u32>,
    region: Option<u64>,
    what: Option<u32>,
    number: Option<u32>,
    reason: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn decode(kind: u16, mut rest: &'a [u8]) -> Result<Self, MessageError> {
        let mut fields = Self { kind, ..Self::default() };
        while !rest.is_empty() {
            let ([tag_low, tag_high, len_low, len_high], after) =
                rest.split_first_chunk().ok_or(MessageError::Field { tag: 0, len: rest.len() })?;
            let tag = u16::from_le_bytes([*tag_low, *tag_high]);
            let len = usize::from(u16::from_le_bytes([*len_low, *len_high]));
            let (value, after) = after.split_at_checked(len).ok_or(MessageError::Field { tag, len })?;
            fields.set(tag, value).ok_or(MessageError::Field { tag, len })?;
            rest = after;
        }
        Ok(fields)
    }

    /// Stores one field; `None` where its value is not of its tag's type.
    fn set(&mut self, tag: u16, value: &'a [u8]) -> Option<()> {
        let u32_of = || value.try_into().ok().map(u32::from_le_bytes);
        let u64_of = || value.try_into().ok().map(u64::from_le_bytes);
        let text_of = |max| std::str::from_utf8(value).ok().filter(|text| text.len() <= max);
        match tag {
            tag::ABI => self.abi = Some(u32_of()?),
            tag::SERVICE => self.service = Some(text_of(SERVICE_MAX_BYTES)?),
            tag::FORK_OF => self.fork_of = Some(u64_of()?),
            tag::RESUME => self.resume = Some(u64_of()?),
            tag::AGENT => self.agent = Some(u32_of()?),
            tag::REGION => self.region = Some(u64_of()?),
            tag::WHAT => self.what = Some(u32_of()?),
            tag::NUMBER => self.number = Some(u32_of()?),
            tag::REASON => self.reason = Some(text_of(REASON_MAX_BYTES)?),
            _ => {}
        }
        Some(())
    }

    fn need<T>(&self, tag: u16, value: Option<T>) -> Result<T, MessageError> {
        value.ok_or(MessageError::Missing { kind: self.kind, tag })
    }

    fn attachment(&self) -> Result<Attachment, MessageError> {
        let (what, number) = (self.need(tag::WHAT, self.what)?, self.need(tag::NUMBER, self.number)?);
        Attachment::from_code(what, number).ok_or(MessageError::Field { tag: tag::WHAT, len: 4 })
    }
}

#[cfg(test)]
mod tests;
