//! Tests of the comparison of tables, on texts.

use super::{MarkerError, blessed, blocks, differences};

const DOCUMENT: &str = "# ABI\n<!-- abi:chunk -->\n| a | 0 |\n| b | 4 |\n<!-- /abi -->\ntext\n<!-- abi:slot -->\n| c | 8 |\n<!-- /abi -->\nend\n";
const PRINTED: &str =
    "<!-- abi:slot -->\n| c | 8 |\n<!-- /abi -->\n<!-- abi:chunk -->\n| a | 0 |\n| b | 4 |\n<!-- /abi -->\n";

#[track_caller]
fn check(document: &str, printed: &str, expected: &[&str]) {
    assert_eq!(differences(document, printed).unwrap(), expected);
}

#[test]
fn equal_tables_pass_in_any_order() {
    check(DOCUMENT, PRINTED, &[]);
}

#[test]
fn differing_line_is_named() {
    check(
        &DOCUMENT.replace("| b | 4 |", "| b | 8 |"),
        PRINTED,
        &[
            "docs/spec/shm-abi.md:4: table `chunk` says `| b | 8 |`, the code says `| b | 4 |`; if the code is right: cargo xtask tidy --bless",
        ],
    );
    check(
        &DOCUMENT.replace("| b | 4 |\n", ""),
        PRINTED,
        &[
            "docs/spec/shm-abi.md:4: table `chunk` says (nothing), the code says `| b | 4 |`; if the code is right: cargo xtask tidy --bless",
        ],
    );
}

#[test]
fn missing_and_unknown_tables_are_named() {
    check(
        "<!-- abi:chunk -->\n| a | 0 |\n| b | 4 |\n<!-- /abi -->\n",
        PRINTED,
        &["docs/spec/shm-abi.md: lacks the table `slot`; add its markers, then bless"],
    );
    check(
        DOCUMENT,
        "<!-- abi:chunk -->\n| a | 0 |\n| b | 4 |\n<!-- /abi -->\n",
        &["docs/spec/shm-abi.md:7: no code prints the table `slot`"],
    );
    check("# ABI\n", "", &["docs/spec/shm-abi.md: `abi_tables` prints no table"]);
}

#[test]
fn bless_takes_over_the_code_and_nothing_else() {
    let stale = DOCUMENT.replace("| b | 4 |", "| b | 8 |\n| x | 9 |").replace("| c | 8 |\n", "");
    assert_eq!(blessed(&stale, PRINTED).unwrap(), DOCUMENT);
    assert_eq!(blessed(DOCUMENT, "").unwrap(), DOCUMENT);
}

#[test]
fn broken_markers_are_refused() {
    let name = "chunk".to_owned();
    let twice = "<!-- abi:chunk -->\n<!-- /abi -->\n";
    assert_eq!(blocks("<!-- abi:chunk -->\n"), Err(MarkerError::NeverClosed { name: name.clone() }));
    assert_eq!(blocks("<!-- /abi -->\n"), Err(MarkerError::ClosedTwice { line: 1 }));
    assert_eq!(blocks(&twice.repeat(2)), Err(MarkerError::Twice { name: name.clone() }));
    let nested = "<!-- abi:slot -->\n<!-- abi:chunk -->\n";
    assert_eq!(blocks(nested), Err(MarkerError::Nested { name, within: "slot".to_owned() }));
}
