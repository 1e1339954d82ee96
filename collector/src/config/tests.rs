//! Claims about the configuration: every key is checked, and every error names its origin, key, value and what is allowed.

use super::{Config, KEYS, Overrides};
use backsight_core::units::Bytes;
use backsight_proto::config::{Form, Key, parse};
use proptest::prelude::{Strategy as _, any, prop, prop_assert, prop_oneof, proptest};

/// Loads a file of this text; in the error it is called `FILE`.
fn load(text: &str, overrides: Overrides) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("collector.toml");
    std::fs::write(&file, text).unwrap();
    let loaded = Config::load(Some(&file), overrides);
    loaded.map_err(|error| error.to_string().replace(&file.display().to_string(), "FILE"))
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(load(text, Overrides::default()).unwrap_err(), format!("FILE: {expected}"));
}

#[test]
fn an_error_names_the_file_the_key_the_value_and_the_range() {
    check(
        "[store]\nmax_bytes = 5\n",
        "store.max_bytes is 5, allowed is a whole number from 134217728 (128 MiB) to 1125899906842624 (1024 TiB)",
    );
    check("[coordinator]\nttl_s = 0\n", "coordinator.ttl_s is 0, allowed is a whole number from 1 to 3600");
    check(
        "[collector]\nlisten = \"nowhere\"\n",
        "collector.listen is \"nowhere\", allowed is an address and a port, as \"127.0.0.1:4390\"",
    );
    check("[collector]\nlisen = 1\n", "unknown key collector.lisen, the nearest known one is collector.listen");
    check("[stor]\n", "unknown section stor, the nearest known one is store");
}

/// Returns a value that a key of this form takes and that is no default, its ends, and such as it refuses.
fn samples(form: Form) -> (Vec<String>, Vec<String>) {
    let (taken, mut refused) = match form {
        Form::Number { min, max } | Form::Size { min: Bytes(min), max: Bytes(max) } => {
            let beyond = [i128::from(min) - 1, (max + 1).into(), -1, i128::MAX].map(|number| number.to_string());
            (vec![min.to_string(), max.to_string()], beyond.to_vec())
        }
        Form::Path { len_max } => {
            let of = |len| format!("\"{}\"", "p".repeat(len));
            (vec![of(1), of(len_max)], vec![of(0), of(len_max + 1)])
        }
        Form::Address => (vec!["\"[::1]:0\"".to_owned()], vec!["\"1.2.3.4\"".to_owned(), "\"64 MiB\"".to_owned()]),
        other => panic!("no key is {other}"),
    };
    refused.extend(["1.5", "true", "[]", "{}", "07:32:00"].map(str::to_owned));
    (taken, refused)
}

/// Each key takes what it says it takes, changes the configuration by it, and refuses all else by name.
#[test]
fn every_key_takes_what_is_allowed_and_refuses_the_rest_by_name() {
    for key in KEYS {
        let (taken, refused) = samples(key.form);
        for value in taken {
            let config = load(&format!("{} = {value}", key.name), Overrides::default()).unwrap();
            assert_ne!(config, Config::default(), "{} = {value}", key.name);
        }
        for value in refused {
            let error = load(&format!("{} = {value}", key.name), Overrides::default()).unwrap_err();
            assert!(error.starts_with(&format!("FILE: {} is ", key.name)), "{error}");
            assert!(error.ends_with(&format!(", allowed is {}", key.form)), "{error}");
        }
    }
}

/// The table has every field of the structures, and the document every key.
#[test]
fn table_structures_and_document_have_the_same_keys() {
    let document = include_str!("../../../docs/spec/config.md");
    // The structures name what they know where they meet what they do not.
    let known_beside = |key: String| -> Vec<String> {
        let key: &str = key.leak();
        let error = parse::<Config>(&format!("{key} = ''"), "", &[Key::new(key, Form::Text)]).unwrap_err().to_string();
        error.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    };
    let mut found = Vec::new();
    for section in known_beside("x_.x_".to_owned()) {
        let keys = known_beside(format!("{section}.x_"));
        found.extend(keys.into_iter().map(|key| format!("{section}.{key}")));
    }
    let mut known: Vec<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
    known.sort();
    found.sort();
    assert_eq!(found, known);
    for name in known {
        assert!(document.contains(&format!("\n| `{name}` |")), "no row of {name}");
    }
}

proptest! {
    /// Any scalar of TOML in any key is taken, or the error names the key.
    #[test]
    fn any_value_of_any_key_is_taken_or_named(
        key in prop::sample::select(KEYS),
        value in prop_oneof![
            any::<i64>().prop_map(|number| number.to_string()),
            (-5..10_000_i64).prop_map(|number| number.to_string()),
            (-1.0..2.0_f64).prop_map(|number| format!("{number:?}")),
            any::<bool>().prop_map(|flag| flag.to_string()),
            "[ -~]{0,120}".prop_map(|text| format!("{text:?}")),
        ],
    ) {
        if let Err(error) = load(&format!("{} = {value}", key.name), Overrides::default()) {
            prop_assert!(error.starts_with(&format!("FILE: {} is ", key.name)), "{value}: {error}");
        }
    }
}

#[test]
fn the_command_line_wins_and_is_blamed_for_what_it_says() {
    let overrides = Overrides { data_dir: Some("/elsewhere".into()), ..Overrides::default() };
    let config = load("[collector]\ndata_dir = \"/here\"\n", overrides).unwrap();
    assert_eq!(config.collector.data_dir, std::path::Path::new("/elsewhere"));
    let empty = Overrides { data_dir: Some("".into()), ..Overrides::default() };
    let error = load("[collector]\ndata_dir = \"/here\"\n", empty).unwrap_err();
    assert!(error.starts_with("command line: collector.data_dir is \"\" (0 B), allowed is "), "{error}");
}
