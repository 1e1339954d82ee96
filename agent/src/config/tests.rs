//! Claims about the configuration: defaults fit, every error names its key, its value and what is allowed.
use super::{Budget, Config, Overrides, POOL_MIN, PoolConfig, available_memory, budget};
use backsight_core::units::Bytes;
use std::path::PathBuf;

fn load(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(Some(&file), Overrides::default()).map_err(|e| e.to_string())
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(load("").unwrap(), Config::default());
}

#[test]
fn errors_name_file_key_value_and_what_is_allowed() {
    let cases = [
        (
            "[pool]\nbudget_bytes = 4194304\n",
            "pool.budget_bytes is 4194304 B (4 MiB), allowed is at least 8 MiB (8388608 B)",
        ),
        ("[pool]\nkept_share = 1.5\n", "pool.kept_share is 1.5, allowed is more than 0 and at most 1"),
        ("[pool]\nkept_share = nan\n", "pool.kept_share is NaN, allowed is more than 0 and at most 1"),
        ("[crumbs]\npath_len = 6\n", "crumbs.path_len is 6, allowed is 1 to 5"),
        ("[triggers]\nrate_per_s = 0\n", "triggers.rate_per_s is 0, allowed is 1 to 1000000"),
        ("[triggers]\nremote_rate_per_s = 0\n", "triggers.remote_rate_per_s is 0, allowed is 1 to 10000000"),
        ("[report]\nbatch_bytes = 1\n", "report.batch_bytes is 1, allowed is 4096 to 4194304"),
        ("[report]\nresend_ms = 1\n", "report.resend_ms is 1, allowed is 100 to 600000"),
        (
            "[uplink]\ncollectors = [\"http://a:1\", \"http://b:1\"]\n",
            "uplink.collectors is a list of 2, allowed is one collector, or none",
        ),
        ("[uplink]\ncollectors = [\"a:1\"]\n", "uplink.collectors is a:1, allowed is http://host:port"),
        ("[uplink]\ncollectors = [\"http://a\"]\n", "uplink.collectors is http://a, allowed"),
        ("[uplink]\ncollectors = [\"http://a:0\"]\n", "uplink.collectors is http://a:0, allowed"),
        ("[uplink]\ncollectors = [\"http://a:1/x\"]\n", "uplink.collectors is http://a:1/x, allowed"),
        ("[agent]\nsocket = \"\"\n", "agent.socket is , allowed is a path of 1 to 107 B (this one has 0)"),
        ("[agent]\nsocket = \"/a\"\nadmin_socket = \"/a\"\n", "agent.admin_socket is /a, allowed is another path"),
        ("[pool]\nbugdet_bytes = 1\n", "bugdet_bytes"),
        ("[pol]\n", "pol"),
        ("[pool]\nbudget_bytes = \"1 GiB\"\n", "budget_bytes"),
    ];
    for (text, expected) in cases {
        let error = load(text).unwrap_err();
        assert!(error.contains(expected) && error.contains("agent.toml"), "{text:?} gave {error}");
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
    let low = Overrides { budget_bytes: Some(1), ..Overrides::default() };
    assert!(Config::load(None, low).unwrap_err().to_string().starts_with("command line: pool.budget_bytes is 1 B"));
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
