//! `rec-rpc`: what recording costs a real RPC application, and how much of its edge cases it captures (hindsight spec, section 7).
//!
//! Called by the bench of that name. The application is `bricks`, a process per service; here are the hosts around it, the runs of it under
//! each tracer, and the rows that follow. Nothing here measures a service from inside: that is what `bricks` reports.

pub mod bricks;
pub mod bulk;
pub mod cases;
pub mod coherence;
pub mod cost;
pub mod hosts;
pub mod instructions;
pub mod rows;
pub mod sink;
pub mod spam;

use clap::ValueEnum;

/// Who records the requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Tracer {
    /// Nobody: what the others are measured against.
    None,
    /// Nobody, but a context travels with requests and answers: the floor of all that follow requests.
    Headers,
    /// OpenTelemetry's SDK; 1 % of the traces are recorded and sent.
    OtelHead,
    /// OpenTelemetry's SDK; all is sent, and a model of a tail sampler decides.
    OtelTailModel,
    /// Backsight; all is recorded, and what triggers name is fetched.
    Backsight,
}

impl Tracer {
    /// Every tracer.
    pub const ALL: [Self; 5] = [Self::None, Self::Headers, Self::OtelHead, Self::OtelTailModel, Self::Backsight];
    /// Those that a must compares.
    pub const ASKED: [Self; 2] = [Self::None, Self::Backsight];
    /// Those that capture something.
    pub const CAPTURING: [Self; 3] = [Self::OtelHead, Self::OtelTailModel, Self::Backsight];

    /// Returns its name, in `bricks` and in the rows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Headers => "headers",
            Self::OtelHead => "otel-head",
            Self::OtelTailModel => "otel-tail-model",
            Self::Backsight => "backsight",
        }
    }

    /// Returns whether it sends its spans to a sink.
    #[must_use]
    pub fn needs_sink(self) -> bool {
        matches!(self, Self::OtelHead | Self::OtelTailModel)
    }
}
