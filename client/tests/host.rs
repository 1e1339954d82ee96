//! Claims about hosts that do what hosts do: fork, interrupt, jump, close descriptors that they did not open.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/agent.rs"]
mod agent;
#[path = "common/host.rs"]
mod host;

use agent::{Agent, Options};
use backsight_client::autotrigger::Percentile;
use backsight_client::autotrigger::percentile::Histogram;
use backsight_client::{
    Context, StaticName, TriggerId, attr, begin, event, raw, register_trigger, span, stats, trigger,
};
use backsight_core::ids::RegionId;
use backsight_core::telemetry::DropReason;
use backsight_core::trace::Malformed;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};

static NAME: StaticName = StaticName::new("cached");
static OTHER: StaticName = StaticName::new("another");

fn visit(name: &'static StaticName) -> Context {
    let context = Context::new_trace();
    visit_of(&context, name);
    context
}

fn visit_of(context: &Context, name: &'static StaticName) {
    let _segment = begin(context);
    drop(span(name));
}

/// Returns the region of the calling process.
fn own_region() -> RegionId {
    stats().session.unwrap().1
}

/// Waits until the calling process has a session: a forked child gives up after 2 ms, which a loaded machine needs at times, and tries
/// again a second later.
fn until_session() {
    while stats().session.is_err() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A context that parent and child agree on.
fn agreed(n: u64) -> Context {
    Context::of(backsight_client::TraceId::new(77, n), backsight_client::SpanId::NONE)
}

#[test]
fn forked_child_has_its_own_region_and_its_parents_names() {
    let agent = Agent::start_joined(Options::default());
    let own = own_region();
    visit(&NAME);
    let code = host::fork(|| {
        until_session();
        visit_of(&agreed(1), &NAME);
        own_region() != own
    });
    assert_eq!(code, 0);
    let trace = agent.trace(agreed(1).trace);
    assert_eq!(&*trace.spans[0].name, "cached", "{trace:#?}");
    // On a loaded machine the first attempt may run out of time, and its region stays empty.
    assert_ne!(trace.processes[0].region, own);
    assert_eq!(agent.look(|sessions| sessions[1].fork_of), Some(own));
    visit(&NAME); // the parent goes on
    assert_eq!(own_region(), own);
}

/// Returns how often regions are mapped here. The agent is a thread of the test, so a child inherits what that mapped.
fn n_regions_mapped() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("/memfd:")).count()
}

#[test]
fn forked_child_cannot_reach_its_parents_region() {
    let _agent = Agent::start_joined(Options::default());
    visit(&NAME);
    let n_mapped = n_regions_mapped();
    assert_eq!(n_mapped, 2, "the agent's and the client's");
    assert_eq!(host::fork(|| n_regions_mapped() == n_mapped - 1), 0);
}

/// Nothing may depend on handlers of `pthread_atfork`: `_Fork` and the system call run none.
#[test]
fn child_that_libc_was_not_told_of_has_its_own_region() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    let own = own_region();
    let segment = begin(&context);
    let code = host::fork_behind_libc(|| {
        event("of the child", "");
        until_session();
        visit_of(&agreed(1), &NAME);
        own_region() != own
    });
    assert_eq!(code, 0);
    drop(segment);
    let (trace, of_child) = (agent.trace(context.trace), agent.trace(agreed(1).trace));
    assert!(trace.visits[0].notes.events.is_empty() && trace.processes.len() == 1, "{trace:#?}");
    assert_eq!((&*of_child.spans[0].name, of_child.malformed), ("cached", Malformed::default()));
    assert_ne!(of_child.processes[0].region, own);
}

