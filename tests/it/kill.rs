//! The crash contract: whatever was committed survives SIGKILL, nothing is invented, no memory is lost to the dead.

use backsight_tests::victim::storm::{self, Findings, Storm};

/// 1000 victims of 1 to 8 threads, killed 0 to 8 ms after their start: every committed record that is compared (those at the start and the
/// end of each thread, and of one victim in eight all) is found, byte for byte, none is invented, and no chunk stays with the dead.
#[test]
fn kill_storm_loses_nothing() {
    let findings = storm(1000, false);
    assert!(findings.records_checked > 100_000, "the storm checked only {} records", findings.records_checked);
}

/// The same of 100 victims, while whose lives the agent is killed, too; the next one comes before or after their deaths.
#[test]
fn kill_storm_that_takes_the_agent_along_loses_nothing() {
    let findings = storm(100, true);
    assert!(findings.records_checked > 10_000, "the storm checked only {} records", findings.records_checked);
}

fn storm(n_kills: u64, kills_agent: bool) -> Findings {
    let seed = std::env::var("BACKSIGHT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_801);
    let findings = storm::run(Storm { n_kills, seed, kills_agent }).unwrap();
    assert_eq!(findings.kills, n_kills);
    assert_eq!((findings.committed_lost, findings.garbage_records, findings.chunks_leaked), (0, 0, 0), "seed {seed}");
    findings
}
