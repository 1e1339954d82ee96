//! OpenTelemetry, as the peers of Backsight use it: head sampling, and everything for a model of tail sampling.

use super::{CallEnd, Recorded, Setup, Tracer, VisitEnd};
use crate::plan::Place;
use crate::rpc::VisitRequest;
use anyhow::Result;
use std::convert::Infallible;
use std::future::Future;
use tonic::metadata::MetadataMap;

/// Records with OpenTelemetry.
#[derive(Debug)]
pub(crate) struct Otel {
    never: Infallible,
}

impl Tracer for Otel {
    type Scope = ();
    type Visit = ();
    type Call = ();

    fn start(setup: Setup<'_>) -> Result<Self> {
        anyhow::bail!("{} cannot be recorded with OpenTelemetry yet", setup.process.name)
    }

    fn arrive(&self, _: Place, _: &MetadataMap, _: &VisitRequest) -> ((), ()) {
        match self.never {}
    }

    fn within<F: Future + Send>((): (), work: F) -> impl Future<Output = F::Output> + Send {
        work
    }

    fn depart(&self, (): &mut (), _: Place, _: &mut MetadataMap) {
        match self.never {}
    }

    fn returned(&self, (): &mut (), (): (), _: &CallEnd<'_>) {
        match self.never {}
    }

    fn leave(&self, (): (), _: &VisitEnd<'_>, _: &mut MetadataMap) {
        match self.never {}
    }

    fn recorded(&self) -> Option<Recorded> {
        match self.never {}
    }

    async fn stop(self) {
        match self.never {}
    }
}
