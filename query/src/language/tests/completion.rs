//! Examples of completion.

use crate::language::{Completion, Field, Offer, Operator, SpanField, complete};

/// Returns what is offered at the end of `text`, as text, and what it replaces.
fn offered(text: &str) -> (Vec<String>, &str) {
    let Completion { replaces, offers } = complete(text, text.len());
    let shown = |offer: Offer| match offer {
        Offer::Field(text) | Offer::Value(text) | Offer::Sign(text) => text.to_owned(),
        Offer::Operator(operator) => operator.text().to_owned(),
        Offer::Keys { of, prefix } => format!("keys of {of} with {prefix}"),
        Offer::Values { field, prefix } => format!("values of {field} with {prefix}"),
    };
    (offers.into_iter().map(shown).collect(), &text[replaces])
}

#[track_caller]
fn check(text: &str, expected: &[&str], replaced: &str) {
    assert_eq!(offered(text), (expected.iter().map(ToString::to_string).collect(), replaced), "{text}");
}

#[test]
fn what_fits_is_offered_at_every_place() {
    check("ser", &["service"], "ser");
    check("error trace.r", &["trace.root", "trace.root_service", "trace.rarity"], "trace.r");
    check("attr.ht", &["keys of attr. with ht"], "attr.ht");
    check("attr.\"a b", &["keys of attr. with a b"], "\"a b");
    check("kind ", &["=", "!=", "in", "exists"], "");
    check("duration >", &[], "");
    check("kind = s", &["server"], "s");
    check("kind in (server, c", &["client", "consumer"], "c");
    check("kind in(server ", &[",", ")"], "");
    check("kind in ", &["("], "");
    check("service = ch", &["values of service with ch"], "ch");
    check("service = \"ch", &["values of service with ch"], "\"ch");
    check("attr.\"a b\" = ", &["values of attr.\"a b\" with "], "");
    check("service = a trace.pending = f", &["false"], "f");
    check("{service = a k", &["kind"], "k");
    check("\"lo", &[], "\"lo");
}

#[test]
fn a_flag_may_stand_alone() {
    let (offers, _) = offered("error ");
    assert!(["=", "exists", "service", "attr."].iter().all(|text| offers.contains(&(*text).to_owned())));
}

#[test]
fn what_stands_behind_the_place_does_not_matter() {
    let completion = complete("kind =  service = \"", 7);
    assert!(completion.offers.contains(&Offer::Value("server")));
    let field = Field::Span(SpanField::Host);
    assert_eq!(complete("host = ä", 8).offers, [Offer::Values { field, prefix: String::new() }]);
    assert_eq!(complete("status !", 7).offers[1], Offer::Operator(Operator::IsNot));
}
