//! Claims about expressions: what is printed is read again as the same, any text ends in an expression or an error with its column, and
//! conditions mean what their words say.

use super::{
    AttributeOf, AttributeTest, Condition, DEPTH_MAX, Equality, Expr, Matcher, Number, Order, ParseError, Percentile,
    QUANTILE_NAMES_MAX, Quantiles, RATE_MAX, Rate, SpanView, TESTS_MAX, Test, TextField, TextOp, Verdict, Wanted,
    Window, parse,
};
use crate::record::{SpanKind, StatusCode};
use crate::trace::{Attribute, AttributeValue, Event};
use crate::units::Nanos;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

fn any_order() -> impl Strategy<Value = Order> {
    prop::sample::select(vec![Order::Below, Order::AtMost, Order::AtLeast, Order::Above])
}

fn any_equality() -> impl Strategy<Value = Equality> {
    prop::sample::select(vec![Equality::Is, Equality::IsNot])
}

fn any_text_op() -> impl Strategy<Value = TextOp> {
    prop::sample::select(vec![TextOp::Is, TextOp::IsNot, TextOp::Contains, TextOp::StartsWith, TextOp::EndsWith])
}

fn any_number() -> impl Strategy<Value = Number> {
    let real = any::<f64>().prop_filter("expressions have no infinity", |real| real.is_finite());
    prop_oneof![any::<i64>().prop_map(Number::Whole), real.prop_map(Number::Real)]
}

fn any_attribute_test() -> impl Strategy<Value = AttributeTest> {
    prop_oneof![
        Just(AttributeTest::IsSet),
        (any_text_op(), any::<String>()).prop_map(|(op, text)| AttributeTest::Text(op, short(&text).into())),
        (any_equality(), any::<bool>()).prop_map(|(equality, flag)| AttributeTest::Flag(equality, flag)),
        (any_equality(), any_number()).prop_map(|(equality, number)| AttributeTest::Number(equality, number)),
        (any_order(), any_number()).prop_map(|(order, number)| AttributeTest::Ordered(order, number)),
    ]
}

/// Returns as much of a text as an expression may hold.
fn short(text: &str) -> String {
    text.chars().take(super::TEXT_MAX_BYTES / 4).collect()
}

fn any_test() -> impl Strategy<Value = Test> {
    let fields = vec![TextField::Name, TextField::Service, TextField::StatusMessage, TextField::Event];
    let kinds = vec![SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];
    let states = vec![StatusCode::Unset, StatusCode::Ok, StatusCode::Error];
    let percentile = (50_000_u32..=99_999).prop_map(|thousandths| Percentile::new(thousandths).unwrap());
    let tail = prop::sample::select(vec![Order::AtLeast, Order::Above]);
    let of = prop::sample::select(vec![AttributeOf::Span, AttributeOf::Event]);
    prop_oneof![
        (prop::sample::select(fields), any_text_op(), any::<String>()).prop_map(|(field, op, text)| Test::Text {
            field,
            op,
            text: short(&text).into()
        }),
        (any_equality(), prop::sample::select(kinds)).prop_map(|(equality, kind)| Test::Kind(equality, kind)),
        (any_equality(), prop::sample::select(states)).prop_map(|(equality, status)| Test::Status(equality, status)),
        (any_order(), any::<u64>()).prop_map(|(order, ns)| Test::Duration(order, Nanos(ns))),
        (tail, percentile).prop_map(|(order, percentile)| Test::Percentile(order, percentile)),
        (of, any::<String>(), any_attribute_test()).prop_map(|(of, key, test)| Test::Attribute {
            of,
            key: short(&key).into(),
            test
        }),
    ]
}

fn any_condition() -> impl Strategy<Value = Condition> {
    any_test().prop_map(Condition::Test).prop_recursive(4, 12, 3, |inner| {
        let some = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.prop_map(|inner| Condition::Not(Box::new(inner))),
            some.clone().prop_map(Condition::And),
            some.prop_map(Condition::Or),
        ]
    })
}

fn any_rate() -> impl Strategy<Value = Rate> {
    let per = prop::sample::select(vec![Window::Second, Window::Minute, Window::Hour]);
    (any::<bool>(), 1..=RATE_MAX, per).prop_map(|(is_inclusive, n, per)| Rate { is_inclusive, n, per })
}

