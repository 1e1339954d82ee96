//! Everything that can be said comes through the wire unchanged, and nothing that cannot be said gets in.

use super::{
    ANSWERED_MAX, COLLECTS_MAX, Fired, GROUP_MAX, Report, StoredTrace, Summary, WireError, trace_bytes, trace_id,
};
use crate::v1;
use backsight_core::certificate::{AgentPart, Amount, Certificate, Contact, Gap, GapKind, Verdict};
use backsight_core::clock::CalibrationPoint;
use backsight_core::coordination::{AgentView, Announcement, Answer, Collection, View};
use backsight_core::holding::{CrumbTo, Holding, HoldingState, LossInterval};
use backsight_core::ids::{AgentId, RegionId, SpanId, StringId, TraceId, TriggerId};
use backsight_core::names::{TRIGGER_NAMES_MAX, TriggerName, TriggerNameError, TriggerNames};
use backsight_core::record::CrumbDirection;
use backsight_core::segment::{LastWords, Process, Segment, SegmentKey, Slice};
use backsight_core::telemetry::DropReason;
use prost::Message;

/// Returns `message` after a journey over the wire.
fn sent<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

const TRACE: TraceId = TraceId::new(0x0102_0304_0506_0708, 0x1112_1314_1516_1718);

fn holding() -> Holding {
    Holding {
        waits: true,
        trace: TRACE,
        state: HoldingState::Kept,
        revision: 7,
        n_segments: 3,
        bytes: 600,
        n_open: 1,
        n_left_out: 2,
        detail: 3,
        horizon_ms: Some(9000),
        crumbs: vec![CrumbTo { agent: AgentId(9), direction: CrumbDirection::To, span: SpanId(5) }],
        losses: vec![loss()],
        whole_since_ns: Some(8),
        looked_ns: 11,
        n_evicted: 3,
        remembers_since_ns: 7,
        deaths_ns: vec![9, 10],
    }
}

fn name(text: &str) -> TriggerName {
    TriggerName::new(text).unwrap()
}

fn names() -> TriggerNames {
    let mut names = TriggerNames::new();
    assert!(names.add(name("bricks.slow"), 2) && names.add(name("bricks.error"), 2));
    names
}

fn loss() -> LossInterval {
    LossInterval { first_ns: 10, last_ns: 20, reason: Some(DropReason::NoChunk), n_records: 4, bytes: 128 }
}

fn report() -> Report {
    let process = Process {
        agent: AgentId(3),
        region: RegionId(77),
        pid: 12,
        service: "till".to_owned(),
        death: Some(LastWords { signal: 11, address: 1, instruction: 2, trace: TRACE, ticks: 3, frames: vec![4, 5] }),
        strings: vec![(StringId(1), "a".to_owned()), (StringId(2), "b".to_owned())],
        clock: vec![CalibrationPoint { ticks: 1, realtime_ns: 2, monotonic_ns: 3 }],
    };
    let segment = Segment {
        key: SegmentKey { region: RegionId(77), chunk: 5, generation: 6, offset: 64 },
        slot: 1,
        tid: 2,
        prev_chunk: Segment::NO_CHUNK,
        bytes: vec![1, 2, 3],
    };
    Report {
        holding: holding(),
        trigger: TriggerId::MANUAL,
        fired_ns: 99,
        base: Some(TraceId::new(0, 1)),
        slices: vec![Slice { process, segments: vec![segment] }],
        names: names(),
    }
}

