//! Claims about the search language: what is printed is read again as the same, any text ends in a search or an error with its column, and
//! searches find what their words say.

mod completion;
mod examples;
mod model;

use super::field::KEYED;
use super::{
    CHOICES_MAX, Field, Group, Operator, ParseError, Pattern, QUERY_MAX_BYTES, Query, SpanTerm, TERMS_MAX, Term, Test,
    Type, Value, complete, parse,
};
use backsight_core::expr::{Equality, Order};
use backsight_core::ids::TraceId;
use backsight_core::units::{NanoJoules, Nanos};
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

const PATTERNS: [&str; 6] = ["^GET ", "a.*b", "(?i)x|y", r"\d+\s", "\"quoted\"", ""];

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>().prop_map(|text| text.chars().take(12).collect()), "[a-z0-9 .\"\\\\/]{0,8}"]
}

fn any_value(of: Type) -> BoxedStrategy<Value> {
    let text = any_text().prop_map(|text| Value::Text(text.into()));
    let real = any::<f64>().prop_filter("searches have no infinity", |real| real.is_finite()).prop_map(Value::Real);
    let flag = any::<bool>().prop_map(Value::Flag);
    match of {
        Type::Text => text.boxed(),
        Type::Choice(choices) => prop::sample::select(choices).prop_map(|text| Value::Text(text.into())).boxed(),
        Type::Flag => flag.boxed(),
        Type::Duration => any::<u64>().prop_map(|ns| Value::Duration(Nanos(ns))).boxed(),
        Type::Energy => any::<u64>().prop_map(|nj| Value::Energy(NanoJoules(nj))).boxed(),
        Type::Instant => any::<u64>().prop_map(Value::Instant).boxed(),
        Type::Count => any::<u64>().prop_map(Value::Count).boxed(),
        Type::Real => real.boxed(),
        Type::Trace => (any::<u64>(), 1..u64::MAX).prop_map(|(hi, lo)| Value::Trace(TraceId::new(hi, lo))).boxed(),
        Type::Any => prop_oneof![text, real, flag, any::<i64>().prop_map(Value::Integer)].boxed(),
    }
}

fn any_test(of: Type) -> BoxedStrategy<Test> {
    let of_operator = move |operator| {
        let value = any_value(of);
        let quantity = if of == Type::Any { any_value(Type::Real) } else { any_value(of) };
        let ordered = |order| quantity.prop_map(move |value| Test::Ordered(order, value)).boxed();
        let pattern = prop::sample::select(PATTERNS.to_vec()).prop_map(|text| Pattern::new(text).unwrap());
        match operator {
            Operator::Is => value.prop_map(|value| Test::Equal(Equality::Is, value)).boxed(),
            Operator::IsNot => value.prop_map(|value| Test::Equal(Equality::IsNot, value)).boxed(),
            Operator::Below => ordered(Order::Below),
            Operator::AtMost => ordered(Order::AtMost),
            Operator::Above => ordered(Order::Above),
            Operator::AtLeast => ordered(Order::AtLeast),
            Operator::Matches => pattern.prop_map(|pattern| Test::Matches(Equality::Is, pattern)).boxed(),
            Operator::MatchesNot => pattern.prop_map(|pattern| Test::Matches(Equality::IsNot, pattern)).boxed(),
            Operator::Contains => any_text().prop_map(|text| Test::Contains(text.into())).boxed(),
            Operator::In => prop::collection::vec(value, 1..4).prop_map(Test::In).boxed(),
            Operator::Exists => Just(Test::Exists).boxed(),
        }
    };
    prop::sample::select(of.operators()).prop_flat_map(of_operator).boxed()
}

fn any_field() -> impl Strategy<Value = Field> {
    let keyed = (prop::sample::select(KEYED.to_vec()), any_text());
    prop_oneof![
        3 => prop::sample::select(Field::ALL.to_vec()).prop_map(|(_, field, _)| field),
        1 => keyed.prop_map(|((_, of_key), key)| Field::Span(of_key(key.into()))),
    ]
}

