//! Identifiers of traces, spans, agents, triggers and strings, with their text forms.

use std::fmt;
use std::str::FromStr;

/// The 128-bit id of a trace. Zero means *no trace*.
///
/// # Source
/// W3C Trace Context level 2: 32 lowercase hex digits, of which the right-most 56 bits are random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(C)]
pub struct TraceId {
    /// The left half of the text form.
    pub hi: u64,
    /// The right half; priorities are hashes of it.
    pub lo: u64,
}

impl TraceId {
    /// No trace.
    pub const NONE: Self = Self { hi: 0, lo: 0 };

    /// Returns the id whose halves are `hi` and `lo`.
    pub const fn new(hi: u64, lo: u64) -> Self {
        Self { hi, lo }
    }

    /// Returns whether this id stands for *no trace*.
    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.hi | self.lo == 0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.hi, self.lo)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: expected {expected}")]
pub struct ParseIdError {
    text: String,
    what: &'static str,
    expected: &'static str,
}

impl ParseIdError {
    fn new(text: &str, what: &'static str, expected: &'static str) -> Self {
        let text = text.chars().take(64).collect();
        Self { text, what, expected }
    }
}

impl FromStr for TraceId {
    type Err = ParseIdError;

    /// Parses 1 to 32 hex digits; fewer than 32 are the right-most ones.
    ///
    /// # Errors
    /// Anything else, and the id zero, which stands for no trace.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError::new(text, "trace id", "1 to 32 hex digits, not all zero");
        if text.is_empty() || text.len() > 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(error());
        }
        let id = u128::from_str_radix(text, 16).map_err(|_| error())?;
        if id == 0 {
            return Err(error());
        }
        Ok(Self { hi: (id >> 64) as u64, lo: id as u64 })
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $repr:ty, $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub $repr);

        impl $name {
            /// The reserved value that names nothing.
            pub const NONE: Self = Self(0);

            /// Returns whether this is [`Self::NONE`].
            #[inline(always)]
            pub const fn is_none(self) -> bool {
                self.0 == 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

number_id!(
    /// The 64-bit id of a span within its trace.
    SpanId, u64, "{:016x}"
);
number_id!(
    /// The id of an interned string of one region; 0 is the empty string, or *given inline*.
    StringId, u32, "#{}"
);
number_id!(
    /// The id of a region: unique on its host while any data of it is retained.
    RegionId, u64, "{}"
);

impl SpanId {
    /// Returns an id for something that nobody gave one, from what names it: the same for the same text, never none.
    pub fn of_place(place: &str) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(place.as_bytes()).max(1))
    }
}

/// The id of an agent: what a breadcrumb holds. Zero means *unknown*.
///
/// # Shape
/// As text 7 lowercase Crockford base32 digits (35 bits, the top three zero), the form it has in `tracestate`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct AgentId(pub u32);

impl AgentId {
    /// An agent that is not known.
    pub const NONE: Self = Self(0);

    /// Returns whether the agent is unknown.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str_of(&base32(self.0)))
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for AgentId {
    type Err = ParseIdError;

    /// Parses 7 Crockford base32 digits, lowercase.
    ///
    /// # Errors
    /// Another length, another digit, or a value over 32 bits.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse_base32(text.as_bytes())
            .map(Self)
            .ok_or_else(|| ParseIdError::new(text, "agent id", "7 lowercase base32 digits"))
    }
}

/// The id of a trigger: the low 32 bits of the hash of its name, or one of the reserved numbers below 256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct TriggerId(pub u32);