#[test]
fn what_agents_and_coordinators_say_comes_through() {
    let named = Some(name("bricks.slow"));
    for (trigger, name) in [(TriggerId::HEAD, None), (name("bricks.slow").id(), named)] {
        let holdings = vec![holding(), holding()];
        let announcement = Announcement { id: 4, trigger, name, fired_ns: 5, base: TraceId::new(0, 1), holdings };
        assert_eq!(Announcement::try_from(sent(&v1::Announce::of(&announcement, 1))), Ok(announcement));
    }
    let collection = Collection {
        group: 1,
        trigger: name("bricks.slow").id(),
        name: Some(name("bricks.slow")),
        origin: AgentId(2),
        fired_ns: 3,
        base: TraceId::new(0, 1),
        traces: vec![TRACE; GROUP_MAX],
    };
    let collections = vec![collection; COLLECTS_MAX];
    assert_eq!(Vec::<Collection>::try_from(sent(&v1::Collects::from(&collections[..]))), Ok(collections));
    let answers = vec![Answer { group: 1, holdings: vec![holding()] }; ANSWERED_MAX];
    assert_eq!(Vec::<Answer>::try_from(sent(&v1::Answers::from(&answers[..]))), Ok(answers));
    let part = |agent, contact, holding| AgentView { agent: AgentId(agent), contact, holding };
    let agents = vec![part(1, Contact::Answered, Some(holding().into())), part(2, Contact::Unknown, None)];
    let fired = Fired { trigger: TriggerId::CLI, agent: AgentId(1), fired_ns: 2, base: Some(TRACE) };
    let view = View { trace: TRACE, agents, is_overfull: true, seed_epoch: 2, fired: vec![fired], names: names() };

    assert_eq!(View::try_from(sent(&v1::View::from(&view))), Ok(view));
    let update = [holding(), Holding { horizon_ms: None, whole_since_ns: None, deaths_ns: Vec::new(), ..holding() }];
    assert_eq!(Vec::<Holding>::try_from(sent(&v1::Update::from(&update[..]))), Ok(update.to_vec()));
}

#[test]
fn reports_come_through() {
    let report = report();
    assert_eq!(sent(&v1::TraceReport::from(&report)).into_report(AgentId(3)), Ok(report));
}

#[test]
fn certificates_and_summaries_come_through() {
    let certificate = Certificate {
        version: 1,
        verdict: Verdict::Partial,
        gaps: GapKind::ALL.iter().map(|kind| Gap { kind: *kind, agent: AgentId(1), n: 2 }).collect(),
        agents: vec![AgentPart {
            agent: AgentId(1),
            contact: Contact::Unreachable,
            state: Some(HoldingState::Evicted),
            announced: Amount { n_segments: 1, bytes: 2 },
            received: Amount { n_segments: 3, bytes: 4 },
            horizon_ms: Some(5),
            losses: vec![loss()],
        }],
        seed_epoch: 3,
    };
    assert_eq!(Certificate::from(sent(&v1::Certificate::from(&certificate))), certificate);
    let fired = Fired { trigger: TriggerId::CLI, agent: AgentId(1), fired_ns: 2, base: Some(TRACE) };
    let stored = StoredTrace {
        trace: TRACE,
        slices: report().slices,
        certificate: certificate.clone(),
        fired: vec![fired],
        names: names(),
    };
    assert_eq!(StoredTrace::try_from(sent(&v1::GetReply::from(&stored))), Ok(stored));
    let summary = Summary {
        trace: TRACE,
        services: vec!["a".to_owned()],
        fired: vec![fired],
        names: names(),
        verdict: Verdict::Complete,
        gaps: certificate.gaps,
        ..Summary::default()
    };
    assert_eq!(Summary::try_from(sent(&v1::TraceSummary::from(&summary))), Ok(summary));
}

#[test]
fn a_certificate_of_a_later_version_is_never_complete() {
    let later = v1::Certificate { version: 2, verdict: Verdict::Complete as u32, ..v1::Certificate::default() };
    assert_eq!(Certificate::from(later).verdict, Verdict::Unknown);
    let code_of_later = v1::Certificate { version: 1, verdict: 99, ..v1::Certificate::default() };
    assert_eq!(Certificate::from(code_of_later).verdict, Verdict::Unknown);
}

