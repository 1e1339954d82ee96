//! Tests of the checks over the table of faults: each way in which it can stop to fit the sources is told.

use super::{SourceFile, Table};
use crate::workspace::{Package, Target, Workspace};

const ROW: &str = "[[row]]\nkey = 'a'\nfault = 'it breaks'\nrequired = 'it holds'\n";

fn table(text: &str) -> Table {
    toml::from_str(text).unwrap()
}

/// Returns a case of row `row` whose mechanism is `find`, shown by `test`.
fn case(row: &str, find: &str, test: &str) -> String {
    format!(
        "[[case]]\nrow = '{row}'\ncase = 'one'\nhappens = 'nothing'\npackage = 'p'\ntarget = 'lib'\ntest = '{test}'\n\
         file = 'p/src/lib.rs'\nfind = '{find}'\nreplace = ''\n"
    )
}

fn workspace() -> Workspace {
    let library = Target { name: "p".to_owned(), kind: vec!["lib".to_owned()], src_path: "/r/p/src/lib.rs".into() };
    let package = Package {
        name: "p".to_owned(),
        manifest_path: "/r/p/Cargo.toml".into(),
        dependencies: Vec::new(),
        targets: vec![library],
    };
    Workspace { root: "/r".into(), target: "/r/target".into(), packages: vec![package] }
}

fn files() -> [SourceFile; 2] {
    [
        SourceFile::new("p/src/lib.rs", "fn guard() {}\nfn twice() {}\nfn twice() {}\n"),
        SourceFile::new("p/src/tests.rs", "#[test]\nfn it_holds() {}\n"),
    ]
}

fn problems(text: &str) -> Vec<String> {
    table(text).problems(&workspace(), &files())
}

#[test]
fn table_that_fits_is_fine_and_shown_with_its_test() {
    let text = ROW.to_owned() + &case("a", "fn guard() {}", "it_holds");
    assert_eq!(problems(&text), [""; 0]);
    let document = table(&text).document(&workspace(), &files());
    assert!(document.contains("## it breaks\n\nRequired: it holds.\n"), "{document}");
    assert!(document.contains("| one | nothing | `it_holds` in [p/src/tests.rs](../p/src/tests.rs) |"), "{document}");
}

#[test]
fn mechanism_must_stand_exactly_once() {
    for (find, n) in [("fn gone() {}", 0), ("fn twice() {}", 2)] {
        let found = problems(&(ROW.to_owned() + &case("a", find, "it_holds")));
        assert!(found.len() == 1 && found[0].ends_with(&format!("not {n} times")), "{found:?}");
    }
}

#[test]
fn row_without_a_case_and_case_without_a_row_or_a_test_are_told() {
    let found = problems(&(ROW.to_owned() + &case("b", "fn guard() {}", "it_is_gone")));
    let parts = ["no case shows `it breaks`", "there is no such row", "there is no test `it_is_gone`"];
    assert!(found.len() == 3 && found.iter().zip(parts).all(|(found, part)| found.contains(part)), "{found:?}");
    let twice = ROW.to_owned() + &case("a", "fn guard() {}", "it_holds").repeat(2);
    assert!(problems(&twice).iter().all(|found| found.ends_with("stands there twice")));
}
