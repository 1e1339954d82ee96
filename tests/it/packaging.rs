//! What is installed on hosts: systemd takes the unit, and it fits the agent.

use backsight_tests::harness::binaries;
use std::path::{Path, PathBuf};
use std::process::Command;

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(file)
}

fn agent() -> PathBuf {
    binaries::find("backsight-agent").unwrap()
}

/// Returns the value of `key` in a unit; the last one counts.
fn value<'u>(unit: &'u str, key: &str) -> &'u str {
    let of = |line: &'u str| line.strip_prefix(key)?.strip_prefix('=');
    unit.lines().rev().find_map(of).unwrap_or_else(|| panic!("the unit sets no {key}"))
}

#[test]
fn systemd_takes_the_units() {
    for name in ["backsight-agent", "backsight-collector"] {
        let unit = std::fs::read_to_string(packaging(&format!("systemd/{name}.service"))).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(format!("{name}.service"));
        let binary = binaries::find(name).unwrap();
        let installed = unit.replace(&format!("/usr/bin/{name}"), binary.to_str().unwrap());
        assert_ne!(unit, installed, "the unit starts {name}");
        std::fs::write(&file, installed).unwrap();
        let said = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
        let words = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && words.is_empty(), "{words}");
    }
}

#[test]
fn the_unit_and_the_agent_agree() {
    let unit = std::fs::read_to_string(packaging("systemd/backsight-agent.service")).unwrap();
    // Three descriptors a session, and the journal.
    let store: u64 = value(&unit, "FileDescriptorStoreMax").parse().unwrap();
    assert!(store > 3 * 4096, "{store}");
    assert!(unit.contains(&format!("Environment=FDSTORE={store}\n")), "systemd before 254 does not say it");
    let memory: u64 = value(&unit, "MemoryMax").strip_suffix('M').unwrap().parse().unwrap();
    assert!(memory >= 1024 + 128, "the pool and what is beside it: {memory} MiB");
    let checked = Command::new(agent()).arg("--check").arg("--config").arg(packaging("agent.toml")).status().unwrap();
    assert!(checked.success());
}