impl TriggerId {
    /// Kept from its first hop on, by head sampling.
    pub const HEAD: Self = Self(1);
    /// A process ended without a goodbye, or crashed after it, while it served the request.
    pub const PROCESS_DEATH: Self = Self(2);
    /// Fired by the application without naming a trigger.
    pub const MANUAL: Self = Self(3);
    /// Fired by a person: `backsight trigger fire`.
    pub const CLI: Self = Self(4);
    /// Fired on another host, which did not say what.
    pub const ELSEWHERE: Self = Self(5);
    /// Fired by an expression of the agent that nobody named.
    pub const EXPRESSION: Self = Self(9);
    /// Those that have a number and a name of their own.
    pub const RESERVED: [Self; 6] =
        [Self::HEAD, Self::PROCESS_DEATH, Self::MANUAL, Self::CLI, Self::ELSEWHERE, Self::EXPRESSION];
    /// The ids below this one are reserved; no name may hash to them.
    pub const FIRST_NAMED: u32 = 256;

    /// Returns the id of the trigger called `name`, or `None` where the name hashes into the reserved range.
    ///
    /// The id alone tells nobody the name: applications register their triggers with the client, which leaves the name for the agent.
    pub fn from_name(name: &str) -> Option<Self> {
        let id = xxhash_rust::xxh3::xxh3_64(name.as_bytes()) as u32;
        (id >= Self::FIRST_NAMED).then_some(Self(id))
    }

    /// Returns the trigger that people call `text`: a reserved one by its name, one by its id as it prints (`0x…`), or one by its name.
    ///
    /// `None` where no trigger can be called so.
    pub fn from_text(text: &str) -> Option<Self> {
        if let Some(id) = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            return (id != 0).then_some(Self(id));
        }
        let named = Self::RESERVED.into_iter().find(|trigger| trigger.reserved_name() == Some(text));
        named.or_else(|| Self::from_name(text).filter(|_| !text.is_empty()))
    }

    /// Returns the name of a reserved trigger.
    pub const fn reserved_name(self) -> Option<&'static str> {
        match self.0 {
            1 => Some("head"),
            2 => Some("process_death"),
            3 => Some("manual"),
            4 => Some("cli"),
            5 => Some("elsewhere"),
            9 => Some("expression"),
            _ => None,
        }
    }
}

impl fmt::Display for TriggerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reserved_name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

impl fmt::Debug for TriggerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digits of Crockford's base32, lowercase: no `i`, `l`, `o`, `u`.
pub const BASE32_DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Returns `value` as 7 base32 digits, most significant first.
#[inline]
pub fn base32(value: u32) -> [u8; 7] {
    let pair = |shift: u32| BASE32_PAIRS[(value >> shift) as usize & 1023];
    let [[b, c], [d, e], [f, g]] = [pair(20), pair(10), pair(0)];
    [BASE32_DIGITS[(value >> 30) as usize], b, c, d, e, f, g]
}

/// The digits of each 10 bits.
static BASE32_PAIRS: [[u8; 2]; 1024] = {
    let mut pairs = [[0; 2]; 1024];
    let mut bits = 0;
    while bits < 1024 {
        pairs[bits] = [BASE32_DIGITS[bits >> 5], BASE32_DIGITS[bits & 31]];
        bits += 1;
    }
    pairs
};

/// Returns the value of 7 base32 digits, or `None` for anything else.
#[inline]
pub fn parse_base32(text: &[u8]) -> Option<u32> {
    parse_base32_digits(text.try_into().ok()?)
}

/// Returns the value of base32 digits, or `None` where one is none or the value has over 32 bits.
#[inline]
pub fn parse_base32_digits(digits: &[u8; 7]) -> Option<u32> {
    let value = digits.iter().fold(0, |value, digit| value << 5 | BASE32_VALUES[usize::from(*digit)]);
    u32::try_from(value).ok()
}

/// The value of each byte as a base32 digit; for those that are none a bit above all 32 that no six shifts push out.
static BASE32_VALUES: [u64; 256] = {
    let mut values = [1 << 32; 256];
    let mut value = 0;
    while value < 32 {
        values[BASE32_DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    values
};

fn str_of(ascii: &[u8; 7]) -> &str {
    std::str::from_utf8(ascii).unwrap_or("???????")
}

#[cfg(test)]
mod tests;
