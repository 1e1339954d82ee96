//! What goes wrong in our own API, as its answers say it: `application/problem+json`.
//!
//! Made by every endpoint under `/api/v1`. Jaeger's endpoints have their own forms, in [`crate::jaeger`].
//!
//! # Source
//! RFC 9457.

use crate::archive::Unanswered;
use crate::cursor::CursorError;
use crate::jaeger::BadRequest;
use crate::language::ParseError;
use crate::params::ParamsError;
use crate::time::TimeError;
use serde::{Serialize, Serializer};

/// What the header `content-type` says.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Of what kind a problem is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// `q` is no search.
    BadQuery,
    /// Another parameter is not what it should be.
    BadParameter,
    /// Nobody said who asks.
    Unauthorized,
    /// Whoever asks may not.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// It is there, and not for this method.
    BadMethod,
    /// It took too long.
    Timeout,
    /// The request is too large.
    TooLarge,
    /// It is well-formed, and cannot be done.
    Unprocessable,
    /// Too many ask.
    TooManyRequests,
    /// This server lacks a part.
    NotImplemented,
    /// It cannot answer now.
    Unavailable,
}

impl Code {
    /// Returns the status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadQuery | Self::BadParameter => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::BadMethod => 405,
            Self::Timeout => 408,
            Self::TooLarge => 413,
            Self::Unprocessable => 422,
            Self::TooManyRequests => 429,
            Self::NotImplemented => 501,
            Self::Unavailable => 503,
        }
    }

    /// Returns what programs know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadQuery => "bad_query",
            Self::BadParameter => "bad_parameter",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::BadMethod => "bad_method",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Unprocessable => "unprocessable",
            Self::TooManyRequests => "too_many_requests",
            Self::NotImplemented => "not_implemented",
            Self::Unavailable => "unavailable",
        }
    }

    /// Returns what people read first; the same for every problem of the kind.
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadQuery => "The search cannot be read",
            Self::BadParameter => "A parameter cannot be read",
            Self::Unauthorized => "Say who you are",
            Self::Forbidden => "You may not do this",
            Self::NotFound => "There is no such thing here",
            Self::BadMethod => "It is not for this method",
            Self::Timeout => "It took too long",
            Self::TooLarge => "The request is too large",
            Self::Unprocessable => "It cannot be done",
            Self::TooManyRequests => "Too many ask at once",
            Self::NotImplemented => "This part is not here",
            Self::Unavailable => "It cannot be answered now",
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A problem.
///
/// # Shape
/// `type`, `title`, `status`, `detail`, `code`; where they apply `at`, the column in `q` from 1, `looked`, where a trace was looked for, and
/// `evicted`, whether an agent said that it had it once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    uri: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    looked: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    evicted: bool,
    #[serde(skip)]
    retry_after_s: Option<u32>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Problem {
    /// Returns a problem of this kind, of which `detail` says what it is in this case.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            uri: format!("urn:backsight:problem:{}", code.name()),
            title: code.title(),
            status: code.status(),
            detail: detail.into(),
            code,
            at: None,
            looked: Vec::new(),
            evicted: false,
            retry_after_s: None,
        }
    }

    /// Returns the problem that the parameter `name` is not what it should be.
    pub fn of_parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Self::new(Code::BadParameter, format!("{name}: {why}"))
    }

    /// Returns the problem that a trace is in none of the places where it was looked for.
    pub fn no_trace(id: &str, looked: Vec<String>, state: TraceState) -> Self {
        let evicted = state == TraceState::Evicted;
        let detail = if evicted { "was recorded, but is overwritten" } else { "is not known" };
        Self { looked, evicted, ..Self::new(Code::NotFound, format!("trace {id} {detail}")) }
    }

    /// Returns it with the wish that nobody asks again before `seconds` have passed.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Returns the status of the answer.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Returns what it is in this case, for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns what the header `retry-after` says, in seconds.
    pub const fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }

    /// Returns it as JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // texts and numbers can always be written
    }
}

/// What is known of a trace that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TraceState {
    /// Nobody knows it.
    Unknown,
    /// An agent said that it had it once.
    Evicted,
}

impl From<ParseError> for Problem {
    fn from(error: ParseError) -> Self {
        Self { at: Some(error.column()), ..Self::new(Code::BadQuery, error.to_string()) }
    }
}

impl From<ParamsError> for Problem {
    fn from(error: ParamsError) -> Self {
        let code = if matches!(error, ParamsError::TooMuch { .. }) { Code::TooLarge } else { Code::BadParameter };
        Self::new(code, error.to_string())
    }
}

impl From<CursorError> for Problem {
    fn from(error: CursorError) -> Self {
        Self::of_parameter("cursor", error)
    }
}

impl From<(&str, TimeError)> for Problem {
    fn from((name, error): (&str, TimeError)) -> Self {
        Self::of_parameter(name, error)
    }
}

impl From<BadRequest> for Problem {
    fn from(error: BadRequest) -> Self {
        Self::new(Code::BadParameter, error.0)
    }
}

impl From<Unanswered> for Problem {
    fn from(error: Unanswered) -> Self {
        let code = match error {
            Unanswered::Stale { .. } => Code::Unprocessable,
            Unanswered::Unreadable(_) => Code::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Problem, TraceState};
    use crate::language;
    use serde_json::json;

    fn value(problem: &Problem) -> serde_json::Value {
        serde_json::from_str(&problem.json()).unwrap()
    }

    #[test]
    fn a_bad_search_says_where() {
        let problem = Problem::from(language::parse("duration > 5", 0).unwrap_err());
        let expected = json!({
            "type": "urn:backsight:problem:bad_query",
            "title": "The search cannot be read",
            "status": 400,
            "detail": "column 12: found `5`, expected a duration with a unit, as 200ms (units: ns, us, ms, s, m, h)",
            "code": "bad_query",
            "at": 12,
        });
        assert_eq!(value(&problem), expected);
    }

    #[test]
    fn a_missing_trace_says_where_it_was_looked_for() {
        let problem = Problem::no_trace("7", vec!["recent".to_owned(), "parts".to_owned()], TraceState::Evicted);
        let expected = json!({
            "type": "urn:backsight:problem:not_found",
            "title": "There is no such thing here",
            "status": 404,
            "detail": "trace 7 was recorded, but is overwritten",
            "code": "not_found",
            "looked": ["recent", "parts"],
            "evicted": true,
        });
        assert_eq!(value(&problem), expected);
    }

    #[test]
    fn when_to_come_again_stands_in_the_header_alone() {
        let problem = Problem::new(Code::TooManyRequests, "4 searches run already").retry_after(2);
        assert_eq!((problem.status(), problem.retry_after_s()), (429, Some(2)));
        assert!(!problem.json().contains("retry"));
    }
}
