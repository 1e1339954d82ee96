//! Claims about the verdict: whole means certified complete and in agreement with the truth; everything else is missed, and says why.

use super::{Captured, Claim, Verdict, judge, shows_all};
use crate::truth::{Request, Visits};
use proptest::prelude::*;

/// Returns a request with so many visits intended and done at each service.
fn request(visits: &[(&str, u64, u64)]) -> Request {
    let visits =
        visits.iter().map(|(name, intended, done)| ((*name).to_owned(), Visits { intended: *intended, done: *done }));
    Request { visits: visits.collect(), ..Request::default() }
}

fn captured(visits: &[(&str, u64)], claim: Claim) -> Captured {
    Captured { visits: visits.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect(), claim }
}

fn partial(why: &[&str]) -> Claim {
    Claim::Incomplete { state: "partial", why: why.iter().map(|why| (*why).to_owned()).collect() }
}

fn missed(why: &str, explains: bool, is_false_complete: bool) -> Verdict {
    Verdict::Missed { why: why.to_owned(), explains, is_false_complete }
}

#[test]
fn complete_and_as_it_happened_is_whole() {
    let three_services = request(&[("front", 1, 1), ("back", 3, 3), ("store", 2, 2)]);
    let stored = captured(&[("front", 1), ("back", 3), ("store", 2)], Claim::Complete);
    assert_eq!(judge(&three_services, Some(&stored)), Verdict::Whole);
}

#[test]
fn complete_without_a_visit_that_was_done_is_a_false_certificate() {
    let two_visits = request(&[("front", 1, 1), ("back", 2, 2)]);
    let lacking_one = captured(&[("front", 1), ("back", 1)], Claim::Complete);
    assert_eq!(
        judge(&two_visits, Some(&lacking_one)),
        missed("back: 1 stored of 2 visits that were done", false, true)
    );
    let lacking_the_service = captured(&[("front", 1)], Claim::Complete);
    assert_eq!(
        judge(&two_visits, Some(&lacking_the_service)),
        missed("back: 0 stored of 2 visits that were done", false, true)
    );
    let lacking_all = captured(&[], Claim::Complete);
    assert!(matches!(judge(&two_visits, Some(&lacking_all)), Verdict::Missed { is_false_complete: true, .. }));
}

#[test]
fn partial_is_missed_with_the_reasons_of_its_certificate_even_if_all_visits_are_there() {
    let once = request(&[("front", 1, 1)]);
    let why = ["evicted: it had left the horizon", "no_answer: 1 call has no callee here"];
    assert_eq!(
        judge(&once, Some(&captured(&[("front", 1)], partial(&why)))),
        missed("partial: evicted: it had left the horizon; no_answer: 1 call has no callee here", true, false)
    );
    assert_eq!(
        judge(&once, Some(&captured(&[], partial(&why[..1])))),
        missed("partial: evicted: it had left the horizon; front: 0 stored of 1 visits that were done", true, false)
    );
    let unknown = Claim::Incomplete { state: "unknown", why: Vec::new() };
    assert_eq!(judge(&once, Some(&captured(&[("front", 1)], unknown))), missed("unknown", true, false));
}

#[test]
fn what_is_not_stored_is_missed_and_nothing_explains_it() {
    assert_eq!(judge(&request(&[("front", 1, 0)]), None), missed("it is not stored", false, false));
}

#[test]
fn a_visit_that_a_kill_cut_may_be_there_or_not() {
    let mut cut = request(&[("front", 1, 1), ("back", 2, 1)]);
    cut.is_cut = true;
    for n in 0..4 {
        let stored = captured(&[("front", 1), ("back", n)], Claim::Complete);
        assert_eq!(shows_all(&cut, &stored), n >= 2);
        let verdict = judge(&cut, Some(&stored));
        match n {
            0 => assert!(matches!(verdict, Verdict::Missed { is_false_complete: true, .. })),
            1 | 2 => assert_eq!(verdict, Verdict::Whole),
            _ => {
                assert_eq!(verdict, missed("back: 3 visits stored, where at most 2 can be", false, false));
            }
        }
    }
}

#[test]
fn visits_of_a_service_that_the_request_never_reached_are_not_coherent() {
    let verdict = judge(&request(&[("front", 1, 1)]), Some(&captured(&[("front", 1), ("bank", 1)], Claim::Complete)));
    assert_eq!(verdict, missed("bank: 1 visits stored, where at most 0 can be", false, false));
}

#[test]
fn a_trace_that_should_have_a_certificate_and_has_none_is_missed() {
    let stored = |is_lossy| captured(&[("front", 1)], Claim::Uncertified { is_lossy });
    let once = request(&[("front", 1, 1)]);
    assert_eq!(judge(&once, Some(&stored(false))), missed("it has no certificate", false, false));
    assert_eq!(judge(&once, Some(&stored(true))), missed("it has no certificate", true, false));
}

#[test]
fn traces_of_peers_have_no_certificate_and_are_judged_by_their_visits() {
    let two = request(&[("front", 1, 1), ("back", 2, 1)]);
    assert_eq!(judge(&two, Some(&captured(&[("front", 1), ("back", 2)], Claim::Silent))), Verdict::Whole);
    let verdict = judge(&two, Some(&captured(&[("front", 1)], Claim::Silent)));
    assert_eq!(verdict, missed("back: 0 stored of 1 visits that were done", false, false));
}

proptest! {
    /// For all counts: a complete trace is whole exactly if every service has between its done and its intended visits, and is a false
    /// certificate exactly if one has less than were done.
    #[test]
    fn whole_lies_between_done_and_intended(counts in prop::collection::vec((0..4_u64, 0..3_u64, 0..8_u64), 1..5)) {
        let name = |idx: usize| format!("service-{idx}");
        let (mut happened, mut stored) = (Request::default(), Captured { claim: Claim::Complete, ..Captured::default() });
        for (idx, (done, cut, n)) in counts.iter().enumerate() {
            happened.visits.insert(name(idx), Visits { intended: done + cut, done: *done });
            stored.visits.insert(name(idx), *n);
        }
        let is_whole = counts.iter().all(|(done, cut, n)| (*done..=done + cut).contains(n));
        let lacks = counts.iter().any(|(done, _, n)| n < done);
        let verdict = judge(&happened, Some(&stored));
        prop_assert_eq!(verdict == Verdict::Whole, is_whole);
        let is_false = matches!(verdict, Verdict::Missed { is_false_complete: true, .. });
        prop_assert_eq!(is_false, lacks);
    }
}