/// What a program does that becomes a daemon: it forks twice, leaves its terminal, and closes every descriptor, before and after it records.
#[test]
fn daemon_that_closes_everything_records_in_a_region_of_its_own() {
    let agent = Agent::start_joined(Options::default());
    visit(&NAME);
    let own = own_region();
    let code = host::fork(|| {
        host::leave_the_terminal();
        let daemon = host::fork(|| {
            (0..1024).for_each(host::close);
            until_session();
            visit_of(&agreed(1), &NAME);
            (0..1024).for_each(host::close);
            visit_of(&agreed(2), &NAME);
            own_region() != own
        });
        daemon == 0
    });
    assert_eq!(code, 0);
    for n in [1, 2] {
        let trace = agent.trace(agreed(n).trace);
        assert_eq!((&*trace.spans[0].name, trace.malformed), ("cached", Malformed::default()));
        assert_ne!(trace.processes[0].region, own);
    }
    assert_eq!(agent.look(|sessions| sessions.last().unwrap().fork_of), Some(own), "it is known whose strings it has");
}

#[test]
fn names_of_triggers_are_left_for_the_agent_whenever_they_are_made() {
    let before = register_trigger("made before the session").unwrap();
    let agent = Agent::start_joined(Options::default());
    let after = register_trigger("made in the session").unwrap();
    assert_eq!([before, after].map(|id| id.0 >= TriggerId::FIRST_NAMED), [true; 2]);
    assert_eq!(register_trigger("made in the session"), Ok(after));
    assert!(register_trigger("manual").is_err() && register_trigger("a\nb").is_err());
    let names = ["made before the session", "made in the session", "manual"];
    assert_eq!(names.map(|name| agent.n_with_name(name)), [1, 1, 0]);
    let _own = Percentile::new("slow by percentile", 0.99).unwrap();
    assert_eq!(agent.n_with_name("slow by percentile"), 1, "autotriggers have names too");
}

#[test]
fn forked_child_leaves_its_parents_names_of_triggers_though_the_agent_copied_no_string() {
    let agent = Agent::start_joined(Options { copies_strings: false, ..Options::default() });
    register_trigger("of the parent").unwrap();
    let code = host::fork(|| {
        until_session();
        register_trigger("of the child").unwrap();
        true
    });
    assert_eq!(code, 0);
    assert_eq!((agent.n_with_name("of the parent"), agent.n_with_name("of the child")), (2, 1));
}

/// A child may be forked while a thread of the parent, which the child does not have, adds up what a trigger has counted.
#[test]
fn forked_child_goes_on_adding_up_what_a_thread_of_the_parent_was_at() {
    let (histogram, is_over) = (Histogram::new(0.99).unwrap(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for value in 0_u64.. {
                histogram.sample(value % 1000, 1);
                if is_over.load(Ordering::Relaxed) != 0 {
                    break;
                }
            }
        });
        while histogram.threshold().is_none() {
            std::thread::yield_now();
        }
        // The thread adds up for a good part of its time: some of the children find it at that.
        let codes: Vec<i32> = (0..40)
            .map(|_| {
                host::fork(|| {
                    for value in 0..200_000 {
                        histogram.sample(1_000_000 + value % 1000, 0);
                    }
                    histogram.threshold() > Some(1_000_000)
                })
            })
            .collect();
        is_over.store(1, Ordering::Relaxed);
        assert_eq!(codes, [0; 40]);
    });
}

/// An agent that does not know the parent has copied no strings: ids that were cached before the fork name nothing there, or worse,
/// something else.
#[test]
fn cached_names_are_interned_anew_where_the_agent_did_not_copy_them() {
    let agent = Agent::start_joined(Options { copies_strings: false, ..Options::default() });
    visit(&NAME);
    let code = host::fork(|| {
        until_session();
        visit_of(&agreed(1), &OTHER);
        visit_of(&agreed(2), &NAME);
        true
    });
    assert_eq!(code, 0);
    assert_eq!(&*agent.trace(agreed(1).trace).spans[0].name, "another");
    assert_eq!(&*agent.trace(agreed(2).trace).spans[0].name, "cached");
}

