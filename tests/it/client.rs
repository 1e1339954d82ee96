//! The client against a real agent: what an application records is found again, whole, when a trigger asks for it.

use backsight::{Context, Missing, SegmentExt as _, Settings, Span, SpanId, SpanKind, StatusCode, TraceId, TriggerId};
use backsight_proto::trace_json::{AttributeJson, LinkJson, SpanJson, TraceJson, ValueJson};
use backsight_tests::harness::agent::{Agent, AgentOptions};
use backsight_tests::harness::session::join;
use rustix::mm::MlockAllFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::future::Future as _;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::task::{self, Poll, Waker};
use std::time::{Duration, Instant};

/// Where a test that runs itself once more, as a process to be killed, finds the agent.
const VICTIM: &str = "BACKSIGHT_TEST_VICTIM_OF";

fn start() -> Agent {
    let agent = Agent::start(AgentOptions::default()).unwrap();
    let socket = agent.socket();
    join(Settings { socket: socket.to_str(), service: Some("shop") }).unwrap();
    agent
}

/// Asks for `trace` until it is kept and `is_whole`.
fn kept(agent: &Agent, trace: TraceId, is_whole: impl Fn(&TraceJson) -> bool) -> TraceJson {
    let path = backsight_proto::admin::route::trace(trace);
    let ask = |api: &backsight_tests::harness::api::Api| {
        let found: TraceJson = serde_json::from_value(api.json(&path)?)?;
        if is_whole(&found) { Ok(Some(found)) } else { anyhow::bail!("not whole: {found:#?}") }
    };
    agent.api().until("the trace to be kept", ask).unwrap_or_else(|error| panic!("{error:#}\n{}", agent.log()))
}

fn attribute(key: &str, value: ValueJson) -> AttributeJson {
    AttributeJson { key: key.to_owned(), value }
}

fn span<'t>(trace: &'t TraceJson, name: &str) -> &'t SpanJson {
    trace.spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span `{name}` in {trace:#?}"))
}

#[test]
fn trace_is_found_again_whole_by_its_trigger() {
    let agent = start();
    let context = Context::new_trace();
    let (elsewhere, there) = (TraceId::new(9, 9), SpanId(0x99));
    let long: Vec<u8> = (0..9_000_u32).map(|i| ((i * 7) >> 3) as u8).collect();
    {
        let _segment = backsight::begin(&context);
        let _checkout = backsight::span!("checkout", SpanKind::Server);
        backsight::attr!("items", 3);
        backsight::attr!("total", 12.5);
        backsight::attr!("guest", true);
        backsight::attr!("note", "für dich");
        backsight::link(elsewhere, there);
        {
            let _pay = Span::start("pay, by hand", SpanKind::Client);
            backsight::event!("declined", "insufficient funds");
            backsight::exception("CardError", "declined twice");
            backsight::payload!("answer", b"{\"code\":402}");
            backsight::status(StatusCode::Error, "402");
        }
        backsight::raw(&long);
        backsight::macros::rename("checkout/v2");
        assert!(backsight::trigger(TriggerId::MANUAL));
    }
    let is_whole =
        |trace: &TraceJson| trace.spans.len() == 2 && trace.spans.iter().all(|span| span.at.duration_ns.is_some());
    let trace = kept(&agent, context.trace, is_whole);
    assert_eq!((trace.malformed, trace.losses.len(), trace.visits.len()), (Default::default(), 0, 0), "{trace:#?}");
    assert_eq!((trace.processes.len(), trace.processes[0].service.as_str()), (1, "shop"));
    assert_eq!(trace.fired.iter().map(|firing| firing.trigger.as_str()).collect::<Vec<_>>(), ["manual"]);
    let (checkout, pay) = (span(&trace, "checkout/v2"), span(&trace, "pay, by hand"));
    assert_eq!((checkout.kind.as_str(), checkout.status.as_str()), ("server", "unset"));
    assert_eq!(checkout.links, [LinkJson { trace: elsewhere.to_string(), span: there.to_string() }]);
    let expected = [
        attribute("items", ValueJson::I64(3)),
        attribute("total", ValueJson::F64(12.5)),
        attribute("guest", ValueJson::Bool(true)),
        attribute("note", ValueJson::Str("für dich".to_owned())),
    ];
    assert_eq!(checkout.notes.attributes, expected);
    let payload = &checkout.notes.payloads[0];
    let hex: String = long.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((payload.len, payload.is_truncated, payload.hex == Some(hex)), (9_000, false, true));
    assert_eq!((pay.parent.as_str(), pay.kind.as_str()), (checkout.span.as_str(), "client"));
    assert_eq!((pay.status.as_str(), pay.status_text.as_str()), ("error", "402"));
    let events: Vec<_> = pay.notes.events.iter().map(|event| (event.name.as_str(), event.message.as_str())).collect();
    assert_eq!(events, [("declined", "insufficient funds"), ("exception", "")]);
    let of_exception = [
        attribute("exception.type", ValueJson::Str("CardError".to_owned())),
        attribute("exception.message", ValueJson::Str("declined twice".to_owned())),
    ];
    assert_eq!(pay.notes.events[1].attributes, of_exception);
    let answer = &pay.notes.payloads[0];
    assert_eq!((answer.name.as_deref(), answer.text.as_deref()), (Some("answer"), Some("{\"code\":402}")));
    assert!(checkout.at.start_ns <= pay.at.start_ns && pay.at.duration_ns <= checkout.at.duration_ns);
}

