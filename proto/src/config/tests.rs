//! Claims about configuration files: whatever is wrong, the error names file, key, value and what is allowed; what is allowed is taken.

use super::{Form, Key, Value, check_flag, n_edits, parse};
use backsight_core::units::Bytes;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_oneof, proptest};
use std::ffi::OsStr;

const KEYS: &[Key] = &[
    Key::new("pool.slots", Form::Number { min: 1, max: 4096 }),
    Key::new("pool.budget_bytes", Form::Size { min: Bytes::mib(8), max: Bytes::mib(64) }),
    Key::new("pool.kept_share", Form::Share),
    Key::new("crumbs.response", Form::Flag),
    Key::new("agent.id", Form::Text),
    Key::new("agent.socket", Form::Path { len_max: 10 }),
    Key::new("agent.listen", Form::Address),
    Key::new("agent.collectors", Form::Peers),
];

/// A list of tables beside a section.
const LISTED: &[Key] = &[
    Key::new("agent.id", Form::Text),
    Key::new(
        "trigger",
        Form::Tables(&[Key::new("trigger.name", Form::TriggerName), Key::new("trigger.when", Form::Expression)]),
    ),
];

fn read(text: &str) -> Result<toml::Table, String> {
    parse(text, "c.toml", KEYS).map_err(|error| error.to_string())
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(read(text).unwrap_err(), format!("c.toml: {expected}"));
}

/// Whatever has been got wrong in one key: its name, the values that are refused, and what the error says is allowed.
#[test]
fn a_refused_value_is_shown_as_it_was_written_with_what_is_allowed() {
    let refused: &[(&str, &[&str], &str)] = &[
        (
            "pool.slots",
            &["0", "4097", "-1", "0x1_001", "99999999999999999999", "1.5", "nan", "true", "\"7\"", "[7]", "1979-05-27"],
            "a whole number from 1 to 4096",
        ),
        ("pool.budget_bytes", &["-1", "1.5", "\"64 MiB\""], "a whole number from 8388608 (8 MiB) to 67108864 (64 MiB)"),
        (
            "pool.kept_share",
            &["0", "0.0", "-0.5", "1.000001", "2", "nan", "inf", "-inf", "1e400", "\"0.5\"", "[0.5]"],
            "a number above 0 and at most 1",
        ),
        ("crumbs.response", &["1", "\"true\"", "1.0", "[true]"], "true or false"),
        ("agent.id", &["1", "false", "[\"a\"]"], "a string"),
        ("agent.socket", &["1", "[\"/a\"]"], "a path of 1 to 10 B, as a string"),
        (
            "agent.listen",
            &["\"nowhere\"", "\"127.0.0.1\"", "\"127.0.0.1:65536\"", "\"localhost:1\"", "4390"],
            "an address and a port, as \"127.0.0.1:4390\"",
        ),
        (
            "agent.collectors",
            &[
                "\"http://a:1\"",
                "[1]",
                "[\"a:1\"]",
                "[\"http://a\"]",
                "[\"http://a:0\"]",
                "[\"http://a:1/x\"]",
                "[\"http://:1\"]",
                "[\"ftp://a:1\"]",
                "[\"http://[::1:1\"]",
            ],
            "a list of at most 16, none twice, as [\"http://127.0.0.1:4390\"]",
        ),
    ];
    for (key, values, allowed) in refused {
        for value in *values {
            check(&format!("{key} = {value}"), &format!("{key} is {value}, allowed is {allowed}"));
        }
        check(&format!("{key} = {{ a = 1 }}"), &format!("{key} is a table, allowed is {allowed}"));
        check(&format!("[{key}]"), &format!("{key} is a table, allowed is {allowed}"));
        check(&format!("[[{key}]]"), &format!("{key} is a list of tables, allowed is {allowed}"));
    }
    assert_eq!(refused.len(), KEYS.len());
}

#[test]
fn a_table_has_all_of_its_keys() {
    const KEYS: &[Key] = &[Key::new(
        "agent.tls",
        Form::Table(&[
            Key::new("agent.tls.ca", Form::Path { len_max: 3 }),
            Key::new("agent.tls.cert", Form::Text),
            Key::new("agent.tls.key", Form::Text),
        ]),
    )];
    let read = |text: &str| parse::<toml::Table>(text, "c.toml", KEYS).map_err(|error| error.to_string());
    for text in ["", "[agent]", "[agent.tls]\nca = 'x'\ncert = ''\nkey = ''", "agent.tls = { ca='x', key='', cert='' }"]
    {
        assert!(read(text).is_ok(), "{text}");
    }
    let table = "a table with ca, cert and key";
    for (text, said) in [
        ("agent.tls = 'x'", format!("agent.tls is 'x', allowed is {table}")),
        ("[[agent.tls]]", format!("agent.tls is a list of tables, allowed is {table}")),
        ("agent.tls = {}", "agent.tls.ca is not set, a table [agent.tls] has ca, cert and key".into()),
        (
            "[agent.tls]\nca = 'x'\ncert = 'y'",
            "agent.tls.key is not set, a table [agent.tls] has ca, cert and key".into(),
        ),
        ("agent.tls.ca = ''", "agent.tls.ca is '' (0 B), allowed is a path of 1 to 3 B, as a string".into()),
        ("agent.tls.crt = ''", "unknown key agent.tls.crt, the nearest known one is agent.tls.cert".into()),
    ] {
        assert_eq!(read(text), Err(format!("c.toml: {said}")));
    }
}

