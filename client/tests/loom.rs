//! Models of what threads of a process hand to each other, over all interleavings and all reorderings that the memory model allows: of the
//! session that one opens and the others record in, of its end where the agent was replaced, of the slab, of its blocks, and of what
//! autotriggers share.
//!
//! `LOOM_MAX_PREEMPTIONS=2 LOOM_MAX_BRANCHES=10000 RUSTFLAGS="--cfg loom" cargo test -p backsight-client --release --test loom`
//! What is explored is `client/src/publication.rs`, and `turn.rs`, `recent.rs` and `window.rs` of autotriggers, as they ship; connecting is left out. Forks are not modelled, nor that after 63 further
//! sessions a process block is used again, for which nothing but time vouches. Each model was seen to fail with what it says weakened.

#![cfg(loom)]

#[path = "../src/publication.rs"]
mod publication;
#[allow(dead_code, reason = "the model makes rings of few places")]
#[path = "../src/autotrigger/recent.rs"]
mod recent;
#[path = "../src/autotrigger/turn.rs"]
mod turn;
#[allow(dead_code, unreachable_pub, reason = "the model makes windows of few slots, and decides by what they count")]
#[path = "../src/autotrigger/window.rs"]
mod window;

use backsight_core::ids::TraceId;
use backsight_core::sync::Ordering::Relaxed;
use backsight_core::sync::{AtomicU32, AtomicU64};
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use publication::{Current, MadeOnce, Published, give_back, take_one};
use recent::Recent;
use std::convert::Infallible;
use turn::Turn;
use window::{Outcome, Seen, Windows};

/// What `autotrigger.rs` has for these files: few counters, and one process.
const SHARDS: usize = 2;

fn generation() -> u32 {
    1
}

/// A session in the model: the number of its agent, told twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Session {
    view: u64,
    doorbell: u64,
    /// What ending the session before left for this one.
    is_again: bool,
}

/// The words of a process, and what `process.rs` does with them where each agent answers at once.
struct Process {
    current: Current,
    blocks: [Published<Session>; 3],
    n_ends: AtomicU32,
    /// Stored to by threads that are spawned, loaded before the first step of the one that spawned them: without it loom tries one order of
    /// them only. `Order` in `ringbuf/tests/loom.rs` says why.
    order: AtomicU32,
}

impl Process {
    fn new() -> Arc<Self> {
        let blocks = [(); 3].map(|()| Published::new(Session::default()));
        Arc::new(Self { current: Current::default(), blocks, n_ends: AtomicU32::new(0), order: AtomicU32::new(0) })
    }

    /// As `process::session`; the first agent is number 1.
    fn session(&self) -> Option<Session> {
        let number = self.current.number();
        let block = &self.blocks[number];
        let open = |session: &mut Session| {
            (session.view, session.doorbell) = (number as u64 + 1, number as u64 + 1);
            Ok::<_, Infallible>(*session)
        };
        block.read(|session| *session).or_else(|| block.attempt(open).map(|Ok(session)| session))
    }

    /// As `process::is_over` where the agent of `view` is gone.
    fn end(&self, view: u64) {
        let block = &self.blocks[self.current.number()];
        if block.read(|session| session.view) != Some(view) {
            return;
        }
        block.end(|_| {
            self.n_ends.fetch_add(1, Relaxed);
            let next = self.current.following(self.blocks.len());
            self.blocks[next].renew(|session| session.is_again = true);
            self.current.move_to(next);
        });
    }

    /// As `process::ring_doorbell`: the doorbell of `view`, if that is the session's.
    fn doorbell(&self, view: u64) -> Option<u64> {
        let of_view = |session: &Session| (session.view == view).then_some(session.doorbell);
        self.blocks[self.current.number()].read(of_view).flatten()
    }
}

fn spawn<T: 'static>(process: &Arc<Process>, run: impl FnOnce(&Process) -> T + 'static) -> JoinHandle<T> {
    let process = Arc::clone(process);
    thread::spawn(move || {
        process.order.store(1, Relaxed); // must not order anything
        run(&process)
    })
}

/// Comes before the first step of a thread that has spawned another.
fn both_orders(process: &Process) {
    process.order.load(Relaxed); // as above
}

/// One of three threads opens the session, and whoever finds it finds it whole.
///
/// Catches: the load in `read` or the store in `attempt` relaxed; the exchange in `attempt` split into load and store.
#[test]
fn session_is_opened_once_and_read_whole() {
    loom::model(|| {
        let process = Process::new();
        let threads = [(); 2].map(|()| spawn(&process, Process::session));
        both_orders(&process);
        let own = process.session();
        let found: Vec<Session> =
            threads.map(|thread| thread.join().unwrap()).into_iter().chain([own]).flatten().collect();
        assert!(!found.is_empty() && process.blocks[0].is_published(), "the thread that is first to try opens it");
        assert!(found.iter().all(|session| (session.view, session.doorbell) == (1, 1)), "{found:?}");
    });
}

