//! The header of a response that tells the caller where its callee ran: `backsight-crumb: <crumb>[f]`.

use crate::ids::{AgentId, base32, parse_base32_digits};

/// The header's name.
pub const RESPONSE_HEADER: &str = "backsight-crumb";

/// What the header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ResponseCrumb {
    /// The agent of the host that answered; [`AgentId::NONE`] for somebody without a recorder.
    pub agent: AgentId,
    /// Whether a trigger fired for the trace there.
    pub fired: bool,
}

impl ResponseCrumb {
    /// Reads the header's value; `None` where it is malformed.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (digits, rest) = value.trim_ascii().split_first_chunk::<7>()?;
        let fired = match rest {
            b"" => false,
            b"f" => true,
            _ => return None,
        };
        let agent = AgentId(parse_base32_digits(digits)?);
        (!agent.is_none()).then_some(Self { agent, fired })
    }

    /// Returns the header's value.
    pub fn format(self) -> ResponseText {
        let mut text = *b"0000000f";
        text[..7].copy_from_slice(&base32(self.agent.0));
        ResponseText { text, len: if self.fired { 8 } else { 7 } }
    }
}

/// The header's value as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseText {
    text: [u8; 8],
    len: u8,
}

impl ResponseText {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default() // ASCII by construction
    }

    /// Returns its bytes: what libraries of HTTP take without another look at whether they are text.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }
}
