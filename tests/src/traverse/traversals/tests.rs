//! A traversal ends with the last agent, once.

use super::super::path::{Path, Shape};
use super::{Planned, Traversals};
use std::time::Duration;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn plan(n_agents: usize) -> [Planned; 2] {
    let path = Path { shape: Shape::FanOut, n_hosts: n_agents, first: 0 };
    [Planned { due: ms(0), agent: 0, path }, Planned { due: ms(10), agent: 1, path }]
}

#[test]
fn a_traversal_ends_when_the_last_agent_was_asked_and_repetitions_change_nothing() {
    let mut traversals = Traversals::new(&plan(3), 3);
    assert!(traversals.reach(1, 2, ms(12)));
    assert!(traversals.reach(1, 2, ms(13)));
    assert!(traversals.reach(1, 1, ms(14)), "the one that fired may be asked for laterals");
    assert_eq!((traversals.n_unfinished(), traversals.last_end()), (2, ms(0)));
    assert!(traversals.reach(1, 0, ms(15)));
    assert!(traversals.reach(1, 0, ms(30)));
    assert!(!traversals.reach(2, 0, ms(30)), "nobody planned that");
    assert_eq!((traversals.n_unfinished(), traversals.n_collects(), traversals.last_end()), (1, 5, ms(15)));
    assert!(traversals.has_reached(1, 2) && traversals.has_reached(0, 0) && !traversals.has_reached(0, 1));
    // The first was never followed: it counts with the time that it had.
    let times: Vec<Duration> = traversals.watched_until(ms(100)).times().collect();
    assert_eq!(times, [ms(100), ms(5)]);
}

#[test]
fn an_acknowledgement_ends_only_what_has_nobody_to_ask() {
    let mut alone = Traversals::new(&plan(1), 1);
    alone.acknowledge(0, ms(50));
    alone.acknowledge(0, ms(60));
    assert_eq!((alone.n_unfinished(), alone.last_end()), (1, ms(50)));
    let mut several = Traversals::new(&plan(2), 2);
    several.acknowledge(0, ms(50));
    assert_eq!(several.n_unfinished(), 2);
}