/// A program that may have no more addresses than it uses is told so, goes on without records, and records once it may have more.
#[test]
fn process_without_address_space_is_told_so_and_records_later() {
    let agent = Agent::start(AgentOptions::default()).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.strip_suffix("kB")).unwrap();
    let usual = getrlimit(Resource::As);
    let tight = Rlimit { current: Some((size.trim().parse::<u64>().unwrap() << 10) + (128 << 20)), ..usual };
    setrlimit(Resource::As, tight).unwrap();
    let socket = agent.socket();
    let open = || backsight::init(Settings { socket: socket.to_str(), service: Some("shop") });
    let missing = std::iter::repeat_with(open).find(|opened| *opened != Err(Missing::Timeout)).unwrap();
    assert_eq!(missing, Err(Missing::NoMemory(rustix::io::Errno::NOMEM)));
    let said = "the region could not be mapped (is RLIMIT_AS low, or RLIMIT_MEMLOCK under mlockall?): Cannot allocate memory (os error 12)";
    assert_eq!(missing.unwrap_err().to_string(), said);
    assert!(!backsight::trigger(TriggerId::MANUAL));
    setrlimit(Resource::As, usual).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20); // the next attempt is a second later
    while open().is_err() {
        assert!(Instant::now() < deadline, "{:?}", backsight::stats());
        std::thread::yield_now();
    }
    let context = Context::new_trace();
    {
        let _segment = backsight::begin(&context);
        drop(backsight::span!("later"));
        backsight::trigger(TriggerId::MANUAL);
    }
    assert_eq!(kept(&agent, context.trace, |trace| !trace.spans.is_empty()).spans[0].name, "later");
}

/// Returns whether this process has `CAP_IPC_LOCK`: others may lock less than the region has addresses.
fn may_lock_memory() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(capabilities.trim(), 16).unwrap() >> 14 & 1 == 1
}

/// A program that locks all its memory makes no page of the region that it does not write to, and its core dump has none of them.
#[test]
fn region_is_neither_locked_nor_dumped() {
    if may_lock_memory() {
        rustix::mm::mlockall(MlockAllFlags::FUTURE).unwrap();
    }
    let _agent = start();
    drop(backsight::begin(&Context::new_trace()));
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let region = maps.split_once("memfd:bks-region").expect("the region is mapped").1;
    let field = |name| region.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    let resident_kib: u64 = field("Rss:").trim_end_matches("kB").trim().parse().unwrap();
    assert!(resident_kib < 64 << 10, "{resident_kib} KiB of it are there");
    let flags: Vec<&str> = field("VmFlags:").split_whitespace().collect();
    assert!(flags.contains(&"dd") && !flags.contains(&"lo"), "{flags:?}");
}

