//! The command against a small fake agent: what it asks, what it prints, and how it exits.
#![allow(clippy::unwrap_used, reason = "the lint does not see that helpers outside of test functions are tests too")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::JoinHandle;

const TRACE: &str = r#"{"trace":"000000000000000000000000000000ab","start_unix_ns":1700000000000000000,"duration_ns":5000,
    "processes":[{"agent":"000001a","region":1,"pid":42,"service":"cart","clock":"wall"}],
    "spans":[{"span":"0000000000000001","name":"GET /cart","kind":"server","process_idx":0,"service":"cart","tid":1,
    "start_ns":0,"duration_ns":5000,"is_cut":false,"status":"ok","is_started":true}]}"#;

/// What an agent that reports to no collector says of itself.
const STATUS: &str = r#"{"agent":"000001a","version":"0.1.0","uptime_ms":1,"pid":1,
    "pool":{"budget_bytes":0,"populated_bytes":0,"retained_bytes":0,"kept_bytes":0,"index_bytes":0},
    "horizon":{"horizon_ms":null,"predicted_ms":null,"target_ms":10000}}"#;

/// Serves requests with canned answers, one a connection, and returns what the last one asked: request line, then body.
struct FakeAgent {
    _folder: tempfile::TempDir,
    socket: PathBuf,
    asked: JoinHandle<(String, String)>,
}

impl FakeAgent {
    fn answering(status: &'static str, body: &'static str) -> Self {
        Self::answering_all(vec![(status, body)])
    }

    fn answering_all(answers: Vec<(&'static str, &'static str)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = std::thread::Builder::new().name("fake-agent".to_owned());
        let serve = move || {
            let asked: Vec<_> = answers.into_iter().map(|(status, body)| serve(&listener, status, body)).collect();
            asked.last().unwrap().clone()
        };
        Self { _folder: folder, socket, asked: asked.spawn(serve).unwrap() }
    }

    fn asked(self) -> (String, String) {
        self.asked.join().unwrap()
    }
}

fn serve(listener: &UnixListener, status: &str, body: &str) -> (String, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    let mut len = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().unwrap();
        }
    }
    let mut asked = vec![0; len];
    reader.read_exact(&mut asked).unwrap();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    (request.trim().to_owned(), String::from_utf8(asked).unwrap())
}

fn backsight(socket: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backsight"));
    command
        .env("BACKSIGHT_ADMIN", socket)
        .env_remove("NO_COLOR")
        .env_remove("BACKSIGHT_COLLECTOR")
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_trace_is_printed_as_a_tree() {
    let agent = FakeAgent::answering_all(vec![("200 OK", STATUS), ("200 OK", TRACE)]);
    let output = backsight(&agent.socket, &["trace", "get", "ab"]);
    let printed = text(&output.stdout);
    assert!(printed.contains("cart GET /cart  server  ok") && !printed.contains('\x1b'), "{printed}");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(agent.asked().0, "GET /v1/traces/000000000000000000000000000000ab HTTP/1.1");
}

#[test]
fn json_is_printed_as_the_agent_gave_it() {
    let agent = FakeAgent::answering("200 OK", r#"{"target_ms":10000,"later":[1],"horizon_ms":null}"#);
    let output = backsight(&agent.socket, &["--json", "horizon"]);
    let want = "{\n  \"target_ms\": 10000,\n  \"later\": [\n    1\n  ],\n  \"horizon_ms\": null\n}\n";
    assert_eq!(text(&output.stdout), want);
    assert_eq!(agent.asked().0, "GET /v1/horizon HTTP/1.1");
}

/// What an agent says of itself whose collector is down.
const STATUS_COLLECTOR_DOWN: &str = r#"{"agent":"000001a","version":"0.1.0","uptime_ms":1,"pid":1,
    "pool":{"budget_bytes":0,"populated_bytes":0,"retained_bytes":0,"kept_bytes":0,"index_bytes":0},
    "horizon":{"horizon_ms":null,"predicted_ms":null,"target_ms":10000},
    "uplinks":[{"collector":"http://127.0.0.1:1"}]}"#;

const NOT_FOUND: (&str, &str) = ("404 Not Found", r#"{"error":"nothing of this trace is kept or retained here"}"#);
const HORIZON: (&str, &str) = ("200 OK", r#"{"horizon_ms":12000,"predicted_ms":null,"target_ms":10000}"#);
const WHOLE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn what_is_not_there_exits_with_one_and_names_trace_and_place() {
    let agent = FakeAgent::answering_all(vec![("200 OK", STATUS), NOT_FOUND, HORIZON]);
    let output = backsight(&agent.socket, &["trace", "get", WHOLE_ID]);
    let want = format!("backsight: trace {WHOLE_ID}: not retained on this host (it looks back 12.0 s)\n");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), want.as_str()));

    // What looks like the beginning of an id was padded: this is said.
    let agent = FakeAgent::answering_all(vec![NOT_FOUND, HORIZON]);
    let output = backsight(&agent.socket, &["trace", "get", "--local", "4bf92f35"]);
    assert!(text(&output.stderr).contains("padded with zeros"), "{}", text(&output.stderr));
}

