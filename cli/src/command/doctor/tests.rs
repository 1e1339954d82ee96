//! Claims about the checks that read text.

use super::{Check, agent, collector_url, collectors, limited, line, missing_tsc_flags, region_bytes};
use crate::admin::Unreachable;
use backsight_core::units::Bytes;
use backsight_proto::admin::UplinkStatus;
use backsight_proto::v1::StatusReply;
use expect_test::expect;

#[test]
fn the_tsc_is_invariant_when_the_first_processor_says_so_twice() {
    let cpuinfo = "processor\t: 0\nflags\t\t: fpu constant_tsc rdtscp nonstop_tsc\nvmx flags\t: x\n";
    assert!(missing_tsc_flags(cpuinfo).is_empty());
    assert_eq!(missing_tsc_flags("flags : fpu constant_tsc"), ["nonstop_tsc"]);
    assert_eq!(missing_tsc_flags(""), ["constant_tsc", "nonstop_tsc"]);
}

#[test]
fn a_check_says_what_and_what_to_do() {
    let text = line(&Check::ok("memfd", "fine")) + &line(&Check::missing("pidfd", "too old", "get a newer kernel"));
    expect![[r#"
        ok       memfd          fine
        missing  pidfd          too old
                                → get a newer kernel
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_collector_that_takes_nothing_is_told_with_its_reason() {
    let uplink = |is_connected, is_reporting| UplinkStatus {
        collector: "http://c:4390".to_owned(),
        is_connected,
        is_reporting,
        last_error: "no space left".to_owned(),
        ..UplinkStatus::default()
    };
    let uplinks = [uplink(true, true), uplink(true, false), uplink(false, false)];
    let text: String = collectors(&[]).iter().chain(&collectors(&uplinks)).map(line).collect();
    expect![[r#"
        ok       collector      none: traces stay on this host (uplink.collectors)
        ok       collector      http://c:4390, connected
        warn     collector      http://c:4390 takes no reports: no space left
                                → traces stay on this host until it is reached; look at uplink.collectors and at the collector's log
        warn     collector      http://c:4390 is not connected: no space left
                                → traces stay on this host until it is reached; look at uplink.collectors and at the collector's log
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_region_maps_twice_the_budget_up_to_two_gib_and_its_fixed_part() {
    for (budget, want) in [(64 << 20, 160 << 20), (1 << 30, 2080 << 20), (1 << 40, 2080 << 20), (u64::MAX, 2080 << 20)]
    {
        assert_eq!(region_bytes(Bytes(budget)), Bytes(want));
    }
    let region = region_bytes(Bytes(1 << 30));
    let text = [None, Some(Bytes(8 << 30)), Some(Bytes(4 << 30))].map(|limit| line(&limited(limit, region)));
    expect![[r#"
        ok       address_space  RLIMIT_AS is unlimited
        ok       address_space  RLIMIT_AS is 8 GiB, a region maps 2 GiB of addresses
        warn     address_space  RLIMIT_AS is 4 GiB, a region maps 2 GiB of addresses
                                → raise it (`ulimit -v unlimited`), or lower pool.budget_bytes
    "#]]
    .assert_eq(&text.concat());
}

#[test]
fn a_collector_that_is_named_is_tested() {
    let url = "http://c:4390".parse().unwrap();
    let status = StatusReply { version: "0.1.0".to_owned(), n_traces: 7, ..StatusReply::default() };
    let text = [Ok(status), Err(anyhow::anyhow!("no collector at http://c:4390"))]
        .map(|status| line(&collector_url(&url, &status)));
    expect![[r#"
        ok       collector_url  http://c:4390 answers: version 0.1.0, 7 traces
        missing  collector_url  no collector at http://c:4390
                                → is this the address that it listens on?
    "#]]
    .assert_eq(&text.concat());
}

#[test]
fn an_agent_that_may_not_be_asked_is_unknown_and_one_that_is_not_there_is_missing() {
    let text = [true, false].map(|is_forbidden| {
        let text = "cannot ask /run/backsight/admin.sock".to_owned();
        line(&agent(&Err(Unreachable { is_forbidden, text }.into())))
    });
    expect![[r#"
        unknown  agent          cannot ask /run/backsight/admin.sock
                                → whether applications record cannot be told without it
        missing  agent          cannot ask /run/backsight/admin.sock
                                → applications run on, but record nothing
    "#]]
    .assert_eq(&text.concat());
}