#[test]
fn future_that_moves_between_threads_is_one_trace() {
    let agent = start();
    let context = Context::new_trace();
    let work = async {
        let _work = backsight::span!("work");
        let mut pending = true;
        std::future::poll_fn(|_| if std::mem::take(&mut pending) { Poll::Pending } else { Poll::Ready(()) }).await;
        drop(backsight::span!("after the await"));
        backsight::trigger(TriggerId::MANUAL);
    };
    let mut work = Box::pin(work.in_segment(context));
    let poll = |work: std::pin::Pin<&mut _>| -> Poll<()> {
        let work: std::pin::Pin<&mut backsight::InSegment<_>> = work;
        work.poll(&mut task::Context::from_waker(Waker::noop()))
    };
    assert_eq!(poll(work.as_mut()), Poll::Pending);
    let polled = std::thread::scope(|scope| scope.spawn(|| poll(work.as_mut())).join().unwrap());
    assert_eq!(polled, Poll::Ready(()));
    let is_whole =
        |trace: &TraceJson| trace.spans.len() == 2 && trace.spans.iter().all(|span| span.at.duration_ns.is_some());
    let trace = kept(&agent, context.trace, is_whole);
    let (work, after) = (span(&trace, "work"), span(&trace, "after the await"));
    assert_eq!(after.parent, work.span);
    assert_ne!(after.at.tid, work.at.tid);
    assert_eq!((trace.malformed, trace.losses.len()), (Default::default(), 0), "{trace:#?}");
}

#[test]
fn laterals_are_kept_with_the_trace_that_named_them() {
    let agent = start();
    let laterals: Vec<Context> = (0..5).map(|_| Context::new_trace()).collect();
    for lateral in &laterals {
        let _segment = backsight::begin(lateral);
        drop(backsight::span!("bystander"));
    }
    let context = Context::new_trace();
    {
        let _segment = backsight::begin(&context);
        drop(backsight::span!("culprit"));
        let named: Vec<TraceId> = laterals.iter().map(|lateral| lateral.trace).collect();
        assert!(backsight::trigger_with_laterals(TriggerId::MANUAL, &named));
    }
    assert_eq!(kept(&agent, context.trace, |trace| !trace.spans.is_empty()).fired[0].n_laterals, 5);
    for lateral in &laterals {
        assert_eq!(kept(&agent, lateral.trace, |trace| !trace.spans.is_empty()).spans[0].name, "bystander");
    }
}

/// More threads than a process has slots, though never more at a time than the agent has yet to free: it does so ten times a second, or
/// later where the machine lets it, and threads come and go faster than that.
#[test]
fn many_threads_one_after_another_are_recorded_and_leave_no_slot() {
    let agent = start();
    let all_free = |api: &backsight_tests::harness::api::Api| {
        let status = api.json(backsight_proto::admin::route::STATUS)?;
        Ok((status["sessions"][0]["threads"] == 0).then_some(()))
    };
    let visit = || {
        let context = Context::new_trace();
        let _segment = backsight::begin(&context);
        backsight::raw(&[1; 16]);
        backsight::trigger(TriggerId::MANUAL);
        context.trace
    };
    for _ in 0..5 {
        for _ in 0..900 {
            std::thread::spawn(visit).join().unwrap();
        }
        agent.api().until("all slots to be free", all_free).unwrap();
    }
    let last = std::thread::spawn(visit).join().unwrap();
    let trace = kept(&agent, last, |trace| !trace.visits.is_empty());
    assert_eq!(trace.visits[0].notes.payloads[0].len, 16);
    agent.api().until("all slots to be free", all_free).unwrap();
    assert!(backsight::stats().drops.is_empty(), "{:?}", backsight::stats());
}

/// Requests that a killed process was serving are reported, also those that waited in a future that no thread polled.
#[test]
fn parked_server_span_is_reported_when_its_process_is_killed() {
    if let Some(socket) = std::env::var_os(VICTIM) {
        join(Settings { socket: socket.to_str(), service: Some("victim") }).unwrap();
        park();
    }
    let agent = Agent::start(AgentOptions::default()).unwrap();
    let (mut victim, said) = process(&agent, "client::parked_server_span_is_reported_when_its_process_is_killed");
    let traces: Vec<TraceId> = said.filter_map(|line| line.split_once("parked ")?.1.parse().ok()).take(2).collect();
    victim.kill().unwrap();
    victim.wait().unwrap();
    let [parked, finished] = traces[..] else { panic!("the victim said {traces:?}") };
    let trace = kept(&agent, parked, |trace| !trace.spans.is_empty());
    let serve = span(&trace, "serve");
    assert!(serve.at.is_cut && serve.at.duration_ns.is_none(), "{trace:#?}");
    assert_eq!(trace.processes[0].death.as_ref().map(|death| death.signal), Some(0));
    let api = agent.api();
    let list = api.json(backsight_proto::admin::route::TRACES).unwrap();
    let list: backsight_proto::admin::KeptList = serde_json::from_value(list).unwrap();
    let all: Vec<_> = list.traces.iter().map(|kept| (kept.trace, kept.trigger.as_str())).collect();
    assert_eq!(all, [(parked, "process_death")], "not {finished}, which was served");
}