#[test]
fn child_forked_inside_a_segment_writes_nothing_until_it_begins_its_own() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    let segment = begin(&context);
    let work = span("work");
    let code = host::fork(|| {
        event("of the child", "");
        let inherited = Context::current().is_none();
        until_session();
        visit_of(&agreed(1), &NAME);
        // A child of the child, inside a segment again.
        let _segment = begin(&agreed(2));
        let grandchild = host::fork(|| {
            until_session();
            visit_of(&agreed(3), &NAME);
            stats().session.is_ok()
        });
        inherited && grandchild == 0
    });
    assert_eq!(code, 0);
    event("of the parent", "");
    drop(work);
    drop(segment);
    let trace = agent.trace(context.trace);
    let events: Vec<_> = trace.spans[0].notes.events.iter().map(|event| &*event.name).collect();
    assert_eq!((events, trace.processes.len()), (vec!["of the parent"], 1), "{trace:#?}");
    let region_of = |n| {
        let trace = agent.trace(agreed(n).trace);
        assert_eq!(&*trace.spans[0].name, "cached");
        trace.processes[0].region
    };
    let (child, grandchild) = (region_of(1), region_of(3));
    let parent_of = |region| {
        agent.look(|sessions| sessions.iter().find(|session| session.region == region).and_then(|found| found.fork_of))
    };
    assert_eq!((parent_of(child), parent_of(grandchild)), (Some(own_region()), Some(child)));
}

/// The forking thread's block and those of threads that the child starts are different ones.
#[test]
fn child_of_a_parent_with_threads_records_from_threads_of_its_own() {
    let agent = Agent::start_joined(Options::default());
    let barrier = std::sync::Arc::new(std::sync::Barrier::new(9));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let barrier = std::sync::Arc::clone(&barrier);
            std::thread::spawn(move || {
                visit(&NAME);
                barrier.wait();
                barrier.wait();
            })
        })
        .collect();
    barrier.wait();
    visit(&NAME);
    let code = host::fork(|| {
        until_session();
        visit_of(&agreed(8), &NAME);
        let threads: Vec<_> = (0..8).map(|n| std::thread::spawn(move || visit_of(&agreed(n), &NAME))).collect();
        threads.into_iter().all(|thread| thread.join().is_ok())
    });
    assert_eq!(code, 0);
    for n in 0..9 {
        let trace = agent.trace(agreed(n).trace);
        assert_eq!((trace.spans.len(), trace.malformed), (1, Malformed::default()), "{n}: {trace:#?}");
    }
    barrier.wait();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Returns the numbers of the client's socket and doorbell: the first two from 700 on.
fn our_descriptors() -> Vec<i32> {
    (700..800).filter(|number| std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok()).collect()
}

#[test]
fn recording_survives_closed_descriptors_and_never_touches_their_successors() {
    let agent = Agent::start_joined(Options::default());
    visit(&NAME);
    let numbers = our_descriptors();
    assert_eq!(numbers.len(), 2, "{numbers:?}");
    numbers.iter().for_each(|number| host::close(*number));
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let event = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
    host::put_at(ours.as_raw_fd(), numbers[0]);
    host::put_at(event.as_raw_fd(), numbers[1]);
    agent.fall_asleep();
    let context = Context::new_trace();
    {
        let _segment = begin(&context);
        assert!(trigger(TriggerId::MANUAL));
    }
    let trace = agent.trace(context.trace);
    assert_eq!(trace.fired.len(), 1, "{trace:#?}");
    assert_eq!(rustix::io::read(&event, &mut [0; 8]), Err(rustix::io::Errno::AGAIN), "somebody rang our bell");
    // A child closes what it inherited of the client, and nothing that took its place.
    let code = host::fork(|| {
        until_session();
        visit_of(&agreed(1), &NAME);
        our_descriptors().starts_with(&numbers) && ours.send(b"x").is_ok() && theirs.recv(&mut [0; 8]).is_ok()
    });
    assert_eq!(code, 0);
    assert_eq!(agent.trace(agreed(1).trace).spans.len(), 1);
}

fn is_socket(target: &std::path::Path) -> bool {
    target.to_str().is_some_and(|target| target.starts_with("socket:"))
}

#[test]
fn child_closes_the_descriptors_that_it_inherited() {
    let _agent = Agent::start_joined(Options::default());
    visit(&NAME);
    let inode = |number: i32| std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
    let socket = our_descriptors().into_iter().map(inode).find(|target| is_socket(target)).unwrap();
    let code = host::fork(|| {
        until_session();
        visit_of(&agreed(1), &NAME);
        let all =
            std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        all.filter(|target| *target == socket).count() == 0 && our_descriptors().len() == 2
    });
    assert_eq!(code, 0);
}