#[test]
fn a_collector_that_is_down_leaves_what_this_host_has() {
    let agent = FakeAgent::answering_all(vec![("200 OK", STATUS_COLLECTOR_DOWN), ("200 OK", TRACE)]);
    let output = backsight(&agent.socket, &["trace", "get", "ab"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(text(&output.stdout).contains("cart GET /cart"), "{}", text(&output.stdout));
    assert!(said.contains("no collector at http://127.0.0.1:1") && said.contains("what this host has"), "{said}");

    // Nobody but the agent is asked.
    let agent = FakeAgent::answering("200 OK", TRACE);
    let output = backsight(&agent.socket, &["trace", "get", "--local", "ab"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    assert_eq!(agent.asked().0, "GET /v1/traces/000000000000000000000000000000ab HTTP/1.1");
}

#[test]
fn where_nobody_can_be_asked_both_are_named() {
    let nowhere = Path::new("/nonexistent/admin.sock");
    let said = |args: &[&str]| {
        let output = backsight(nowhere, args);
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr).to_owned()
    };
    let get = said(&["--collector", "http://127.0.0.1:1", "trace", "get", WHOLE_ID]);
    for part in [WHOLE_ID, "no collector at http://127.0.0.1:1", "no agent", "/nonexistent/admin.sock"] {
        assert!(get.contains(part), "no `{part}` in {get}");
    }
    for args in [&["trace", "search"][..], &["trace", "tail"], &["trace", "get", WHOLE_ID]] {
        let text = said(args);
        assert!(text.contains("--collector") && text.contains("BACKSIGHT_COLLECTOR"), "{text}");
    }
}

#[test]
fn several_ids_are_one_json_array_with_what_is_there() {
    let answers = vec![("200 OK", STATUS), ("200 OK", TRACE), NOT_FOUND, HORIZON, ("200 OK", TRACE)];
    let agent = FakeAgent::answering_all(answers);
    let output = backsight(&agent.socket, &["--json", "trace", "get", "ab", "cd", "ab"]);
    let found: serde_json::Value = serde_json::from_str(text(&output.stdout)).unwrap();
    assert_eq!((output.status.code(), found.as_array().map(Vec::len)), (Some(1), Some(2)));
    let answers = vec![("200 OK", STATUS), ("200 OK", TRACE), ("200 OK", TRACE)];
    let agent = FakeAgent::answering_all(answers);
    let output = backsight(&agent.socket, &["trace", "get", "--format", "json", "ab", "ab"]);
    assert_eq!(serde_json::Deserializer::from_str(text(&output.stdout)).into_iter::<serde_json::Value>().count(), 2);
}

#[test]
fn firing_says_what_is_kept_and_refusals_exit_with_one() {
    let args = ["trigger", "fire", "ab", "--trigger", "slow", "--lateral", "cd", "--lateral", "ef"];
    let none = ("200 OK", r#"{"traces":[]}"#);
    let kept = ("200 OK", r#"{"state":"kept","n_segments":3,"bytes":600}"#);
    let agent = FakeAgent::answering_all(vec![none, kept]);
    let output = backsight(&agent.socket, &args);
    assert_eq!(text(&output.stdout), "kept: 3 segments, 600 B on this host, of the trace and 2 laterals\n");
    let (request, body) = agent.asked();
    assert_eq!(request, "POST /v1/triggers/fire HTTP/1.1");
    assert!(body.contains(r#""trigger":"slow""#), "{body}");
    assert!(
        body.contains(r#""laterals":["000000000000000000000000000000cd","000000000000000000000000000000ef"]"#),
        "{body}"
    );

    let evicted = ("200 OK", r#"{"state":"evicted","n_segments":0,"bytes":0}"#);
    let agent = FakeAgent::answering_all(vec![none, evicted]);
    assert_eq!(backsight(&agent.socket, &args).status.code(), Some(1));

    let before = r#"{"traces":[{"trace":"000000000000000000000000000000ab","trigger":"first","fired_unix_ns":0,
        "n_segments":1,"bytes":2,"state":"acked"}]}"#;
    let agent = FakeAgent::answering_all(vec![("200 OK", before), kept]);
    let output = backsight(&agent.socket, &["trigger", "fire", "ab"]);
    let want =
        "kept: 3 segments, 600 B on this host\nalready kept under trigger first since 1970-01-01T00:00:00.000Z\n";
    assert_eq!(text(&output.stdout), want);
}

#[test]
fn a_back_test_is_asked_for_until_it_is_over() {
    let half = ("200 OK", r#"{"test":7,"is_done":false,"progress_share":0.5}"#);
    let done = r#"{"test":7,"when":"duration > 1s","is_done":true,"n_traces":1,"n_matches":2,"n_spans":9,"rate_per_s":5,
        "traces":[{"trace":"000000000000000000000000000000ab","duration_ns":1500000000}]}"#;
    let agent = FakeAgent::answering_all(vec![half, half, ("200 OK", done)]);
    let output = backsight(&agent.socket, &["trigger", "test", "duration > 1s", "--traces", "3"]);
    let printed = text(&output.stdout);
    assert!(printed.starts_with("expression  duration > 1s\n") && printed.contains("1 traces by 2 spans"), "{printed}");
    assert!(printed.ends_with("000000000000000000000000000000ab  1.50 s\n"), "{printed}");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "no terminal, no progress");
    assert_eq!(agent.asked().0, "GET /v1/triggers/test/7 HTTP/1.1");

    let agent = FakeAgent::answering("409 Conflict", r#"{"error":"another back-test is running"}"#);
    let output = backsight(&agent.socket, &["trigger", "test", "status = error"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), "backsight: another back-test is running\n"));
    assert_eq!(agent.asked().1, r#"{"when":"status = error","n_traces":10}"#);
}

#[test]
fn a_trigger_is_set_and_removed() {
    let set = ("200 OK", r#"{"id":4711,"when":"status = error"}"#);
    let agent = FakeAgent::answering_all(vec![set]);
    let output = backsight(&agent.socket, &["trigger", "set", "failing", "status==error"]);
    assert_eq!(text(&output.stdout), "trigger failing fires when status = error, until the agent ends\n");
    let (request, body) = agent.asked();
    assert_eq!(request, "POST /v1/triggers/set HTTP/1.1");
    assert_eq!(body, r#"{"name":"failing","when":"status==error"}"#);
    let agent = FakeAgent::answering("200 OK", r#"{"id":4711,"when":""}"#);
    let output = backsight(&agent.socket, &["trigger", "set", "failing", "--remove"]);
    assert_eq!(text(&output.stdout), "trigger failing fires by no expression any more\n");
    assert_eq!(agent.asked().1, r#"{"name":"failing","when":null}"#);
    // What is no expression is refused before anybody is asked.
    let output = backsight(Path::new("/nonexistent/admin.sock"), &["trigger", "test", "duration > 5 parsecs"]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("column 12: found `5`"), "{said}");
}

#[test]
fn usage_errors_exit_with_two_and_a_missing_agent_with_one() {
    let nowhere = Path::new("/nonexistent/admin.sock");
    for bad in [
        &["trace", "get", "not-hex"][..],
        &["trace", "get", "1", "--json", "--format", "otlp"],
        &["--json", "trace", "get", "1", "--format", "otlp"],
        &["trace", "get", "1", "2", "--format", "perfetto"],
        &["--collector", "localhost:4390", "trace", "search"],
        &["--collector", "https://localhost:4390", "trace", "search"],
        &["trace", "search", "--service", ""],
        &["trace", "search", "--trigger", ""],
        &["trigger", "set", "slow"],
        &["trigger", "set", "slow", "status = error", "--remove"],
        &["trigger", "set", "head", "status = error"],
        &["trigger", "test", "status = eror"],
    ] {
        let output = backsight(nowhere, bad);
        assert_eq!(output.status.code(), Some(2), "{bad:?}: {}", text(&output.stderr));
    }
    // What stands in the environment need not be typed.
    let usage = backsight(nowhere, &["trace", "get"]);
    assert!(!text(&usage.stderr).contains("--agent"), "{}", text(&usage.stderr));
    let output = backsight(nowhere, &["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nonexistent/admin.sock"));
    let doctor = backsight(nowhere, &["doctor"]);
    assert_eq!(doctor.status.code(), Some(1));
    assert!(text(&doctor.stdout).starts_with("missing  agent"), "{}", text(&doctor.stdout));
    let doctor = backsight(nowhere, &["--collector", "http://127.0.0.1:1", "doctor"]);
    assert!(text(&doctor.stdout).contains("missing  collector_url  no collector at http://127.0.0.1:1"));
}
