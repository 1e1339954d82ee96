//! Futures that carry their request's context through every poll, on whatever thread.

use crate::context::Context;
use crate::guard;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{self, Poll};

/// A future whose polls, and whose drop, work for one trace.
///
/// # Cost
/// A poll that records nothing costs no byte of the log, only the context's stores; the first one of a visit costs what [`crate::begin`] does.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct InSegment<F> {
    /// Dropped where it is done, else with this.
    future: ManuallyDrop<F>,
    context: Context,
    is_done: bool,
}

/// Gives every future [`SegmentExt::in_segment`].
pub trait SegmentExt: Future + Sized {
    /// Returns this future with each of its polls working for the request of `context`, which the first of them begins where nobody has: as it came
    /// with the request ([`crate::extract`]), or of a new trace.
    ///
    /// A task that a request starts beside itself goes on with it by [`Context::current`].
    fn in_segment(self, context: Context) -> InSegment<Self> {
        InSegment { future: ManuallyDrop::new(self), context, is_done: false }
    }
}

impl<F: Future> SegmentExt for F {}

/// The thread works for a future's request until this drops, also by a panic; then it goes on with its own.
struct Visit<'f> {
    context: &'f mut Context,
    /// What the thread worked for before; without a trace where that was nothing.
    outer: Context,
}

impl<'f> Visit<'f> {
    #[inline]
    fn enter(context: &'f mut Context) -> Self {
        let mut visit = Self { context, outer: Context::default() };
        guard::switch_to(visit.context, &mut visit.outer);
        visit
    }
}

impl Drop for Visit<'_> {
    #[inline]
    fn drop(&mut self) {
        // Spans that stay open over the await are innermost again at the next poll. The thread's own work goes on, and ends with its own guard.
        guard::switch_back(self.context, &self.outer);
    }
}

impl<F: Future> Future for InSegment<F> {
    type Output = F::Output;

    /// # Panics
    /// Polled again after it was ready, which no executor does.
    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        // SAFETY: `future` is pinned with `self`: it is only reached through this projection and never moved out; the rest is plain data.
        let this = unsafe { self.get_unchecked_mut() };
        assert!(!this.is_done, "a future in a segment was polled after it was ready");
        let _visit = Visit::enter(&mut this.context);
        // SAFETY: as above.
        let polled = unsafe { Pin::new_unchecked(&mut *this.future) }.poll(task);
        if polled.is_ready() {
            this.is_done = true;
            // SAFETY: dropped in its place, as what is pinned must be; `is_done` keeps everybody from it, also where this panics.
            unsafe { ManuallyDrop::drop(&mut this.future) };
        }
        polled
    }
}

impl<F> Drop for InSegment<F> {
    /// Drops a cancelled future under its context, so that the spans end that it still holds.
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let _visit = Visit::enter(&mut self.context);
        // SAFETY: dropped in its place, as what is pinned must be, and nobody reaches it afterwards.
        unsafe { ManuallyDrop::drop(&mut self.future) };
    }
}
