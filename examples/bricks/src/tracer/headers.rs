//! The tracer that passes a context on and records nothing: the floor of every tracer that follows requests from process to process.
//!
//! It reads and sets the headers that [`super::Backsight`] does, of the same lengths; what a tracer costs beyond it is its recording.

use super::metadata::Named;
use super::{CallEnd, Recorded, Setup, Tracer, VisitEnd};
use crate::plan::Place;
use crate::rpc::VisitRequest;
use anyhow::Result;
use backsight::{RESPONSE_HEADER, TRACEPARENT, TRACESTATE};
use std::future::Future;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

/// As long as any; the same for all requests.
const PARENT: &[u8; 55] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// As long as that of a request whose caller has an agent.
const STATE: &str = "bks=1;a=4fzyo82;f=1";
const CRUMB: &str = "4fzyo82";

/// Passes three headers on.
#[derive(Debug)]
pub(crate) struct Headers {
    parent: AsciiMetadataKey,
    state: AsciiMetadataKey,
    crumb: AsciiMetadataKey,
    state_value: AsciiMetadataValue,
    crumb_value: AsciiMetadataValue,
    named: Named,
}

impl Tracer for Headers {
    type Scope = ();
    /// The values that came.
    type Visit = (Option<[u8; PARENT.len()]>, usize);
    type Call = ();

    fn start(_: Setup<'_>) -> Result<Self> {
        Ok(Self {
            parent: AsciiMetadataKey::from_static(TRACEPARENT),
            state: AsciiMetadataKey::from_static(TRACESTATE),
            crumb: AsciiMetadataKey::from_static(RESPONSE_HEADER),
            state_value: AsciiMetadataValue::from_static(STATE),
            crumb_value: AsciiMetadataValue::from_static(CRUMB),
            named: Named::default(),
        })
    }

    fn arrive(&self, _: Place, headers: &MetadataMap, _: &VisitRequest) -> ((), Self::Visit) {
        let parent = headers.get(&self.parent).and_then(|value| value.as_bytes().first_chunk().copied());
        let state = headers.get(&self.state).map_or(0, |value| value.as_bytes().len());
        ((), (parent, state))
    }

    fn within<F: Future + Send>((): (), work: F) -> impl Future<Output = F::Output> + Send {
        work
    }

    fn depart(&self, visit: &mut Self::Visit, _: Place, headers: &mut MetadataMap) {
        if let Some(parent) = self.named.parent(visit.0.as_ref().unwrap_or(PARENT)) {
            headers.insert(self.parent.clone(), parent);
        }
        headers.insert(self.state.clone(), self.state_value.clone());
    }

    fn returned(&self, _: &mut Self::Visit, (): (), end: &CallEnd<'_>) {
        if let CallEnd::Answered(metadata) = end {
            std::hint::black_box(metadata.get(&self.crumb));
        }
    }

    fn leave(&self, visit: Self::Visit, _: &VisitEnd<'_>, answer: &mut MetadataMap) {
        std::hint::black_box(visit);
        answer.insert(self.crumb.clone(), self.crumb_value.clone());
    }

    fn recorded(&self) -> Option<Recorded> {
        None
    }

    async fn stop(&self) {}
}
