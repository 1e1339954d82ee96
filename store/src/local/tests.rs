//! Claims about a folder of objects: a name is there with all of its bytes or not at all, and the first who takes it has it.

use super::{Local, UNFINISHED_PREFIX};
use crate::objects::{ObjectError, Objects, Put};
use std::fs;
use std::io::Write;

fn files(folder: &std::path::Path) -> Vec<String> {
    let mut files: Vec<_> = walk(folder).into_iter().map(|path| path.to_string_lossy().into_owned()).collect();
    files.sort();
    files
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn the_first_who_takes_a_name_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Local::open(folder.path().join("new/store")).unwrap();
    assert_eq!(objects.put_if_absent("a/b/c", b"one").unwrap(), Put::Created);
    assert_eq!(objects.put_if_absent("a/b/c", b"two").unwrap(), Put::Taken);
    assert_eq!(objects.get("a/b/c", 3).unwrap().unwrap(), b"one");
    assert!(matches!(objects.get("a/b/c", 2), Err(ObjectError::TooLong { .. })));
    objects.put("a/b/c", b"three").unwrap();
    assert_eq!(objects.get("a/b/c", 9).unwrap().unwrap(), b"three");
    assert_eq!(files(folder.path()).len(), 1, "nothing unfinished is left");
    objects.delete("a/b/c").unwrap();
    objects.delete("a/b/c").unwrap();
    assert_eq!(objects.get("a/b/c", 9).unwrap(), None);
    assert!(matches!(objects.open("a/b/c"), Err(ObjectError::Missing { .. })));
}

#[test]
fn of_many_threads_one_creates_an_object() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Local::open(folder.path()).unwrap();
    for round in 0..20 {
        let path = format!("m/{round}");
        let created: Vec<u8> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8_u8)
                .map(|n| {
                    let (objects, path) = (&objects, &path);
                    scope.spawn(move || (objects.put_if_absent(path, &[n; 100]).unwrap() == Put::Created).then_some(n))
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(created.len(), 1);
        assert_eq!(objects.get(&path, 100).unwrap().unwrap(), [created[0]; 100]);
    }
}

#[test]
fn an_upload_is_seen_when_it_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Local::open(folder.path()).unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 31) as u8).collect();
    let mut upload = objects.create("d/x").unwrap();
    bytes.chunks(70_001).for_each(|piece| upload.write_all(piece).unwrap());
    assert!(objects.get("d/x", u64::MAX).unwrap().is_none());
    let listed = objects.list("d").unwrap();
    assert!(listed.iter().all(|listed| listed.path.starts_with(&format!("d/{UNFINISHED_PREFIX}"))));
    upload.finish().unwrap();
    assert_eq!(objects.get("d/x", u64::MAX).unwrap().unwrap(), bytes);
    let open = objects.open("d/x").unwrap();
    let mut buffer = [0; 5];
    open.read_at(2_000_000, &mut buffer).unwrap();
    assert_eq!(buffer, bytes[2_000_000..2_000_005]);
    assert!(matches!(open.read_at(2_999_998, &mut buffer), Err(ObjectError::Short { end: 3_000_003, .. })));
    let second = objects.create("d/x").unwrap();
    assert!(matches!(second.finish(), Err(ObjectError::Taken { .. })));
    drop(objects.create("d/y").unwrap());
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn no_path_leads_out_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Local::open(folder.path().join("store")).unwrap();
    for path in ["../x", "/x", "a/../../x", "", "a//b", ".", "a/.", "a\\b", "a b", "\u{e9}", "..x"] {
        assert!(matches!(objects.put(path, b""), Err(ObjectError::BadPath { .. })), "{path}");
        assert!(matches!(objects.get(path, 1), Err(ObjectError::BadPath { .. })), "{path}");
    }
    assert!(files(folder.path()).is_empty());
}

#[test]
fn listings_show_files_of_all_folders_with_their_lengths() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Local::open(folder.path()).unwrap();
    for path in ["m/b/2", "m/a", "n/c", "m/b/1"] {
        objects.put(path, path.as_bytes()).unwrap();
    }
    fs::write(folder.path().join("m/no path of ours"), b"").unwrap();
    let listed = objects.list("m").unwrap();
    assert_eq!(listed.iter().map(|listed| listed.path.as_str()).collect::<Vec<_>>(), ["m/a", "m/b/1", "m/b/2"]);
    assert!(listed.iter().all(|listed| listed.bytes == listed.path.len() as u64 && listed.modified_ns > 0));
    assert!(objects.list("nothing").unwrap().is_empty());
}
