//! Claims about stores that speak S3: what is taken stays, whatever becomes of requests, and a store that cannot promise it is refused.
//!
//! Against a server of ours that speaks as much of S3 as is used, and loses, repeats and delays.

mod server;

use super::{Config, OpenError, S3, Tries};
use crate::manifest::read::Reader;
use crate::manifest::write::Writer;
use crate::manifest::{Change, ManifestError};
use crate::objects::{ObjectError, Objects, Put};
use backsight_core::checksum::checksum;
use backsight_core::ids::TraceId;
use server::{Fate, Request, Server};
use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

fn config(server: &Server) -> Config {
    Config {
        bucket: "bucket".to_owned(),
        prefix: "some/prefix".to_owned(),
        endpoint: Some(format!("http://{}", server.address)),
        region: Some("here".to_owned()),
        keys: Some(("id".to_owned(), "secret".to_owned())),
        tries: Tries { n_max: 6, first_wait: Duration::from_millis(1) },
    }
}

fn open() -> (Server, S3) {
    let server = Server::start();
    let store = S3::open(&config(&server)).unwrap();
    (server, store)
}

/// Lets the first so many puts of objects meet this fate.
fn first_puts(server: &Server, mut n: usize, fate: Fate) {
    server.decide(move |request: &Request| {
        if request.method != "PUT" || n == 0 {
            return Fate::Answered;
        }
        n -= 1;
        fate
    });
}

#[test]
fn objects_are_there_as_they_were_put() {
    let (server, store) = open();
    assert!(server.state().objects.is_empty(), "the probe is gone");
    assert_eq!(store.put_if_absent("data/a=1/x.y", b"one").unwrap(), Put::Created);
    assert_eq!(store.put_if_absent("data/a=1/x.y", b"two").unwrap(), Put::Taken);
    assert_eq!(store.get("data/a=1/x.y", 3).unwrap().as_deref(), Some(&b"one"[..]));
    assert!(matches!(store.get("data/a=1/x.y", 2), Err(ObjectError::TooLong { bytes: 3, max_bytes: 2, .. })));
    store.put("data/a=1/x.y", b"three").unwrap();
    store.put("database/z", b"").unwrap();
    let listed = store.list("data").unwrap();
    assert_eq!((listed.len(), listed[0].path.as_str(), listed[0].bytes), (1, "data/a=1/x.y", 5));
    assert_eq!(listed[0].modified_ns, 1_782_864_000_000_000_000);
    let object = store.open("data/a=1/x.y").unwrap();
    let mut buffer = [0; 3];
    object.read_at(1, &mut buffer).unwrap();
    assert_eq!((&buffer, object.bytes()), (b"hre", 5));
    assert!(matches!(object.read_at(3, &mut buffer), Err(ObjectError::Short { bytes: 5, end: 6, .. })));
    object.read_at(5, &mut []).unwrap();
    store.delete("data/a=1/x.y").unwrap();
    store.delete("data/a=1/x.y").unwrap();
    assert_eq!(store.get("data/a=1/x.y", 9).unwrap(), None);
    assert!(matches!(store.open("data/a=1/x.y"), Err(ObjectError::Missing { .. })));
    assert!(matches!(object.read_at(0, &mut buffer), Err(ObjectError::Missing { .. })));
    assert!(matches!(store.put("../x", b""), Err(ObjectError::BadPath { .. })));
    assert_eq!(store.list("nothing").unwrap(), []);
}

#[test]
fn long_objects_come_in_pieces_and_nobody_sees_half_of_one() {
    let (server, store) = open();
    let bytes: Vec<u8> = (0..20 << 20_u32).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut upload = store.create("data/long").unwrap();
    for piece in bytes.chunks(3 << 20) {
        upload.write_all(piece).unwrap();
    }
    assert!(server.state().objects.is_empty());
    upload.finish().unwrap();
    let object = store.open("data/long").unwrap();
    let mut read = vec![0; bytes.len()];
    object.read_at(0, &mut read).unwrap();
    assert!(read == bytes);
    for len in [5, 9 << 20] {
        let mut upload = store.create("data/long").unwrap();
        upload.write_all(&bytes[..len]).unwrap();
        assert!(matches!(upload.finish(), Err(ObjectError::Taken { .. })), "{len}");
        let mut upload = store.create("data/other").unwrap();
        upload.write_all(&bytes[..len]).unwrap();
        drop(upload);
    }
    assert_eq!(server.state().objects.len(), 1);
    store.create("data/empty").unwrap().finish().unwrap();
    assert_eq!(store.open("data/empty").unwrap().bytes(), 0);
}