#[test]
fn what_no_version_says_is_refused_with_the_field() {
    let said = Announcement { id: 1, trigger: TriggerId::CLI, base: TRACE, ..Announcement::default() };
    let of_no_trace = v1::Announce::of(&said, 0);
    let of_no_base = v1::Announce { base: Vec::new(), ..of_no_trace.clone() };
    let no_base = WireError::Length { field: "announce.base", len: 0, allowed: "16 bytes" };
    assert_eq!(Announcement::try_from(of_no_base), Err(no_base));
    let no_holdings = WireError::Length { field: "announce.holdings", len: 0, allowed: "1 to 33" };
    assert_eq!(Announcement::try_from(of_no_trace), Err(no_holdings));
    let too_many = v1::Collect {
        trigger: 4,
        base: trace_bytes(TRACE),
        traces: vec![trace_bytes(TRACE); GROUP_MAX + 1],
        ..v1::Collect::default()
    };
    let too_many = Collection::try_from(too_many).unwrap_err();
    assert_eq!(too_many.to_string(), "collect.traces has length 34, allowed is 1 to 33");
    let too_many = v1::Collects { collects: vec![v1::Collect::default(); COLLECTS_MAX + 1] };
    let too_many = Vec::<Collection>::try_from(too_many).unwrap_err();
    assert_eq!(too_many.to_string(), "collects has length 257, allowed is at most 256");
    let answers = [(8, 32), (1, 1)].map(|(n, n_holdings)| {
        let holdings = vec![holding(); n_holdings];
        vec![v1::Answer::from(&Answer { group: 1, holdings }); n]
    });
    let too_many = Vec::<Answer>::try_from(v1::Answers { answers: answers.concat() }).unwrap_err();
    assert_eq!(too_many.to_string(), "answers.holdings has length 257, allowed is at most 256");
    assert_eq!(
        trace_id("trace", &[0; 16]),
        Err(WireError::Value { field: "trace", value: 0, allowed: "any trace but none" })
    );
    assert_eq!(trace_id("trace", &[1; 15]), Err(WireError::Length { field: "trace", len: 15, allowed: "16 bytes" }));
    assert_eq!(v1::TraceReport::default().into_report(AgentId(1)), Err(WireError::Missing { field: "report.holding" }));
    let hello = v1::Hello { protocol: 2, agent: 1, ..v1::Hello::default() };
    assert_eq!(hello.check().unwrap_err().to_string(), "hello.protocol is 2, allowed is 1");
}

#[test]
fn a_direction_of_a_later_version_is_passed_over() {
    let mut wire = v1::Holding::from(&holding());
    wire.crumbs.push(v1::CrumbTo { agent: 1, direction: 99, span: 0 });
    assert_eq!(Holding::try_from(wire), Ok(holding()));
}

#[test]
fn a_name_that_is_not_that_of_its_trigger_is_refused() {
    let announce = |trigger_name: &str| {
        let said = v1::Announce {
            trigger: name("bricks.slow").id().0,
            base: trace_bytes(TRACE),
            holdings: vec![(&holding()).into()],
            ..v1::Announce::default()
        };
        Announcement::try_from(v1::Announce { trigger_name: trigger_name.to_owned(), ..said }).map(|said| said.name)
    };
    assert_eq!(announce("bricks.slow"), Ok(Some(name("bricks.slow"))));
    assert_eq!(announce(""), Ok(None));
    let (of, trigger) = (name("bricks.error").id(), name("bricks.slow").id());
    let other = WireError::OtherName { field: "announce.trigger_name", of, trigger };
    assert_eq!(announce("bricks.error"), Err(other));
    let source = TriggerNameError::Control;
    assert_eq!(announce("a\nb"), Err(WireError::Name { field: "announce.trigger_name", source }));
    let report = |trigger_names: Vec<String>| {
        let report = v1::TraceReport { trigger_names, ..(&report()).into() };
        report.into_report(AgentId(3)).map(|report| report.names.len())
    };
    assert_eq!(report(vec!["a".to_owned(); TRIGGER_NAMES_MAX]), Ok(1), "of one id the first counts");
    let too_many = report(vec!["a".to_owned(); TRIGGER_NAMES_MAX + 1]).unwrap_err();
    assert_eq!(too_many.to_string(), "report.trigger_names has length 257, allowed is at most 256");
    let source = TriggerNameError::Len { bytes: 257 };
    assert_eq!(report(vec!["a".repeat(257)]), Err(WireError::Name { field: "report.trigger_names", source }));
}
