//! A small world: what must be true of it whatever the costs are.

use super::World;
use crate::scale::costs::Costs;
use crate::scale::workload::Workload;

const S: u64 = 1_000_000_000;

/// Costs of ten microseconds for everything that messages and steps take, and syncs of 5 ms.
fn costs() -> Costs {
    let ten = 10.0;
    Costs {
        wake_us: ten,
        read_turn_us: ten,
        read_message_us: ten,
        write_turn_us: ten,
        write_message_us: ten,
        greet_us: ten,
        step_announce_us: ten,
        step_collect_us: ten,
        step_answer_us: ten,
        batch_us: ten,
        sync_ms: 5.0,
        link_send_us: ten,
        link_receive_us: ten,
        ..Costs::default()
    }
}

fn world(n_hosts: usize, n_collectors: usize) -> World {
    let workload = Workload::of(n_hosts).at(50.0);
    World::new(costs(), workload, n_collectors, 2, 1)
}

#[test]
fn on_an_idle_cluster_every_trigger_reaches_all_hosts_and_is_stored() {
    for n_collectors in [1, 3] {
        let mut world = world(40, n_collectors);
        world.run_until(4 * S);
        world.set_triggers(0.0);
        world.run_until(7 * S);
        let times = world.book.times(0, 4 * S, world.now());
        assert!(times.n > 100, "{times:?}");
        assert_eq!((times.unreached_share, times.unstored_share), (0.0, 0.0), "{times:?}");
        // A request's tree is never deeper than its hosts, and each step of it takes a few messages.
        assert!(0.2 < times.reach_p50_ms && times.reach_p99_ms < 20.0, "{times:?}");
        assert!(20.0 < times.store_p50_ms && times.store_p99_ms < 1000.0, "{times:?}");
    }
}

#[test]
fn the_same_seed_does_the_same() {
    let ran = || {
        let mut world = world(20, 2);
        world.run_until(3 * S);
        (world.totals(), world.book.times(0, 3 * S, world.now()))
    };
    assert_eq!(ran(), ran());
}

#[test]
fn a_coordinator_that_starts_again_is_told_of_everything_again() {
    let mut world = world(30, 1);
    world.run_until(5 * S);
    let n_groups = world.collectors()[0].n_groups();
    assert!(n_groups > 100);
    world.restart(0);
    world.run_until(10 * S);
    let rebuilt = world.rebuilt_ns.expect("its groups are known again");
    assert!(rebuilt > 6 * S, "it was away for a second");
    assert!(world.collectors()[0].n_groups() >= n_groups);
}

#[test]
fn whoever_stands_in_for_a_collector_takes_its_groups_over() {
    let mut world = world(30, 3);
    world.run_until(5 * S);
    world.lose(1);
    world.run_until(9 * S);
    world.set_triggers(0.0);
    world.run_until(12 * S);
    let during = world.book.times(5 * S, 9 * S, world.now());
    assert_eq!(during.unreached_share, 0.0, "{during:?}");
    assert!(during.reach_p99_ms > 500.0, "a third of them waited for the move: {during:?}");
    let after = world.book.times(6 * S + S / 10, 9 * S, world.now());
    assert!(after.reach_p99_ms < 50.0, "{after:?}");
}
