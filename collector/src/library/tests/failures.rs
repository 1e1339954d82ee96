//! What the library does when the disk does not take what it is given.

use super::{AGENT, SPAN, add, one_span, stored, view};
use crate::library::{Library, Options};
use backsight_core::certificate::Contact;
use backsight_store::log::{self, Log};
use backsight_store::{Entry, Losses, Place, StoreError, StoreReader, TraceStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

const FINE: u8 = 0;
const NO_APPEND: u8 = 1;
const NO_SYNC: u8 = 2;

/// A log that fails when it is told to.
struct Failing {
    log: Log,
    fails: Arc<AtomicU8>,
}

impl Failing {
    fn check(&self, step: u8) -> Result<(), StoreError> {
        if self.fails.load(SeqCst) == step {
            return Err(StoreError::Full { folder: "here".into(), needed_bytes: 5 });
        }
        Ok(())
    }
}

impl TraceStore for Failing {
    fn append(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Place>, StoreError> {
        self.check(NO_APPEND)?;
        self.log.append(entries)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.check(NO_SYNC)?;
        self.log.sync()
    }

    fn reader(&self) -> Arc<dyn StoreReader> {
        self.log.reader()
    }

    fn replay(&mut self, visit: &mut dyn FnMut(Place, Entry<'_>)) -> Result<Losses, StoreError> {
        self.log.replay(visit)
    }

    fn retire(&mut self, max_bytes: u64) -> Result<Vec<u64>, StoreError> {
        self.log.retire(max_bytes)
    }

    fn bytes(&self) -> u64 {
        self.log.bytes()
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_that_is_not_durable_and_it_works_again_later() {
    let folder = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicU8::new(FINE));
    let log = Log::open(log::Options::new(folder.path())).unwrap();
    let library = Library::open(Box::new(Failing { log, fails: fails.clone() }), Options::default()).unwrap();
    for step in [NO_APPEND, NO_SYNC] {
        fails.store(step, SeqCst);
        library.note_view(view(1, Contact::Answered)).await.unwrap();
        let answer = library.add(AGENT, vec![one_span(1, "cart", SPAN).message()]).await;
        assert!(matches!(answer, Err(StoreError::Full { .. })), "{answer:?}");
        assert_eq!(stored(&library, 1), None);
    }
    assert!(library.stats().drops.get("store_failed").is_some_and(|n| *n >= 2));
    fails.store(FINE, SeqCst);
    add(&library, &[one_span(1, "cart", SPAN)]).await;
    let view = stored(&library, 1).unwrap().view;
    assert!(view.is_some(), "nobody tells of the view again");
}

#[tokio::test]
async fn a_closed_library_says_so_and_leaves_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let library = super::open(folder.path(), Options::default());
    library.close().await;
    library.close().await;
    let answer = library.add(AGENT, vec![one_span(1, "cart", SPAN).message()]).await;
    assert!(matches!(answer, Err(StoreError::Closed)), "{answer:?}");
    super::open(folder.path(), Options::default());
}

#[tokio::test]
async fn an_entry_that_is_damaged_on_disk_is_counted_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let library = super::open(folder.path(), Options::default());
    add(&library, &[one_span(1, "cart", SPAN)]).await;
    let path = folder.path().join("0000000000000001.bks");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[150] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(stored(&library, 1).unwrap().slices.len(), 0);
    assert_eq!(library.stats().drops.get("unreadable_entry"), Some(&1));
}
