//! `backsight trigger test`: what an expression would fire for on what this host's agent retains.
//!
//! The agent works on it between its other tasks; this waits, and says meanwhile how far it has come where a person is watching.

use super::super::Asked;
use super::super::horizon;
use crate::output;
use anyhow::Result;
use backsight_core::units::{Bytes, Nanos};
use backsight_proto::admin::{TestReply, TestRequest, route};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

/// How often the agent is asked how far it has come.
const ASK_EVERY: Duration = Duration::from_millis(200);

pub(in super::super) fn test(asked: &Asked<'_>, when: &str, n_traces: u32) -> Result<ExitCode> {
    let request = TestRequest { when: when.to_owned(), n_traces };
    let mut reply = asked.admin.post(route::TEST, &request)?;
    let is_watched = std::io::stderr().is_terminal();
    loop {
        let found: TestReply = reply.parse()?;
        if is_watched {
            progress(&found);
        }
        if found.is_done {
            output::print(&if asked.is_json { reply.pretty()? } else { told(&found) })?;
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(ASK_EVERY);
        reply = asked.admin.get(&route::test(found.test))?;
    }
}

/// Says on one line, which the next call overwrites, how far the agent has come.
fn progress(found: &TestReply) {
    let percent = (found.progress_share * 100.0) as u32;
    let end = if found.is_done { "\x1b[2K\r" } else { "" };
    // Only to please: nothing depends on it.
    let _ = write!(std::io::stderr(), "\r{percent:3} % read, {} traces match{end}", found.n_traces);
}

/// Returns what was found, as people read it.
fn told(found: &TestReply) -> String {
    let mut text = format!("expression  {}\n", found.when);
    let mut line = |title: &str, said: String| text += &format!("{title:<10}  {said}\n");
    let spans = format!("{} spans in {} chunks over {}", found.n_spans, found.n_chunks, horizon::time(found.window_ms));
    let gone = match found.n_chunks_evicted {
        0 => String::new(),
        n => format!("; {n} chunks were overwritten before they could be read"),
    };
    line("looked at", spans + &gone);
    let beyond = match found.n_beyond {
        0 => String::new(),
        n => format!("; {n} spans of further traces"),
    };
    line("matches", format!("{} traces by {} spans{beyond}", found.n_traces, found.n_matches));
    line("fires", per_s(found.fires_per_s, |n| format!("{n:.3}/s")));
    let kept = format!("{}, {}", Bytes(found.bytes), per_s(found.bytes_per_s, |n| format!("{}/s", Bytes(n as u64))));
    line("keeping", kept);
    line(
        "complete",
        found.complete_share.map_or("-".to_owned(), |share| format!("{:.1} % on this host", share * 100.0)),
    );
    line("refused", format!("{} of {} by the limit of {}/s", found.n_refused, found.n_traces, found.rate_per_s));
    for matched in &found.traces {
        text += &format!("{}  {}\n", matched.trace, Nanos(matched.duration_ns));
    }
    text
}

fn per_s(rate: Option<f64>, show: impl Fn(f64) -> String) -> String {
    rate.map_or_else(|| "- (too short a time to tell a rate)".to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::told;
    use backsight_core::ids::TraceId;
    use backsight_proto::admin::{MatchedTrace, TestReply};

    #[test]
    fn what_was_found_is_told_line_by_line() {
        let found = TestReply {
            when: "duration > 250ms".into(),
            is_done: true,
            window_ms: 20_000,
            n_chunks: 7,
            n_chunks_evicted: 2,
            n_spans: 4000,
            n_matches: 12,
            n_traces: 10,
            fires_per_s: Some(0.5),
            bytes: 20_480,
            bytes_per_s: Some(1024.0),
            complete_share: Some(0.9),
            rate_per_s: 10_000,
            traces: vec![MatchedTrace { trace: TraceId::new(0, 0xab), duration_ns: 300_000_000 }],
            ..TestReply::default()
        };
        let expected = "\
expression  duration > 250ms
looked at   4000 spans in 7 chunks over 20.0 s; 2 chunks were overwritten before they could be read
matches     10 traces by 12 spans
fires       0.500/s
keeping     20 KiB, 1 KiB/s
complete    90.0 % on this host
refused     0 of 10 by the limit of 10000/s
000000000000000000000000000000ab  300 ms
";
        assert_eq!(told(&found), expected);
        assert!(told(&TestReply::default()).contains("too short a time"));
    }
}
