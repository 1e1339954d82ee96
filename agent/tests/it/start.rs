//! Starting and stopping.

use crate::client::{Client, try_refusal, try_session};
use crate::harness::{Agent, command, command_at, eventually};
use backsight_core::ids::TraceId;
use backsight_ringbuf::abi::ABI_VERSION;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

fn fails(dir: &std::path::Path, config: &str) -> String {
    ends(command(dir, config))
}

/// Returns what an agent says that cannot start.
fn ends(mut agent: Command) -> String {
    let output = agent.stderr(Stdio::piped()).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_bad_configuration_is_refused_with_file_key_and_range() {
    let dir = tempfile::tempdir().unwrap();
    let log = fails(dir.path(), "[pool]\nbudget_bytes = 1048576\n");
    for part in ["agent.toml", "pool.budget_bytes", "1048576 (1 MiB)", "8388608 (8 MiB)"] {
        assert!(log.contains(part), "{part} not in {log}");
    }
    assert!(fails(dir.path(), "[pool]\nbudget = 1\n").contains("budget"));
}

#[test]
fn a_pool_larger_than_free_memory_is_clamped_with_a_warning() {
    let agent = Agent::start("[pool]\nbudget_bytes = 1000000000000000\nfree_memory_share = 0.01\n");
    let budget = agent.status()["pool"]["budget_bytes"].as_u64().unwrap();
    assert!((8 << 20..1 << 40).contains(&budget), "{budget}");
    assert!(agent.log().contains("pool is smaller than configured"), "{}", agent.log());
}

/// More processes than the pool has first chunks for: the next is told how large the pool is, and those that are there record on.
#[test]
fn a_pool_without_a_chunk_for_another_session_refuses_it_with_the_reason() {
    let agent = Agent::start("[pool]\nbudget_bytes = 8388608\nsessions_per_uid = 4096\n");
    let honest = Client::connect(&agent.socket(), "honest");
    let mut idle = Vec::new();
    let reason = eventually("a session is refused", || match try_session(&agent.socket()) {
        Ok(socket) => {
            idle.push(socket);
            None
        }
        Err(reason) => Some(reason),
    });
    assert_eq!(reason, "no room in a pool of 8 MiB for another process");
    assert!(idle.len() > 50, "only {} had room", idle.len());
    let used = agent.status()["pool"]["populated_bytes"].as_u64().unwrap();
    assert!(used <= 8 << 20, "{used}");
    assert!(honest.thread(1).visit(TraceId::new(1, 1), "honest", b"whole"), "{}", agent.log());
    assert_eq!(agent.metric("backsight_agent_refused_sessions_total"), Some(1));
    idle.truncate(10);
    eventually("there is room again", || try_session(&agent.socket()).ok());
}

#[test]
fn a_folder_that_the_agent_may_not_write_to_is_named_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("closed");
    let socket = closed.join("agent.sock");
    let mut agent = command_at(&socket, dir.path(), "");
    // Root may write anywhere: an agent that root starts runs as nobody.
    if rustix::process::geteuid().is_root() {
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        agent.uid(65_534);
    }
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o555)).unwrap();
    assert!(!agent.status().unwrap().success());
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    for part in [&*socket.to_string_lossy(), "ermission denied"] {
        assert!(log.contains(part), "{part} not in {log}");
    }
}

/// Returns the limit of descriptors with which process `pid` can open `n` more.
fn room_for(pid: u32, n: usize) -> u64 {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open: Vec<u64> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().parse().unwrap()).collect();
    (0..).filter(|number| !open.contains(number)).nth(n).unwrap()
}

