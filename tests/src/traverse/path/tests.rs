//! Crumbs lead where a request came from and went.

use super::{CrumbDirection, Path, Shape, agent_id};

/// Returns the crumbs of the host at `position`, by the positions where they lead.
fn leads(path: Path, position: usize) -> Vec<(usize, CrumbDirection)> {
    let of = path.crumbs(path.agent_at(position));
    let mut leads: Vec<_> =
        of.iter().map(|crumb| (path.position_of(crumb.agent.0 as usize - 1), crumb.direction)).collect();
    leads.sort_unstable();
    leads
}

#[test]
fn a_host_of_a_chain_knows_as_many_before_it_as_requests_carry_and_behind_it_as_answers_do() {
    use CrumbDirection::{After, Before, From, To};
    let path = |n_crumbs| Path { shape: Shape::Chain { n_crumbs }, n_hosts: 6, first: 4 };
    assert_eq!(leads(path(3), 0), [(1, To), (2, After), (3, After)]);
    assert_eq!(leads(path(3), 2), [(0, Before), (1, From), (3, To), (4, After), (5, After)]);
    assert_eq!(leads(path(3), 5), [(2, Before), (3, Before), (4, From)]);
    assert_eq!(leads(path(1), 5), [(4, From)]);
}

#[test]
fn the_first_host_of_a_fan_out_knows_all_others_and_they_know_it() {
    let path = Path { shape: Shape::FanOut, n_hosts: 4, first: 1 };
    let to = CrumbDirection::To;
    assert_eq!(leads(path, 0), [(1, to), (2, to), (3, to)]);
    assert_eq!(leads(path, 3), [(0, CrumbDirection::From)]);
}

#[test]
fn crumbs_ascend_and_a_lone_host_has_none() {
    let path = Path { shape: Shape::Chain { n_crumbs: 3 }, n_hosts: 9, first: 7 };
    assert!((0..9).all(|idx| path.crumbs(idx).is_sorted()));
    let alone = Path { shape: Shape::Chain { n_crumbs: 3 }, n_hosts: 1, first: 0 };
    assert_eq!(alone.crumbs(0), []);
    assert_eq!(agent_id(0).0, 1);
}

#[test]
fn each_question_leads_as_far_as_crumbs_do() {
    let n = |shape, fired| Path { shape, n_hosts: 10, first: 0 }.n_questions_from(fired);
    assert_eq!([0, 4, 9].map(|fired| n(Shape::Chain { n_crumbs: 1 }, fired)), [9, 5, 9]);
    assert_eq!([0, 4, 9].map(|fired| n(Shape::Chain { n_crumbs: 3 }, fired)), [3, 2, 3]);
    assert_eq!([0, 4].map(|fired| n(Shape::FanOut, fired)), [1, 2]);
    assert_eq!(Path { shape: Shape::FanOut, n_hosts: 1, first: 0 }.n_questions_from(0), 0);
}
