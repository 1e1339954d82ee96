//! The loop's part in triggers that are expressions: the configured ones at the start, and what people ask for later.

use super::{Daemon, StartError};
use crate::admin::Reply;
use crate::config::TriggerConfig;
use crate::recorder::Recorder;
use backsight_core::expr::{Expr, parse};
use backsight_core::names::expression_trigger;
use backsight_core::units::Nanos;
use backsight_proto::admin::{MatchedTrace, SetTriggerReply, TestReply};

/// Sets the triggers of the configuration.
///
/// # Errors
/// One that the configuration's own check would have refused.
pub(super) fn install(recorder: &mut Recorder, triggers: &[TriggerConfig]) -> Result<(), StartError> {
    for trigger in triggers {
        let why = |why: String| StartError::Trigger { name: trigger.name.clone(), why };
        let expr = parse(&trigger.when).map_err(|error| why(error.to_string()))?;
        recorder.set_expression(&trigger.name, expr).map_err(|error| why(error.to_string()))?;
    }
    Ok(())
}

impl Daemon {
    /// Sets or removes the expression of a trigger; the error is what a person reads.
    pub(super) fn set_trigger(&mut self, name: &str, when: Option<Expr>) -> Reply {
        let text = when.as_ref().map(Expr::to_string).unwrap_or_default();
        let set = match when {
            Some(expr) => self.recorder.set_expression(name, expr).map_err(|error| error.to_string()),
            None => expression_trigger(name).map_err(|error| error.to_string()).and_then(|trigger| {
                let removed = self.recorder.remove_expression(trigger);
                if removed { Ok(trigger) } else { Err(format!("trigger {name} fires by no expression")) }
            }),
        };
        Reply::TriggerSet(set.map(|trigger| SetTriggerReply { id: trigger.0, when: text }))
    }

    pub(super) fn start_test(&mut self, expr: Expr, n_traces: u32) -> Reply {
        match self.recorder.start_backtest(expr, n_traces as usize) {
            Ok(id) => self.look_at_test(id),
            Err(_) => Reply::TestBusy,
        }
    }

    pub(super) fn look_at_test(&self, id: u64) -> Reply {
        Reply::Test(self.recorder.backtest(id).map(|(backtest, summary)| {
            let per_s = |n: u64| (summary.window != Nanos(0)).then(|| n as f64 * 1e9 / summary.window.0 as f64);
            let matched = |(trace, duration): &(_, Nanos)| MatchedTrace { trace: *trace, duration_ns: duration.0 };
            let is_done = backtest.next_chunk().is_none();
            Box::new(TestReply {
                test: backtest.id(),
                when: backtest.expr().to_string(),
                is_done,
                progress_share: backtest.progress_share(),
                window_ms: summary.window.as_ms(),
                n_chunks: summary.counts.chunks,
                n_chunks_evicted: summary.counts.chunks_evicted,
                n_spans: summary.counts.spans,
                n_matches: summary.counts.matches,
                n_traces: summary.n_traces,
                n_beyond: summary.counts.beyond,
                n_spans_given_up: summary.n_spans_given_up,
                fires_per_s: per_s(summary.n_traces),
                bytes: summary.bytes,
                bytes_per_s: per_s(summary.bytes),
                complete_share: (is_done && summary.n_traces > 0)
                    .then(|| summary.n_complete as f64 / summary.n_traces as f64),
                rate_per_s: self.recorder.rate_per_s(),
                n_refused: summary.n_refused,
                traces: summary.newest.iter().map(matched).collect(),
            })
        }))
    }
}
