//! The forms in which traces are taken elsewhere: to OpenTelemetry, ui.perfetto.dev, a browser's tracing page, a table, our own page.
//!
//! Called by the endpoints that answer traces; Jaeger's form is [`crate::jaeger::v1`]. Pure; names are those of the other side.

pub mod chrome;
pub mod columns;
pub mod csv;
pub mod otlp;
pub mod perfetto;

#[cfg(test)]
mod tests;
