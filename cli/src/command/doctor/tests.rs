//! Claims about the checks that read text.

use super::{Check, line, missing_tsc_flags};
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
