//! Messages of the network protocol: the first byte says which. Whatever converts means the same after another journey, and any slices
//! make a trace that every export can write.
#![no_main]

use backsight_core::certificate::Certificate;
use backsight_core::coordination::{Advice, Announcement, Answer, Collection, Greeting, View};
use backsight_core::holding::Holding;
use backsight_core::ids::{AgentId, TraceId};
use backsight_core::segment::Slice;
use backsight_core::trace::assemble;
use backsight_proto::export::Extras;
use backsight_proto::otlp::ExportRequest;
use backsight_proto::packing::{Packer, Unpacker};
use backsight_proto::perfetto;
use backsight_proto::trace_json::TraceJson;
use backsight_proto::v1::{self, agent_says, coordinator_says, report_request};
use backsight_proto::wire::{Report, Summary, trace_id};
use libfuzzer_sys::fuzz_target;
use prost::Message;
use std::fmt::Debug;

const AGENT: AgentId = AgentId(5);
/// More than a fuzzer's input holds, and little enough to be quick.
const UNPACKED_MAX: usize = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 7 {
        0 => agent_says(bytes),
        1 => report_request(bytes),
        2 => coordinator_says(bytes),
        3 => get_reply(bytes),
        4 => round_trips(bytes, |summary: v1::TraceSummary| Summary::try_from(summary).ok(), |of| of.into()),
        5 => round_trips(bytes, |view: v1::View| View::try_from(view).ok(), |of| of.into()),
        _ => v1::Traces::decode(bytes).map(traces).unwrap_or_default(),
    }
});

/// Checks that what a message reads as, is what it reads as after it was written and sent.
fn round_trips<M, T>(bytes: &[u8], read: impl Fn(M) -> Option<T>, write: impl Fn(&T) -> M)
where
    M: Message + Default,
    T: PartialEq + Debug,
{
    let Some(first) = M::decode(bytes).ok().and_then(&read) else { return };
    let sent = write(&first).encode_to_vec();
    let second = M::decode(sent.as_slice()).ok().and_then(&read);
    assert_eq!(second.as_ref(), Some(&first), "what was read and written reads otherwise");
}

/// As [`round_trips`], for a message that was decoded already.
fn message<M, T>(message: &M, read: impl Fn(M) -> Option<T>, write: impl Fn(&T) -> M)
where
    M: Message + Default,
    T: PartialEq + Debug,
{
    round_trips(&message.encode_to_vec(), read, write);
}

fn agent_says(bytes: &[u8]) {
    let Some(what) = v1::AgentSays::decode(bytes).ok().and_then(|says| says.what) else { return };
    match what {
        agent_says::What::Hello(hello) => drop(hello.check()),
        agent_says::What::Announce(of) => {
            let epoch = of.shard_epoch;
            message(&of, |of| Announcement::try_from(of).ok(), |said| v1::Announce::of(said, epoch));
        }
        agent_says::What::Answers(of) => message(&of, |of| Vec::<Answer>::try_from(of).ok(), |of| of.as_slice().into()),
        agent_says::What::Update(of) => {
            message(&of, |of| Vec::<Holding>::try_from(of).ok(), |holdings| holdings.as_slice().into());
        }
    }
}

fn coordinator_says(bytes: &[u8]) {
    let Some(what) = v1::CoordinatorSays::decode(bytes).ok().and_then(|says| says.what) else { return };
    match what {
        coordinator_says::What::Welcome(of) => message(&of, |of| Some(Greeting::from(of)), |said| (*said).into()),
        coordinator_says::What::AnnounceAcks(_) => {}
        coordinator_says::What::Collects(of) => {
            message(&of, |of| Vec::<Collection>::try_from(of).ok(), |of| of.as_slice().into());
        }
        coordinator_says::What::Advise(of) => {
            message(&of, |of| Vec::<(TraceId, Advice)>::try_from(of).ok(), |of| of.as_slice().into());
        }
    }
}

fn report_request(bytes: &[u8]) {
    let Some(what) = v1::ReportRequest::decode(bytes).ok().and_then(|request| request.what) else { return };
    match what {
        report_request::What::Hello(hello) => drop(hello.check()),
        report_request::What::Batch(batch) => {
            let Ok(unpacked) = Unpacker::default().unpack(&batch, UNPACKED_MAX) else { return };
            let again = Packer::default().pack(1, &unpacked).expect("whatever was unpacked can be packed");
            assert_eq!(Unpacker::default().unpack(&again, usize::MAX).expect("what was packed"), unpacked);
            traces(unpacked);
        }
    }
}

fn traces(of: v1::Traces) {
    for report in &of.traces {
        message(report, |of: v1::TraceReport| of.into_report(AGENT).ok(), |of| of.into());
    }
    let reports = of.traces.into_iter().filter_map(|report| report.into_report(AGENT).ok());
    for Report { holding, slices, .. } in reports {
        exported(holding.trace, &slices);
    }
}

fn get_reply(bytes: &[u8]) {
    let Ok(reply) = v1::GetReply::decode(bytes) else { return };
    if let Some(certificate) = &reply.certificate {
        message(certificate, |of| Some(Certificate::from(of)), |of| of.into());
    }
    let Ok(trace) = trace_id("reply.trace", &reply.trace) else { return };
    let slices = reply.hosts.into_iter().flat_map(|host| {
        let agent = AgentId(host.agent);
        host.slices.into_iter().filter_map(move |slice| slice.into_slice(agent).ok())
    });
    exported(trace, &slices.collect::<Vec<_>>());
}

/// Assembles slices and writes the trace in every format.
fn exported(trace: TraceId, slices: &[Slice]) {
    let trace = assemble(trace, slices);
    perfetto::export(&trace, Extras::default());
    let otlp = ExportRequest::new(&trace, Extras::default());
    serde_json::to_string(&otlp).expect("a trace is JSON");
    serde_json::to_string(&TraceJson::from(&trace)).expect("a trace is JSON");
}