#[test]
fn lists_of_tables_are_checked_table_by_table() {
    let read = |text: &str| parse::<toml::Table>(text, "c.toml", LISTED).map_err(|error| error.to_string());
    for text in
        ["", "trigger = []", "[[trigger]]\nname = 'slow'\nwhen = 'duration > 1s'\n[[trigger]]\nname = 'expression'"]
    {
        assert!(read(text).is_ok(), "{text}");
    }
    let (list, expression) = (
        "a list of tables, each begun by a line [[trigger]]",
        "a trigger expression, as 'duration > 250ms and status = error'",
    );
    for (text, said) in [
        ("[trigger]\nname = 'slow'", format!("trigger is a table, allowed is {list}")),
        ("trigger = 7", format!("trigger is 7, allowed is {list}")),
        ("trigger = [1]", format!("trigger is [1], allowed is {list}")),
        ("[[trigger]]\nwhen = 1", format!("trigger.when is 1, allowed is {expression}")),
        (
            "[[trigger]]\n[[trigger]]\nwhen = 'duration > 5'",
            format!(
                "trigger.when is 'duration > 5', allowed is {expression}; column 12: found `5`, expected a duration with a unit (ns, us, ms, s, m or h) of at most 584 years"
            ),
        ),
        (
            "[[trigger]]\nname = 'head'",
            "trigger.name is 'head', allowed is the name of a trigger that is not reserved; it is read as trigger head"
                .into(),
        ),
        ("[[trigger]]\nwhn = 'x'", "unknown key trigger.whn, the nearest known one is trigger.when".into()),
        ("[[triger]]\n", "unknown key triger, the nearest known one is trigger".into()),
        ("[triger]\n", "unknown section triger, the nearest known one is trigger".into()),
    ] {
        assert_eq!(read(text), Err(format!("c.toml: {said}")));
    }
}

#[test]
fn sizes_lists_and_long_values_are_shown_so_that_they_can_be_read() {
    let allowed = "allowed is a whole number from 8388608 (8 MiB) to 67108864 (64 MiB)";
    check("[pool]\nbudget_bytes = 4_194_304", &format!("pool.budget_bytes is 4_194_304 (4 MiB), {allowed}"));
    check("[pool]\nbudget_bytes = 1", &format!("pool.budget_bytes is 1, {allowed}"));
    let allowed = "allowed is a path of 1 to 10 B, as a string";
    check("[agent]\nsocket = ''", &format!("agent.socket is '' (0 B), {allowed}"));
    check("[agent]\nsocket = \"/a/b/c/d/e/f\"", &format!("agent.socket is \"/a/b/c/d/e/f\" (12 B), {allowed}"));
    check("[agent]\nsocket = \"/a\\u0000\"", &format!("agent.socket is \"/a\\u0000\" (3 B), {allowed}"));
    let two = "[agent]\ncollectors = [\"http://a:1\",\n\"http://a:1\"]";
    let allowed = "allowed is a list of at most 16, none twice, as [\"http://127.0.0.1:4390\"]";
    check(two, &format!("agent.collectors is a list of 2, {allowed}"));
    check("[agent]\ncollectors = [\n1]", &format!("agent.collectors is [\\n1], {allowed}"));
    let long = format!("[agent]\nlisten = \"{}\"", "x".repeat(5000));
    let shown = format!("agent.listen is \"{}..., allowed is an address and a port", "x".repeat(79));
    assert!(read(&long).unwrap_err().contains(&shown));
}

