//! Backsight, the flight recorder for cloud systems: what applications name in `Cargo.toml`.
//!
//! Every request is recorded in full in shared memory on its host, at nanosecond cost; the ones that turn out bad are kept.
//!
//! ```
//! let context = backsight::Context::new_trace(); // or what the request brought along
//! {
//!     let _segment = backsight::begin(&context);
//!     let _span = backsight::span!("checkout");
//!     backsight::attr!("cart.items", 3);
//!     backsight::event!("card declined", "insufficient funds");
//!     backsight::trigger(backsight::TriggerId::MANUAL);
//! }
//! println!("{:?}", backsight::stats());
//! ```
//! # Detail
//! Events, attributes and payloads have a [`Level`]. Where a host cannot look back far enough, the recorder leaves out what is
//! [`Level::Verbose`], then [`Level::Debug`], then [`Level::Normal`], always of the same traces on every host, and says so in the trace.
//! Spans, errors and triggers stay, and so does what is said to be [`Level::Always`].
//! ```
//! use backsight::{Level, attr, event, payload};
//! event!(Level::Debug, "cache miss", "key 17");
//! attr!(Level::Always, "service.name", "checkout");
//! payload!(Level::Verbose, "request.body", b"{}");
//! ```
//! # Requests between hosts
//! A server reads what a request brings along, and its answer says where it was served. A client takes the context along and says when
//! it was answered; a call that never is stays *open*, and the trace is not taken for complete. One whose request never left, because the
//! connection was refused, says so by [`Call::unsent`].
//! ```
//! use backsight::{Connection, RESPONSE_HEADER, begin, extract_with, inject, response_crumb, span};
//! # use std::collections::HashMap;
//! # type Headers = HashMap<String, String>; // http::HeaderMap does the same
//!
//! static STOCK: Connection = Connection::new(); // one for each peer
//!
//! fn checkout(request: &Headers) -> Headers {
//!     let incoming = extract_with(|name| request.get(name).map(|value| value.as_bytes()));
//!     let _segment = begin(&incoming.context);
//!     {
//!         let _span = span!("reserve");
//!         let outgoing = inject(&incoming.context, incoming.others, &STOCK);
//!         let headers = outgoing.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
//!         if let Ok(response) = send_to_stock(headers) {
//!             outgoing.call.answered(response.get(RESPONSE_HEADER).map(|value| value.as_bytes()), &STOCK);
//!         } // else nobody answered: the call stays open
//!     }
//!     let mut response = Headers::new();
//!     if let Some(crumb) = response_crumb() {
//!         response.insert(RESPONSE_HEADER.to_owned(), crumb.as_str().to_owned());
//!     }
//!     response
//! }
//! # fn send_to_stock(headers: Headers) -> Result<Headers, std::io::Error> {
//! #     assert!(headers["traceparent"].starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
//! #     Ok(Headers::new())
//! # }
//! # let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned();
//! # checkout(&Headers::from([("traceparent".to_owned(), parent)]));
//! ```
//! # Symptoms that a program notices by itself
//! An [`autotrigger`] is told of every request, and fires for those that are unusual; what is usual it learns as it goes.
//! ```
//! use backsight::autotrigger::{Condition, Outcome, Percentile, Sample, Set};
//! use std::sync::LazyLock;
//!
//! /// One request in a thousand, the slowest of late.
//! static SLOW: LazyLock<Percentile> = LazyLock::new(|| Percentile::new("slow checkout", 0.999).expect("a fit name"));
//! /// Failures of APIs that are seldom called, with the ten requests that came before.
//! static ODD: LazyLock<Set> = LazyLock::new(|| {
//!     let odd = Condition::category(0.01).and_then(|rare| Condition::all_of([rare, Condition::bad()]));
//!     odd.and_then(|odd| Set::new("odd failure", odd, 10)).expect("a fit name")
//! });
//!
//! fn answered(api: &str, latency_us: u64, outcome: Outcome) {
//!     SLOW.sample(latency_us);
//!     ODD.sample(&Sample { label: api, outcome, ..Sample::default() });
//! }
//! # answered("/cart", 120, Outcome::Good);
//! ```
//! Without an agent on the host all of this does nothing, and [`stats`](fn@stats) says why.
#![forbid(unsafe_code)]

pub use backsight_client::autotrigger;
pub use backsight_client::last_words;
pub use backsight_client::{
    AgentId, Call, Carried, Connection, Context, InSegment, Incoming, KeptOthers, Level, Missing, Name, Others,
    Outgoing, RESPONSE_HEADER, ResponseText, Segment, SegmentExt, Settings, Span, SpanId, SpanKind, StaticName, Stats,
    StatusCode, TRACEPARENT, TRACESTATE, TraceId, TriggerId, Value, attach, begin, detach, exception, extract,
    extract_with, goodbye, init, inject, link, raw, raw_at, register_trigger, response_crumb, stats, status, trigger,
    trigger_for, trigger_with_laterals,
};

/// Starts a span whose name is interned once: `span!("checkout")`, or `span!("checkout", SpanKind::Server)`.
#[macro_export]
macro_rules! span {
    ($name:literal) => {
        $crate::span!($name, $crate::SpanKind::Internal)
    };
    ($name:literal, $kind:expr) => {{
        static NAME: $crate::StaticName = $crate::StaticName::new($name);
        $crate::Span::start(&NAME, $kind)
    }};
}

/// Records an event of the innermost open span: `event!("retry")`, or `event!("retry", message)`; with a [`Level`] in front where that is not
/// [`Level::Normal`]: `event!(Level::Debug, "retry", message)`.
#[macro_export]
macro_rules! event {
    ($name:literal) => {
        $crate::event!($crate::Level::Normal, $name, "")
    };
    ($name:literal, $message:expr) => {
        $crate::event!($crate::Level::Normal, $name, $message)
    };
    ($level:expr, $name:literal) => {
        $crate::event!($level, $name, "")
    };
    ($level:expr, $name:literal, $message:expr) => {{
        static NAME: $crate::StaticName = $crate::StaticName::new($name);
        $crate::macros::event_at($level, &NAME, $message)
    }};
}

/// Records an attribute of the innermost open span: `attr!("db.rows", 12)`, or `attr!(Level::Verbose, "db.plan", plan)`.
#[macro_export]
macro_rules! attr {
    ($key:literal, $value:expr) => {
        $crate::attr!($crate::Level::Normal, $key, $value)
    };
    ($level:expr, $key:literal, $value:expr) => {{
        static KEY: $crate::StaticName = $crate::StaticName::new($key);
        $crate::macros::attr_at($level, &KEY, $value)
    }};
}

/// Records bytes with a name: `payload!("request.body", &bytes)`, or `payload!(Level::Verbose, "request.body", &bytes)`.
#[macro_export]
macro_rules! payload {
    ($name:literal, $bytes:expr) => {
        $crate::payload!($crate::Level::Normal, $name, $bytes)
    };
    ($level:expr, $name:literal, $bytes:expr) => {{
        static NAME: $crate::StaticName = $crate::StaticName::new($name);
        $crate::macros::named_at($level, &NAME, $bytes)
    }};
}

/// What the macros call; the same functions with names made at run time.
pub mod macros {
    pub use backsight_client::{attr, attr_at, event, event_at, named, named_at, rename, span};
}
