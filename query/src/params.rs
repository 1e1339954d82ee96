//! The parameters of a request: what stands behind `?` in its address.
//!
//! Called by every endpoint, before anything else is read of the request.

use std::borrow::Cow;

/// The longest text behind `?`.
pub const PARAMS_MAX_BYTES: usize = 64 << 10;
/// Parameters of one request.
pub const PARAMS_MAX: usize = 1024;

/// The parameters of a request in their order; a name may come more than once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Params(Vec<(String, String)>);

/// Text that is no list of parameters.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParamsError {
    /// There is too much of it.
    #[error("expected at most {max} {what}")]
    TooMuch {
        /// How much there may be.
        max: usize,
        /// Of what.
        what: &'static str,
    },
    /// A percent sign without two hex digits, or bytes that are no UTF-8.
    #[error("parameter {place}: expected UTF-8 with %XX for what may not stand in an address")]
    Encoding {
        /// Which parameter, counted from 1.
        place: usize,
    },
}

impl Params {
    /// Returns the parameters that `query` says, form-encoded: `+` is a blank.
    ///
    /// # Errors
    /// Text that is too long or badly encoded. A filter that nobody can read must not be left out silently, or the answer is to another
    /// question.
    pub fn parse(query: &str) -> Result<Self, ParamsError> {
        if query.len() > PARAMS_MAX_BYTES {
            return Err(ParamsError::TooMuch { max: PARAMS_MAX_BYTES, what: "bytes of parameters" });
        }
        let mut params = Vec::new();
        for (idx, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            if idx == PARAMS_MAX {
                return Err(ParamsError::TooMuch { max: PARAMS_MAX, what: "parameters" });
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decoded(name).zip(decoded(value));
            params.push(decoded.ok_or(ParamsError::Encoding { place: idx + 1 })?);
        }
        Ok(Self(params))
    }

    /// Returns the first value called `name`, or an empty text: nobody tells one from the other.
    pub fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// Returns all values called `name`.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Returns what `text` stands for, or `None` where it is badly encoded.
fn decoded(text: &str) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
                rest = &rest[2..];
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Returns `text` as it may stand as a name or a value among parameters.
pub fn encoded(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{PARAMS_MAX, PARAMS_MAX_BYTES, Params, ParamsError, encoded};
    use proptest::prelude::{prop_assert_eq, proptest};

    #[test]
    fn names_come_more_than_once_and_values_are_decoded() {
        let params = Params::parse("tag=a%3Ab&tag=c&q=x+y%20z&&empty=&flag").unwrap();
        assert_eq!(params.all("tag").collect::<Vec<_>>(), ["a:b", "c"]);
        assert_eq!(
            (params.get("q"), params.get("empty"), params.get("flag"), params.get("none")),
            ("x y z", "", "", "")
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for query in ["a=%", "a=%2", "a=%zz", "a=%ff", "%+=1"] {
            assert_eq!(Params::parse(query), Err(ParamsError::Encoding { place: 1 }), "{query}");
        }
        assert!(Params::parse(&"a".repeat(PARAMS_MAX_BYTES + 1)).is_err());
        assert!(Params::parse(&"a&".repeat(PARAMS_MAX + 1)).is_err());
    }

    proptest! {
        /// For every name and value: encoded and read they are the same; any text is parameters or an error.
        #[test]
        fn what_is_encoded_is_read_as_the_same(name in ".{1,8}", value: String, noise: String) {
            let params = Params::parse(&format!("{}={}", encoded(&name), encoded(&value))).unwrap();
            prop_assert_eq!(params.get(&name), value);
            let _ = Params::parse(&noise);
        }
    }
}