/// A program that executes another one keeps its number and lives on; its records are the agent's, and the request that it served is reported.
#[test]
fn process_that_executes_another_program_ends_its_session() {
    if let Some(socket) = std::env::var_os(VICTIM) {
        join(Settings { socket: socket.to_str(), service: Some("executes") }).unwrap();
        let context = Context::new_trace();
        let _segment = backsight::begin(&context);
        let _span = backsight::span!("before exec", SpanKind::Server);
        println!("\nexecutes {}", context.trace);
        panic!("not executed: {}", Command::new("sleep").arg("60").exec());
    }
    let agent = Agent::start(AgentOptions::default()).unwrap();
    let (mut program, mut said) = process(&agent, "client::process_that_executes_another_program_ends_its_session");
    let executed = said.find_map(|line| line.split_once("executes ")?.1.parse().ok());
    let is_cut = |trace: &TraceJson| trace.spans.first().is_some_and(|span| span.at.is_cut);
    assert_eq!(kept(&agent, executed.unwrap(), is_cut).spans[0].name, "before exec");
    assert_eq!(program.try_wait().unwrap(), None, "the other program runs");
    let status = agent.api().json(backsight_proto::admin::route::STATUS).unwrap();
    assert_eq!(
        (&status["sessions"][0]["pid"], &status["sessions"][0]["state"]),
        (&program.id().into(), &"dead".into())
    );
    program.kill().unwrap();
    program.wait().unwrap();
}

/// Where a runtime ends its process by `_exit`, nobody runs what `exit` would.
#[test]
fn process_that_says_goodbye_and_is_ended_has_not_died() {
    if let Some(socket) = std::env::var_os(VICTIM) {
        join(Settings { socket: socket.to_str(), service: Some("leaves") }).unwrap();
        drop(backsight::begin(&Context::new_trace()));
        backsight::goodbye();
        println!("\nsaid goodbye");
        loop {
            std::thread::park();
        }
    }
    let agent = Agent::start(AgentOptions::default()).unwrap();
    let (mut program, mut said) = process(&agent, "client::process_that_says_goodbye_and_is_ended_has_not_died");
    assert!(said.any(|line| line == "said goodbye"));
    let metric = |name: &str| agent.api().metric(name).unwrap();
    assert_eq!(metric("backsight_agent_sessions"), 1.0);
    program.kill().unwrap();
    program.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while metric("backsight_agent_sessions") > 0.0 {
        assert!(Instant::now() < deadline, "its end is seen");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(metric("backsight_agent_deaths_total"), 0.0);
}

/// Runs the test `name` once more as a process of the agent's; returns it and the lines that it says.
fn process(agent: &Agent, name: &str) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(VICTIM, agent.socket());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    (child, said)
}

/// Leaves a request parked in a future, serves another to its end, says which, and waits to be killed.
fn park() -> ! {
    let (parked, finished) = (Context::new_trace(), Context::new_trace());
    let serve = async {
        let _serve = backsight::span!("serve", SpanKind::Server);
        std::future::pending::<()>().await;
    };
    let mut serve = pin!(serve.in_segment(parked));
    assert_eq!(serve.as_mut().poll(&mut task::Context::from_waker(Waker::noop())), Poll::Pending);
    {
        let _segment = backsight::begin(&finished);
        drop(backsight::span!("serve", SpanKind::Server));
    }
    println!("\nparked {}\nparked {}", parked.trace, finished.trace);
    loop {
        std::thread::park();
    }
}
