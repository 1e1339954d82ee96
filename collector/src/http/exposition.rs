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
}

/// See the module.
#[derive(Default)]
pub(super) struct Exposition {
    text: String,
}

impl Exposition {
    /// Adds a metric with one value.
    pub(super) fn one(&mut self, name: &str, kind: Kind, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(format_args!("backsight_collector_{name} {value}"));
    }

    /// Adds a metric with one time, of so many nanoseconds.
    pub(super) fn seconds(&mut self, name: &str, kind: Kind, help: &str, ns: u64) {
        self.head(name, kind, help);
        self.line(format_args!("backsight_collector_{name} {}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000));
    }

    /// Adds a counter with one value for each value of a label.
    pub(super) fn labelled<L: Display>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (L, u64)>,
    ) {
        self.head(name, Kind::Counter, help);
        for (value, n) in values {
            self.line(format_args!("backsight_collector_{name}{{{label}=\"{value}\"}} {n}"));
        }
    }

    /// Returns the text.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.line(format_args!("# HELP backsight_collector_{name} {help}\n# TYPE backsight_collector_{name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}
