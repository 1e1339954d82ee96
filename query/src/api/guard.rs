//! Who may not even ask: pages of strangers in somebody's browser, and requests that are too large. Pure.
//!
//! Called for every request, before anything else is read of it. A page that anybody wrote may have the browser of somebody who reads it ask
//! a server on that person's own host: under that server's address, which the browser says is another origin, or under a name that the page's
//! author has point to it (DNS rebinding), which stands in the header `host`.

use super::Options;
use crate::problem::{Code, Problem};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri, header};
use std::net::IpAddr;

/// The most bytes of a body: no endpoint reads one.
const BODY_MAX_BYTES: u64 = 64 << 10;

/// Why a request was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It names another host than this one.
    Host,
    /// It comes from a page that is not listed.
    Origin,
    /// It wants something changed, and nothing can be.
    Method,
    /// It is too large.
    TooLarge,
    /// Nobody says who asks.
    NoToken,
    /// The token is none that is known.
    BadToken,
    /// Whoever has the token may not read.
    Role,
    /// As many are being answered as may.
    TooMany,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Host,
        Self::Origin,
        Self::Method,
        Self::TooLarge,
        Self::NoToken,
        Self::BadToken,
        Self::Role,
        Self::TooMany,
    ];

    /// Returns the name under which it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Method => "method",
            Self::TooLarge => "too_large",
            Self::NoToken => "no_token",
            Self::BadToken => "bad_token",
            Self::Role => "role",
            Self::TooMany => "too_many",
        }
    }

    /// Returns what is answered.
    pub fn problem(self) -> Problem {
        let (code, detail) = match self {
            Self::Host => (Code::Forbidden, "the header `host` names another host: ask for localhost or 127.0.0.1"),
            Self::Origin => (Code::Forbidden, "pages of this origin may not ask: list it in query.cors"),
            Self::Method => (Code::BadMethod, "everything here is read with GET"),
            Self::TooLarge => (Code::TooLarge, "a request has at most 64 KiB of body: none of it is read"),
            Self::NoToken => (Code::Unauthorized, "expected a header `authorization: Bearer <token>`"),
            Self::BadToken => (Code::Unauthorized, "the token is not known"),
            Self::Role => (Code::Forbidden, "the token is not one of role read or admin"),
            Self::TooMany => (Code::TooManyRequests, "as many requests are being answered as may"),
        };
        let problem = Problem::new(code, detail);
        if self == Self::TooMany { problem.retry_after(1) } else { problem }
    }
}

/// What is known of a request before its endpoint is.
pub(super) struct Envelope<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
}

impl<'a> Envelope<'a> {
    /// Returns the one value of a header that is text.
    pub(super) fn header(&self, name: header::HeaderName) -> Option<&'a str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// Returns the host that it names; in HTTP/2 the address does.
    fn host(&self) -> Option<&'a str> {
        self.header(header::HOST).or_else(|| self.uri.authority().map(Authority::as_str))
    }

    /// Returns the token that it shows.
    pub(super) fn token(&self) -> Option<&'a str> {
        let (scheme, token) = self.header(header::AUTHORIZATION)?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// Returns the listed origin that it comes from, if any.
    ///
    /// # Errors
    /// It comes from elsewhere, is for elsewhere, is too large, or is no question.
    pub(super) fn check(&self, options: &'a Options) -> Result<Option<&'a str>, Refusal> {
        if options.is_loopback && !self.host().is_some_and(is_of_this_host) {
            return Err(Refusal::Host);
        }
        let origin = match self.headers.contains_key(header::ORIGIN) {
            true => self.origin(&options.origins)?,
            false => None,
        };
        let is_preflight = self.method == Method::OPTIONS && origin.is_some();
        if !is_preflight && self.method != Method::GET && self.method != Method::HEAD {
            return Err(Refusal::Method);
        }
        let length = self.header(header::CONTENT_LENGTH).map_or(Some(0), |length| length.parse::<u64>().ok());
        if length.is_none_or(|length| length > BODY_MAX_BYTES) {
            return Err(Refusal::TooLarge);
        }
        Ok(origin)
    }

    /// Returns the listed origin; `None` for this server's own pages.
    fn origin(&self, listed: &'a [String]) -> Result<Option<&'a str>, Refusal> {
        let origin = self.header(header::ORIGIN).ok_or(Refusal::Origin)?;
        if let Some(known) = listed.iter().find(|known| known.eq_ignore_ascii_case(origin)) {
            return Ok(Some(known));
        }
        let own = origin.split_once("://").map(|(_, host)| host);
        let is_own = own.zip(self.host()).is_some_and(|(own, host)| own.eq_ignore_ascii_case(host));
        if is_own { Ok(None) } else { Err(Refusal::Origin) }
    }
}

/// Returns whether a header `host` names this host, by whatever port.
fn is_of_this_host(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{Envelope, Options, Refusal, is_of_this_host};
    use crate::cursor::CursorKey;
    use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

    fn check(method: &Method, headers: &[(&'static str, &str)]) -> Result<Option<String>, Refusal> {
        let options = Options {
            base_path: String::new(),
            origins: vec!["https://grafana.example".to_owned()],
            is_loopback: true,
            results_max: 1,
            concurrent_max: 1,
            cursor_key: CursorKey::new(&[0; 32]),
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let uri = Uri::from_static("/api/services");
        let envelope = Envelope { method, uri: &uri, headers: &map };
        envelope.check(&options).map(|origin| origin.map(str::to_owned))
    }

    #[test]
    fn names_of_this_host_are_known_and_all_others_are_not() {
        for host in ["localhost", "LocalHost:16686", "127.0.0.1:1", "127.9.9.9", "[::1]:16686", "[::1]"] {
            assert!(is_of_this_host(host), "{host}");
        }
        let others =
            ["", "example.com", "localhost.example.com", "10.0.0.1", "[::2]", "x@localhost", "127.0.0.1.example"];
        for host in others {
            assert!(!is_of_this_host(host), "{host}");
        }
    }

    #[test]
    fn pages_of_strangers_are_refused_and_listed_ones_are_not() {
        let host = ("host", "localhost:16686");
        assert_eq!(check(&Method::GET, &[host]), Ok(None));
        assert_eq!(check(&Method::GET, &[("host", "evil.example")]), Err(Refusal::Host));
        assert_eq!(check(&Method::GET, &[]), Err(Refusal::Host));
        assert_eq!(check(&Method::GET, &[host, host]), Err(Refusal::Host), "which of them?");
        for origin in ["https://evil.example", "null", "http://localhost:1"] {
            assert_eq!(check(&Method::GET, &[host, ("origin", origin)]), Err(Refusal::Origin), "{origin}");
        }
        assert_eq!(check(&Method::GET, &[host, ("origin", "http://localhost:16686")]), Ok(None));
        let listed = ("origin", "https://grafana.example");
        assert_eq!(check(&Method::OPTIONS, &[host, listed]), Ok(Some("https://grafana.example".to_owned())));
        assert_eq!(check(&Method::OPTIONS, &[host]), Err(Refusal::Method));
        assert_eq!(check(&Method::POST, &[host, listed]), Err(Refusal::Method));
        assert_eq!(check(&Method::GET, &[host, ("content-length", "99999999")]), Err(Refusal::TooLarge));
    }
}
