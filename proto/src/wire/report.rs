//! Reports: the segments of one trace on one host, with what is needed to read them.

use super::{WireError, name_texts, names, optional_trace_id, trace_bytes};
use crate::v1;
use backsight_core::clock::CalibrationPoint;
use backsight_core::holding::Holding;
use backsight_core::ids::{AgentId, RegionId, StringId, TraceId, TriggerId};
use backsight_core::names::TriggerNames;
use backsight_core::segment::{LastWords, Process, Segment, SegmentKey, Slice};

/// What a host has of one trace and has not reported before.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// All of what the host has.
    pub holding: Holding,
    /// Why it is kept.
    pub trigger: TriggerId,
    /// When that fired, in nanoseconds since 1970.
    pub fired_ns: u64,
    /// The symptomatic trace, where this one is its lateral.
    pub base: Option<TraceId>,
    /// The segments, by process.
    pub slices: Vec<Slice>,
    /// Names of triggers that fired for the trace, as far as the agent knows them.
    pub names: TriggerNames,
}

impl From<&Report> for v1::TraceReport {
    fn from(report: &Report) -> Self {
        Self {
            holding: Some((&report.holding).into()),
            trigger: report.trigger.0,
            fired_ns: report.fired_ns,
            base: report.base.map(trace_bytes).unwrap_or_default(),
            slices: report.slices.iter().map(Into::into).collect(),
            trigger_names: name_texts(&report.names),
        }
    }
}

impl v1::TraceReport {
    /// Reads the report of agent `agent`.
    ///
    /// # Errors
    /// No holding, a trace id that is none, or a text that no trigger can be called by.
    pub fn into_report(self, agent: AgentId) -> Result<Report, WireError> {
        let holding = self.holding.ok_or(WireError::Missing { field: "report.holding" })?;
        Ok(Report {
            holding: holding.try_into()?,
            trigger: TriggerId(self.trigger),
            fired_ns: self.fired_ns,
            base: optional_trace_id("report.base", &self.base)?,
            slices: self.slices.into_iter().map(|slice| slice.into_slice(agent)).collect::<Result<_, _>>()?,
            names: names("report.trigger_names", &self.trigger_names)?,
        })
    }
}

impl From<&Slice> for v1::Slice {
    fn from(slice: &Slice) -> Self {
        let process = &slice.process;
        Self {
            process: Some(v1::Process {
                region: process.region.0,
                pid: process.pid,
                service: process.service.clone(),
                death: process.death.as_ref().map(Into::into),
                strings: process.strings.iter().map(string).collect(),
                clock: process.clock.iter().map(point).collect(),
            }),
            segments: slice.segments.iter().map(Into::into).collect(),
        }
    }
}

impl v1::Slice {
    /// Reads a slice that agent `agent` reported.
    ///
    /// # Errors
    /// No process, or a trace id that is none.
    pub fn into_slice(self, agent: AgentId) -> Result<Slice, WireError> {
        let process = self.process.ok_or(WireError::Missing { field: "slice.process" })?;
        let region = RegionId(process.region);
        let of_point = |point: v1::CalibrationPoint| CalibrationPoint {
            ticks: point.ticks,
            realtime_ns: point.realtime_ns,
            monotonic_ns: point.monotonic_ns,
        };
        let mut strings: Vec<_> =
            process.strings.into_iter().map(|string| (StringId(string.id), string.text)).collect();
        strings.sort_unstable();
        Ok(Slice {
            process: Process {
                agent,
                region,
                pid: process.pid,
                service: process.service,
                death: process.death.map(last_words).transpose()?,
                strings,
                clock: process.clock.into_iter().map(of_point).collect(),
            },
            segments: self.segments.into_iter().map(|segment| segment_of(region, segment)).collect(),
        })
    }
}

fn string((id, text): &(StringId, String)) -> v1::InternedString {
    v1::InternedString { id: id.0, text: text.clone() }
}

fn point(point: &CalibrationPoint) -> v1::CalibrationPoint {
    v1::CalibrationPoint { ticks: point.ticks, realtime_ns: point.realtime_ns, monotonic_ns: point.monotonic_ns }
}

impl From<&LastWords> for v1::LastWords {
    fn from(words: &LastWords) -> Self {
        Self {
            signal: words.signal,
            address: words.address,
            instruction: words.instruction,
            trace: if words.trace.is_none() { Vec::new() } else { trace_bytes(words.trace) },
            ticks: words.ticks,
            frames: words.frames.clone(),
        }
    }
}

fn last_words(words: v1::LastWords) -> Result<LastWords, WireError> {
    Ok(LastWords {
        signal: words.signal,
        address: words.address,
        instruction: words.instruction,
        trace: optional_trace_id("last_words.trace", &words.trace)?.unwrap_or_default(),
        ticks: words.ticks,
        frames: words.frames,
    })
}

impl From<&Segment> for v1::Segment {
    fn from(segment: &Segment) -> Self {
        Self {
            chunk: segment.key.chunk,
            generation: segment.key.generation,
            offset: segment.key.offset,
            slot: segment.slot,
            tid: segment.tid,
            prev_chunk: segment.prev_chunk,
            records: segment.bytes.clone(),
        }
    }
}

fn segment_of(region: RegionId, segment: v1::Segment) -> Segment {
    Segment {
        key: SegmentKey { region, chunk: segment.chunk, generation: segment.generation, offset: segment.offset },
        slot: segment.slot,
        tid: segment.tid,
        prev_chunk: segment.prev_chunk,
        bytes: segment.records,
    }
}
