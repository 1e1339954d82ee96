//! The triggers of this host that are expressions: their names, what they ask for, and which spans they fire for.
//!
//! Called by the recorder with each span that the walk finds. Pure. What is done with a firing is as for any other trigger.

use crate::walk::EndedSpan;
use backsight_core::expr::{Expr, Matcher, Verdict, Wanted};
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::names::{TriggerNameError, expression_trigger};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Expressions at a time: each is held against every span of the host.
pub const EXPRESSIONS_MAX: usize = 64;
/// Traces that one expression remembers to have fired for: several spans of a trace fire once.
const FIRED_MAX: usize = 4096;

/// An expression that cannot be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SetError {
    /// It cannot be called so.
    #[error(transparent)]
    Name(#[from] TriggerNameError),
    /// There are enough.
    #[error("there are {EXPRESSIONS_MAX} expressions already")]
    TooMany,
}

/// An expression that is held against spans.
#[derive(Debug)]
pub struct Watched {
    matcher: Matcher,
    fired: BTreeSet<TraceId>,
    /// The same, oldest first.
    order: VecDeque<TraceId>,
}

impl Watched {
    /// Returns an expression that has seen no span.
    pub fn new(expr: Expr) -> Self {
        Self { matcher: Matcher::new(expr), fired: BTreeSet::new(), order: VecDeque::new() }
    }

    /// Returns the expression.
    pub const fn expr(&self) -> &Expr {
        self.matcher.expr()
    }

    /// Holds a span against the expression.
    pub fn take(&mut self, ended: &EndedSpan<'_>) -> Verdict {
        self.matcher.take(&ended.view, ended.end)
    }

    /// Returns whether the trace is one that did not fire lately, and notes that it does now.
    fn is_new(&mut self, trace: TraceId) -> bool {
        if !self.fired.insert(trace) {
            return false;
        }
        self.order.push_back(trace);
        if self.order.len() > FIRED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.fired.remove(&oldest);
        }
        true
    }
}

/// All expressions of a host, by trigger.
#[derive(Debug, Default)]
pub struct Expressions {
    watched: BTreeMap<TriggerId, Watched>,
}

impl Expressions {
    /// Has the trigger called `name` fire by `expr`, and by nothing that it fired by before. What was learnt of durations is forgotten.
    ///
    /// # Errors
    /// A name that it cannot have, or too many expressions.
    pub fn set(&mut self, name: &str, expr: Expr) -> Result<TriggerId, SetError> {
        let trigger = expression_trigger(name)?;
        if self.watched.len() >= EXPRESSIONS_MAX && !self.watched.contains_key(&trigger) {
            return Err(SetError::TooMany);
        }
        self.watched.insert(trigger, Watched::new(expr));
        Ok(trigger)
    }

    /// Removes the expression of a trigger; returns whether there was one.
    pub fn remove(&mut self, trigger: TriggerId) -> bool {
        self.watched.remove(&trigger).is_some()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Returns the triggers that fire by an expression, and which.
    pub fn iter(&self) -> impl Iterator<Item = (TriggerId, &Expr)> {
        self.watched.iter().map(|(trigger, watched)| (*trigger, watched.expr()))
    }

    /// Returns what the walk is to remember of spans.
    pub fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        self.iter().for_each(|(_, expr)| wanted.add(&expr.condition));
        wanted
    }

    /// Holds a span against all of them; adds to `fired` which triggers fire for its trace, each once.
    pub fn take(&mut self, ended: &EndedSpan<'_>, fired: &mut Vec<(TriggerId, TraceId)>) {
        for (trigger, watched) in &mut self.watched {
            if watched.take(ended) == Verdict::Match && watched.is_new(ended.trace) {
                fired.push((*trigger, ended.trace));
            }
        }
    }

    /// Returns how many spans had names of which no percentile is learnt, as there are too many.
    pub fn n_unlearnt(&self) -> u64 {
        self.watched.values().map(|watched| watched.matcher.n_unlearnt()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{EXPRESSIONS_MAX, Expressions, SetError, expression_trigger};
    use crate::walk::EndedSpan;
    use backsight_core::expr::{Expr, SpanView, parse};
    use backsight_core::ids::{SpanId, TraceId, TriggerId};
    use backsight_core::record::{SpanKind, StatusCode};
    use backsight_core::units::Nanos;

    fn slow() -> Expr {
        parse("duration > 1ms").unwrap()
    }

    fn span(trace: u64, ms: u64) -> EndedSpan<'static> {
        let view = SpanView {
            name: "pay",
            service: "shop",
            kind: SpanKind::Server,
            duration: Nanos::from_ms(ms),
            status: StatusCode::Unset,
            status_message: "",
            attributes: &[],
            events: &[],
        };
        EndedSpan { trace: TraceId::new(1, trace), span: SpanId(trace), end: Nanos(0), view }
    }

    #[test]
    fn each_expression_fires_once_for_a_trace() {
        let mut expressions = Expressions::default();
        let slow = expressions.set("slow", slow()).unwrap();
        let unnamed = expressions.set("expression", parse("kind = server").unwrap()).unwrap();
        let mut fired = Vec::new();
        for (trace, ms) in [(1, 5), (1, 5), (2, 0), (3, 7)] {
            expressions.take(&span(trace, ms), &mut fired);
        }
        fired.sort();
        let of = |trigger, n| (trigger, TraceId::new(1, n));
        assert_eq!(unnamed, TriggerId::EXPRESSION);
        assert_eq!(fired, [of(unnamed, 1), of(unnamed, 2), of(unnamed, 3), of(slow, 1), of(slow, 3)]);
        assert!(expressions.remove(slow) && !expressions.remove(slow));
    }

    #[test]
    fn names_are_checked_and_expressions_bounded() {
        let mut expressions = Expressions::default();
        for name in ["", "head", "cli", "a\nb", "0x1234"] {
            assert!(matches!(expressions.set(name, slow()), Err(SetError::Name(_))), "{name:?}");
        }
        for n in 0..EXPRESSIONS_MAX {
            expressions.set(&format!("t{n}"), slow()).unwrap();
        }
        assert_eq!(expressions.set("one more", slow()), Err(SetError::TooMany));
        assert_eq!(expressions.set("t1", slow()).ok(), expression_trigger("t1").ok());
    }
}
