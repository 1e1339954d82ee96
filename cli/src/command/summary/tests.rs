//! Claims about lists of stored traces: nothing is cut in a pipe, and no line is longer than the terminal.

use super::{Layout, N};
use crate::render::width;
use expect_test::expect;

fn rows() -> Vec<[String; N]> {
    let row = |root: &str, certificate: &str| {
        let cells = [
            "00000000000000070000000000000001",
            "2023-11-14T22:13:20.000Z",
            "60.0 ms",
            root,
            "4",
            "1",
            "2",
            "3 KiB",
            "cli 0x1234",
            certificate,
        ];
        cells.map(str::to_owned)
    };
    vec![
        row("front GET /checkout", "complete"),
        row("front POST /a/very/long/path/that/goes/on/and/on/for/ever", "partial: one_ended, no_answer, loss"),
    ]
}

fn shown(room: Option<usize>) -> String {
    let layout = Layout::of_rows(&rows(), room);
    let lines: String = rows().iter().map(|row| layout.line(row)).collect();
    layout.titles() + &lines + &layout.left_out().unwrap_or_default()
}

#[test]
fn a_pipe_gets_all_of_every_line() {
    let text = shown(None);
    for row in rows() {
        assert!(row.iter().all(|cell| text.contains(cell.as_str())), "{text}");
    }
    assert!(!text.contains('…'));
}

#[test]
fn a_narrow_terminal_gets_fewer_columns() {
    expect![[r#"
        TRACE                              LENGTH  ROOT                     CERTIFICATE
        00000000000000070000000000000001  60.0 ms  front GET /checkout      complete
        00000000000000070000000000000001  60.0 ms  front POST /a/very/lon…  partial: on…
        80 columns have no room for START, SPANS, ERRORS, HOSTS, SIZE, TRIGGER

        TRACE                             START                      LENGTH  ROOT                  SPANS  ERRORS  TRIGGER     CERTIFICATE
        00000000000000070000000000000001  2023-11-14T22:13:20.000Z  60.0 ms  front GET /checkout       4       1  cli 0x1234  complete
        00000000000000070000000000000001  2023-11-14T22:13:20.000Z  60.0 ms  front POST /a/very/…      4       1  cli 0x1234  partial: on…
        130 columns have no room for HOSTS, SIZE
    "#]].assert_eq(&(shown(Some(80)) + "\n" + &shown(Some(130))));
}

#[test]
fn no_line_is_longer_than_the_terminal() {
    for room in 54..250 {
        for layout in [Layout::of_rows(&rows(), Some(room)), Layout::usual(Some(room))] {
            let lines = rows().iter().map(|row| layout.line(row)).collect::<String>() + &layout.titles();
            assert!(lines.lines().all(|line| width(line) <= room), "{room}: {lines}");
        }
    }
}
