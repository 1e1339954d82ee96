//! Claims about processes that really die: whatever SIGKILL interrupts, what was acknowledged is found, once and in order.

use super::{found, known, payload};
use crate::wal::{Fsync, Kind, Options, Seq, Wal};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where a test that runs itself once more, as a process to be killed, finds the folder, and from where on records are needed.
const FOLDER: &str = "BACKSIGHT_TEST_WAL";
const LOW: &str = "BACKSIGHT_TEST_WAL_LOW";

/// How often the process is killed.
const KILLS: u64 = 60;

fn options(low: u64) -> Options {
    let (file_bytes, wal_bytes) = (16 << 10, 256 << 10);
    Options { file_bytes, wal_bytes, fsync: Fsync::Os, known: known(low), ..Options::default() }
}

/// Runs the test `name` of this binary once more, on `folder`.
fn child(name: &str, folder: &Path, low: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("wal::tests::kill::{name}"), "--nocapture"]);
    command.env(FOLDER, folder).env(LOW, low.to_string());
    command
}

/// In the child: appends records, their stamps their numbers, until it is killed, and says of each when it is written; frees some, and says so before.
#[test]
fn child_appends_forever() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let mut low = std::env::var(LOW).unwrap().parse().unwrap();
    let (mut wal, _) = Wal::open(&folder, options(low)).unwrap();
    loop {
        let seq = wal.next_seq().0;
        wal.append(Kind::Report, seq, &payload(seq, (seq * 37 % 3000) as usize)).unwrap();
        println!("\nacknowledged {seq}");
        if seq % 7 == 0 {
            wal.sync().unwrap();
        }
        if seq > low + 60 {
            low = seq - 20;
            println!("\nfreed {low}");
            wal.free_before(Seq(low)).unwrap();
        }
    }
}

#[test]
fn what_was_acknowledged_is_found_after_each_of_many_kills() {
    let folder = tempfile::tempdir().unwrap();
    let (mut low, mut acknowledged) = (1, 0);
    for n_kills in 0..KILLS {
        let mut child = child("child_appends_forever", folder.path(), low).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        // The child does not wait to be read, so where it is by then is anybody's guess.
        let n_lines = n_kills * 13 % 80;
        let first = lines.by_ref().find(|line| line.starts_with("acknowledged")).expect("the child appends");
        let some: Vec<_> = std::iter::once(first).chain(lines.by_ref().take(n_lines as usize)).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        for line in some.into_iter().chain(lines) {
            let number = |what| line.strip_prefix(what).and_then(|number| number.parse::<u64>().ok());
            acknowledged = number("acknowledged ").unwrap_or(acknowledged);
            low = number("freed ").unwrap_or(low);
        }
        let (wal, recovery) = Wal::open(folder.path(), options(low)).unwrap();
        let found = found(&wal, low);
        let last = found.last().map_or(0, |(seq, _)| *seq);
        assert!(last >= acknowledged, "{acknowledged} was acknowledged, and {last} is the last; {recovery:?}");
        assert_eq!(found, (low..=last).map(|seq| (seq, seq)).collect::<Vec<_>>(), "after {n_kills} kills");
        assert_eq!((recovery.n_losses, recovery.next), (0, Seq(last + 1)));
    }
    assert!(acknowledged > 10 * KILLS, "{acknowledged} records are too few to say anything");
}
