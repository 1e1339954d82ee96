//! What both daemons claim of their tables of keys, as checks that their tests call.
//!
//! Built for tests alone, behind the feature `testing`. A failed check panics with the key.
#![allow(clippy::unwrap_used, reason = "a check that cannot go on fails")]

use super::{Form, Key, parse};
use backsight_core::units::Bytes;
use proptest::prelude::{Strategy, any, prop_oneof};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Returns values that a key of this form takes, its ends first, and such as it refuses.
fn samples(form: Form) -> (Vec<String>, Vec<String>) {
    let text = |of: &[&str]| of.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let (taken, mut refused) = match form {
        Form::Number { min, max } | Form::Size { min: Bytes(min), max: Bytes(max) } => {
            let beyond = [i128::from(min) - 1, i128::from(max) + 1, -1, i128::MAX].map(|number| number.to_string());
            (vec![min.to_string(), max.to_string()], [&beyond[..], &text(&["1.5"])].concat())
        }
        Form::Share => (text(&["1e-9", "1", "0.123"]), text(&["0", "0.0", "-0.1", "1.01", "nan"])),
        Form::Flag => (text(&["true", "false"]), text(&["1"])),
        Form::Text => (text(&["\"\"", "\"x\""]), text(&["1"])),
        Form::Choice(words) => {
            let taken = words.iter().map(|word| format!("{word:?}")).collect();
            (taken, text(&["\"\"", "1"]))
        }
        Form::Path { len_max } => {
            let of = |len| format!("\"{}\"", "p".repeat(len));
            (vec![of(1), of(len_max)], vec![of(0), of(len_max + 1), "7".to_owned()])
        }
        Form::Address => (text(&["\"[::1]:0\""]), text(&["\"nowhere\"", "\"1.2.3.4\"", "4390"])),
        Form::Peers => {
            let taken = ["[]", "[\"http://a:1\"]", "[\"http://a:1\", \"http://b:1\"]"];
            (text(&taken), text(&["\"http://a:1\"", "[\"a:1\"]", "[\"http://a:1\", \"http://a:1\"]"]))
        }
        Form::Origins => {
            let taken = ["[]", "[\"http://a\", \"https://b:8443\", \"http://[::1]:1\", \"http://[::1]\"]"];
            (
                text(&taken),
                text(&["\"http://a\"", "[\"a\"]", "[\"*\"]", "[\"http://a/\"]", "[\"http://a\", \"http://a\"]"]),
            )
        }
        Form::BasePath => {
            (text(&["\"\"", "\"/a/b-c.d\""]), text(&["\"a\"", "\"/\"", "\"/a/\"", "\"/{a}\"", "\"/a/..\"", "1"]))
        }
        Form::TriggerName => (text(&["\"x\""]), text(&["\"\"", "\"cli\"", "\"\\n\"", "1"])),
        Form::Trigger => (text(&["\"x\"", "\"cli\"", "\"0x1f0\""]), text(&["\"\"", "1"])),
        Form::Expression => (text(&["\"duration > 1s\""]), text(&["\"\"", "\"duration >\"", "1"])),
        Form::Tables(keys) => (vec!["[]".to_owned(), format!("[{}]", table(keys, &[]))], text(&["[1]", "7"])),
        Form::Table(keys) => (vec![table(keys, &[])], text(&["[1]", "7"])),
    };
    let is_text = matches!(form, Form::Text | Form::Path { .. } | Form::TriggerName | Form::Trigger);
    refused.extend(text(&["1979-05-27", "07:32:00", "[[]]", "[1, 2]"]));
    refused.extend((!matches!(form, Form::Table(_))).then(|| "{}".to_owned())); // which says what is left out
    refused.extend((!is_text).then(|| "\"64 MiB\"".to_owned()));
    refused.extend((!matches!(form, Form::Flag)).then(|| "true".to_owned()));
    (taken, refused)
}