/// Wherever on its way to a region a session finds that the agent can open no more: it is told why, and the others record on.
#[test]
fn without_descriptors_a_session_is_refused_with_the_reason_and_others_record_on() {
    let agent = Agent::start("");
    let honest = Client::connect(&agent.socket(), "honest");
    let (pid, usual) = (Pid::from_child(&agent.child), getrlimit(Resource::Nofile));
    // The connection takes one; then come the client's process, what is read of it, its region and its doorbell.
    for (n, what) in [(1, "a client"), (2, "a client"), (3, "make an eventfd for a client")] {
        // Descriptors of requests that were just served may still be counted as open: then there is room for more.
        let reason = eventually("a session is refused", || {
            let tight = Some(room_for(agent.child.id(), n));
            prlimit(Some(pid), Resource::Nofile, Rlimit { current: tight, ..usual }).unwrap();
            try_refusal(&agent.socket(), ABI_VERSION).ok()
        });
        assert!(reason.contains(what) && reason.contains("open files"), "{n}: {reason}");
        let trace = TraceId::new(1, n as u64);
        assert!(honest.thread(1).visit(trace, "honest", b"whole"), "{}", agent.log());
        prlimit(Some(pid), Resource::Nofile, usual).unwrap();
        assert_eq!(agent.get(&format!("/v1/traces/{trace}")).0, 200);
    }
    Client::connect(&agent.socket(), "later");
}

/// Starts an agent to which the kernel makes no memfd: the system call ends in `errno`, as under an old kernel or in a container.
fn start_without_memfd(errno: i32) -> Agent {
    let forbidden = [(libc::SYS_memfd_create, Vec::new())].into();
    let (otherwise, then) = (SeccompAction::Allow, SeccompAction::Errno(errno as u32));
    let filter = SeccompFilter::new(forbidden, otherwise, then, std::env::consts::ARCH.try_into().unwrap()).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    // A filter holds for the thread that asked for it and for the processes that this thread starts.
    let start = move || {
        seccompiler::apply_filter(&program).unwrap();
        Agent::start("")
    };
    std::thread::spawn(start).join().unwrap()
}

/// Where the agent gets no memory to share, each client is told what was attempted and why; the agent goes on and has nobody's data.
#[test]
fn without_memfd_sessions_are_refused_with_the_reason_and_the_agent_goes_on() {
    for (errno, why) in [(libc::ENOSYS, "Function not implemented"), (libc::EPERM, "Operation not permitted")] {
        let agent = start_without_memfd(errno);
        let n_open = || std::fs::read_dir(format!("/proc/{}/fd", agent.child.id())).unwrap().count();
        let mut n_open_before = None;
        for n in 1..=20 {
            let reason = try_refusal(&agent.socket(), ABI_VERSION).unwrap();
            assert!(reason.starts_with("the agent could not make a region: memfd_create for a region of "), "{reason}");
            assert!(reason.ends_with(&format!(" B: {why} (os error {errno})")), "{reason}");
            assert_eq!(agent.metric("backsight_agent_refused_sessions_total"), Some(n));
            let status = agent.status();
            assert_eq!(status["sessions"].as_array().map(Vec::len), Some(0), "{status}");
            let before = *n_open_before.get_or_insert_with(n_open);
            eventually("what the session took is closed", || (n_open() <= before).then_some(()));
        }
        assert!(agent.log().contains(why), "{}", agent.log());
        assert_eq!(agent.get("/healthz").0, 200);
        assert_eq!((agent.kept(), agent.get(&format!("/v1/traces/{}", TraceId::new(1, 1))).0), (Vec::new(), 404));
    }
}

/// Likewise where the agent has no addresses left for another region; who has one records on, and there is one again afterwards.
#[test]
fn without_address_space_a_session_is_refused_with_the_reason_and_others_record_on() {
    let agent = Agent::start("[pool]\nbudget_bytes = 268435456\n");
    let honest = Client::connect(&agent.socket(), "honest");
    let (pid, usual) = (Pid::from_child(&agent.child), getrlimit(Resource::As));
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.strip_suffix("kB")).unwrap();
    // Enough for all but a region, which spans twice the budget.
    let tight = Some((size.trim().parse::<u64>().unwrap() << 10) + (128 << 20));
    prlimit(Some(pid), Resource::As, Rlimit { current: tight, ..usual }).unwrap();
    let reason = try_refusal(&agent.socket(), ABI_VERSION).unwrap();
    assert!(reason.starts_with("the agent could not make a region: map a region of "), "{reason}");
    assert!(
        reason.ends_with(
            " B (is RLIMIT_AS lower, or RLIMIT_MEMLOCK under mlockall?): Cannot allocate memory (os error 12)"
        ),
        "{reason}"
    );
    let trace = TraceId::new(1, 1);
    assert!(honest.thread(1).visit(trace, "honest", b"whole"), "{}", agent.log());
    assert_eq!(agent.get(&format!("/v1/traces/{trace}")).0, 200);
    assert_eq!(agent.status()["sessions"].as_array().map(Vec::len), Some(1));
    prlimit(Some(pid), Resource::As, usual).unwrap();
    Client::connect(&agent.socket(), "later");
}

