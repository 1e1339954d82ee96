//! Claims about uniting: what was said twice is said once, nothing else goes, and it does not matter in which steps parts are joined.

use super::{facts, reports, slices, spans};
use crate::part::tests::any;
use crate::rows::{Energy, Joules, ReportRow, SliceRow, SpanRow, TraceFacts, flag, source};
use backsight_core::ids::SpanId;
use proptest::collection::vec;
use proptest::prelude::*;

fn span(id: u64, start_ns: i64, source: i8) -> SpanRow<'static> {
    SpanRow { id: SpanId(id), start_ns, source, ..SpanRow::default() }
}

fn named(name: &'static str, source: i8) -> SpanRow<'static> {
    SpanRow { operation: name.into(), ..span(1, 1, source) }
}

fn names(pieces: Vec<Vec<SpanRow<'static>>>) -> Vec<String> {
    spans(pieces).spans.iter().map(|span| span.operation.to_string()).collect()
}

#[test]
fn a_span_that_came_twice_is_one_and_another_with_its_id_stays() {
    let (a, b) = (named("a", source::OTLP), named("b", source::OTLP));
    assert_eq!(names(vec![vec![a.clone(), b.clone()], vec![b, a.clone()], vec![a]]), ["a", "b"]);
}

#[test]
fn what_a_span_says_that_came_late_is_the_same() {
    let first = span(1, 1, source::OTLP);
    let late = SpanRow { flags: flag::LATE, self_cp_ns: Some(3), sampling_weight: 2.0, ..first.clone() };
    assert_eq!(spans(vec![vec![first.clone()], vec![late]]).spans, [first]);
}

#[test]
fn what_was_recorded_is_that_of_the_newest_part_that_has_any_all_of_it() {
    let recorded = |name| named(name, source::RECORDER);
    let gone = span(9, 0, source::RECORDER);
    let united = spans(vec![vec![gone, named("theirs", source::OTLP)], vec![recorded("new")], vec![]]);
    assert_eq!((united.spans.len(), united.recorded), (2, Some(1)), "also of spans that were not told again");
    assert_eq!(names(vec![vec![recorded("old")], vec![], vec![recorded("new")]]), ["new"]);
    assert_eq!(names(vec![vec![recorded("a"), recorded("b")]]), ["a", "b"], "of one part both stay");
    assert_eq!(
        names(vec![vec![named("theirs", source::OTLP), recorded("old")], vec![recorded("new")]]),
        ["theirs", "new"]
    );
}

#[test]
fn the_energy_of_what_was_told_twice_counts_once() {
    let energy = |nj| {
        let mut energy = Energy::default();
        energy.components[2] = Joules { nj, low: 0, high: 0 };
        energy
    };
    let told = SpanRow { energy: Some(energy(30)), ..span(1, 1, source::RECORDER) };
    let piece =
        |energy_nj| TraceFacts { energy_nj: Some(energy_nj), energy_no_span: Some(energy(5)), ..TraceFacts::default() };
    let united = spans(vec![vec![told.clone()], vec![told]]);
    assert_eq!(united.dropped_nj, [30, 0]);
    assert_eq!(facts(&[piece(35), piece(37)], &united.dropped_nj).energy_nj, Some(37));
    let silent = TraceFacts::default();
    assert_eq!(facts(&[silent.clone(), silent], &[0, 0]).energy_nj, None);
}

#[test]
fn a_thread_is_once_at_one_instant() {
    let slice = |start_ns, cpu| SliceRow { start_ns, cpu, ..SliceRow::default() };
    let pieces = vec![vec![slice(2, 1), slice(2, 2)], vec![slice(1, 1), slice(2, 1), slice(2, 3)]];
    assert_eq!(slices(pieces.clone(), 1), pieces[1], "made again with the spans of the second");
    assert_eq!(slices(pieces, 0), [slice(1, 1), slice(2, 1), slice(2, 2), slice(2, 3)]);
}

#[test]
fn the_same_report_is_one() {
    let report = |kind, ingest_ns, payload: &'static [u8]| ReportRow {
        kind,
        ingest_ns,
        payload: payload.into(),
        ..ReportRow::default()
    };
    let united =
        reports(vec![vec![report(1, 5, b"a"), report(1, 4, b"b")], vec![report(1, 9, b"a"), report(2, 9, b"a")]]);
    assert_eq!(united, [report(1, 5, b"a"), report(1, 4, b"b"), report(2, 9, b"a")]);
}

/// What a trace is of several pieces.
fn whole(pieces: &[(Vec<SpanRow<'static>>, TraceFacts<'static>)]) -> (Vec<SpanRow<'static>>, TraceFacts<'static>) {
    let united = spans(pieces.iter().map(|(spans, _)| spans.clone()).collect());
    let of_pieces: Vec<_> = pieces.iter().map(|(_, facts)| facts.clone()).collect();
    (united.spans, facts(&of_pieces, &united.dropped_nj))
}

/// Energies so small that no sum overflows, and each piece says one.
fn tame(mut piece: (Vec<SpanRow<'static>>, TraceFacts<'static>)) -> (Vec<SpanRow<'static>>, TraceFacts<'static>) {
    let small = |energy: &mut Energy<'static>| energy.components.iter_mut().for_each(|joules| joules.nj %= 1 << 40);
    piece.0.iter_mut().for_each(|span| span.source = span.source.rem_euclid(3));
    piece.0.iter_mut().filter_map(|span| span.energy.as_mut()).for_each(small);
    piece.1.energy_no_span.iter_mut().for_each(small);
    piece.1.energy_nj = Some(piece.1.energy_nj.unwrap_or(1) % (1 << 40));
    piece
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// For all pieces of a trace, however neighbours of them are joined first: the whole is the same; and joined with nothing, it stays so.
    #[test]
    fn steps_do_not_matter(
        pieces in vec((vec(any::span(), 0..6), any::facts()), 1..5),
        again in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
        split in any::<prop::sample::Index>(),
    ) {
        let mut pieces: Vec<_> = pieces.into_iter().map(tame).collect();
        for (from, to) in again {
            let spans = pieces[from.index(pieces.len())].0.clone();
            let to = to.index(pieces.len());
            pieces[to].0.extend(spans);
        }
        let want = whole(&pieces);
        let split = split.index(pieces.len() + 1);
        let steps: Vec<_> = [&pieces[..split], &pieces[split..]].into_iter().filter(|run| !run.is_empty()).map(whole).collect();
        prop_assert_eq!(&whole(&steps), &want);
        prop_assert_eq!(&whole(std::slice::from_ref(&want)), &want);
        for span in pieces.iter().flat_map(|(spans, _)| spans) {
            let is_kept = want.0.iter().any(|kept| (kept.id, kept.start_ns) == (span.id, span.start_ns));
            prop_assert!(is_kept || span.source == source::RECORDER);
        }
    }
}