/// Whoever ends a session has what was published, also without having read it before.
///
/// Catches: the exchange in `end` relaxed.
#[test]
fn session_is_whole_for_whoever_ends_it() {
    loom::model(|| {
        let process = Process::new();
        let opens = spawn(&process, Process::session);
        both_orders(&process);
        let ended = process.blocks[0].end(|session| (session.view, session.doorbell));
        assert!(ended.is_none_or(|ended| ended == (1, 1)));
        opens.join().unwrap();
    });
}

/// An attempt that fails leaves its socket to the next one, by whichever thread, and no two are under way at once.
///
/// Catches: the exchange in `attempt` relaxed, or split into load and store; the store behind a failed attempt relaxed.
#[test]
fn next_attempt_finds_what_the_last_one_left() {
    loom::model(|| {
        let asked = Arc::new(Published::new(0_u32));
        let ask = |asked: &Published<u32>| {
            let tried = asked.attempt(|n_asked| {
                *n_asked += 1;
                Err::<Infallible, u32>(*n_asked)
            });
            tried.map(|Err(n_asked)| n_asked)
        };
        let other = {
            let asked = Arc::clone(&asked);
            thread::spawn(move || ask(&asked))
        };
        let (own, other) = (ask(&asked), other.join().unwrap());
        let mut seen: Vec<u32> = [own, other, ask(&asked)].into_iter().flatten().collect();
        seen.sort_unstable();
        assert!(seen == [1, 2] || seen == [1, 2, 3], "{seen:?}");
    });
}

/// Threads that see the end of a session at once end it once, and the session that comes next, which any of them may open, builds on what
/// that left.
///
/// Catches: the exchange in `end` split into load and store; the store in `move_to` or the load in `number` relaxed.
#[test]
fn session_is_ended_once_and_the_next_finds_its_block_ready() {
    loom::model(|| {
        let process = Process::new();
        assert_eq!(process.session().map(|session| session.view), Some(1));
        let over = |process: &Process| {
            process.end(1);
            process.session()
        };
        let other = spawn(&process, over);
        both_orders(&process);
        let found: Vec<Session> = [over(&process), other.join().unwrap()].into_iter().flatten().collect();
        assert_eq!(process.n_ends.load(Relaxed), 1);
        assert_eq!(process.current.number(), 1);
        let next = Session { view: 2, doorbell: 2, is_again: true };
        assert!(!found.is_empty() && found.iter().all(|session| *session == next), "{found:?}");
    });
}

/// A thread that records while another sees the agent go and opens the next session: it has one of both, whole, never goes back, and rings
/// the doorbell of the one that it is in or none.
///
/// Catches: the load in `read`, the store in `attempt`, the store in `move_to` or the load in `number` relaxed; a doorbell that is looked up
/// without the state word, which meets the descriptors of a session that is being opened.
#[test]
fn thread_that_records_over_a_replacement_is_in_one_session() {
    loom::model(|| {
        let process = Process::new();
        assert_eq!(process.session().map(|session| session.view), Some(1));
        let replaces = spawn(&process, |process| {
            process.end(1);
            process.session()
        });
        both_orders(&process);
        let mut last = 1;
        for _ in 0..2 {
            let Some(session) = process.session() else { continue };
            assert_eq!(session.view, session.doorbell);
            assert!((last..=2).contains(&session.view));
            last = session.view;
        }
        assert!(process.doorbell(1).is_none_or(|doorbell| doorbell == 1));
        replaces.join().unwrap();
        assert_eq!(process.doorbell(2), Some(2));
    });
}

/// Memory that two threads make at once is made once for all, and whoever gets it sees what its maker did to it.
///
/// Catches: the exchange without its release, or without the acquire of its failure; the load relaxed; the exchange split into load and store.
#[test]
fn slab_is_one_and_prepared() {
    loom::model(|| {
        // Memory is known by its maker's number, and 1 more is its address: nobody looks there.
        let prepared = Arc::new([(); 3].map(|()| AtomicU64::new(0)));
        let unmade = Arc::new(AtomicU32::new(0));
        let slab = Arc::new(MadeOnce::<u8>::default());
        let get = |maker: usize| {
            let (prepared, unmade, slab) = (Arc::clone(&prepared), Arc::clone(&unmade), Arc::clone(&slab));
            move || {
                let make = || {
                    prepared[maker].store(7, Relaxed); // published with the memory
                    Some(std::ptr::without_provenance_mut(maker + 1))
                };
                let unmake = |made: *mut u8| {
                    assert_eq!(made.addr(), maker + 1);
                    unmade.fetch_add(1, Relaxed);
                };
                let got = slab.get(make, unmake).unwrap().addr();
                assert_eq!(prepared[got - 1].load(Relaxed), 7, "seen by whoever gets it");
                got
            }
        };
        let threads = [0, 1].map(|maker| thread::spawn(get(maker)));
        let own = get(2)();
        assert_eq!(threads.map(|thread| thread.join().unwrap()), [own, own]);
        let n_made: u32 = prepared.iter().map(|word| u32::from(word.load(Relaxed) == 7)).sum();
        assert_eq!(unmade.load(Relaxed), n_made - 1);
    });
}

