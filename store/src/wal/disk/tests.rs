//! Claims about the real folder: files have their length from the beginning, names change in one step, and many parts are written as one.

use super::{Disk, DiskFile, Folder, Listed, ReadAt};

#[test]
fn a_file_has_its_length_and_takes_parts_at_any_offset() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Folder::open(folder.path()).unwrap();
    let file = disk.create("a", 8192).unwrap();
    file.write_all_at(&[b"one", b"", b"two"], 4094).unwrap();
    file.sync().unwrap();
    let mut bytes = [9; 8];
    assert_eq!(disk.open("a").unwrap().read_at(&mut bytes, 4093).unwrap(), 8);
    assert_eq!(&bytes, b"\0onetwo\0");
    assert_eq!(disk.create("a", 4096).unwrap().read_at(&mut bytes, 4090).unwrap(), 6, "what had the name is gone");
    assert_eq!(&bytes[..6], [0; 6]);
}

#[test]
fn names_change_and_only_files_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Folder::open(folder.path()).unwrap();
    disk.create("a", 1).unwrap();
    disk.create("b", 2).unwrap();
    disk.rename("a", "b").unwrap();
    std::fs::create_dir(folder.path().join("c")).unwrap();
    std::os::unix::fs::symlink("b", folder.path().join("d")).unwrap();
    let listed = || {
        let mut files = disk.list().unwrap();
        files.retain(|file| file.name != "lock");
        files
    };
    assert_eq!(listed(), [Listed { name: "b".to_owned(), bytes: 1 }]);
    assert!(disk.open("d").is_err(), "links are not followed");
    disk.remove("b").unwrap();
    disk.sync_names().unwrap();
    assert_eq!((listed(), disk.remove("b").unwrap_err().kind()), (vec![], std::io::ErrorKind::NotFound));
    assert_eq!(disk.path("b"), folder.path().join("b"));
}

#[test]
fn a_folder_has_one_owner_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = Folder::open(folder.path()).unwrap();
    assert!(Folder::open(folder.path()).is_err());
    drop(first);
    Folder::open(folder.path()).unwrap();
}
