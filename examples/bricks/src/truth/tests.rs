//! Claims about writing ground truth: what many threads write is all there, and stands in the file as soon as the call returns.

use super::{FILE_ENDING, Truth, Writer, file_of, mark_killed, prepare};
use crate::faults::{Fault, FaultKind};

fn services() -> Vec<String> {
    vec!["front".to_owned(), "back".to_owned()]
}

#[test]
fn what_many_threads_write_is_all_there_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::create(dir.path(), "host-1", &services()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u128 {
            let writer = &writer;
            scope.spawn(move || {
                for i in 0..500 {
                    let trace = thread * 1000 + i;
                    let visit = writer.intend(trace, 1);
                    writer.acted(trace, visit, FaultKind::Error);
                    writer.done(trace, visit);
                }
            });
        }
    });
    let truth = Truth::read(dir.path()).unwrap();
    assert_eq!((truth.edge_cases.len(), writer.n_failed()), (2000, 0));
    for request in truth.edge_cases.values() {
        assert_eq!((request.visits["back"].intended, request.visits["back"].done), (1, 1));
    }
}

#[test]
fn a_visit_without_an_end_was_cut_only_in_a_process_that_is_marked_as_killed() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::create(dir.path(), "back", &services()).unwrap();
    writer.request(9, &Fault { kind: FaultKind::Park, service_idx: 1 });
    let visit = writer.intend(9, 0);
    writer.acted(9, visit, FaultKind::Park);
    assert!(Truth::read(dir.path()).unwrap().edge_cases.is_empty());
    mark_killed(dir.path(), "back", std::process::id()).unwrap();
    assert!(Truth::read(dir.path()).unwrap().edge_cases[&9].is_cut);
}

#[test]
fn the_truth_of_another_run_is_not_mixed_with_this_one() {
    let dir = tempfile::tempdir().unwrap();
    prepare(&dir.path().join("a/b")).unwrap();
    prepare(dir.path()).unwrap();
    let first = Writer::create(dir.path(), "load", &services()).unwrap();
    assert!(prepare(dir.path()).is_err());
    first.answered(1, false);
    let error = Writer::create(dir.path(), "load", &services()).unwrap_err();
    assert!(format!("{error:#}").contains("it must not be there yet"), "{error:#}");
}

#[test]
fn names_of_processes_cannot_lead_out_of_the_folder() {
    for name in ["", "../x", "a/b", "a.b", "a b"] {
        assert!(file_of(std::path::Path::new("/tmp"), name, 1, FILE_ENDING).is_err(), "{name}");
    }
}