#[test]
fn a_store_without_conditional_puts_is_refused() {
    let server = Server::start();
    server.state().ignores_conditions = true;
    let error = S3::open(&config(&server)).unwrap_err();
    assert!(matches!(error, OpenError::NoConditionalPut { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("s3://bucket") && text.contains("conditional writes"), "{text}");
}

/// For each fate of the first tries of a conditional put: it is told that it was created exactly if its bytes are there.
#[test]
fn tries_that_went_wrong_are_settled() {
    for fate in [Fate::Lost, Fate::AnswerLost, Fate::Refused(503), Fate::Refused(409), Fate::Refused(500)] {
        for n in 1..5 {
            let (server, store) = open();
            first_puts(&server, n, fate);
            assert_eq!(store.put_if_absent("a", b"ours").unwrap(), Put::Created, "{n} times {fate:?}");
            assert_eq!(server.state().objects["some/prefix/a"], b"ours");
            assert_eq!(server.state().n_writes["some/prefix/a"], 1);
            first_puts(&server, n, fate);
            assert_eq!(store.put_if_absent("a", b"others").unwrap(), Put::Taken, "{n} times {fate:?}");
            assert_eq!(server.state().objects["some/prefix/a"], b"ours");
        }
    }
}

#[test]
fn tries_are_bounded_and_some_errors_are_final() {
    let (server, store) = open();
    for (fate, n_tries) in [(Fate::Refused(503), 6), (Fate::Refused(403), 1), (Fate::Refused(409), 6), (Fate::Lost, 6)]
    {
        server.state().n_requests = 0;
        server.decide(move |_| fate);
        let error = store.put_if_absent("b", b"x").unwrap_err();
        assert!(matches!(error, ObjectError::Io { what: "write", .. }), "{error}");
        assert_eq!(server.state().n_requests, n_tries, "{fate:?}");
    }
    server.decide(|_| Fate::Answered);
    assert_eq!(store.get("b", 9).unwrap(), None);
}

#[test]
fn a_short_object_that_was_repeated_on_its_way_is_there() {
    let (server, store) = open();
    first_puts(&server, 1, Fate::Repeated);
    let mut upload = store.create("a").unwrap();
    upload.write_all(b"x").unwrap();
    upload.finish().unwrap();
}

fn pin(n: u64) -> Change {
    Change { pin: vec![TraceId::new(1, n)], ..Change::default() }
}

/// Two writers of one name over a store that loses, repeats and delays: each version is written once, by one of them; what either was told is
/// committed is there, and nothing else.
fn two_writers(seed: u64) {
    let (server, store) = open();
    let mut n_requests = 0_u64;
    let mut draw = move || {
        n_requests += 1;
        checksum(seed, &n_requests.to_le_bytes()) % 16
    };
    server.decide(move |request| match draw() {
        0 => Fate::Lost,
        1 => Fate::AnswerLost,
        2 => Fate::Repeated,
        3 => Fate::Delayed(2),
        4 => Fate::Refused(503),
        5 if request.method == "PUT" => Fate::Refused(409),
        _ => Fate::Answered,
    });
    let run = |nonce: u64| {
        let mut committed = Vec::new();
        let opened = (0..9).find_map(|_| Writer::open(&store, "w", nonce).ok());
        let Some(mut writer) = opened else { return committed };
        for n in 0..8 {
            let id = nonce * 100 + n;
            let mut done = writer.commit(&store, pin(id));
            while let Err(ManifestError::Unsettled { .. }) = done {
                done = writer.settle(&store);
            }
            match done {
                Ok(version) => committed.push((version, id)),
                Err(ManifestError::Fenced { .. }) => return committed,
                Err(error) => panic!("{error}"),
            }
        }
        committed
    };
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| run(1));
        let second = run(2);
        (first.join().unwrap(), second)
    });
    server.decide(|_| Fate::Answered);
    let committed: BTreeSet<_> = first.iter().chain(&second).copied().collect();
    let versions: BTreeSet<_> = committed.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions.len(), committed.len(), "a version was committed twice, seed {seed}");
    let reader = Reader::open(&store, "w").unwrap();
    let pins: BTreeSet<_> = reader.state().pins.iter().map(|trace| trace.lo).collect();
    let want: BTreeSet<_> = committed.iter().map(|(_, id)| *id).collect();
    assert_eq!(pins, want, "seed {seed}");
    let twice = server.state().n_writes.iter().filter(|(key, n)| key.ends_with(".json") && **n > 1).count();
    assert_eq!(twice, 0, "a version was written over, seed {seed}");
}

#[test]
fn of_two_writers_none_commits_what_the_other_has() {
    (0..24).for_each(two_writers);
}
