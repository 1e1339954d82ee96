//! Prometheus' text format, version 0.0.4, in the making.
//!
//! Called by `http`. Label values are names of this crate and ids, none of which needs escaping.

use std::fmt::{Display, Write as _};

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many there were, and what they come to.
    Summary,
}

/// What metrics of the collector itself begin with, behind `backsight_`.
const COLLECTOR: &str = "collector";

/// See the module.
#[derive(Default)]
pub(super) struct Exposition {
    text: String,
}

impl Exposition {
    /// Adds a metric with one value.
    pub(super) fn one(&mut self, name: &str, kind: Kind, help: &str, value: u64) {
        self.head(COLLECTOR, name, kind, help);
        self.line(format_args!("backsight_{COLLECTOR}_{name} {value}"));
    }

    /// Adds a metric with one time, of so many nanoseconds.
    pub(super) fn seconds(&mut self, name: &str, kind: Kind, help: &str, ns: u64) {
        self.head(COLLECTOR, name, kind, help);
        self.line(format_args!("backsight_{COLLECTOR}_{name} {}", Seconds(ns)));
    }

    /// Adds a counter with one value for each value of a label.
    pub(super) fn labelled<L: Display>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (L, u64)>,
    ) {
        self.of(COLLECTOR, name, help, label, values);
    }

    /// Does what [`Exposition::labelled`] does for another part than the collector.
    pub(super) fn of<L: Display>(
        &mut self,
        part: &str,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (L, u64)>,
    ) {
        self.head(part, name, Kind::Counter, help);
        for (value, n) in values {
            self.line(format_args!("backsight_{part}_{name}{{{label}=\"{value}\"}} {n}"));
        }
    }

    /// Adds how many there were for each value of a label, and how many nanoseconds they took.
    pub(super) fn summary(
        &mut self,
        part: &str,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'static str, u64, u64)>,
    ) {
        self.head(part, name, Kind::Summary, help);
        for (value, n, ns) in values {
            self.line(format_args!("backsight_{part}_{name}_sum{{{label}=\"{value}\"}} {}", Seconds(ns)));
            self.line(format_args!("backsight_{part}_{name}_count{{{label}=\"{value}\"}} {n}"));
        }
    }

    /// Returns the text.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn head(&mut self, part: &str, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
        };
        self.line(format_args!("# HELP backsight_{part}_{name} {help}\n# TYPE backsight_{part}_{name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// Nanoseconds, as seconds.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}