static CALLS: AtomicU64 = AtomicU64::new(0);

extern "C" fn record_in_handler(_: libc::c_int) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    raw(b"handler");
}

/// Whatever instruction a handler interrupts, it records whole records or is refused and counted, and the interrupted call goes on.
#[test]
fn handler_that_records_never_harms_the_write_it_interrupts() {
    let agent = Agent::start_joined(Options { n_leases: 16, ..Options::default() });
    let worker = std::thread::spawn(|| {
        visit(&NAME); // before it has a slot, nothing can be counted
        let interrupts = host::Interrupts::every(20, record_in_handler);
        let mut written = Vec::new();
        for _ in 0..300 {
            let context = Context::new_trace();
            let _segment = begin(&context);
            for i in 0..200_u64 {
                let _span = span(&NAME);
                attr("i", i);
                raw(&[5; 40]);
            }
            written.push(context.trace);
        }
        drop(interrupts);
        (written, stats().drops)
    });
    let (traces, drops) = worker.join().unwrap();
    let dropped = |reason| drops.iter().find(|(of, _)| *of == reason).map_or(0, |(_, n)| *n);
    let mut n_of_handlers = 0;
    for trace in traces {
        let trace = agent.trace(trace);
        assert_eq!((trace.spans.len(), trace.malformed), (200, Malformed::default()));
        let payloads = trace
            .spans
            .iter()
            .flat_map(|span| &span.notes.payloads)
            .chain(trace.visits.iter().flat_map(|visit| &visit.notes.payloads));
        let (of_handlers, own): (Vec<_>, Vec<_>) = payloads.partition(|payload| payload.bytes == b"handler");
        assert_eq!(own.len(), 200);
        n_of_handlers += of_handlers.len() as u64;
    }
    let refused = dropped(DropReason::Reentrant) + dropped(DropReason::NoTrace) + dropped(DropReason::NoChunk);
    assert_eq!(n_of_handlers + refused, CALLS.load(Ordering::Relaxed), "{drops:?}");
    assert_eq!(agent.n_corrupt(), 0);
}

#[test]
fn write_that_a_longjmp_abandoned_harms_nothing_and_the_trace_goes_on() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    {
        let _segment = begin(&context);
        event("before", "");
        host::jump_out_of_a_write();
        event("after", "");
        drop(span("later"));
    }
    let trace = agent.trace(context.trace);
    assert_eq!(agent.n_corrupt(), 0);
    let events: Vec<_> = trace.visits.iter().flat_map(|visit| &visit.notes.events).map(|event| &*event.name).collect();
    assert_eq!((events, trace.spans.len()), (vec!["before", "after"], 1), "{trace:#?}");
    assert_eq!(trace.malformed, Malformed::default());
}

/// A call in the very frame of the write that was abandoned is no nested one, also where its usual case is all that is inlined.
#[test]
fn call_in_the_frame_of_an_abandoned_write_is_recorded() {
    let agent = Agent::start_joined(Options::default());
    visit(&NAME);
    let context = Context::new_trace();
    {
        host::jump_out_of_a_write();
        let _segment = begin(&context);
        host::jump_out_of_a_write();
        let _span = span(&NAME);
    }
    let trace = agent.trace(context.trace);
    assert_eq!((agent.n_corrupt(), trace.spans.len()), (0, 1), "{trace:#?}");
    assert_eq!(trace.malformed, Malformed::default());
}

#[inline(never)]
fn nested() {
    raw(b"nested"); // from a deeper frame, as a handler's
}

/// The agent reads of a process what stands in its slots.
#[test]
fn call_inside_a_write_is_refused_and_counted_where_the_agent_reads_it() {
    let agent = Agent::start_joined(Options::default());
    visit(&NAME);
    assert_eq!(agent.dropped(DropReason::Reentrant), 0);
    backsight_client::ffi::with_writer(|_, _| nested()).unwrap();
    assert_eq!(agent.dropped(DropReason::Reentrant), 1);
    assert!(stats().drops.contains(&(DropReason::Reentrant, 1)), "{:?}", stats());
}
