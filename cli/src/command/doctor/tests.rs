//! Claims about the checks that read text.

use super::{Check, collector, line, missing_tsc_flags};
use backsight_proto::admin::UplinkStatus;
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
    let text = [None, Some(uplink(true, true)), Some(uplink(true, false)), Some(uplink(false, false))];
    let text: String = text.iter().map(|uplink| line(&collector(uplink.as_ref()))).collect();
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
