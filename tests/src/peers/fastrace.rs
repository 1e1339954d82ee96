//! fastrace 0.7.19 with its feature `enable`, and a reporter that discards.
//!
//! Called through [`Peer`]. Its collector thread works in the background, on CPU time that is not counted here.

use std::sync::Once;

use anyhow::Result;
use fastrace::{
    collector::{Config, Reporter, SpanRecord},
    local::LocalSpan,
    prelude::{Span, SpanContext},
};

use super::{CHILDREN, Op, Peer, unsupported};
use crate::bench::threads::{Measurement, per_op};

/// Local spans and their properties under a root span, reported to nobody.
#[derive(Debug, Default)]
pub struct Fastrace {
    reporter: ReporterSet,
}

#[derive(Debug)]
struct ReporterSet(Once);

impl Default for ReporterSet {
    fn default() -> Self {
        Self(Once::new())
    }
}

struct Discard;

impl Reporter for Discard {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        drop(spans);
    }
}

impl Peer for Fastrace {
    fn name(&self) -> &'static str {
        "fastrace"
    }

    fn measures(&self) -> &'static str {
        "fastrace 0.7.19, feature enable: LocalSpan entered and dropped, a new root for every 100; attr is LocalSpan::add_property on a \
         span renewed every 100; the reporter discards, and the collector thread's time is not counted"
    }

    fn supports(&self, op: Op) -> bool {
        matches!(op, Op::Span | Op::Attr)
    }

    fn measure(&self, op: Op, threads: usize, n: u64) -> Result<Measurement> {
        self.reporter.0.call_once(|| fastrace::set_reporter(Discard, Config::default()));
        let measured = match op {
            Op::Span => per_op(threads, n, || |n| under_roots(n, spans)),
            Op::Attr => per_op(threads, n, || |n| under_roots(n, attrs)),
            _ => Err(unsupported(self, op)),
        };
        fastrace::flush(); // what was recorded is collected before another peer is measured
        measured
    }
}

/// Runs `n` operations, each run of [`CHILDREN`] under a root span of its own, and returns that nothing was lost.
#[inline(always)]
fn under_roots(n: u64, run: impl Fn(u64)) -> f64 {
    let mut left = n;
    while left > 0 {
        let n_children = left.min(CHILDREN);
        let root = Span::root("root", SpanContext::random());
        let parent = root.set_local_parent();
        run(n_children);
        drop(parent);
        left -= n_children;
    }
    0.0
}

#[inline(always)]
fn spans(n: u64) {
    for _ in 0..n {
        drop(LocalSpan::enter_with_local_parent("span"));
    }
}

#[inline(always)]
fn attrs(n: u64) {
    let _span = LocalSpan::enter_with_local_parent("span");
    for _ in 0..n {
        LocalSpan::add_property(|| ("key", "value"));
    }
}
