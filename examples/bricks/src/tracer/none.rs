//! The tracer that records nothing: what the others are measured against.

use super::{CallEnd, Recorded, Setup, Tracer, VisitEnd};
use crate::plan::Place;
use crate::rpc::VisitRequest;
use anyhow::Result;
use std::future::Future;
use tonic::metadata::MetadataMap;

/// Records nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoTracer;

impl Tracer for NoTracer {
    type Scope = ();
    type Visit = ();
    type Call = ();

    fn start(_: Setup<'_>) -> Result<Self> {
        Ok(Self)
    }

    fn arrive(&self, _: Place, _: &MetadataMap, _: &VisitRequest) -> ((), ()) {
        ((), ())
    }

    fn within<F: Future + Send>((): (), work: F) -> impl Future<Output = F::Output> + Send {
        work
    }

    fn depart(&self, (): &mut (), _: Place, _: &mut MetadataMap) {}

    fn returned(&self, (): &mut (), (): (), _: &CallEnd<'_>) {}

    fn leave(&self, (): (), _: &VisitEnd<'_>, _: &mut MetadataMap) {}

    fn recorded(&self) -> Option<Recorded> {
        None
    }

    async fn stop(&self) {}
}