/// Terms as they come; those of the trace are put where they belong by [`any_query`].
fn any_term() -> impl Strategy<Value = Option<(Field, Test)>> {
    let of_field =
        any_field().prop_flat_map(|field| any_test(field.of_type()).prop_map(move |test| Some((field.clone(), test))));
    prop_oneof![1 => Just(None), 6 => of_field]
}

pub(super) fn any_query() -> impl Strategy<Value = Query> {
    let words = prop::collection::vec(any_text().prop_filter("an empty word is none", |word| !word.is_empty()), 4);
    let group = (prop::collection::vec(any_term(), 1..4), words);
    prop::collection::vec(group, 0..4).prop_map(|groups| {
        let mut query = Query::default();
        for (terms, words) in groups {
            let mut of_span = Vec::new();
            for (term, word) in terms.into_iter().zip(words) {
                match term {
                    None => of_span.push(SpanTerm::Word(word.into())),
                    Some((Field::Span(field), test)) => of_span.push(SpanTerm::Field(Term { field, test })),
                    Some((Field::Trace(field), test)) => query.of_trace.push(Term { field, test }),
                }
            }
            if !of_span.is_empty() {
                query.groups.push(Group { terms: of_span });
            }
        }
        query
    })
}

const SOUP: &str = "(service|duration|error|attr\\.|attr.x|trace.root|trigger|version|link|in\\(|exists|200ms|5mJ|3|true|x|\
    [\"=!<>~(){},&|\\\\ ]|=~|!~|&&| ){0,14}";

proptest! {
    /// For every search: its text is read as the same search, and prints as the same text.
    #[test]
    fn what_is_printed_is_read_as_the_same(query in any_query()) {
        let text = query.to_string();
        let read = parse(&text, 0);
        prop_assert_eq!(read.as_ref(), Ok(&query), "{}", text);
        prop_assert_eq!(read.unwrap().to_string(), text);
    }

    /// For every text: a search that prints as one that is read as the same, or an error whose column lies in the text or just behind it.
    /// Whatever is asked of it, completion replaces what stands before its place.
    #[test]
    fn any_text_ends_in_a_search_or_an_error_with_its_column(text in prop_oneof![any::<String>(), SOUP], at in 0_usize..80) {
        match parse(&text, 7) {
            Ok(query) => prop_assert_eq!(parse(&query.to_string(), 8), Ok(query)),
            Err(error) => {
                prop_assert!((1..=text.chars().count() + 1).contains(&error.column()), "{}: {}", text, error);
                prop_assert!(error.to_string().contains("expected"), "{}", error);
            }
        }
        let completion = complete(&text, at);
        prop_assert!(completion.replaces.end <= at && text.get(completion.replaces).is_some());
    }
}

/// Checks what is said of a text that is no search.
fn check(text: &str, message: &str) {
    assert_eq!(parse(text, 0).unwrap_err().to_string(), message, "{text}");
}

