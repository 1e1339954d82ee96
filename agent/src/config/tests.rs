//! Claims about the configuration: defaults fit, every key is checked, and every error names its origin, key, value and what is allowed.
use super::{Budget, Config, KEYS, Overrides, POOL_MIN, PoolConfig, available_memory, budget};
use backsight_core::units::Bytes;
use backsight_proto::config::testing;
use proptest::prelude::{prop, prop_assert, proptest};
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

#[test]
fn every_key_takes_what_is_allowed_and_refuses_the_rest_by_name() {
    testing::every_key_takes_what_is_allowed_and_refuses_the_rest(KEYS, load);
}

#[test]
fn table_structures_and_document_have_the_same_keys() {
    let document = include_str!("../../../docs/spec/config.md");
    testing::table_structures_and_document_agree::<Config>(KEYS, document);
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
        (
            "[uplink]\ncollectors = [\"https://c:4390\"]\n",
            "uplink.collectors is \"https://c:4390\", allowed is http://, or https:// with certificates, which [uplink.tls] \
             names"
                .into(),
        ),
        (
            "[uplink]\ncollectors = [\"http://c:4390\"]\ntls = { ca = \"a\", cert = \"b\", key = \"c\" }\n",
            "uplink.collectors is \"http://c:4390\", allowed is https:// where [uplink.tls] names certificates: http:// \
             would not use them"
                .into(),
        ),
        (
            "[uplink.tls]\nca = \"/a\"\nkey = \"/c\"\n",
            "uplink.tls.cert is not set, a table [uplink.tls] has ca, cert and key".into(),
        ),
        (
            "[[trigger]]\nname = \"slow\"\nwhen = \"duration > 5 parsecs\"\n",
            "trigger.when is \"duration > 5 parsecs\", allowed is a trigger expression, as 'duration > 250ms and status = \
             error'; column 12: found `5`, expected a duration with a unit (ns, us, ms, s, m or h) of at most 584 years"
                .into(),
        ),
        (
            "[[trigger]]\nwhen = \"status = error\"\n[[trigger]]\nwhen = \"status = ok\"\n",
            "trigger.name is \"expression\", allowed is a name that no other trigger of the file has".into(),
        ),
        (
            "[[triggers.weights]]\ntrigger = \"cli\"\nweight = 2\n[[triggers.weights]]\ntrigger = \"cli\"\nweight = 3\n",
            "triggers.weights.trigger is \"cli\", allowed is a trigger that has no other weight".into(),
        ),
        (
            "[[triggers.weights]]\ntrigger = \"cli\"\nweight = 0\n",
            "triggers.weights.weight is 0, allowed is a whole number from 1 to 1000".into(),
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
        let dialled = Overrides { collectors: vec![url.into()], ..Overrides::default() };
        assert_eq!(Config::load(None, dialled).unwrap().uplink.collectors, [url]);
    }
}

/// Who set a value is blamed for it, whether or not there is a file.
#[test]
fn a_flag_is_blamed_for_its_value_and_a_file_for_its_own() {
    let good = "[pool]\nbudget_bytes = 8388608\n[agent]\nsocket = \"/a\"\nadmin_socket = \"/b\"\n";
    let low = Overrides { budget_bytes: Some(1), ..Overrides::default() };
    let long = Overrides { socket: Some("p".repeat(108).into()), ..Overrides::default() };
    let nowhere = Overrides { collectors: vec!["nowhere".into()], ..Overrides::default() };
    let uncertified = Overrides { collectors: vec!["https://c:1".into()], ..Overrides::default() };
    let nul = Overrides { state_dir: Some("a\0".into()), ..Overrides::default() };
    let taken = Overrides { socket: Some("/b".into()), ..Overrides::default() };
    let taken_too = Overrides { admin_socket: Some("/a".into()), ..Overrides::default() };
    for (overrides, blamed) in [
        (low.clone(), "command line: pool.budget_bytes is 1, allowed is "),
        (long, "command line: agent.socket is \"ppp"),
        (nowhere, "command line: uplink.collectors is [\"nowhere\"], allowed is "),
        (uncertified, "command line: uplink.collectors is \"https://c:1\", allowed is http://, or "),
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
        value in testing::any_scalar(),
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