#[test]
fn values_at_the_ends_of_what_is_allowed_are_taken() {
    for text in [
        "",
        "[pool]",
        "pool = { slots = 1 }",
        "pool.slots = 4096",
        "pool.slots = +0x10",
        "pool.budget_bytes = 8388608",
        "pool.budget_bytes = 67_108_864",
        "pool.kept_share = 1",
        "pool.kept_share = 1e-300",
        "crumbs.response = false",
        "agent.id = \"\"",
        "agent.socket = \"0123456789\"",
        "agent.listen = \"[::1]:0\"",
        "agent.collectors = []",
        "agent.collectors = [\"http://[::1]:1/\"]",
        "agent.collectors = [\"http://collector-1.example:65535\"]",
    ] {
        // A sign before a prefix is no number of TOML.
        let is_toml = text != "pool.slots = +0x10";
        assert_eq!(read(text).is_ok(), is_toml, "{text}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_section_and_the_nearest_one_that_is_known() {
    for (text, said) in [
        ("[pool]\nbugdet_bytes = 1", "unknown key pool.bugdet_bytes, the nearest known one is pool.budget_bytes"),
        ("[agent]\nbudget_bytes = 1", "unknown key agent.budget_bytes, the nearest known one is pool.budget_bytes"),
        ("budget_bytes = 1", "unknown key budget_bytes, the nearest known one is pool.budget_bytes"),
        ("[agent]\nSocket = 1", "unknown key agent.Socket, the nearest known one is agent.socket"),
        ("[agent]\n\"a b\\n\" = 1", "unknown key agent.\"a b\\n\", the nearest known one is agent.id"),
        ("[pol]\n", "unknown section pol, the nearest known one is pool"),
        ("[agnet.socket]\n", "unknown section agnet, the nearest known one is agent"),
        ("\"pool.slots\" = 1", "unknown key \"pool.slots\", the nearest known one is pool.slots"),
        ("pool = 1", "pool is 1, allowed is a section, begun by a line [pool]"),
        ("[[pool]]", "pool is a list of tables, allowed is a section, begun by a line [pool]"),
    ] {
        check(text, said);
    }
}

#[test]
fn text_that_is_no_toml_is_shown_with_its_line() {
    for text in ["[pool]\nslots = 64 MiB", "[pool]\nslots = 1\nslots = 2", "[pool\n", "pool.slots = "] {
        let error = read(text).unwrap_err();
        assert!(error.starts_with("c.toml: TOML parse error at line "), "{error}");
    }
}

#[test]
fn a_flag_is_blamed_for_what_it_says() {
    let check = |key, value: Value<'_>| check_flag(KEYS, key, &value).map_err(|error| error.to_string());
    let allowed = "allowed is a whole number from 8388608 (8 MiB) to 67108864 (64 MiB)";
    let low = check("pool.budget_bytes", Value::Integer(4096));
    assert_eq!(low, Err(format!("command line: pool.budget_bytes is 4096 (4 KiB), {allowed}")));
    let empty = check("agent.socket", Value::Text(OsStr::new("")));
    let said = "command line: agent.socket is \"\" (0 B), allowed is a path of 1 to 10 B, as a string";
    assert_eq!(empty, Err(said.to_owned()));
    let nowhere = check("agent.collectors", Value::List(vec![Value::Text(OsStr::new("a"))]));
    assert!(nowhere.unwrap_err().starts_with("command line: agent.collectors is [\"a\"], allowed is "));
    assert_eq!(check("pool.budget_bytes", Value::Integer(8 << 20)), Ok(()));
}

#[test]
fn edits_are_counted_both_ways() {
    for (a, b, n) in [("", "", 0), ("abc", "", 3), ("abc", "abd", 1), ("slots", "slot", 1), ("kitten", "sitting", 3)] {
        assert_eq!((n_edits(a, b), n_edits(b, a)), (n, n), "{a} {b}");
    }
}

/// A value of TOML, as a file would have it.
fn any_value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (-2..5000_i64).prop_map(|number| number.to_string()),
        any::<i128>().prop_map(|number| number.to_string()),
        any::<u32>().prop_map(|number| format!("0x{number:x}")),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        (-0.5..1.5_f64).prop_map(|number| format!("{number:?}")),
        prop::sample::select(vec![
            "true",
            "false",
            "nan",
            "-inf",
            "1979-05-27T07:32:00Z",
            "07:32:00",
            "''",
            "[]",
            "{}"
        ])
        .prop_map(str::to_owned),
        "[ -~\u{e4}]{0,20}".prop_map(|text| format!("{text:?}")),
        prop::sample::select(vec!["127.0.0.1:1", "http://a:1", "/a"]).prop_map(|text| format!("{text:?}")),
    ];
    scalar.prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3).prop_map(|values| format!("[{}]", values.join(", ")));
        prop_oneof![list, inner.prop_map(|value| format!("{{ a = {value} }}"))]
    })
}

proptest! {
    /// Any value in any key is taken, or the error names the key.
    #[test]
    fn any_value_is_taken_or_its_key_is_named(
        (key, other) in prop::sample::select(KEYS).prop_flat_map(|key| (Just(key), prop::sample::select(KEYS))),
        value in any_value(),
    ) {
        let section = key.name.split_once('.').unwrap().0;
        let name = key.name.split_once('.').unwrap().1;
        for text in [format!("{} = {value}", key.name), format!("[{section}]\n{name} = {value}")] {
            if let Err(error) = read(&text) {
                prop_assert!(error.starts_with(&format!("c.toml: {} is ", key.name)), "{text}: {error}");
                prop_assert!(!error.contains('\n'), "{error}");
                let misnamed = read(&format!("{}x = {value}", other.name)).unwrap_err();
                prop_assert!(misnamed.starts_with(&format!("c.toml: unknown key {}x, ", other.name)), "{misnamed}");
            }
        }
    }

    /// Any text ends in a table or an error that names the file.
    #[test]
    fn any_text_ends_in_an_error_that_names_the_file(text in "(\\[?(pool|agent|x)?\\.?(slots|id|y)?\\]?( ?= ?[0-9a\"\\[{]*)?\n?){0,4}") {
        if let Err(error) = read(&text) {
            prop_assert!(error.starts_with("c.toml: "), "{error}");
        }
    }
}
