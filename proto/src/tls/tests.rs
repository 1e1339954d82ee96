//! Claims about the files: what is right is taken, and of what is not the error names the key, the file and what to do.

use super::testing::{Authority, Wanted};
use super::{Side, TlsError, TlsFiles};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use std::path::Path;
use tempfile::TempDir;

/// Files of a host that are all right, in a folder of their own.
fn sound() -> (TempDir, TlsFiles) {
    let folder = tempfile::tempdir().unwrap();
    let files = Authority::new("ours").issue(folder.path(), Wanted::default());
    (folder, files)
}

/// Returns what is said of files that cannot be used by a client; the folder is called `DIR`.
#[track_caller]
fn refusal(files: &TlsFiles, folder: &Path) -> String {
    let error = files.read("uplink.tls.", Side::Client).unwrap_err();
    backsight_core::cause::chain(&error).replace(&folder.display().to_string(), "DIR")
}

#[test]
fn files_that_go_together_are_taken_by_both_sides() {
    let (_folder, files) = sound();
    for side in [Side::Client, Side::Server] {
        files.read("", side).unwrap().for_server().unwrap();
    }
}

#[test]
fn each_file_that_is_missing_or_holds_something_else_is_named() {
    for (name, missing, empty) in [
        ("ca", "uplink.tls.ca: DIR/ca.pem cannot be read: No such", "uplink.tls.ca: DIR/ca.pem holds no certificate;"),
        (
            "cert",
            "uplink.tls.cert: DIR/cert.pem cannot be read: No such",
            "uplink.tls.cert: DIR/cert.pem holds no cert",
        ),
        (
            "key",
            "uplink.tls.key: DIR/key.pem cannot be read: No such",
            "uplink.tls.key: DIR/key.pem holds no private key",
        ),
    ] {
        let (folder, files) = sound();
        let path = folder.path().join(format!("{name}.pem"));
        let sound = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(refusal(&files, folder.path()).starts_with(missing), "{}", refusal(&files, folder.path()));
        std::fs::write(&path, "").unwrap();
        assert!(refusal(&files, folder.path()).starts_with(empty), "{}", refusal(&files, folder.path()));
        let cut = &sound[..sound.len() / 2];
        std::fs::write(&path, cut).unwrap();
        let said = refusal(&files, folder.path());
        assert!(said.starts_with(&format!("uplink.tls.{name}: DIR/{name}.pem is damaged: ")), "{said}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (folder, files) = sound();
    let (_others, other) = sound();
    std::fs::copy(&other.key, &files.key).unwrap();
    let expected = "uplink.tls.key: DIR/key.pem is not the key of the certificate of uplink.tls.cert: DIR/cert.pem";
    assert_eq!(refusal(&files, folder.path()), expected);
}

#[test]
fn a_certificate_out_of_its_time_is_told_from_one_that_is_wrong() {
    for (years, expected) in
        [((2000, 2010), "DIR/cert.pem expired "), ((2900, 3000), "DIR/cert.pem is not valid for another ")]
    {
        let folder = tempfile::tempdir().unwrap();
        let files = Authority::new("ours").issue(folder.path(), Wanted { years, ..Wanted::default() });
        let error = files.read("uplink.tls.", Side::Client).unwrap_err();
        assert!(error.is_of_time(), "{error}");
        let said = refusal(&files, folder.path());
        assert!(said.starts_with(&format!("uplink.tls.cert: {expected}")) && said.contains(" d"), "{said}");
        // What is wrong besides does not pass with the time.
        std::fs::write(&files.key, "").unwrap();
        assert!(matches!(files.read("", Side::Client), Err(TlsError::NoKey(_))));
    }
}

#[test]
fn an_authority_that_has_expired_signs_nobody_and_one_beside_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let files = Authority::valid_in("old", (2000, 2010)).issue(folder.path(), Wanted::default());
    let said = refusal(&files, folder.path());
    assert!(said.starts_with("uplink.tls.ca: DIR/ca.pem expired "), "{said}");
    let old = std::fs::read_to_string(&files.ca).unwrap();
    let (_new_folder, new) = sound();
    std::fs::write(&files.ca, old + &std::fs::read_to_string(new.ca).unwrap()).unwrap();
    assert_eq!(files.read("", Side::Client).unwrap().authorities.len(), 1);
}

#[test]
fn files_in_each_others_place_are_told_apart() {
    let (folder, files) = sound();
    let swapped = TlsFiles { ca: files.cert.clone(), cert: files.ca.clone(), ..files.clone() };
    let said = refusal(&swapped, folder.path());
    assert!(said.starts_with("uplink.tls.cert: DIR/ca.pem is an authority's own certificate: "), "{said}");
    let leaf = TlsFiles { ca: files.cert.clone(), ..files.clone() };
    let said = refusal(&leaf, folder.path());
    assert!(said.starts_with("uplink.tls.ca: DIR/cert.pem is no authority's certificate: "), "{said}");
    let key = TlsFiles { cert: files.key.clone(), ..files };
    assert!(refusal(&key, folder.path()).starts_with("uplink.tls.cert: DIR/key.pem holds no certificate;"));
}

#[test]
fn a_certificate_for_the_other_side_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let of_server = Authority::new("ours").issue(folder.path(), Wanted { usages: &[ServerAuth], ..Wanted::default() });
    of_server.read("", Side::Server).unwrap();
    assert_eq!(
        refusal(&of_server, folder.path()),
        "uplink.tls.cert: DIR/cert.pem may not be used to dial with (extended key usage): have one made with clientAuth"
    );
    let both = Wanted { usages: &[ServerAuth, ClientAuth], ..Wanted::default() };
    let of_both = Authority::new("ours").issue(folder.path(), both);
    for side in [Side::Client, Side::Server] {
        of_both.read("", side).unwrap();
    }
}
