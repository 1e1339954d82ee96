//! Tests of the scanner: what is blanked, and what must not be.

use super::{code_only, words};

#[track_caller]
fn check(text: &str, code: &str) {
    let found = code_only(text);
    assert_eq!(found.split_whitespace().collect::<Vec<_>>(), code.split_whitespace().collect::<Vec<_>>());
    assert_eq!(found.lines().count(), text.lines().count());
}

#[test]
fn comments_are_blanked() {
    check("a // unsafe\nb", "a\nb");
    check("a /* unsafe /* nested */ still */ b", "a b");
    check("a /* never closed", "a");
}

#[test]
fn literals_are_blanked() {
    check(r#"f("unsafe \" // not a comment") + g"#, "f( ) + g");
    check(r###"f(r#"unsafe " quote"#) + g"###, "f( ) + g");
    check("f(b\"unsafe\", b'\\'', '\\u{1f980}', 'é')", "f(b , b , , )");
    check("a = \"two\nlines unsafe\"; b", "a =\n; b");
}

#[test]
fn lifetimes_and_raw_names_are_code() {
    check("fn f<'a>(r#type: &'a str) -> &'static str", "fn f<'a>(r#type: &'a str) -> &'static str");
    check("var\"text\"", "var");
}

#[test]
fn words_know_their_line_and_neighbours() {
    let code = "let x = 1;\n    a::b (c)";
    let b = words(code).find(|word| word.text == "b").unwrap();
    assert_eq!((b.line_idx, b.before, b.after), (1, "    a::", "(c)"));
    assert_eq!(words(code).count(), 6);
}
