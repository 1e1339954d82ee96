//! Claims about lists of kept traces and about several documents.

use super::{array, kept};
use backsight_core::ids::TraceId;
use backsight_proto::admin::{KeptList, KeptState, KeptTrace};
use expect_test::expect;

#[test]
fn states_that_do_not_explain_themselves_are_explained_once() {
    let trace = |n, state| KeptTrace {
        trace: TraceId::new(7, n),
        trigger: "slow".to_owned(),
        trigger_id: 0x1234,
        fired_unix_ns: 1_700_000_000_000_000_000,
        n_segments: 3,
        bytes: 2048,
        state,
    };
    let list = KeptList {
        traces: vec![trace(1, KeptState::Lingering), trace(2, KeptState::Lingering), trace(3, KeptState::Kept)],
        n_more: 28,
    };
    expect![[r#"
        TRACE                             TRIGGER  FIRED                     SEGMENTS   SIZE  STATE
        00000000000000070000000000000001  slow     2023-11-14T22:13:20.000Z         3  2 KiB  lingering
        00000000000000070000000000000002  slow     2023-11-14T22:13:20.000Z         3  2 KiB  lingering
        00000000000000070000000000000003  slow     2023-11-14T22:13:20.000Z         3  2 KiB  kept
        and 28 more, which are older

        lingering: a collector has it on its disk; what comes late is still sent
    "#]]
    .assert_eq(&kept(&list));
}

#[test]
fn several_documents_are_one_array() {
    for (documents, want) in [(vec![], "[]\n"), (vec!["{}\n"], "[{}]\n"), (vec!["{}\n", "1\n"], "[{},\n1]\n")] {
        let documents: Vec<Vec<u8>> = documents.into_iter().map(|document| document.as_bytes().to_vec()).collect();
        assert_eq!(String::from_utf8(array(&documents)).unwrap(), want);
    }
}
