//! The queues against what theory says of them (L. Kleinrock, Queueing Systems, volume 1), and against themselves.

use super::{Agenda, Pool};
use crate::bench::stats::SplitMix;
use std::collections::VecDeque;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Happens {
    Arrival,
    End,
}

/// Returns how long jobs wait on average before they are served, in service times, at `load` of `n_servers`; arrivals are Poisson.
fn mean_wait(seed: u64, n_servers: usize, load: f64, service: fn(&mut SplitMix) -> f64) -> f64 {
    const UNIT: f64 = 1e6; // nanoseconds of a mean service
    const N_JOBS: usize = 400_000;
    let mut random = SplitMix(seed);
    let (mut agenda, mut pool, mut came) = (Agenda::default(), Pool::new(n_servers), VecDeque::new());
    let (mut waited, mut n_begun, mut n_come) = (0.0, 0, 0);
    agenda.plan(0, Happens::Arrival);
    while let Some(event) = agenda.next_before(u64::MAX) {
        let now = agenda.now();
        let begins = match event {
            Happens::Arrival => {
                n_come += 1;
                if n_come < N_JOBS {
                    let pause = exponential(&mut random) * UNIT / (load * n_servers as f64);
                    agenda.plan(now + pause as u64, Happens::Arrival);
                }
                came.push_back(now);
                pool.offer(())
            }
            Happens::End => pool.finish(),
        };
        if begins.is_some() {
            waited += (now - came.pop_front().unwrap()) as f64;
            n_begun += 1;
            agenda.plan(now + (service(&mut random) * UNIT) as u64, Happens::End);
        }
    }
    assert_eq!((n_begun, came.len()), (N_JOBS, 0), "whoever came was served");
    waited / UNIT / N_JOBS as f64
}

fn exponential(random: &mut SplitMix) -> f64 {
    -(1.0 - random.uniform()).ln()
}

fn check(what: &str, found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 0.05, "{what}: {found}, expected {expected}");
}

/// M/D/1: the mean wait is `load / (2 (1 - load))` services.
#[test]
fn constant_services_wait_as_pollaczek_and_khinchine_say() {
    for load in [0.3, 0.6, 0.8] {
        check("M/D/1", mean_wait(1, 1, load, |_| 1.0), load / (2.0 * (1.0 - load)));
    }
}

/// M/M/1: the mean wait is `load / (1 - load)` services.
#[test]
fn exponential_services_wait_twice_as_long() {
    for load in [0.3, 0.6, 0.8] {
        check("M/M/1", mean_wait(2, 1, load, exponential), load / (1.0 - load));
    }
}

/// M/M/2: by Erlang's C formula the mean wait is `load² / (1 - load²)` services.
#[test]
fn two_servers_share_one_queue() {
    for load in [0.3, 0.6, 0.8] {
        check("M/M/2", mean_wait(3, 2, load, exponential), load * load / (1.0 - load * load));
    }
}

#[test]
fn the_same_seed_waits_the_same() {
    let wait = |seed| mean_wait(seed, 1, 0.7, exponential);
    assert_eq!(wait(7), wait(7));
    assert_ne!(wait(7), wait(8));
}

#[test]
fn events_of_one_instant_happen_as_they_were_planned() {
    let mut agenda = Agenda::default();
    for (at, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b')] {
        agenda.plan(at, event);
    }
    let mut happened = Vec::new();
    while let Some(event) = agenda.next_before(5) {
        happened.push((agenda.now(), event));
    }
    assert_eq!((happened, agenda.now()), (vec![(1, 'a'), (3, 'b')], 5));
    agenda.plan(2, 'e'); // too late: it happens now
    let rest: Vec<char> = std::iter::from_fn(|| agenda.next_before(9)).collect();
    assert_eq!((rest, agenda.now()), (vec!['c', 'd', 'e'], 9));
}
