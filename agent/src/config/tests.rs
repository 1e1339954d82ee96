//! Claims about the configuration: defaults fit, every key is checked, and every error names its origin, key, value and what is allowed.
use super::{Budget, Config, KEYS, Overrides, POOL_MIN, PoolConfig, available_memory, budget};
use backsight_core::units::Bytes;
use backsight_proto::config::{Form, Key, parse};
use proptest::prelude::{Strategy as _, any, prop, prop_assert, prop_oneof, proptest};
use std::path::PathBuf;

/// Loads a file of this text; in the error it is called `FILE`.
fn load_with(text: &str, overrides: Overrides) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.toml");
    std::fs::write(&file, text).unwrap();
    let loaded = Config::load(Some(&file), overrides);
    loaded.map_err(|error| error.to_string().replace(&file.display().to_string(), "FILE"))
}

fn load(text: &str) -> Result<Config, String> {
    load_with(text, Overrides::default())
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(load("").unwrap(), Config::default());
}

/// Returns values that a key of this form takes, its ends first, and such as it refuses.
fn samples(form: Form) -> (Vec<String>, Vec<String>) {
    let text = |of: &[&str]| of.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let (taken, mut refused) = match form {
        Form::Number { min, max } | Form::Size { min: Bytes(min), max: Bytes(max) } => {
            let beyond = [(i128::from(min) - 1).to_string(), (max + 1).to_string()];
            (
                vec![min.to_string(), max.to_string()],
                [&beyond[..], &text(&["-1", "1.5", "99999999999999999999"])].concat(),
            )
        }
        Form::Share => (text(&["1e-9", "1", "0.123"]), text(&["0", "0.0", "-0.1", "1.01", "nan"])),
        Form::Flag => (text(&["true", "false"]), text(&["1"])),
        Form::Text => (text(&["\"\"", "\"x\""]), text(&["1"])),
        Form::Path { len_max } => {
            let of = |len| format!("\"{}\"", "p".repeat(len));
            (vec![of(1), of(len_max)], vec![of(0), of(len_max + 1), "7".to_owned()])
        }
        Form::Address => (text(&["\"[::1]:0\""]), text(&["\"nowhere\"", "4390"])),
        Form::Peer => (text(&["[]", "[\"http://a:1\"]"]), text(&["\"http://a:1\"", "[\"a:1\"]"])),
    };
    let is_text = matches!(form, Form::Text | Form::Path { .. });
    refused.extend(text(&["1979-05-27", "[[]]", "{}", "[1, 2]"]));
    refused.extend((!is_text).then(|| "\"64 MiB\"".to_owned()));
    refused.extend((!matches!(form, Form::Flag)).then(|| "true".to_owned()));
    (taken, refused)
}

/// Each key takes what it says it takes, changes the configuration by it, and refuses all else by name.
#[test]
fn every_key_takes_what_is_allowed_and_refuses_the_rest_by_name() {
    for key in KEYS {
        let (taken, refused) = samples(key.form);
        let loaded = taken.iter().map(|value| load(&format!("{} = {value}", key.name)).unwrap());
        assert!(loaded.collect::<Vec<_>>().iter().any(|config| *config != Config::default()), "{} is read", key.name);
        for value in refused {
            let error = load(&format!("{} = {value}", key.name)).unwrap_err();
            assert!(error.starts_with(&format!("FILE: {} is ", key.name)), "{error}");
            assert!(error.ends_with(&format!(", allowed is {}", key.form)), "{error}");
        }
    }
}

