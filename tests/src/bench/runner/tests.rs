//! Claims about interleaving.

use std::cell::RefCell;

use super::{Rounds, Series, Subject, interleave};

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
fn order_rotates_and_the_warm_up_is_thrown_away() {
    let log = RefCell::new(String::new());
    let mut subjects = [subject("a", &log), subject("b", &log), subject("c", &log)];
    let series = interleave("t", &mut subjects, Rounds { n_rounds: 3, n_warmup: 1 });
    assert_eq!(log.borrow().as_str(), "abcbcacababc");
    assert_eq!(series[0].samples, [6.0, 8.0, 10.0]);
    assert_eq!((series[2].median(), series[2].min(), series[2].max()), (Some(7.0), 5.0, 12.0));
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
