//! What stands above and below the tree: the trace as a whole, what fired, what is lost, and whether it is complete.

use super::text::{clean, offset, utc, wrap};
use super::{Ink, Line, Style};
use backsight_core::units::{Bytes, Nanos};
use backsight_proto::trace_json::{ClockJson, CompletenessJson, DeathJson, ProcessJson, TraceJson};

/// Return addresses of a death that are shown at a terminal.
const FRAMES_MAX: usize = 6;
/// What stands before the rest of a line that is wrapped.
const HANGING: &str = "      ";

/// Returns the lines above the tree.
pub(super) fn heading(trace: &TraceJson, style: &Style) -> String {
    let mut line = Line::new(style);
    line.push(Ink::Name, &format!("trace {}", trace.trace));
    if trace.start_unix_ns > 0 {
        line.push(Ink::Plain, &format!("  {}  {}", utc(trace.start_unix_ns), Nanos(trace.duration_ns)));
    }
    let (spans, visits) = (n(trace.spans.len(), "span"), n(trace.visits.len(), "visit"));
    let counts = format!("  {spans}, {visits}, {}", n(trace.processes.len(), "process"));
    let mut out = String::new();
    if !line.fits(&counts) {
        out += &std::mem::replace(&mut line, Line::new(style)).end();
    }
    line.push(Ink::Dim, &counts);
    out += &line.end();
    for fired in &trace.fired {
        let at = time(trace, fired.process_idx, fired.at_ns);
        let laterals = if fired.n_laterals > 0 {
            format!(" with {}", n(fired.n_laterals as usize, "lateral"))
        } else {
            String::new()
        };
        let text =
            format!("fired {} in {} at {at}{laterals}", clean(&fired.trigger), service(trace, fired.process_idx));
        out += &whole(style, Ink::Plain, &text);
    }
    out + "\n"
}

/// Returns the lines below the tree.
pub(super) fn ending(trace: &TraceJson, style: &Style) -> String {
    let mut out = String::from("\n");
    for loss in &trace.losses {
        let (first, last) = (time(trace, loss.process_idx, loss.first_ns), time(trace, loss.process_idx, loss.last_ns));
        let much = match loss.n_records {
            0 => "some records".to_owned(),
            records => format!("{}, {}", n(records as usize, "record"), Bytes(loss.bytes)),
        };
        let of = format!("{} thread {}", service(trace, loss.process_idx), loss.tid);
        out += &whole(style, Ink::Bad, &format!("lost  {of}: {much} ({}), {first} to {last}", clean(&loss.reason)));
    }
    for edge in &trace.open_edges {
        let at = time(trace, edge.process_idx, edge.at_ns);
        let span = if edge.span.is_empty() { "no span".to_owned() } else { format!("span {}", clean(&edge.span)) };
        let to = if edge.expected.is_empty() { String::new() } else { format!(" agent {}", clean(&edge.expected)) };
        let text = format!("no answer  {} called{to} at {at} from {span}", service(trace, edge.process_idx));
        out += &whole(style, Ink::Doubt, &text);
    }
    for (idx, process) in trace.processes.iter().enumerate() {
        if let Some(death) = &process.death {
            let at = death.at_ns.map(|at| format!(" at {}", time(trace, idx, at))).unwrap_or_default();
            out += &death_lines(style, process, death, &at);
        }
    }
    if trace.processes.iter().any(|process| process.clock == ClockJson::Ticks) {
        out += &whole(
            style,
            Ink::Doubt,
            "clock  times in `tk` are ticks since their process's first: it was not calibrated",
        );
    }
    out += &malformed(trace, style);
    out + &certificate(trace, style)
}

fn death_lines(style: &Style, process: &ProcessJson, death: &DeathJson, at: &str) -> String {
    let how = match death.signal {
        0 => "without last words: by SIGKILL, or it installs none".to_owned(),
        signal => format!("by {}, address {}", signal_name(signal), clean(&death.address)),
    };
    let serving = if death.in_this_trace { ", serving this trace" } else { "" };
    let name = if process.service.is_empty() { "?".to_owned() } else { clean(&process.service) };
    let mut out = whole(style, Ink::Bad, &format!("died  {name} (pid {}){at} {how}{serving}", process.pid));
    if death.signal != 0 {
        let frames = death.frames.iter().take(style.most(FRAMES_MAX)).map(|frame| clean(frame));
        let frames: Vec<String> = [clean(&death.instruction)].into_iter().chain(frames).collect();
        out += &whole(style, Ink::Dim, &format!("      at {}", frames.join(" < ")));
    }
    out
}

fn malformed(trace: &TraceJson, style: &Style) -> String {
    let counts = &trace.malformed;
    let named = [
        (counts.segments, "segments that are not of this trace"),
        (counts.records, "records that make no sense"),
        (counts.fragments, "unfinished records"),
        (counts.strings, "unknown strings"),
    ];
    let some: Vec<String> = named.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if some.is_empty() { String::new() } else { whole(style, Ink::Doubt, &format!("unread  {}", some.join(", "))) }
}

fn certificate(trace: &TraceJson, style: &Style) -> String {
    let Some(certificate) = &trace.certificate else {
        return whole(style, Ink::Dim, "certificate  none: this is what one agent has");
    };
    let why: Vec<String> = certificate.why.iter().map(|why| clean(why)).collect();
    let (ink, state) = match certificate.state {
        CompletenessJson::Complete => (Ink::Good, "complete"),
        CompletenessJson::Partial => (Ink::Bad, "partial"),
        CompletenessJson::Unknown => (Ink::Doubt, "unknown"),
    };
    let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
    whole(style, ink, &format!("certificate  {state}{why}"))
}

/// Returns a text in as many lines as it takes.
fn whole(style: &Style, ink: Ink, text: &str) -> String {
    let mut out = String::new();
    for (nth, part) in wrap(text, style.room().saturating_sub(HANGING.len())).iter().enumerate() {
        let mut line = Line::new(style);
        line.push(ink, if nth == 0 { "" } else { HANGING });
        line.push(ink, part);
        out += &line.end();
    }
    out
}

fn service(trace: &TraceJson, process_idx: usize) -> String {
    match trace.processes.get(process_idx) {
        Some(process) if !process.service.is_empty() => clean(&process.service),
        _ => "?".to_owned(),
    }
}

fn time(trace: &TraceJson, process_idx: usize, ns: i64) -> String {
    match trace.processes.get(process_idx).map(|process| process.clock) {
        Some(ClockJson::Ticks) => format!("{ns} tk"),
        _ => offset(ns),
    }
}

/// Returns a count with its noun.
fn n(count: usize, noun: &str) -> String {
    let plural = match (count, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {noun}{plural}")
}

/// Returns the name of a fatal signal, with the numbers of Linux on x86-64 and aarch64.
fn signal_name(signal: u32) -> String {
    match signal {
        4 => "SIGILL".to_owned(),
        5 => "SIGTRAP".to_owned(),
        6 => "SIGABRT".to_owned(),
        7 => "SIGBUS".to_owned(),
        8 => "SIGFPE".to_owned(),
        11 => "SIGSEGV".to_owned(),
        31 => "SIGSYS".to_owned(),
        other => format!("signal {other}"),
    }
}
