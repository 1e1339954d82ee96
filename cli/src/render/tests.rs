//! Snapshots of traces, and claims for any of them: no line over the width, no control characters, every node once.

use super::{Colour, Style, render};
use backsight_core::ids::TraceId;
use backsight_proto::trace_json::{
    AttributeJson, CertificateJson, ClockJson, CompletenessJson, DeathJson, EventJson, FiringJson, LossJson, NotesJson,
    OpenEdgeJson, PayloadJson, PlaceJson, ProcessJson, SpanJson, TraceJson, ValueJson, VisitJson,
};
use expect_test::expect;
use unicode_width::UnicodeWidthStr;

const PLAIN: Style = Style { width: Some(110), colour: Colour::Never };

fn place(process_idx: usize, service: &str, start_us: i64, us: Option<u64>) -> PlaceJson {
    PlaceJson {
        process_idx,
        service: service.to_owned(),
        tid: 7,
        start_ns: start_us * 1000,
        duration_ns: us.map(|us| us * 1000),
        is_cut: us.is_none(),
    }
}

fn span(id: &str, parent: &str, name: &str, at: PlaceJson) -> SpanJson {
    SpanJson {
        span: id.to_owned(),
        parent: parent.to_owned(),
        name: name.to_owned(),
        kind: "server".to_owned(),
        at,
        status: "unset".to_owned(),
        is_started: true,
        ..SpanJson::default()
    }
}

fn process(service: &str) -> ProcessJson {
    ProcessJson { pid: 42, service: service.to_owned(), ..ProcessJson::default() }
}

fn payload(text: Option<&str>, hex: Option<&str>) -> PayloadJson {
    let own = |text: &str| text.to_owned();
    PayloadJson { at_ns: 22_000_000, len: 5, text: text.map(own), hex: hex.map(own), ..PayloadJson::default() }
}

fn cli() -> FiringJson {
    let (trigger, trigger_id) = ("cli".to_owned(), "0x4".to_owned());
    FiringJson { process_idx: 0, trigger, trigger_id, n_laterals: 2, at_ns: 60_000_000 }
}

/// A checkout whose stock service dies while it serves.
fn checkout() -> TraceJson {
    let mut add = span("b", "a", "AddItem", place(1, "cart", 1200, Some(20_000)));
    add.status = "error".to_owned();
    add.status_text = "no stock".to_owned();
    add.notes = NotesJson {
        attributes: vec![
            AttributeJson { key: "http.status".to_owned(), value: ValueJson::I64(503) },
            AttributeJson { key: "sku".to_owned(), value: ValueJson::Str("two words".to_owned()) },
        ],
        events: vec![EventJson {
            at_ns: 3_000_000,
            name: "cache miss".to_owned(),
            message: "key 7".to_owned(),
            attributes: vec![],
        }],
        payloads: vec![],
    };
    let visit = VisitJson {
        parent: "a".to_owned(),
        at: place(0, "front", 21_500, Some(900)),
        notes: NotesJson {
            payloads: vec![payload(Some("hello"), None), payload(None, Some("ff00aa"))],
            ..NotesJson::default()
        },
        calls: Vec::new(),
    };
    let death = DeathJson {
        at_ns: Some(9_000_000),
        signal: 11,
        address: "0x0".to_owned(),
        instruction: "0x55d0".to_owned(),
        in_this_trace: true,
        frames: vec!["0x55e0".to_owned()],
    };
    TraceJson {
        trace: TraceId::new(0xa1, 0xb2),
        start_unix_ns: 1_700_000_000_000_000_000,
        duration_ns: 60_000_000,
        processes: vec![process("front"), process("cart"), ProcessJson { death: Some(death), ..process("stock") }],
        spans: vec![
            span("a", "", "GET /checkout", place(0, "front", 0, Some(60_000))),
            add,
            span("c", "b", "Reserve", place(2, "stock", 4000, None)),
            span("d", "zz", "Audit", place(1, "cart", 30_000, Some(10))),
        ],
        visits: vec![visit],
        fired: vec![cli()],
        losses: vec![LossJson {
            process_idx: 1,
            tid: 9,
            reason: "no_chunk".to_owned(),
            n_records: 12,
            bytes: 480,
            first_ns: 0,
            last_ns: 5000,
        }],
        open_edges: vec![OpenEdgeJson {
            process_idx: 1,
            span: "b".to_owned(),
            expected: "0000051".to_owned(),
            at_ns: 3_900_000,
        }],
        certificate: Some(CertificateJson {
            state: CompletenessJson::Partial,
            why: vec!["no_answer from stock".to_owned()],
            agents: Vec::new(),
        }),
        ..TraceJson::default()
    }
}

