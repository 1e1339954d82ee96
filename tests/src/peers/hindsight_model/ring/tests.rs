//! Claims about the model's ring.

use std::{sync::atomic::AtomicU64, thread};

use super::{Ring, ring_words};

fn words(capacity: usize) -> Vec<AtomicU64> {
    (0..ring_words(capacity)).map(|_| AtomicU64::new(0)).collect()
}

#[test]
fn values_leave_in_the_order_they_came_and_a_full_ring_refuses() {
    let words = words(4);
    let ring = Ring::new(&words);
    assert_eq!(ring.pop(), None);
    for lap in 0..4 {
        assert!((0..4).all(|i| ring.push([lap, i])));
        assert!(!ring.push([9, 9]));
        assert!((0..4).all(|i| ring.pop() == Some([lap, i])));
    }
    assert_eq!(ring.pop(), None);
}

#[test]
fn every_value_arrives_once_between_threads() {
    const N: u64 = 20_000;
    let words = words(64);
    let ring = Ring::new(&words);
    let sum = thread::scope(|scope| {
        for first in [0, N] {
            scope.spawn(move || {
                for value in first..first + N {
                    while !ring.push([value, !value]) {
                        thread::yield_now();
                    }
                }
            });
        }
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(move || take(ring, N))).collect();
        readers.into_iter().map(|reader| reader.join().expect("reader ends")).sum::<u64>()
    });
    assert_eq!(sum, (0..2 * N).sum::<u64>());
    assert_eq!(ring.pop(), None);
}

fn take(ring: Ring<'_>, n: u64) -> u64 {
    let mut sum = 0;
    for _ in 0..n {
        let [value, check] = loop {
            match ring.pop() {
                Some(pair) => break pair,
                None => thread::yield_now(),
            }
        };
        assert_eq!(check, !value);
        sum += value;
    }
    sum
}
