//! Claims about interleaving.

use std::cell::RefCell;

use super::{Rounds, Series, Subject, interleave, whose_turn};

fn subject<'a>(name: &'a str, log: &'a RefCell<String>) -> Subject<'a> {
    Subject {
        name: name.to_owned(),
        run: Box::new(move || {
            log.borrow_mut().push_str(name);
            Ok(log.borrow().len() as f64)
        }),
    }
}

#[test]
fn the_order_changes_and_the_warm_up_is_thrown_away() {
    let log = RefCell::new(String::new());
    let mut subjects = [subject("a", &log), subject("b", &log), subject("c", &log)];
    let series = interleave("t", &mut subjects, Rounds { n_rounds: 3, n_warmup: 1 });
    assert_eq!(log.borrow().as_str(), "abccbabcaacb");
    assert_eq!(series[0].samples, [6.0, 9.0, 10.0]);
    assert_eq!((series[2].median(), series[2].min(), series[2].max()), (Some(8.0), 4.0, 11.0));
}

#[test]
fn each_subject_follows_each_other_one_equally_often() {
    for n_subjects in 2..9 {
        let n_rounds = if n_subjects % 2 == 1 { 2 * n_subjects } else { n_subjects };
        let mut n_follows = vec![vec![0; n_subjects]; n_subjects];
        for round in 0..n_rounds {
            let order: Vec<usize> = (0..n_subjects).map(|step| whose_turn(round, step, n_subjects)).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..n_subjects), "{order:?}");
            for pair in order.windows(2) {
                n_follows[pair[0]][pair[1]] += 1;
            }
        }
        for (before, row) in n_follows.iter().enumerate() {
            for (after, n) in row.iter().enumerate() {
                let expected = if before == after { 0 } else { n_rounds / n_subjects };
                assert_eq!(*n, expected, "{after} after {before} of {n_subjects}");
            }
        }
    }
}

#[test]
fn a_subject_that_fails_is_given_up_and_the_others_go_on() {
    let mut left = 2;
    let fails = Subject {
        name: "fails".into(),
        run: Box::new(move || {
            left -= 1;
            anyhow::ensure!(left > 0, "gone");
            Ok(1.0)
        }),
    };
    let log = RefCell::new(String::new());
    let series = interleave("t", &mut [fails, subject("a", &log)], Rounds { n_rounds: 5, n_warmup: 0 });
    assert_eq!((series[0].samples.len(), series[0].failure.as_deref()), (0, Some("gone")));
    assert_eq!((series[0].median(), series[1].samples.len()), (None, 5));
}

#[test]
fn a_sample_may_hold_several_numbers() {
    let run = Box::new(|| Ok((1.0, 2.0)));
    let mut subjects = [Subject { name: "pair".into(), run }];
    let series = interleave("t", &mut subjects, Rounds { n_rounds: 2, n_warmup: 0 });
    let second: Series = series[0].map(|sample| sample.1);
    assert_eq!((second.name.as_str(), second.samples), ("pair", vec![2.0, 2.0]));
}
