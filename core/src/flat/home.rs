//! What spans are of: processes, and the further services that some of them host.
//!
//! Called for each trace by the flat form, and by whoever writes what others call a resource.

use super::Part;
use crate::trace::{Attribute, ProcessClock, ProcessInfo, Trace};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The service of those who did not say theirs, as OpenTelemetry calls it.
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// A process, or one of several services in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Home {
    /// The process.
    pub process_idx: usize,
    /// The service, never empty.
    pub service: Arc<str>,
}

/// A service of a process that is not the one which the process says it is.
type Further = (usize, Arc<str>);

/// The homes of a trace's spans.
pub(super) struct Homes {
    pub(super) all: Vec<Home>,
    further: BTreeMap<Further, usize>,
}

impl Homes {
    pub(super) fn of(trace: &Trace) -> Self {
        let processes = trace.processes.iter().enumerate();
        let process =
            |(process_idx, process): (usize, &ProcessInfo)| Home { process_idx, service: said(&process.service) };
        let mut all: Vec<Home> = processes.map(process).collect();
        let spans = trace.spans.iter().map(Part::Span);
        let parts = spans.chain(trace.visits.iter().map(Part::Visit));
        let mut further: BTreeMap<Further, usize> =
            parts.filter_map(|part| further_of(trace, part)).map(|further| (further, 0)).collect();
        for ((process_idx, service), idx) in &mut further {
            *idx = all.len();
            all.push(Home { process_idx: *process_idx, service: service.clone() });
        }
        Self { all, further }
    }

    /// Returns where a span of the trace, or a visit, is at home.
    pub(super) fn idx(&self, trace: &Trace, part: Part<'_>) -> usize {
        let further = further_of(trace, part).and_then(|further| self.further.get(&further));
        further.copied().unwrap_or_else(|| part.process_idx())
    }
}

/// Returns the service of a part where that is not its process's, or where its process is not there.
fn further_of(trace: &Trace, part: Part<'_>) -> Option<Further> {
    let own = part.service().filter(|service| !service.is_empty());
    let process = trace.processes.get(part.process_idx());
    match (process, own) {
        (Some(_), None) => None,
        (Some(process), Some(own)) if *own == process.service => None,
        (_, own) => Some((part.process_idx(), own.map_or_else(|| UNKNOWN_SERVICE.into(), Arc::clone))),
    }
}

fn said(service: &Arc<str>) -> Arc<str> {
    if service.is_empty() { UNKNOWN_SERVICE.into() } else { service.clone() }
}

impl ProcessInfo {
    /// Returns the attributes by which others know the process, but for its service.
    ///
    /// # Shape
    /// `process.pid`, `backsight.agent`, `backsight.region`, and where they apply `host.name`, `backsight.clock` = `ticks` (no wall time),
    /// `backsight.death.signal`, in this order.
    pub fn attributes(&self, host: Option<&str>) -> Vec<Attribute> {
        let mut attributes = vec![
            Attribute::new("process.pid", i64::from(self.pid).into()),
            Attribute::new("backsight.agent", self.agent.to_string().into()),
            Attribute::new("backsight.region", self.region.to_string().into()),
        ];
        attributes.extend(host.map(|host| Attribute::new("host.name", host.into())));
        if matches!(self.clock, ProcessClock::Ticks { .. }) {
            attributes.push(Attribute::new("backsight.clock", "ticks".into()));
        }
        if let Some(death) = &self.death {
            attributes.push(Attribute::new("backsight.death.signal", i64::from(death.last_words.signal).into()));
        }
        attributes
    }

    /// Returns the name of its host; where that is not known, the text of its agent's id stands for it.
    pub fn place(&self, host: Option<&str>) -> String {
        host.map_or_else(|| self.agent.to_string(), str::to_owned)
    }

    /// Returns what tells it from others of its service: `<host>:<pid>`.
    pub fn instance(&self, host: Option<&str>) -> String {
        format!("{}:{}", self.place(host), self.pid)
    }
}
