//! Claims about the report: what the command line of Backsight and the sink print is read, and every edge case is counted once.

use super::verdict::Claim;
use super::{LISTED_MAX, kept, report, stored};
use crate::truth::{Request, Truth, Visits};
use proptest::prelude::*;

/// Returns the truth of `n` edge cases with ids from 1, each with one visit at `front` and two at `back`.
fn truth(n: u128) -> Truth {
    let once = Visits { intended: 1, done: 1 };
    let visits = [("front".to_owned(), once), ("back".to_owned(), Visits { intended: 2, done: 2 })];
    let request = Request { visits: visits.into(), ..Request::default() };
    Truth { edge_cases: (1..=n).map(|trace| (trace, request.clone())).collect(), ..Truth::default() }
}

/// Returns a trace as `backsight trace get --format json` prints it, as far as it matters here, and some of what does not.
fn printed(trace: u128, spans: &[(&str, &str)], certificate: &str) -> String {
    let span = |(kind, name): &(&str, &str)| {
        format!(
            r#"{{"span": "00000000000000aa", "name": "{name}", "kind": "{kind}", "process_idx": 0, "service": "shared-1",
                "tid": 7, "start_ns": 1, "is_cut": false, "status": "error", "is_started": true,
                "attributes": [{{"key": "x", "value": {{"i64": 1}}}}]}}"#
        )
    };
    let spans = spans.iter().map(span).collect::<Vec<_>>().join(", ");
    format!(
        r#"{{"trace": "{trace:032x}", "start_unix_ns": 1, "duration_ns": 5, "processes": [], "spans": [{spans}],
            "visits": [], "malformed": {{"segments": 0, "records": 0, "fragments": 0, "strings": 0}}{certificate}}}"#
    )
}

const WHOLE: [(&str, &str); 5] = [
    ("server", "front/home"),
    ("client", "back/get"),
    ("server", "back/get"),
    ("client", "back/get"),
    ("server", "back/list"),
];
const COMPLETE: &str = r#", "certificate": {"state": "complete", "why": [], "agents": []}"#;
const PARTIAL: &str = r#", "certificate": {"state": "partial", "why": ["evicted: gone"], "agents": []}"#;

#[test]
fn every_edge_case_is_counted_once_and_other_traces_not_at_all() {
    let mut truth = truth(5);
    for cut in [2, 3] {
        truth.edge_cases.get_mut(&cut).unwrap().is_cut = true;
    }
    truth.n_unreached = 7;
    let text = [
        printed(1, &WHOLE[..2], PARTIAL), // asked for again below: the last answer counts
        printed(1, &WHOLE, COMPLETE),
        printed(2, &WHOLE, COMPLETE),
        printed(3, &WHOLE[..3], COMPLETE),
        printed(4, &WHOLE, PARTIAL),
        printed(99, &WHOLE, COMPLETE),
    ]
    .join("\n");
    let report = report(&truth, &stored::read(text.as_bytes(), &truth).unwrap());
    assert_eq!((report.edge_cases, report.whole, report.share, report.unreached), (5, 2, 0.4, 7));
    assert_eq!((report.cut_by_kill, report.cut_whole, report.cut_shown), (2, 1, 1));
    assert_eq!((report.false_complete, report.n_missed), (1, 3));
    let missed: Vec<_> =
        report.missed.iter().map(|missed| (missed.why.as_str(), missed.certificate_explains)).collect();
    assert_eq!(
        missed,
        [
            ("back: 1 stored of 2 visits that were done", false),
            ("partial: evicted: gone", true),
            ("it is not stored", false),
        ]
    );
    assert_eq!(report.missed[2].trace, format!("{:032x}", 5));
}

#[test]
fn a_trace_without_a_certificate_says_so() {
    let truth = truth(1);
    let read = stored::read(printed(1, &WHOLE, "").as_bytes(), &truth).unwrap();
    assert_eq!(read[&1].claim, Claim::Uncertified { is_lossy: false });
    let losses = r#", "losses": [{"process_idx": 0, "tid": 1, "reason": "unknown", "n_records": 1, "bytes": 8, "first_ns": 1, "last_ns": 2}]"#;
    let read = stored::read(printed(1, &WHOLE, losses).as_bytes(), &truth).unwrap();
    assert_eq!(read[&1].claim, Claim::Uncertified { is_lossy: true });
}

#[test]
fn lines_of_one_trace_add_up() {
    let truth = truth(2);
    let lines = format!(
        "{}\n{}\n{}\n{}\n",
        r#"{"trace":"00000000000000000000000000000001","spans":{"front":1,"back":1}}"#,
        r#"{"trace":"00000000000000000000000000000002","spans":{"front":1,"back":1}}"#,
        r#"{"trace":"00000000000000000000000000000001","spans":{"back":1}}"#,
        r#"{"trace":"00000000000000000000000000000009","spans":{"back":1}}"#,
    );
    let report = report(&truth, &kept::read(lines.as_bytes(), &truth).unwrap());
    assert_eq!((report.whole, report.n_missed, report.false_complete), (1, 1, 0));
}

#[test]
fn at_most_so_many_are_listed_and_all_are_counted() {
    let report = report(&truth(250), &std::collections::BTreeMap::new());
    assert_eq!((report.missed.len(), report.n_missed), (LISTED_MAX, 250));
}

#[test]
fn nothing_to_capture_is_all_captured() {
    assert_eq!(report(&truth(0), &std::collections::BTreeMap::new()).share, 1.0);
}

#[test]
fn what_is_not_a_trace_is_an_error_that_says_which() {
    let truth = truth(1);
    let good = printed(1, &WHOLE, COMPLETE);
    let errors = [
        format!("{good} {{\"trace\": \"12\", \"spans\": []}}"),
        format!("{good} {{\"trace\": \"0000000000000000000000000000000g\"}}"),
        format!("{good} {}", &good[..good.len() - 2]),
        format!("{good} []"),
    ];
    for text in errors {
        let error = stored::read(text.as_bytes(), &truth).unwrap_err();
        assert!(format!("{error:#}").starts_with("trace 1: "), "{error:#}");
    }
    let error = kept::read(&b"{\"trace\":\"1\",\"spans\":{}}\n"[..], &truth).unwrap_err();
    assert!(format!("{error:#}").starts_with("line 1: "), "{error:#}");
}

proptest! {
    /// For any bytes: they are read or refused, and nothing panics.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100), text in "[{}\\[\\]\":,a-f0-9 tracespn\n]{0,80}") {
        let truth = truth(1);
        for bytes in [&bytes[..], text.as_bytes()] {
            let _ = (stored::read(bytes, &truth), kept::read(bytes, &truth));
        }
    }
}
