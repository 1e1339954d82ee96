//! The read side: how traces are searched for, and the forms in which they are answered.
//!
//! [`archive`] is what is asked of whoever holds traces, [`parts`] answers it from what is stored, [`language`] is what people write to find
//! traces, [`rows`] is what is found, [`api`] are the endpoints, [`jaeger`] the requests and answers of Jaeger's API, [`export`] the forms in
//! which traces are taken elsewhere; [`cursor`], [`time`], [`params`] and [`problem`] are what all endpoints share. Nothing here listens, stores,
//! or reads a clock.
#![forbid(unsafe_code)]

pub mod api;
pub mod archive;
pub mod cursor;
pub mod export;
pub mod jaeger;
pub mod language;
pub mod params;
pub mod parts;
pub mod problem;
pub mod rows;
pub mod time;
