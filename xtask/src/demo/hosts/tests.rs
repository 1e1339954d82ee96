//! Tests of how the hosts of the demo are made, without making any.

use super::{Hosts, N_HOSTS, Namespaces, Place, steps};
use std::path::Path;

/// Namespaces that were never made: what removes them finds nothing.
fn never_made() -> Namespaces {
    Namespaces { pid: u32::MAX }
}

#[test]
fn each_host_is_on_both_networks_and_only_namespaces_are_changed() {
    let steps = steps(&never_made());
    for idx in 0..N_HOSTS {
        for network in ["10.77.0", "10.78.0"] {
            let address = format!("{network}.{}/24", 11 + idx);
            assert_eq!(steps.iter().filter(|step| step.contains(&address)).count(), 1, "{address}");
        }
    }
    let is_inside = |step: &&String| step.starts_with("-n bks-") || step.starts_with("netns add bks-");
    assert_eq!(steps.iter().filter(is_inside).count(), steps.len(), "{steps:#?}");
}

#[test]
fn names_of_interfaces_fit_the_kernel() {
    for step in steps(&never_made()) {
        let words: Vec<&str> = step.split(' ').collect();
        let named =
            words.windows(2).filter(|pair| ["dev", "name", "set", "add"].contains(&pair[0]) && words[0] == "-n");
        for pair in named {
            assert!(pair[1].len() <= 15 || pair[1].contains('/'), "{step}");
        }
    }
}

#[test]
fn a_program_is_started_at_its_place() {
    let apart = Hosts::Apart(never_made());
    let command = apart.command(Place::Host(1), Path::new("/bin/true"));
    let arguments: Vec<_> = command.get_args().collect();
    assert_eq!(arguments, ["netns", "exec", "bks-4294967295-b", "/bin/true"]);
    assert_eq!(apart.collector_listens(), "10.78.0.1:0");
    assert_eq!(apart.arguments()[..4], ["--netns", "bks-4294967295-a", "--address", "10.77.0.11"]);
    let together = Hosts::Together { why: String::new() };
    assert_eq!(together.command(Place::Host(1), Path::new("/bin/true")).get_program(), "/bin/true");
    assert!(together.arguments().is_empty());
}