#[test]
fn errors_say_where_and_what_would_do() {
    check("servcie = a", "column 1: found `servcie`, expected a field; is `service` meant?");
    check("a trace.rot exists", "column 3: found `trace.rot`, expected a field; is `trace.root` meant?");
    check(
        "customer = 5",
        "column 1: found `customer`, expected a field, as service, duration, attr.KEY or trace.root; \
         a word to look for stands in quotes",
    );
    check(
        "duration > 200",
        "column 12: found `200`, expected a duration with a unit, as 200ms (units: ns, us, ms, s, m, h)",
    );
    check("energy > \"5mJ\"", {
        "column 10: found the text \"5mJ\", expected an energy with a unit, as 5mJ (units: nJ, uJ, mJ, J, kJ)"
    });
    check("kind = sever", {
        "column 8: found `sever`, expected one of internal, server, client, producer, consumer, unspecified"
    });
    check("duration ~ x", "column 10: found `~`, expected one of = != < <= > >= in exists after `duration`");
    check("host", {
        "column 5: found the end, expected one of = != ~ =~ !~ in exists after `host`; a word to look for stands in quotes"
    });
    check("attr.x > abc", "column 10: found `abc`, expected a number");
    check("service =~ \"a(\"", "column 12: expected a regular expression, but unclosed group");
    check("service in(a b)", "column 14: found `b`, expected a comma or a closing parenthesis");
    check("attr. = 5", {
        "column 7: found `=`, expected the key of an attribute right behind the point, as attr.http.route or attr.\"a key\""
    });
    check("event ~ \"time", "column 14: found the end, expected a closing \"");
    check("a & b", "column 3: found '&', expected a field, an operator, a value, a word or a brace");
    check(
        "{error",
        "column 7: found the end, expected a term, as `duration > 200ms`, a word to look for, or a closing brace",
    );
    check(
        "error &&",
        "column 9: found the end, expected a term, as `duration > 200ms`, a word to look for, or a brace",
    );
    assert!(
        parse("error and host = a", 0).unwrap_err().to_string().starts_with("column 7: found `and`, expected a term")
    );
    assert_eq!(parse("ä 中 = 5", 0).unwrap_err().column(), 3);
}

#[test]
fn nothing_is_larger_than_it_may_be() {
    let terms = |n| "a ".repeat(n);
    assert_eq!(parse(&terms(TERMS_MAX), 0).map(|query| query.n_terms()), Ok(TERMS_MAX));
    let column = 2 * TERMS_MAX + 1;
    assert_eq!(parse(&terms(TERMS_MAX + 1), 0), Err(ParseError::TooMuch { column, max: TERMS_MAX, what: "terms" }));
    let choices = |n: usize| format!("service in({})", vec!["a"; n].join(","));
    assert!(parse(&choices(CHOICES_MAX), 0).is_ok());
    assert!(matches!(parse(&choices(CHOICES_MAX + 1), 0), Err(ParseError::TooMuch { max: CHOICES_MAX, .. })));
    let long = "a".repeat(QUERY_MAX_BYTES + 1);
    assert!(matches!(parse(&long, 0), Err(ParseError::TooMuch { max: QUERY_MAX_BYTES, .. })));
    for bomb in ["(a{50}){50}", r"\w{100}", &format!("{}a{}", "(".repeat(40), ")".repeat(40))] {
        assert!(matches!(
            parse(&format!("event =~ {}", backsight_core::quoted::Quoted(bomb)), 0),
            Err(ParseError::Pattern { .. })
        ));
    }
}

#[test]
fn patterns_that_people_write_fit() {
    for pattern in
        ["^GET ", r"\d+", r"^/api/v\d+/users/[^/]+$", r"(?i)time(d )?out", r"[\w.-]+@example", "^(a|b|c|dd)-service$"]
    {
        assert!(Pattern::new(pattern).is_ok(), "{pattern}");
    }
}

#[test]
fn forms_that_say_the_same_are_one_search() {
    let same = [
        ("error", "error = true"),
        ("trigger = tail", "trace.trigger = tail"),
        ("service = \"checkout\"", "service = checkout"),
        ("{error host = a}", "error = true host = a"),
        ("error && host = a", "error = true host = a"),
        ("error trace.spans > 3", "trace.spans > 3 error = true"),
        (
            "{service = a trace.pending} && {service = b} c",
            "trace.pending = true {\"c\"} && {service = a} && {service = b}",
        ),
        ("attr.\"http.route\" = \"/pay\"", "attr.http.route = \"/pay\""),
        ("attr.a = 007 attr.b = 7 attr.c = 7.0", "attr.a = \"007\" attr.b = 7 attr.c = 7.0"),
        ("duration >= 1.5s", "duration >= 1500ms"),
        ("trace.start > now-1s", "trace.start > 1970-01-01T00:00:01Z"),
        ("", ""),
    ];
    for (text, printed) in same {
        assert_eq!(parse(text, 2_000_000_000).unwrap().to_string(), printed);
    }
}
