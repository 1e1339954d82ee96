//! Claims about the rules: which keys they concern, and what stands in place of values.

use super::{RedactError, Rules};
use crate::config::{IntakeConfig, RedactAction, RedactRule};
use backsight_proto::wire::otlp_redact::{Redaction, Redactor};
use backsight_proto::wire::otlp_visit::Value;
use std::path::PathBuf;

fn rule(key: &str, action: RedactAction, pattern: Option<&str>) -> RedactRule {
    RedactRule { key: key.to_owned(), action, pattern: pattern.map(str::to_owned) }
}

fn config(redact: Vec<RedactRule>, redact_key: Option<PathBuf>) -> IntakeConfig {
    IntakeConfig { redact, redact_key, ..IntakeConfig::default() }
}

/// Returns the rules beside a key of this text.
fn rules(redact: Vec<RedactRule>, key: &str) -> Result<Rules, RedactError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, key).unwrap();
    Rules::read(&config(redact, Some(path)))
}

fn becomes(rules: &Rules, key: &str, value: Value<'_>) -> Option<Redaction> {
    rules.rule(key.as_bytes()).map(|rule| rules.apply(rule, &value))
}

fn text(text: &str) -> Option<Redaction> {
    Some(Redaction::Text(text.to_owned()))
}

#[test]
fn a_rule_concerns_its_key_or_keys_that_begin_so_and_the_first_rule_counts() {
    let mask = |key, pattern| rule(key, RedactAction::Mask, Some(pattern));
    let rules =
        rules(vec![mask("user.id", "a"), mask("user.*", "b"), rule("x", RedactAction::Drop, None)], "").unwrap_err();
    assert!(matches!(rules, RedactError::KeyLength { len: 0, .. }), "a file that is named is read: {rules}");
    let rules = Rules::read(&config(vec![mask("user.id", "a"), mask("user.*", "b")], None)).unwrap();
    assert_eq!(becomes(&rules, "user.id", Value::Text("ab")), text("***b"));
    assert_eq!(becomes(&rules, "user.name", Value::Text("ab")), text("a***"));
    assert_eq!(becomes(&rules, "user.", Value::Text("ab")), text("a***"));
    assert_eq!(becomes(&rules, "user", Value::Text("ab")), None);
}

#[test]
fn a_mask_takes_out_what_matches_whatever_the_type() {
    let rules = Rules::read(&config(vec![rule("k", RedactAction::Mask, Some("[0-9]{4,}"))], None)).unwrap();
    assert_eq!(becomes(&rules, "k", Value::Text("card 4111111111111111, room 12")), text("card ***, room 12"));
    assert_eq!(becomes(&rules, "k", Value::Text("$0 room 12")), Some(Redaction::Keep));
    assert_eq!(becomes(&rules, "k", Value::Int(4_111_111)), text("***"));
    assert_eq!(becomes(&rules, "k", Value::Int(12)), Some(Redaction::Keep));
    assert_eq!(becomes(&rules, "k", Value::Bytes(b"4")), text("***"));
}

#[test]
fn equal_values_have_one_hash_under_one_key_and_another_under_another() {
    let of = |key: &str, value| becomes(&rules(vec![rule("k", RedactAction::Hash, None)], key).unwrap(), "k", value);
    let (key, other) = ("0123456789abcdef\n", "fedcba9876543210");
    let hash = of(key, Value::Text("alice"));
    assert_eq!(hash, of("0123456789abcdef", Value::Text("alice")), "a line's end is no part of a key");
    assert_ne!(hash, of(other, Value::Text("alice")));
    assert_ne!(of(key, Value::Text("5")), of(key, Value::Int(5)));
    // `printf alice | openssl dgst -sha256 -hmac 0123456789abcdef`
    assert_eq!(hash, text("fdbf8b1cacd3d578e062d0e41104357d"));
}

#[test]
fn a_key_that_is_missing_or_short_is_said_with_its_file() {
    let hash = || vec![rule("k", RedactAction::Hash, None)];
    let error = Rules::read(&config(hash(), Some("/nowhere/key".into()))).unwrap_err().to_string();
    assert_eq!(error, "intake.redact_key: read /nowhere/key");
    let error = rules(hash(), "short").unwrap_err().to_string();
    assert!(error.ends_with("key has 5 B, a key has 16 to 4096"), "{error}");
    assert!(rules(hash(), &"x".repeat(5000)).unwrap_err().to_string().contains("has 5000 B"));
    let error = Rules::read(&config(hash(), None)).unwrap_err().to_string();
    assert_eq!(error, "intake.redact: k is to be hashed, and intake.redact_key names no file");
}