/// The table has every field of the structures, and the document every key with its range.
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
    for key in KEYS {
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

#[test]
fn errors_name_file_key_value_and_what_is_allowed() {
    let size = "allowed is a whole number from 8388608 (8 MiB) to 1125899906842624 (1024 TiB)";
    let cases = [
        ("[pool]\nbudget_bytes = 4194304\n", format!("pool.budget_bytes is 4194304 (4 MiB), {size}")),
        ("[pool]\nbudget_bytes = \"64 MiB\"\n", format!("pool.budget_bytes is \"64 MiB\", {size}")),
        (
            "pool.slots_per_process = -1",
            "pool.slots_per_process is -1, allowed is a whole number from 1 to 4096".into(),
        ),
        ("[crumbs]\npath_len = 300\n", "crumbs.path_len is 300, allowed is a whole number from 1 to 5".into()),
        ("[pool]\nkept_share = 0\n", "pool.kept_share is 0, allowed is a number above 0 and at most 1".into()),
        (
            "[pool]\nbugdet_bytes = 1\n",
            "unknown key pool.bugdet_bytes, the nearest known one is pool.budget_bytes".into(),
        ),
        (
            "[agent]\nsocket = \"/a\"\nadmin_socket = \"/a\"\n",
            "agent.admin_socket is \"/a\", allowed is another path than agent.socket".into(),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(load(text).unwrap_err(), format!("FILE: {expected}"));
    }
}

#[test]
fn flags_override_the_file() {
    let overrides = Overrides { budget_bytes: Some(64 << 20), socket: Some("/x".into()), ..Overrides::default() };
    let config = Config::load(None, overrides).unwrap();
    assert_eq!((config.pool.budget_bytes, config.agent.socket), (64 << 20, PathBuf::from("/x")));
    for url in ["http://[::1]:4390", "http://collector-1.example:4390/"] {
        let dialled = Overrides { collector: Some(url.into()), ..Overrides::default() };
        assert_eq!(Config::load(None, dialled).unwrap().uplink.collectors, [url]);
    }
}

/// Who set a value is blamed for it, whether or not there is a file.
#[test]
fn a_flag_is_blamed_for_its_value_and_a_file_for_its_own() {
    let good = "[pool]\nbudget_bytes = 8388608\n[agent]\nsocket = \"/a\"\nadmin_socket = \"/b\"\n";
    let low = Overrides { budget_bytes: Some(1), ..Overrides::default() };
    let long = Overrides { socket: Some("p".repeat(108).into()), ..Overrides::default() };
    let nowhere = Overrides { collector: Some("nowhere".into()), ..Overrides::default() };
    let nul = Overrides { state_dir: Some("a\0".into()), ..Overrides::default() };
    let taken = Overrides { socket: Some("/b".into()), ..Overrides::default() };
    let taken_too = Overrides { admin_socket: Some("/a".into()), ..Overrides::default() };
    for (overrides, blamed) in [
        (low.clone(), "command line: pool.budget_bytes is 1, allowed is "),
        (long, "command line: agent.socket is \"ppp"),
        (nowhere, "command line: uplink.collectors is [\"nowhere\"], allowed is "),
        (nul, "command line: agent.state_dir is \"a\\0\" (2 B), allowed is "),
        (taken, "command line: agent.socket is \"/b\", allowed is another path than agent.admin_socket"),
        (taken_too, "command line: agent.admin_socket is \"/a\", allowed is another path than agent.socket"),
    ] {
        let error = load_with(good, overrides).unwrap_err();
        assert!(error.starts_with(blamed), "{error}");
    }
    assert!(Config::load(None, low).unwrap_err().to_string().starts_with("command line: pool.budget_bytes is 1, "));
    let fine = Overrides { budget_bytes: Some(64 << 20), ..Overrides::default() };
    let error = load_with("[pool]\nbudget_bytes = 1\n", fine).unwrap_err();
    assert!(error.starts_with("FILE: pool.budget_bytes is 1, "), "a file is checked, whatever overrides it: {error}");
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
        if let Err(error) = load(&format!("{} = {value}", key.name)) {
            prop_assert!(error.starts_with(&format!("FILE: {} is ", key.name)), "{value}: {error}");
        }
    }
}

#[test]
fn the_smaller_of_budget_and_free_memory_share_wins() {
    let pool = PoolConfig::default();
    let small = budget(&pool, Bytes::mib(400));
    assert_eq!(small, Budget { bytes: Bytes::mib(100), clamped_by: Some(Bytes::mib(400)) });
    assert_eq!(budget(&pool, Bytes::mib(64 << 10)), Budget { bytes: Bytes::mib(1024), clamped_by: None });
    assert_eq!(budget(&pool, Bytes(0)).bytes, POOL_MIN);
}

#[test]
fn available_memory_is_read_from_meminfo() {
    assert_eq!(available_memory("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(Bytes::mib(2)));
    assert_eq!(available_memory("MemTotal: 9 kB\n"), None);
}
