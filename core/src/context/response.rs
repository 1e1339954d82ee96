//! The header of a response that tells the caller where its request went: `backsight-crumb: <crumb>(.<crumb>)*[f]`.

use crate::ids::{AgentId, base32, parse_base32_digits};

/// The header's name.
pub const RESPONSE_HEADER: &str = "backsight-crumb";

/// Hosts behind the one that answered that a response names.
pub const BEYOND_MAX: usize = 2;

/// The longest value: three crumbs, the dots between them, and the letter.
pub const RESPONSE_BYTES_MAX: usize = 8 * (1 + BEYOND_MAX);

/// What the header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ResponseCrumb {
    /// The agent of the host that answered; [`AgentId::NONE`] for somebody without a recorder.
    pub agent: AgentId,
    /// The agents of hosts that the request went on to from there, 0 for none: the way past `agent`, should it be dead when somebody asks.
    pub beyond: [AgentId; BEYOND_MAX],
    /// Whether a trigger fired for the trace there.
    pub fired: bool,
}

impl ResponseCrumb {
    /// Reads the header's value; `None` where it is malformed.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let (crumbs, fired) =
            value.strip_suffix(b"f").filter(|rest| rest.len() % 8 == 7).map_or((value, false), |rest| (rest, true));
        let mut read = Self { agent: crumb(crumbs.get(..7)?)?, fired, ..Self::default() };
        let mut rest = &crumbs[7..];
        for place in &mut read.beyond {
            let Some((dotted, more)) = rest.split_at_checked(8) else { break };
            *place = crumb(dotted.strip_prefix(b".")?)?;
            rest = more;
        }
        rest.is_empty().then_some(read)
    }

    /// Returns what the caller's own answer names beyond itself, at most `room` agents: the one that has answered here, what it `known` before, and
    /// as far as there is room what is behind. `own` is the caller's agent, which goes without saying.
    ///
    /// The nearest come first: each is the way past the caller's agent, those behind it only the way past two.
    pub fn passed_on(&self, own: AgentId, known: [AgentId; BEYOND_MAX], room: usize) -> [AgentId; BEYOND_MAX] {
        let mut beyond = [AgentId::NONE; BEYOND_MAX];
        let mut places = beyond.iter_mut().take(room);
        let mut said = [own; 1 + BEYOND_MAX];
        let mut n_said = 0;
        for agent in [self.agent].into_iter().chain(known).chain(self.beyond) {
            if !agent.is_none()
                && !said.contains(&agent)
                && let Some(place) = places.next()
            {
                (*place, said[n_said]) = (agent, agent);
                n_said += 1;
            }
        }
        beyond
    }

    /// Returns the header's value.
    pub fn format(self) -> ResponseText {
        let mut text = [0; RESPONSE_BYTES_MAX];
        text[..7].copy_from_slice(&base32(self.agent.0));
        let mut len = 7;
        for agent in self.beyond.iter().take_while(|agent| !agent.is_none()) {
            text[len] = b'.';
            text[len + 1..len + 8].copy_from_slice(&base32(agent.0));
            len += 8;
        }
        if self.fired {
            text[len] = b'f';
            len += 1;
        }
        ResponseText { text, len: len as u8 }
    }
}

/// Reads the seven digits of one crumb; `None` for others, and for the id that names nobody.
fn crumb(digits: &[u8]) -> Option<AgentId> {
    let agent = AgentId(parse_base32_digits(digits.try_into().ok()?)?);
    (!agent.is_none()).then_some(agent)
}

/// The header's value as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseText {
    text: [u8; RESPONSE_BYTES_MAX],
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