proptest! {
    /// For every expression: its text is read as the same expression, and prints as the same text.
    #[test]
    fn what_is_printed_is_read_as_the_same(condition in any_condition(), rate in prop::option::of(any_rate())) {
        let expr = Expr { condition, rate };
        let text = expr.to_string();
        match parse(&text) {
            Ok(read) => {
                prop_assert_eq!(&read, &expr, "{}", text);
                prop_assert_eq!(read.to_string(), text);
            }
            // Long texts may add up to more than an expression may have.
            Err(ParseError::TooMuch { .. }) => prop_assert!(text.len() > super::EXPR_MAX_BYTES, "{}", text),
            Err(error) => prop_assert!(false, "{}: {}", text, error),
        }
    }

    /// For every text: an expression, or an error whose column lies in the text or just behind it.
    #[test]
    fn any_text_ends_in_an_expression_or_an_error_with_its_column(
        text in prop_oneof![
            any::<String>(),
            "(name|duration|status|kind|attr|event_attr|rate|not|and|or|p99|250ms|error|[\"()=<>!/&|0-9.a-z\\\\ ]){0,12}",
        ],
    ) {
        match parse(&text) {
            Ok(expr) => prop_assert_eq!(parse(&expr.to_string()), Ok(expr)),
            Err(ParseError::Unexpected { column, .. } | ParseError::TooMuch { column, .. }) => {
                prop_assert!((1..=text.chars().count() + 1).contains(&column), "{}: {}", text, column);
            }
        }
    }

    /// For every condition and span: its negation says the opposite.
    #[test]
    fn a_negation_says_the_opposite(condition in any_condition(), ns in any::<u64>(), status in 0_u32..3) {
        let span = SpanView { duration: Nanos(ns), status: StatusCode::from_code(status), ..span() };
        let holds = condition.holds(&span, &|_| None);
        prop_assert_eq!(Condition::Not(Box::new(condition)).holds(&span, &|_| None), !holds);
    }

    /// For every share and durations in any order: once a percentile is known, about that share of them lies above it.
    #[test]
    fn a_percentile_lies_where_it_should(seed in any::<u64>(), thousandths in prop::sample::select(vec![50_000, 90_000, 99_000])) {
        let percentile = Percentile::new(thousandths).unwrap();
        let mut quantiles = Quantiles::new([percentile]);
        let mut state = seed | 1;
        let mut durations = Vec::new();
        for _ in 0..4000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            durations.push(1_000_000 + (state >> 40));
            quantiles.learn("shop", "pay", Nanos(1_000_000 + (state >> 40)));
        }
        let bound = quantiles.get("shop", "pay", percentile).unwrap();
        let above = durations.iter().filter(|ns| **ns > bound.0).count() as f64 / 4000.0;
        prop_assert!((above - percentile.tail_share()).abs() < 0.05, "{above}");
        prop_assert_eq!(quantiles.get("shop", "other", percentile), None);
    }
}