/// A block has one thread at a time, and the next one finds all that the last one left there.
///
/// Catches: the exchange in `take_one` or the store in `give_back` relaxed; the exchange split into load and store.
#[test]
fn block_has_one_thread_and_passes_on_what_it_left() {
    loom::model(|| {
        let owned = Arc::new([AtomicU32::new(0), AtomicU32::new(1)]);
        let blocks = Arc::new([(); 2].map(|()| Published::new(0_u32)));
        // A thread that has a block writes to it as to its own memory.
        let visit = |owned: &[AtomicU32; 2], blocks: &[Published<u32>; 2], start| {
            let number = take_one(owned, start)?;
            blocks[number].renew(|n_visits| *n_visits += 1);
            give_back(&owned[number]);
            Some(number)
        };
        let other = {
            let (owned, blocks) = (Arc::clone(&owned), Arc::clone(&blocks));
            thread::spawn(move || visit(&owned, &blocks, 1))
        };
        let visits = [visit(&owned, &blocks, 0), other.join().unwrap()];
        let n = visits.iter().flatten().count() as u32;
        assert!(n >= 1 && visits.iter().flatten().all(|number| *number == 0), "block 1 is taken: {visits:?}");
        let mut n_visits = 0;
        blocks[0].renew(|found| n_visits = *found);
        assert_eq!(n_visits, n);
    });
}

/// The turn is one thread's at a time, and who has it next sees what was done in it.
///
/// Catches: the exchange or the store relaxed; the exchange split into load and store.
#[test]
fn turn_is_taken_by_one_and_passed_on_whole() {
    loom::model(|| {
        let shared = Arc::new((Turn::new(), [AtomicU64::new(0), AtomicU64::new(0)]));
        let step = |(turn, words): &(Turn, [AtomicU64; 2])| {
            turn.attempt(|| {
                let found = words.each_ref().map(|word| word.load(Relaxed));
                assert_eq!(found[0], found[1], "of one turn");
                words.iter().for_each(|word| word.store(found[0] + 1, Relaxed));
            })
        };
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || step(&shared))
        };
        let done = [step(&shared), other.join().unwrap()];
        let n_done = done.iter().filter(|done| **done).count() as u64;
        assert!(n_done >= 1 && shared.1[0].load(Relaxed) == n_done, "{done:?}");
    });
}

/// Two threads add to a ring of one place, where they meet: no trace is found that was not added.
///
/// Catches: a check that is not compared.
#[test]
fn ring_tells_no_trace_that_was_not_added() {
    loom::model(|| {
        let recent = Arc::new(Recent::with_places(1));
        let whole = |n: u64| TraceId::new(n + 10, n);
        let other = {
            let recent = Arc::clone(&recent);
            thread::spawn(move || recent.push(whole(1)))
        };
        let look = || {
            let mut found = [TraceId::NONE];
            let n_found = recent.copy_to(&mut found, TraceId::NONE);
            assert!(n_found == 0 || found[0] == whole(found[0].lo), "{found:?}");
        };
        recent.push(whole(2));
        look();
        other.join().unwrap();
        look();
    });
}

/// Two threads count while a slot ends: whoever adds up, at the latest the next slot, finds every event once.
///
/// Catches: the exchange of what is pending split into load and store; the turn's orderings relaxed.
#[test]
fn windows_count_every_event_once() {
    loom::model(|| {
        let windows = Arc::new(Windows::with_slots(10, [1, 4]));
        let other = {
            let windows = Arc::clone(&windows);
            thread::spawn(move || {
                windows.count(Outcome::Bad, 0, 10, |_| false);
                windows.count(Outcome::Good, 0, 20, |_| false);
            })
        };
        windows.count(Outcome::Bad, 1, 10, |_| false);
        windows.count(Outcome::Good, 1, 20, |_| false);
        other.join().unwrap();
        let all = |Seen { long, .. }: Seen| (long.n_all, long.n_bad) == (5, 2);
        assert!(windows.count(Outcome::Good, 0, 30, all));
    });
}