/// Returns a table of all `keys`, each set to what it takes, but those of `others`, which are set to that.
fn table(keys: &[Key], others: &[(&str, &str)]) -> String {
    let field = |key: &Key| {
        let name = key.in_table();
        let other = others.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        format!("{name} = {}", other.or_else(|| samples(key.form).0.pop()).unwrap())
    };
    format!("{{ {} }}", keys.iter().map(field).collect::<Vec<_>>().join(", "))
}

/// Each key takes what it says it takes, changes the configuration by it, and refuses all else by name. `load` loads a file of a text, and
/// returns errors as text in which the file is called `FILE`.
///
/// # Panics
/// Where a key does not.
pub fn every_key_takes_what_is_allowed_and_refuses_the_rest<C: Debug + Default + PartialEq>(
    keys: &[Key],
    load: impl Fn(&str) -> Result<C, String>,
) {
    for key in keys {
        let (taken, refused) = samples(key.form);
        let loaded: Vec<C> = taken.iter().map(|value| load(&format!("{} = {value}", key.name)).unwrap()).collect();
        assert!(loaded.iter().any(|config| *config != C::default()), "{} is read", key.name);
        for value in refused {
            let error = load(&format!("{} = {value}", key.name)).unwrap_err();
            assert!(error.starts_with(&format!("FILE: {} is ", key.name)), "{error}");
            assert!(error.ends_with(&format!(", allowed is {}", key.form)), "{error}");
        }
        let (inner, open, close) = match key.form {
            Form::Tables(inner) => (inner, "[", "]"),
            Form::Table(inner) => (inner, "", ""),
            _ => continue,
        };
        for (of, value) in inner.iter().flat_map(|of| samples(of.form).1.into_iter().map(move |value| (of, value))) {
            let table = table(inner, &[(of.in_table(), &value)]);
            let error = load(&format!("{} = {open}{table}{close}", key.name)).unwrap_err();
            assert!(error.starts_with(&format!("FILE: {} is ", of.name)), "{error}");
            assert!(error.contains(&format!(", allowed is {}", of.form)), "{error}");
        }
    }
}

/// The table has every field of the structures, and `document` every key with its range.
///
/// # Panics
/// Where one is missing, or the range another.
pub fn table_structures_and_document_agree<C: DeserializeOwned + Debug>(keys: &[Key], document: &str) {
    let mut found = Vec::new();
    for section in known_beside::<C>("x_.x_".to_owned()) {
        let known = match keys.iter().any(|key| key.name == section) {
            true => vec![section],
            false => known_beside::<C>(format!("{section}.x_")).iter().map(|key| format!("{section}.{key}")).collect(),
        };
        found.extend(known);
    }
    let mut known: Vec<_> = keys.iter().map(|key| key.name.to_owned()).collect();
    known.sort();
    found.sort();
    assert_eq!(found, known);
    let of_tables = |key: &Key| match key.form {
        Form::Tables(inner) | Form::Table(inner) => inner.to_vec(),
        _ => Vec::new(),
    };
    for key in keys.iter().flat_map(|key| of_tables(key).into_iter().chain([*key])) {
        let row = document.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name)));
        let allowed = row.unwrap_or_else(|| panic!("no row of {}", key.name)).split('|').nth(3).unwrap().trim();
        let expected = match key.form {
            Form::Number { min, max } => format!("{min} to {max}"),
            Form::Share => "above 0, at most 1".to_owned(),
            _ => continue,
        };
        assert_eq!(allowed, expected, "{}", key.name);
    }
}

/// Returns what the structures know beside `key`, which they do not: they name it when they meet that.
fn known_beside<C: DeserializeOwned + Debug>(key: String) -> Vec<String> {
    let key: &str = key.leak();
    let error = parse::<C>(&format!("{key} = ''"), "", &[Key::new(key, Form::Text)]).unwrap_err().to_string();
    error.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

/// Returns any scalar, as TOML writes it.
pub fn any_scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (-5..10_000_i64).prop_map(|number| number.to_string()),
        (-1.0..2.0_f64).prop_map(|number| format!("{number:?}")),
        any::<bool>().prop_map(|flag| flag.to_string()),
        "[ -~]{0,120}".prop_map(|text| format!("{text:?}")),
    ]
}
