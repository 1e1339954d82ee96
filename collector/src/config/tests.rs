//! Claims about the configuration: every key is checked, and every error names its origin, key, value and what is allowed.

use super::{Config, KEYS, Overrides, REDACT_MAX};
use backsight_proto::config::testing;
use proptest::prelude::{prop, prop_assert, proptest};

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
    check(
        "[collector.tls]\nca = \"/a\"\n",
        "collector.tls.cert is not set, a table [collector.tls] has ca, cert and key",
    );
    check("[stor]\n", "unknown section stor, the nearest known one is store");
}

#[test]
fn every_key_takes_what_is_allowed_and_refuses_the_rest_by_name() {
    testing::every_key_takes_what_is_allowed_and_refuses_the_rest(KEYS, |text| load(text, Overrides::default()));
}

#[test]
fn table_structures_and_document_have_the_same_keys() {
    let document = include_str!("../../../docs/spec/config.md");
    testing::table_structures_and_document_agree::<Config>(KEYS, document);
}

const TLS: &str = "[collector.tls]\nca = \"a\"\ncert = \"b\"\nkey = \"c\"\n";

#[test]
fn others_reach_it_with_certificates_or_where_somebody_says_so() {
    let everywhere = || Overrides { listen: Some(([0, 0, 0, 0], 4390).into()), ..Overrides::default() };
    let error = load("", everywhere()).unwrap_err();
    assert!(
        error.starts_with("command line: collector.listen is \"0.0.0.0:4390\", allowed is an address of this host")
    );
    assert!(error.contains("[collector.tls]") && error.contains("--insecure"), "{error}");
    let error = load("[collector]\nlisten = \"10.0.0.1:1\"\n", Overrides::default()).unwrap_err();
    assert!(error.starts_with("FILE: collector.listen is \"10.0.0.1:1\", "), "{error}");
    load(TLS, everywhere()).unwrap();
    load("[collector]\ninsecure = true\n", everywhere()).unwrap();
    load("", Overrides { insecure: true, ..everywhere() }).unwrap();
    load("[collector]\nlisten = \"[::1]:1\"\n", Overrides::default()).unwrap();
}

#[test]
fn the_api_is_open_to_others_as_the_collector_is() {
    let open = "query.listen = \"0.0.0.0:16686\"\n";
    let error = load(open, Overrides::default()).unwrap_err();
    assert!(
        error.starts_with("FILE: query.listen is \"0.0.0.0:16686\", allowed is an address of this host"),
        "{error}"
    );
    load(&format!("{open}{TLS}"), Overrides::default()).unwrap();
    load(open, Overrides { insecure: true, ..Overrides::default() }).unwrap();
    load("query.listen = \"[::1]:0\"", Overrides::default()).unwrap();
}

#[test]
fn certificates_and_no_certificates_exclude_each_other() {
    let expected = "collector.insecure is \"true\", allowed is false where [collector.tls] names certificates";
    check(&format!("collector.insecure = true\n{TLS}"), expected);
    let error = load(TLS, Overrides { insecure: true, ..Overrides::default() }).unwrap_err();
    assert_eq!(error, format!("command line: {expected}"));
}

#[test]
fn addresses_for_otlp_are_open_to_others_only_as_its_own_is() {
    for key in ["intake.otlp_grpc", "intake.otlp_http"] {
        let listen = format!("{key} = \"0.0.0.0:1\"\n");
        let error = load(&listen, Overrides::default()).unwrap_err();
        assert!(
            error.starts_with(&format!("FILE: {key} is \"0.0.0.0:1\", allowed is an address of this host")),
            "{error}"
        );
        load(&listen, Overrides { insecure: true, ..Overrides::default() }).unwrap();
        load(&format!("{listen}{TLS}"), Overrides::default()).unwrap();
        load(&format!("intake.otlp = false\n{listen}"), Overrides::default()).unwrap();
    }
}

#[test]
fn a_rule_of_redaction_that_cannot_be_used_is_named() {
    let rules = |rules: &[&str]| rules.iter().map(|rule| format!("[[intake.redact]]\n{rule}\n")).collect::<String>();
    let drops = "key = \"a\"\naction = \"drop\"";
    let refused = |all: &[&str], name: &str, allowed: &str| {
        check(&rules(all), &format!("intake.redact is \"{name}\", allowed is {allowed}"));
    };
    let of_b = |rest: &str| format!("key = \"b\"\n{rest}");
    refused(&[drops, &of_b("action = \"mask\"")], "rule 2 of b", "the action mask beside a pattern");
    let paren = of_b("action = \"mask\"\npattern = \"(\"");
    refused(&[&paren], "rule 1 of b", "a regular expression as pattern; error: unclosed group");
    let wide = of_b("action = \"mask\"\npattern = '\\w{9999}'");
    assert!(load(&rules(&[&wide]), Overrides::default()).unwrap_err().contains("a regular expression as pattern; "));
    let both = of_b("action = \"drop\"\npattern = \"x\"");
    refused(&[&both], "rule 1 of b", "a pattern beside the action mask");
    let hash = of_b("action = \"hash\"");
    let file = "the action hash where intake.redact_key names a file with a key";
    refused(&[drops, &hash], "rule 2 of b", file);
    load(&format!("intake.redact_key = \"/k\"\n{}", rules(&[&hash])), Overrides::default()).unwrap();
    refused(&[drops, drops], "rule 2 of a", "each key once");
    refused(&["key = \"\"\naction = \"drop\""], "rule 1 of ", "a key, or the beginning of keys with * behind it");
    check(
        &rules(&["key = \"a\"\naction = \"hide\""]),
        "intake.redact.action is \"hide\", allowed is one of \"drop\", \"hash\", \"mask\"",
    );
    let many: Vec<_> = (0..=REDACT_MAX).map(|n| format!("key = \"{n}\"\naction = \"drop\"")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    refused(&many, "rule 65 of 64", "64 rules");
}

proptest! {
    /// Any scalar of TOML in any key is taken, or the error names the key.
    #[test]
    fn any_value_of_any_key_is_taken_or_named(
        key in prop::sample::select(KEYS),
        value in testing::any_scalar(),
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