#[test]
fn two_agents_on_one_machine_do_not_meet() {
    let (a, b) = (Agent::start(""), Agent::start(""));
    assert_ne!(a.status()["agent"], b.status()["agent"]);
    let (at_a, at_b) = (Client::connect(&a.socket(), "a"), Client::connect(&b.socket(), "b"));
    let (trace_a, trace_b) = (TraceId::new(1, 1), TraceId::new(1, 2));
    assert!(at_a.thread(1).visit(trace_a, "a", b"") && at_b.thread(1).visit(trace_b, "b", b""));
    assert_eq!((a.get(&format!("/v1/traces/{trace_a}")).0, a.get(&format!("/v1/traces/{trace_b}")).0), (200, 404));
    assert_eq!((b.get(&format!("/v1/traces/{trace_a}")).0, b.get(&format!("/v1/traces/{trace_b}")).0), (404, 200));
}

#[test]
fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
    let mut agent = Agent::start("");
    let id = agent.status()["agent"].clone();
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    assert!(agent.socket().exists(), "a killed agent leaves its socket");
    agent.child = command(agent.dir.path(), "").spawn().unwrap();
    eventually("it answers again", || {
        let answers = std::os::unix::net::UnixStream::connect(agent.dir.path().join("admin.sock")).is_ok();
        answers.then_some(())
    });
    assert_eq!(agent.status()["agent"], id, "the id is kept");
    let elsewhere = tempfile::tempdir().unwrap();
    let log = ends(command_at(&agent.socket(), elsewhere.path(), ""));
    assert!(log.contains("another agent answers on"), "{log}");
    assert_eq!(agent.get("/healthz").0, 200, "the first one is not disturbed");
    let file = elsewhere.path().join("not-a-socket");
    std::fs::write(&file, "x").unwrap();
    let log = ends(command_at(&file, elsewhere.path(), ""));
    assert!(log.contains("not-a-socket exists and is not a socket"), "{log}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "x");
}

/// The id lies in the state directory: of two agents with one, the second says who has it and ends, and the first does not notice. What a
/// killed agent leaves there stops nobody.
#[test]
fn a_state_directory_has_one_agent_at_a_time() {
    let mut agent = Agent::start("");
    let id = agent.status()["agent"].clone();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(agent.dir.path().join("state"), elsewhere.path().join("state")).unwrap();
    let log = ends(command(elsewhere.path(), ""));
    let lock = elsewhere.path().join("state/lock");
    let told =
        format!("lock {}: another agent (process {}) has this state directory", lock.display(), agent.child.id());
    assert!(log.contains(&told) && log.contains("agent.state_dir"), "{log}");
    assert!(!elsewhere.path().join("agent.sock").exists(), "nobody could connect to it meanwhile");
    assert_eq!(agent.status()["agent"], id, "the first one is not disturbed");
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    let next = Agent::start_in(elsewhere, "");
    assert_eq!(next.status()["agent"], id, "the id is the directory's");
}

#[test]
fn the_service_manager_is_told_and_a_stop_leaves_no_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(crate::harness::DEADLINE)).unwrap();
    let hear = || {
        let mut buffer = [0; 256];
        let len = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..len]).trim().to_owned()
    };
    let mut child =
        command(dir.path(), "").env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "30000000").spawn().unwrap();
    assert_eq!([hear(), hear(), hear()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"], "the loop turns, and goes on to");
    assert!(dir.path().join("agent.sock").exists());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let said = std::iter::repeat_with(hear).find(|said| said != "WATCHDOG=1");
    assert_eq!(said.as_deref(), Some("STOPPING=1"));
    assert!(child.wait().unwrap().success());
    assert!(!dir.path().join("agent.sock").exists() && !dir.path().join("admin.sock").exists());
}
