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
//! Without an agent on the host all of this does nothing, and [`stats`](fn@stats) says why.
#![forbid(unsafe_code)]

pub use backsight_client::autotrigger;
pub use backsight_client::{
    AgentId, Context, InSegment, Missing, Name, Segment, SegmentExt, Settings, Span, SpanId, SpanKind, StaticName,
    Stats, StatusCode, TraceId, TriggerId, Value, attach, begin, detach, exception, init, link, raw, stats, status,
    trigger, trigger_for, trigger_with_laterals,
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

/// Records an event of the innermost open span: `event!("retry")`, or `event!("retry", message)`.
#[macro_export]
macro_rules! event {
    ($name:literal) => {
        $crate::event!($name, "")
    };
    ($name:literal, $message:expr) => {{
        static NAME: $crate::StaticName = $crate::StaticName::new($name);
        $crate::macros::event(&NAME, $message)
    }};
}

/// Records an attribute of the innermost open span: `attr!("db.rows", 12)`.
#[macro_export]
macro_rules! attr {
    ($key:literal, $value:expr) => {{
        static KEY: $crate::StaticName = $crate::StaticName::new($key);
        $crate::macros::attr(&KEY, $value)
    }};
}

/// Records bytes with a name: `payload!("request.body", &bytes)`.
#[macro_export]
macro_rules! payload {
    ($name:literal, $bytes:expr) => {{
        static NAME: $crate::StaticName = $crate::StaticName::new($name);
        $crate::macros::named(&NAME, $bytes)
    }};
}

/// What the macros call; the same functions with names made at run time.
pub mod macros {
    pub use backsight_client::{attr, event, named, rename, span};
}