#[test]
fn a_checkout_that_died_reads_from_top_to_bottom() {
    expect![[r#"
        trace 00000000000000a100000000000000b2  2023-11-14T22:13:20.000Z  60.0 ms  4 spans, 1 visit, 3 processes
        fired cli in front at 60.0 ms with 2 laterals

            START    LENGTH                      SPAN
             0 ns   60.0 ms  ██████████████████  front GET /checkout  server
          1.20 ms   20.0 ms  ██████              ├ cart AddItem  server
                                                  │ │   error: no stock
                                                  │ │   http.status=503 sku="two words"
          3.00 ms                                 │ │   • cache miss: key 7
          4.00 ms       cut   ░░                 │ └ stock Reserve  server
          21.5 ms    900 us        █             └ front visit of thread 7
          22.0 ms                                       ▪ payload (5 B) "hello"
          22.0 ms                                       ▪ payload (5 B) 0xff00aa
          30.0 ms   10.0 us           █          cart Audit  server  (its parent zz is not here)

        lost  cart thread 9: 12 records, 480 B (no_chunk), 0 ns to 5.00 us
        no answer  cart called agent 0000051 at 3.90 ms from span b
        died  stock (pid 42) at 9.00 ms by SIGSEGV, address 0x0, serving this trace
              at 0x55d0 < 0x55e0
        certificate  partial: no_answer from stock
    "#]]
    .assert_eq(&render(&checkout(), &PLAIN));
}

/// Who calls without an open span gives each call an id, which its callee names as its parent.
#[test]
fn a_callee_of_a_visit_stands_below_it() {
    let visit = |parent: &str, at, calls: &[&str]| VisitJson {
        parent: parent.to_owned(),
        at,
        calls: calls.iter().map(|call| (*call).to_owned()).collect(),
        ..VisitJson::default()
    };
    let trace = TraceJson {
        trace: TraceId::new(0, 1),
        processes: vec![process("edge"), process("store")],
        visits: vec![
            visit("", place(0, "edge", 0, Some(9000)), &["50", "51"]),
            visit("51", place(1, "store", 5000, Some(1000)), &[]),
        ],
        spans: vec![span("1", "50", "put", place(1, "store", 2000, Some(1000)))],
        ..TraceJson::default()
    };
    let tree: Vec<_> = super::tree::tree(&trace).iter().map(|placed| (placed.depth, placed.is_orphan)).collect();
    assert_eq!(tree, [(0, false), (1, false), (1, false)]);
}

#[test]
fn a_trace_of_visits_only_and_without_a_clock_is_readable() {
    let trace = TraceJson {
        trace: TraceId::new(0, 1),
        processes: vec![ProcessJson { clock: ClockJson::Ticks, ..process("legacy") }],
        visits: vec![VisitJson {
            at: PlaceJson { is_cut: false, ..place(0, "legacy", 0, None) },
            notes: NotesJson { payloads: vec![payload(Some("GET\r\n"), None)], ..NotesJson::default() },
            ..VisitJson::default()
        }],
        ..TraceJson::default()
    };
    expect![[r#"
        trace 00000000000000000000000000000001  0 spans, 1 visit, 1 process

            START    LENGTH                 SPAN
             0 tk      open                 legacy visit of thread 7
        22000000 tk                                ▪ payload (5 B) "GET  "

        clock  times in `tk` are ticks since their process's first: it was not
              calibrated
        certificate  none: this is what one agent has
    "#]]
    .assert_eq(&render(&trace, &Style { width: Some(80), ..PLAIN }));
}

#[test]
fn lines_fit_any_width_and_colour_adds_nothing_but_colour() {
    for width in [0, 40, 57, 200] {
        let plain = render(&checkout(), &Style { width: Some(width), colour: Colour::Never });
        assert!(plain.lines().all(|line| line.width() <= width.max(Style::WIDTH_MIN)), "{plain}");
        let coloured = render(&checkout(), &Style { width: Some(width), colour: Colour::Always });
        let mut stripped = coloured.clone();
        for code in ["0", "1", "2", "31", "32", "33"] {
            stripped = stripped.replace(&format!("\x1b[{code}m"), "");
        }
        let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(trimmed(&stripped), trimmed(&plain));
        assert_ne!(coloured, plain);
    }
}

/// At any width all of what was recorded is there, however long: texts are wrapped, never cut; without a width each is in one line.
#[test]
fn error_texts_and_attributes_are_never_cut() {
    let words: Vec<String> = (0..30).map(|i| format!("word{i:02}")).collect();
    let mut trace = checkout();
    trace.spans[1].status_text = words.join(" ");
    trace.spans[1].notes.attributes = words
        .iter()
        .map(|word| AttributeJson { key: format!("k.{word}"), value: ValueJson::Str(format!("v.{word}")) })
        .collect();
    for width in [40, 80, 200] {
        let text = render(&trace, &Style { width: Some(width), colour: Colour::Never });
        for word in &words {
            assert!(text.contains(word) && text.contains(&format!("k.{word}=v.{word}")), "{width}: {word}\n{text}");
        }
        assert!(text.lines().all(|line| line.width() <= width), "{text}");
    }
    let long = "x".repeat(5000);
    trace.spans[1].notes.attributes = vec![AttributeJson { key: "k".to_owned(), value: ValueJson::Str(long.clone()) }];
    let text = render(&trace, &Style::FILE);
    assert!(text.contains(&format!("error: {}", words.join(" "))) && text.contains(&long) && !text.contains('…'));
}

#[test]
fn circles_long_chains_and_escapes_are_shown_once_and_harmless() {
    let name = "\x1b]0;owned\x07";
    let mut spans =
        vec![span("a", "b", name, place(0, "x", 0, Some(1))), span("b", "a", name, place(0, "x", 0, Some(1)))];
    spans
        .extend((0..20_000).map(|i| span(&format!("n{i}"), &format!("n{}", i - 1), "deep", place(0, "x", i, Some(1)))));
    let trace = TraceJson { processes: vec![process("x")], spans, ..TraceJson::default() };
    let text = render(&trace, &PLAIN);
    assert!(!text.contains('\x1b') && !text.contains('\x07'));
    assert_eq!((text.matches("owned").count(), text.matches("deep").count()), (2, 20_000));
}
