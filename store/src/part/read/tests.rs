//! Claims about hostile files: any bytes give rows or an error that names the file, and never a panic.

use super::aggs::Aggs;
use super::{File, PartError, Reports, Slices, Spans, Traces, verify};
use crate::agg::Aggregates;
use crate::agg::tests::some_aggregates;
use crate::objects::testing::{Memory, MemoryObject};
use crate::part::footer;
use crate::part::tests::{any, batch, cut, cut_with};
use crate::rows::{ReportRow, TraceFacts};
use crate::schema::Table;
use backsight_core::ids::TraceId;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::sync::{Arc, OnceLock};

const N_REPORTS: u8 = 30;

/// Returns the files of a small part, with all that is optional somewhere in them.
fn files() -> &'static [(Table, Vec<u8>)] {
    static FILES: OnceLock<Vec<(Table, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut runner = TestRunner::deterministic();
        let mut batch = batch();
        for _ in 0..60 {
            batch.push_span(&any::span().new_tree(&mut runner).unwrap().current()).unwrap();
            batch.push_slice(&any::slice().new_tree(&mut runner).unwrap().current()).unwrap();
        }
        batch.set_trace(TraceId::new(0, 1), &TraceFacts::default()).unwrap();
        for n in 0..N_REPORTS {
            let payload = vec![n; 100 * usize::from(n)].into();
            batch.push_report(&ReportRow { trace: TraceId::new(0, 1), kind: n.into(), ingest_ns: 5, payload }).unwrap();
        }
        let objects = Memory::default();
        let part = cut_with(&batch, &some_aggregates(), &["a", "g"], &objects);
        let bytes = |table| crate::objects::Objects::get(&objects, &part.file(table)?.path, u64::MAX).unwrap();
        Table::ALL.iter().filter_map(|table| Some((*table, bytes(*table)?))).collect()
    })
}

/// Opens whatever these bytes are, and reads all of it.
fn read_all(bytes: Vec<u8>) -> Result<usize, PartError> {
    let file = File::open_object(Arc::new(MemoryObject { path: "data/hostile.parquet".to_owned(), bytes }))?;
    let n_rows = file.n_rows();
    file.candidates(TraceId::new(0, 1));
    Ok(match file.table() {
        Table::Spans => Spans::new(file)?.read(0..n_rows)?.len(),
        Table::Traces => {
            let traces = Traces::new(file)?;
            traces.find(TraceId::new(0, 1))?;
            traces.read(0..n_rows)?.len()
        }
        Table::Slices => Slices::new(file)?.read(0..n_rows)?.len(),
        Table::Reports => Reports::new(file)?.find(TraceId::new(0, 1))?.len(),
        Table::Agg => {
            let mut aggregates = Aggregates::default();
            let mut n_seen = 0;
            Aggs::new(file)?.visit(0..n_rows, &mut |row| {
                n_seen += 1;
                aggregates.merge_row(row);
            })?;
            aggregates.settle();
            n_seen
        }
    })
}

fn check(bytes: Vec<u8>) -> Result<(), TestCaseError> {
    if let Err(error) = read_all(bytes) {
        prop_assert!(error.to_string().starts_with("data/hostile.parquet "), "{}", error);
    }
    Ok(())
}

#[test]
fn sound_files_are_read() {
    assert_eq!(files().len(), 5);
    for (table, bytes) in files() {
        let n_rows = read_all(bytes.clone()).unwrap();
        assert!(n_rows >= 20, "{table:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// For all places and values: a file with changed bytes is read or refused. Half of the changes hit the metadata.
    #[test]
    fn changed_files_are_read_or_refused(
        table in 0..5_usize,
        changes in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = files()[table].1.clone();
        let len = bytes.len();
        let footer_len = 8 + u32::from_le_bytes(bytes[len - 8..len - 4].try_into().unwrap()) as usize;
        for (in_footer, place, byte) in changes {
            let at = if in_footer { len - footer_len + place.index(footer_len) } else { place.index(len) };
            bytes[at] = byte;
        }
        check(bytes)?;
    }

    /// For all lengths: a file that is cut short is refused, also where its end was put back.
    #[test]
    fn short_files_are_refused(table in 0..5_usize, end: prop::sample::Index, has_end: bool) {
        let whole = &files()[table].1;
        let mut bytes = whole[..end.index(whole.len())].to_vec();
        if has_end {
            bytes.extend_from_slice(&whole[whole.len() - 8..]);
        }
        check(bytes)?;
    }

    /// For all bytes: noise is refused.
    #[test]
    fn noise_is_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), has_end: bool) {
        if has_end {
            let len = bytes.len() as u32;
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(b"PAR1");
        }
        prop_assert!(read_all(bytes).is_err());
    }

    /// For all bytes: checking metadata ends, and takes no longer than its length warrants.
    #[test]
    fn any_metadata_is_judged(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = footer::check(&bytes);
    }
}

