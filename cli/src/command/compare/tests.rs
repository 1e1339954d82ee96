//! Claims about the page of a comparison: what it says in words, and that nothing that traces say breaks it.

use super::{path, text};
use backsight_core::ids::TraceId;
use backsight_proto::compare_json::{ClockJson, CompareJson, ComparedJson, DeltaJson, RestJson, StepJson};
use expect_test::expect;

fn steps(path: &[(&str, &str)]) -> Vec<StepJson> {
    let step = |(service, operation): &(&str, &str)| StepJson {
        service: (*service).to_owned(),
        operation: (*operation).to_owned(),
    };
    path.iter().map(step).collect()
}

fn side(lo: u64, duration_ns: u64) -> ComparedJson {
    ComparedJson {
        trace: TraceId::new(0xb2b2, lo),
        root_service: "frontend".to_owned(),
        root_operation: "GET /cart".to_owned(),
        duration_ns,
        n_spans: 12,
        clocks: Vec::new(),
    }
}

fn row(change: &str, n: u32, paths: [&[(&str, &str)]; 2], critical_ns: [u64; 2]) -> DeltaJson {
    DeltaJson {
        change: change.to_owned(),
        delta_ns: critical_ns[1].cast_signed() - critical_ns[0].cast_signed(),
        n,
        path_a: steps(paths[0]),
        path_b: steps(paths[1]),
        critical_a_ns: critical_ns[0],
        critical_b_ns: critical_ns[1],
        span_a: String::new(),
        span_b: String::new(),
    }
}

#[test]
fn what_took_longer_comes_first_and_what_is_not_shown_is_summed_up() {
    let get: &[(&str, &str)] = &[("frontend", "GET /cart"), ("cart", "get"), ("redis", "HGET")];
    let price: &[(&str, &str)] = &[("frontend", "GET /cart"), ("price", "\u{1b}[31mquote")];
    let clock = ClockJson { host: "000002a".to_owned(), added_ns: -1_500_000, is_too_far: false, is_doubtful: false };
    let compared = CompareJson {
        a: side(1, 42_000_000),
        b: ComparedJson { clocks: vec![clock], ..side(2, 512_000_000) },
        delta_ns: 470_000_000,
        rows: vec![
            row("same", 1, [get, get], [12_000_000, 413_000_000]),
            row("added", 3, [&[], price], [0, 60_000_000]),
            row("removed", 1, [&get[..2], &[]], [2_000_000, 0]),
        ],
        rest: RestJson { n_rows: 41, delta_ns: 11_000_000 },
    };
    expect![[r#"
        A  000000000000b2b20000000000000001  42.0 ms  frontend GET /cart, 12 spans
        B  000000000000b2b20000000000000002  512 ms  frontend GET /cart, 12 spans
           clock of host 000002a corrected by -1.50 ms

        B - A  +470 ms, 12.19 times

           DELTA  SHARE        A        B  SPANS           PATH
         +401 ms   85 %  12.0 ms   413 ms      1           frontend GET /cart > cart get > redis HGET
        +60.0 ms   13 %        -  60.0 ms      3  added    frontend GET /cart > price  [31mquote
        -2.00 ms    0 %  2.00 ms        -      1  removed  frontend GET /cart > cart get
        +11.0 ms    2 %                                    41 more rows: --limit

        A and B: what the spans of a path contribute to the critical path. The deltas sum to B - A.
    "#]]
    .assert_eq(&text(&compared, None));
}

#[test]
fn equal_traces_are_said_to_be_equal() {
    let (a, b) = (side(1, 42_000_000), side(1, 42_000_000));
    let compared = CompareJson { a, b, delta_ns: 0, rows: Vec::new(), rest: RestJson::default() };
    assert!(text(&compared, Some(80)).contains("the same spans"));
}

#[test]
fn the_end_of_a_path_is_shown_where_there_is_no_room_for_all_of_it() {
    let long = steps(&[("frontend", "GET /cart"), ("cart", "get items of a cart"), ("redis", "HGET")]);
    assert_eq!(path(&long, 100), "frontend GET /cart > cart get items of a cart > redis HGET");
    assert_eq!(path(&long, 44), "… > cart get items of a cart > redis HGET");
    assert_eq!(path(&long, 20), "… > redis HGET");
    assert_eq!(path(&steps(&[("a", &"x".repeat(50))]), 10), "a xxxxxxx…");
    assert_eq!(path(&[], 10), "(above all beginnings)");
}