#[track_caller]
fn read(text: &str) -> Expr {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_people_write_is_read_and_printed_in_one_form() {
    for (written, printed) in [
        ("duration > 250ms", "duration > 250ms"),
        ("duration>=1.5s", "duration >= 1500ms"),
        ("duration > 0.25ms and duration < 2m", "duration > 250us and duration < 2m"),
        ("duration > p99.90", "duration > p99.9"),
        ("status == error && kind = server", "status = error and kind = server"),
        ("!(name = \"a\") || name = \"b\"", "not name = \"a\" or name = \"b\""),
        ("not (name = \"a\" or name = \"b\")", "not (name = \"a\" or name = \"b\")"),
        ("(status = error)", "status = error"),
        ("name = \"a\" and (name = \"b\" or status=ok)", "name = \"a\" and (name = \"b\" or status = ok)"),
        ("attr(\"http.status_code\") >= 500", "attr(\"http.status_code\") >= 500"),
        ("attr(\"cache.hit\") = false", "attr(\"cache.hit\") = false"),
        ("attr(\"user\") and attr(\"load\") > 1e3", "attr(\"user\") and attr(\"load\") > 1000.0"),
        ("event_attr(\"exception.type\") ends_with \"Error\"", "event_attr(\"exception.type\") ends_with \"Error\""),
        ("name contains \"\\u{1f50d}\\\"\"", "name contains \"\u{1f50d}\\\"\""),
        ("status = error rate > 5/s", "status = error rate > 5/s"),
        ("event = \"retry\" or status = error rate >= 100/m", "event = \"retry\" or status = error rate >= 100/m"),
    ] {
        let expr = read(written);
        assert_eq!(expr.to_string(), printed);
        assert_eq!(read(printed), expr);
    }
}

#[test]
fn errors_say_where_what_was_found_and_what_would_do() {
    for (text, column, found, expected) in [
        ("", 1, "the end", "a field ("),
        ("nme = \"x\"", 1, "`nme`", "a field (name, service,"),
        ("name = checkout", 8, "`checkout`", "a text in double quotes"),
        ("name > \"x\"", 6, "`>`", "=, !=, contains"),
        ("name = \"x", 10, "the end", "a closing \""),
        ("name = \"\\x\"", 9, "`\\x`", "an escape ("),
        ("duration > 5", 12, "`5`", "a duration with a unit"),
        ("duration > 5 parsecs", 12, "`5`", "a duration with a unit"),
        ("duration > 5parsecs", 12, "`5parsecs`", "a duration with a unit"),
        ("duration > 9000000h", 12, "`9000000h`", "a duration with a unit"),
        ("duration < p99", 10, "`<`", "> or >= before a percentile"),
        ("duration > p100", 12, "`p100`", "a percentile from p50"),
        ("duration > p10", 12, "`p10`", "a percentile from p50"),
        ("duration = 5ms", 10, "`=`", "<, <=, > or >="),
        ("status = 500", 10, "`500`", "a status (error"),
        ("kind = \"server\"", 8, "the text \"server\"", "a kind of span"),
        ("attr(http) = 1", 6, "`http`", "a text in double quotes"),
        ("attr(\"a\") > \"x\"", 13, "the text \"x\"", "a number"),
        ("attr(\"a\") = yes", 13, "`yes`", "a text in double quotes, a number, true or false"),
        ("attr(\"a\") = 1e999", 13, "`1e999`", "a text in double quotes, a number"),
        ("(status = error", 16, "the end", "`and`, `or` or a closing parenthesis"),
        ("status = error status = ok", 16, "`status`", "`and`, `or`, `rate` or the end"),
        ("status = error rate < 5/s", 21, "`<`", "> or >="),
        ("status = error rate > 0/s", 23, "`0`", "a whole number from 1"),
        ("status = error rate > 5/d", 25, "`d`", "a unit (s, m or h)"),
        ("status = error rate > 5/s and status = ok", 27, "`and`", "the end"),
        ("größe = 1", 3, "'ö'", "a field, a value"),
        ("name = \"größe\" ;", 16, "';'", "a field, a value"),
    ] {
        let error = parse(text).unwrap_err();
        let ParseError::Unexpected { column: at, found: what, expected: wanted } = &error else { panic!("{error}") };
        assert_eq!((*at, what.as_str()), (column, found), "{text}: {error}");
        assert!(wanted.starts_with(expected), "{text}: {error}");
    }
    let error = parse("duration > 5 parsecs").unwrap_err().to_string();
    let said = "column 12: found `5`, expected a duration with a unit (ns, us, ms, s, m or h) of at most 584 years";
    assert_eq!(error, said);
}

#[test]
fn what_is_too_large_is_refused() {
    let nested = |depth| format!("{}status = error{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(DEPTH_MAX)).is_ok());
    let too_deep = parse(&nested(DEPTH_MAX + 1)).unwrap_err();
    assert!(matches!(too_deep, ParseError::TooMuch { column: 33, .. }), "{too_deep}");
    assert!(parse(&format!("{}status = error", "not ".repeat(DEPTH_MAX + 1))).is_err());
    let many = |n| vec!["status = ok"; n].join(" or ");
    assert!(parse(&many(TESTS_MAX)).is_ok());
    assert!(matches!(parse(&many(TESTS_MAX + 1)), Err(ParseError::TooMuch { max: TESTS_MAX, .. })));
    assert!(parse(&format!("name = \"{}\"", "x".repeat(257))).is_err());
    assert!(parse(&" ".repeat(5000)).is_err());
}

fn span() -> SpanView<'static> {
    SpanView {
        name: "GET /cart",
        service: "shop",
        kind: SpanKind::Server,
        duration: Nanos::from_ms(300),
        status: StatusCode::Error,
        status_message: "no stock",
        attributes: &[],
        events: &[],
    }
}

#[test]
fn conditions_mean_what_their_words_say() {
    let attribute = |key: &str, value| Attribute { key: key.into(), value };
    let attributes = [
        attribute("code", AttributeValue::I64(503)),
        attribute("load", AttributeValue::F64(0.5)),
        attribute("hit", AttributeValue::Bool(false)),
        attribute("route", AttributeValue::Str("/cart/{id}".into())),
    ];
    let event = |name: &str, attributes: &[Attribute]| Event {
        at_ns: 0,
        name: name.into(),
        message: "".into(),
        attributes: attributes.to_vec(),
    };
    let of_type = attribute("exception.type", AttributeValue::Str("StockError".into()));
    let events = [event("retry", &[]), event("exception", &[of_type])];
    let span = SpanView { attributes: &attributes, events: &events, ..span() };
    for (text, expected) in [
        ("name = \"GET /cart\"", true),
        ("name != \"GET /cart\"", false),
        ("name starts_with \"GET \" and name ends_with \"cart\" and name contains \"/\"", true),
        ("service = \"shop\" and kind = server and status = error", true),
        ("status_message contains \"stock\"", true),
        ("kind != client", true),
        ("duration > 250ms", true),
        ("duration >= 300ms and duration <= 300ms", true),
        ("duration > 300ms or duration < 300ms", false),
        ("duration > p99", false),
        ("attr(\"code\") >= 500 and attr(\"code\") < 600", true),
        ("attr(\"code\") = 503.0", true),
        ("attr(\"code\") = \"503\"", false),
        ("attr(\"code\") != \"503\"", true),
        ("attr(\"load\") < 1", true),
        ("attr(\"hit\") = false", true),
        ("attr(\"hit\") != true", true),
        ("attr(\"route\") starts_with \"/cart\"", true),
        ("attr(\"route\")", true),
        ("not attr(\"missing\")", true),
        ("attr(\"missing\") != 1", true),
        ("attr(\"missing\") > 1 or attr(\"missing\") <= 1", false),
        ("event = \"retry\" and event = \"exception\"", true),
        ("event != \"retry\"", false),
        ("event_attr(\"exception.type\") = \"StockError\"", true),
        ("event_attr(\"exception.type\") != \"StockError\"", false),
        ("event_attr(\"exception.type\") != \"Other\"", true),
        ("event_attr(\"exception.type\")", true),
    ] {
        assert_eq!(read(text).condition.holds(&span, &|_| None), expected, "{text}");
    }
    let above = read("duration > p99").condition;
    assert!(above.holds(&span, &|_| Some(Nanos::from_ms(299))) && !above.holds(&span, &|_| Some(Nanos::from_ms(300))));
}

#[test]
fn what_conditions_look_at_is_known() {
    let mut wanted = Wanted::default();
    wanted.add(&read("attr(\"a\") = 1 and not (attr(\"b\") or name = \"x\")").condition);
    assert!(!wanted.has_events && wanted.event_attributes.is_empty());
    wanted.add(&read("event_attr(\"c\") = 1").condition);
    let keys: Vec<_> = wanted.attributes.iter().map(|key| &**key).collect();
    assert_eq!((keys, wanted.event_attributes.len(), wanted.has_events), (vec!["a", "b"], 1, true));
}

#[test]
fn a_percentile_is_learnt_by_service_and_name_and_names_are_bounded() {
    let mut matcher = Matcher::new(read("duration > p90"));
    let taken = |matcher: &mut Matcher, service, ms| {
        matcher.take(&SpanView { service, duration: Nanos::from_ms(ms), ..span() }, Nanos(0))
    };
    for n in 0..200 {
        taken(&mut matcher, "shop", 1 + n % 10);
    }
    assert_eq!(taken(&mut matcher, "shop", 100), Verdict::Match);
    assert_eq!(taken(&mut matcher, "shop", 1), Verdict::NoMatch);
    assert_eq!(taken(&mut matcher, "other", 100), Verdict::NoMatch, "nothing is known of it");
    let mut quantiles = Quantiles::new([Percentile::MIN]);
    for n in 0..QUANTILE_NAMES_MAX + 5 {
        quantiles.learn("shop", &n.to_string(), Nanos(1));
    }
    assert_eq!(quantiles.n_unlearnt(), 5);
}

#[test]
fn a_rate_needs_as_many_matches_within_its_window() {
    let mut matcher = Matcher::new(read("status = error rate > 2/s"));
    let mut at = |ms| matcher.take(&span(), Nanos::from_ms(ms));
    assert_eq!([at(0), at(400), at(800)], [Verdict::BelowRate, Verdict::BelowRate, Verdict::Match]);
    assert_eq!(at(1_399), Verdict::Match);
    assert_eq!([at(2_500), at(2_600), at(2_700)], [Verdict::BelowRate, Verdict::BelowRate, Verdict::Match]);
    let mut inclusive = Matcher::new(read("status = error rate >= 2/m"));
    let mut at = |ms| inclusive.take(&span(), Nanos::from_ms(ms));
    assert_eq!(
        [at(0), at(59_999), at(59_000), at(200_000)],
        [Verdict::BelowRate, Verdict::Match, Verdict::Match, Verdict::BelowRate]
    );
}