#[test]
fn metadata_that_claims_more_than_its_bytes_is_refused() {
    // A list of 2^31 - 1 structures, and one of 200 bytes behind it that has three.
    let mut bytes = vec![0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07];
    bytes.extend([0; 200]);
    assert!(footer::check(&bytes).unwrap_err().contains("longer than the bytes"));
    // Structures in structures in structures.
    assert!(footer::check(&[0x1c; 64]).unwrap_err().contains("too deep"));
    assert!(footer::check(&[0x15, 0xff, 0xff]).unwrap_err().contains("ends early"));
    assert_eq!(footer::check(&[0x15, 0x02, 0x18, 0x01, b'x', 0x00]), Ok(()));
}

/// Replaces the first such text in a file's metadata by another of the same length.
fn with_footer_text(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let len = bytes.len();
    let start = len - 8 - u32::from_le_bytes(bytes[len - 8..len - 4].try_into().unwrap()) as usize;
    let at = start + bytes[start..].windows(from.len()).position(|window| window == from).unwrap();
    let mut changed = bytes.to_vec();
    changed[at..at + to.len()].copy_from_slice(to);
    changed
}

#[test]
fn a_newer_major_version_is_refused_by_name_and_a_foreign_file_says_what_it_lacks() {
    let bytes = &files()[0].1;
    let key = b"backsight.schema\x18\x011";
    let newer = read_all(with_footer_text(bytes, key, b"backsight.schema\x18\x017")).unwrap_err();
    assert_eq!(
        newer.to_string(),
        "data/hostile.parquet has schema 7, and this version reads 1; upgrade what reads it, or let it go by retention"
    );
    let foreign = read_all(with_footer_text(bytes, b"backsight.schema", b"backsight.schemb")).unwrap_err();
    assert!(matches!(&foreign, PartError::Foreign { why, .. } if why.contains("backsight.schema")), "{foreign}");
    let unfinished = read_all(bytes[..bytes.len() - 3].to_vec()).unwrap_err();
    assert!(unfinished.to_string().contains("its writing may not have been finished"), "{unfinished}");
    let missing = read_all(with_footer_text(bytes, b"trace_state", b"trace_stale")).unwrap_err();
    assert!(missing.to_string().contains("column trace_state is missing"), "{missing}");
}

#[test]
fn a_column_that_is_unknown_is_ignored() {
    let bytes = &files()[0].1;
    let sound = read_all(bytes.clone()).unwrap();
    // A promoted key under a name that this version knows nothing of.
    let later = with_footer_text(bytes, b"attr.g", b"later!");
    let ordered = read_all(later);
    // Rows whose order names the column cannot be put together without it; nothing else may fail.
    assert!(matches!(&ordered, Ok(n) if *n == sound) || ordered.is_err_and(|e| e.to_string().contains("attrs_order")));
}

#[test]
fn bytes_are_held_against_the_manifest() {
    let objects = Memory::default();
    let mut batch = batch();
    batch.push_span(&crate::rows::SpanRow::default()).unwrap();
    let part = cut(&batch, &[], &objects);
    let entry = part.file(Table::Spans).unwrap();
    verify(&objects, entry).unwrap();
    objects.change(&entry.path, |bytes| bytes[10] ^= 1);
    let changed = verify(&objects, entry).unwrap_err();
    assert!(matches!(changed, PartError::Changed { .. }), "{changed}");
    objects.change(&entry.path, |bytes| bytes.truncate(bytes.len() - 1));
    assert!(verify(&objects, entry).is_err() && File::open(&objects, entry).is_err());
    let missing = crate::manifest::entry::FileEntry { path: "data/gone".to_owned(), ..entry.clone() };
    assert!(File::open(&objects, &missing).unwrap_err().to_string().starts_with("data/gone is missing"));
}
