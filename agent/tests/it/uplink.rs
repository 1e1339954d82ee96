//! What an agent tells a collector, and what it does when that is slow, gone, or no collector at all.

use crate::client::{Client, Thread};
use crate::collector::{Collector, Conduct};
use crate::harness::{Agent, eventually};
use backsight_core::holding::{CrumbTo, HoldingState};
use backsight_core::ids::{AgentId, SpanId, TraceId, TriggerId};
use backsight_core::record::{CrumbDirection, Kind, SpanKind};
use backsight_core::trace::assemble;
use backsight_proto::v1::Collect;
use backsight_proto::wire::trace_bytes;
use backsight_ringbuf::writer::{Carried, SegmentStart};
use std::io::{Read, Write};
use std::net::TcpListener;

fn trace(n: u64) -> TraceId {
    TraceId::new(0xfade, n)
}

fn crumb(agent: u32, direction: CrumbDirection, span: u64) -> CrumbTo {
    CrumbTo { agent: AgentId(agent), direction, span: SpanId(span) }
}

/// One request that came from agent 5 and went on to agent 6.
fn visit_between(thread: &mut Thread<'_>, of: TraceId) {
    let now = thread.client.clock.ticks();
    let carried = Carried { from_agent: AgentId(5), ..Carried::default() };
    let start = SegmentStart { trace: of, parent_span: SpanId(50), carried, ..SegmentStart::default() };
    assert!(thread.writer.begin(start, now) && thread.start_span(60, "between", SpanKind::Server));
    let to = 6 | (CrumbDirection::To as u64) << 32;
    assert!(thread.writer.record(thread.client.clock.ticks(), Kind::Crumb, 0, [to, 60], &[]));
    thread.end_span(60);
    thread.end();
    thread.client.ring();
}

fn state_of(agent: &Agent, of: TraceId) -> Option<String> {
    let kept = agent.json("/v1/traces").unwrap();
    let found = kept["traces"].as_array().unwrap().iter().find(|kept| kept["trace"] == of.to_string())?.clone();
    found["state"].as_str().map(str::to_owned)
}

fn collect(collector: &Collector, group: u64, traces: &[TraceId], fired_ns: u64) {
    let traces: Vec<Vec<u8>> = traces.iter().copied().map(trace_bytes).collect();
    let trigger = TriggerId::MANUAL.0;
    let base = traces[0].clone();
    collector.collect(&Collect { group, trigger, origin: 5, fired_ns, base, traces, ..Collect::default() });
}

fn wall_ns() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
}

#[test]
fn a_local_trigger_is_announced_with_its_crumbs_and_its_traces_are_reported_and_acknowledged() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&collector.config());
    let client = Client::connect(&agent.socket(), "shop");
    let mut thread = client.thread(1);
    visit_between(&mut thread, trace(1));
    thread.visit(trace(2), "lateral", b"payload");
    thread.visit(trace(3), "nobody asks", b"");
    thread.fire(TriggerId::MANUAL, trace(1), &[trace(2)]);
    let announce = eventually("it is announced", || collector.heard(|heard| heard.announces.first().cloned()));
    assert_eq!((announce.trigger, announce.holdings.len()), (TriggerId::MANUAL.0, 2));
    assert!(announce.fired_ns.abs_diff(wall_ns()) < 60_000_000_000);
    let reports = eventually("both are reported", || {
        let both = [collector.reports(trace(1)), collector.reports(trace(2))];
        both.iter().all(|reports| !reports.is_empty()).then_some(both)
    });
    let first = &reports[0][0];
    let crumbs = [crumb(5, CrumbDirection::From, 50), crumb(6, CrumbDirection::To, 60)];
    assert_eq!((first.holding.crumbs.as_slice(), first.holding.state), (crumbs.as_slice(), HoldingState::Kept));
    assert_eq!((first.holding.n_segments, first.holding.n_open, first.base), (1, 0, None));
    assert_eq!((reports[1][0].base, reports[1][0].fired_ns), (Some(trace(1)), first.fired_ns));
    let whole = assemble(trace(1), &first.slices);
    assert_eq!((&*whole.spans[0].name, &*whole.processes[0].service), ("between", "shop"));
    assert!(whole.interval_ns().is_some(), "calibration points came with it: {whole:?}");
    eventually("it is acknowledged", || (state_of(&agent, trace(1))? == "lingering").then_some(()));
    assert!(collector.reports(trace(3)).is_empty());
    let uplink = agent.status()["uplinks"][0].clone();
    assert_eq!((&uplink["is_connected"], &uplink["announced_total"]), (&true.into(), &1.into()), "{uplink}");
    let acked = || agent.metric("backsight_agent_uplink_announces_acked_total");
    eventually("the announcement is acknowledged", || (acked() == Some(1)).then_some(()));
    assert_eq!(agent.metric("backsight_agent_uplink_queued_bytes"), Some(0));
}

#[test]
fn what_the_coordinator_asks_for_is_answered_reported_and_followed() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&collector.config());
    let client = Client::connect(&agent.socket(), "shop");
    let mut thread = client.thread(1);
    visit_between(&mut thread, trace(1));
    eventually("the agent is there", || collector.heard(|heard| (!heard.hellos.is_empty()).then_some(())));
    collect(&collector, 9, &[trace(1), trace(2)], wall_ns());
    let answer = eventually("it answers", || collector.heard(|heard| heard.answers.first().cloned()));
    let states: Vec<u32> = answer.holdings.iter().map(|holding| holding.state).collect();
    assert_eq!((answer.group, states), (9, vec![HoldingState::Kept as u32, HoldingState::NeverSeen as u32]));
    eventually("it is reported", || (!collector.reports(trace(1)).is_empty()).then_some(()));
    thread.visit(trace(2), "late", b"");
    eventually("what comes later is found in an open chunk", || {
        let holding = collector.holding(trace(2)).filter(|holding| holding.n_segments == 1)?;
        (holding.state == HoldingState::Kept && !collector.reports(trace(2)).is_empty()).then_some(())
    });
    assert_eq!(collector.heard(|heard| heard.announces.len()), 0, "it did not fire here");
    assert_eq!(agent.metric("backsight_agent_remote_triggers_total"), Some(1));
    for counter in ["announces_spared", "unfollowed_traces", "changes_cut"] {
        assert_eq!(agent.metric(&format!("backsight_agent_uplink_{counter}_total")), Some(0), "{counter}");
    }
}

#[test]
fn over_the_remote_rate_the_answer_is_refused() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&format!("{}[triggers]\nremote_rate_per_s = 1\n", collector.config()));
    eventually("the agent is there", || collector.heard(|heard| (!heard.hellos.is_empty()).then_some(())));
    for group in 1..=3 {
        collect(&collector, group, &[trace(group)], wall_ns());
    }
    eventually("all are answered", || collector.heard(|heard| (heard.answers.len() == 3).then_some(())));
    let n_refused = (1..=3).filter(|n| collector.holding(trace(*n)).unwrap().state == HoldingState::Refused).count();
    assert!(n_refused >= 1);
    assert_eq!(agent.metric("backsight_agent_remote_triggers_refused_total"), Some(n_refused as u64));
}

#[test]
fn a_trace_asked_for_after_the_horizon_is_evicted() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&format!("{}[pool]\nbudget_bytes = 8388608\n", collector.config()));
    let client = Client::connect(&agent.socket(), "shop");
    let mut thread = client.thread(1);
    let fired_ns = wall_ns();
    for n in 1..20_000 {
        eventually("it is recorded", || thread.visit(trace(n), "visit", &[7; 1000]).then_some(()));
    }
    eventually("something was evicted", || agent.metric("backsight_agent_horizon_ms"));
    collect(&collector, 1, &[trace(1)], fired_ns - 60_000_000_000);
    let holding = eventually("it answers", || collector.holding(trace(1)));
    assert_eq!((holding.state, holding.n_segments), (HoldingState::Evicted, 0));
    assert!(holding.horizon_ms.is_some());
    assert!(holding.whole_since_ns.unwrap() > fired_ns, "what was written first is overwritten");
}

#[test]
fn a_segment_that_is_written_to_is_open_until_it_ends() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&collector.config());
    let client = Client::connect(&agent.socket(), "shop");
    let (mut thread, other) = (client.thread(1), client.thread(2));
    assert!(thread.begin(trace(1)) && thread.start_span(1, "long", SpanKind::Server));
    other.fire(TriggerId::MANUAL, trace(1), &[]);
    eventually("it is open", || collector.holding(trace(1)).filter(|holding| holding.n_open == 1));
    let ring = |agent, direction| {
        let (number, now) = (other.writer.slot_number(), client.clock.ticks());
        let agent = AgentId(agent);
        assert!(backsight_ringbuf::ring::push_crumb(
            &client.memory,
            number,
            trace(1),
            agent,
            direction,
            SpanId(1),
            now
        ));
        client.ring();
    };
    ring(77, CrumbDirection::To);
    eventually("a crumb of the ring is told of", || {
        let holding = collector.holding(trace(1))?;
        holding.crumbs.contains(&crumb(77, CrumbDirection::To, 1)).then_some(())
    });
    thread.end_span(1);
    thread.end();
    eventually("its end is told of", || collector.holding(trace(1)).filter(|holding| holding.n_open == 0));
    eventually("and reported", || {
        let reports = collector.reports(trace(1));
        assemble(trace(1), &reports.last()?.slices).spans.first()?.end_ns
    });
    drop(agent);
}

#[test]
fn the_death_of_a_process_is_reported_after_its_segments_were() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&collector.config());
    let client = Client::connect(&agent.socket(), "survivor");
    let mut child = crate::death::spawn(&agent);
    let served = crate::death::trace(150);
    client.thread(1).fire(TriggerId::MANUAL, served, &[]);
    eventually("it is reported", || (!collector.reports(served).is_empty()).then_some(()));
    assert!(collector.reports(served)[0].slices[0].process.death.is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("its end is reported", || {
        collector.reports(served).iter().flat_map(|report| &report.slices).find_map(|slice| slice.process.death.clone())
    });
    let cut = crate::death::trace(2);
    eventually("what it served is announced", || collector.holding(cut).filter(|holding| holding.n_open == 0));
}

#[test]
fn a_death_is_told_for_traces_that_the_dead_never_saw() {
    let collector = Collector::start(Conduct::Honest);
    let started_ns = wall_ns();
    let agent = Agent::start(&collector.config());
    eventually("the agent is there", || collector.heard(|heard| (!heard.hellos.is_empty()).then_some(())));
    let mut child = crate::death::spawn(&agent);
    collect(&collector, 1, &[trace(1)], wall_ns());
    let before = eventually("it answers", || collector.holding(trace(1)));
    assert_eq!((before.state, before.deaths_ns.as_slice()), (HoldingState::NeverSeen, [].as_slice()));
    let whole_since_ns = before.whole_since_ns.unwrap();
    assert!(whole_since_ns > started_ns - 1_000_000_000 && whole_since_ns < wall_ns(), "since the agent is there");
    child.kill().unwrap();
    child.wait().unwrap();
    let after =
        eventually("the death is told", || collector.holding(trace(1)).filter(|holding| !holding.deaths_ns.is_empty()));
    assert_eq!((after.state, after.deaths_ns.len()), (HoldingState::NeverSeen, 1));
    assert!(after.revision > before.revision && after.deaths_ns[0].abs_diff(wall_ns()) < 60_000_000_000);
    assert_eq!(after.whole_since_ns, before.whole_since_ns, "nothing was overwritten since, and nothing lost");
    // A goodbye is no death.
    let client = Client::connect(&agent.socket(), "shop");
    crate::client::say(&client.socket, &backsight_core::session::Message::Goodbye);
    drop(client);
    eventually("both have ended", || {
        let sessions = agent.status()["sessions"].as_array()?.clone();
        sessions.iter().all(|session| session["state"] == "dead").then_some(())
    });
    collect(&collector, 2, &[trace(2)], wall_ns());
    assert_eq!(eventually("it answers", || collector.holding(trace(2))).deaths_ns, after.deaths_ns);
}

#[test]
fn losses_of_the_host_are_named_near_a_trace() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&format!("{}[pool]\nbudget_bytes = 8388608\n", collector.config()));
    let client = Client::connect(&agent.socket(), "shop");
    let (mut thread, mut victim) = (client.thread(1), client.thread(2));
    assert!(victim.begin(trace(1)) && victim.raw(b"before"));
    // Faster than the agent grants: until a record finds no chunk.
    let lost = (0..200_000).any(|n| !thread.visit(trace(1_000 + n), "flood", &[7; 4000]));
    assert!(lost, "the pool is larger than thought");
    victim.end();
    victim.fire(TriggerId::MANUAL, trace(1), &[]);
    let holding =
        eventually("the loss is named", || collector.holding(trace(1)).filter(|holding| !holding.losses.is_empty()));
    assert!(holding.losses.iter().all(|loss| loss.n_records > 0 && loss.first_ns.abs_diff(wall_ns()) < 60_000_000_000));
    assert!(holding.losses.iter().all(|loss| Some(loss.last_ns) <= holding.whole_since_ns), "{holding:?}");
    drop(agent);
}

#[test]
fn a_collector_that_comes_late_or_again_gets_everything_that_it_has_not_acknowledged() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let agent = Agent::start(&format!("[uplink]\ncollectors = [\"http://127.0.0.1:{port}\"]\n"));
    let client = Client::connect(&agent.socket(), "shop");
    let mut thread = client.thread(1);
    thread.visit(trace(1), "early", b"");
    thread.fire(TriggerId::MANUAL, trace(1), &[]);
    eventually("it waits", || (state_of(&agent, trace(1))? == "queued").then_some(()));
    eventually("the status says why", || {
        let uplink = agent.status()["uplinks"][0].clone();
        (!uplink["last_error"].as_str()?.is_empty() && uplink["is_connected"] == false).then_some(())
    });
    let first = Collector::start_on(port, 1, Conduct::Silent);
    eventually("it is sent", || (!first.reports(trace(1)).is_empty()).then_some(()));
    eventually("it is announced", || first.heard(|heard| (!heard.announces.is_empty()).then_some(())));
    assert_eq!(state_of(&agent, trace(1)).as_deref(), Some("sent"));
    drop(first);
    let second = Collector::start_on(port, 2, Conduct::Honest);
    eventually("it is sent again", || (!second.reports(trace(1)).is_empty()).then_some(()));
    eventually("it is announced again", || second.heard(|heard| (!heard.announces.is_empty()).then_some(())));
    eventually("it is acknowledged", || (state_of(&agent, trace(1))? == "lingering").then_some(()));
    drop(second);
    let third = Collector::start_on(port, 3, Conduct::Honest);
    eventually("another coordinator is told once more", || {
        third.heard(|heard| (!heard.announces.is_empty()).then_some(()))
    });
    assert!(third.reports(trace(1)).is_empty(), "what is on disk is not sent again");
    assert!(agent.metric("backsight_agent_uplink_batches_resent_total").unwrap() >= 1);
}

#[test]
fn where_nothing_is_acknowledged_streams_are_renewed_and_where_the_disk_is_full_only_reports_wait() {
    let collector = Collector::start(Conduct::Silent);
    let agent = Agent::start(&format!("{}[report]\nresend_ms = 100\n", collector.config()));
    let client = Client::connect(&agent.socket(), "shop");
    let mut thread = client.thread(1);
    thread.visit(trace(1), "one", b"");
    thread.fire(TriggerId::MANUAL, trace(1), &[]);
    eventually("it is sent on another stream", || (collector.reports(trace(1)).len() >= 2).then_some(()));
    collector.set_conduct(Conduct::Full);
    eventually("reports are refused", || (agent.status()["uplinks"][0]["is_reporting"] == false).then_some(()));
    let error = eventually("and why", || {
        let error = agent.status()["uplinks"][0]["last_error"].as_str().map(str::to_owned);
        error.filter(|error| error.contains("full"))
    });
    assert_eq!(error, "refused: the disk is full");
    collect(&collector, 3, &[trace(1)], wall_ns());
    eventually("questions are answered all the same", || collector.heard(|heard| heard.answers.first().cloned()));
    collector.set_conduct(Conduct::Honest);
    eventually("it is acknowledged", || (state_of(&agent, trace(1))? == "lingering").then_some(()));
    assert!(collector.heard(|heard| heard.n_report_streams) >= 3);
}

/// Something that accepts connections and is no collector.
fn impostor(talk: impl Fn(std::net::TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(talk));
    port
}

/// For every kind of bad collector: clients record, the loop answers, and triggers keep.
fn works_with(port: u16) -> u128 {
    let uplink = format!("[uplink]\ncollectors = [\"http://127.0.0.1:{port}\"]\n[report]\nresend_ms = 100\n");
    let agent = Agent::start(&uplink);
    let client = Client::connect(&agent.socket(), "shop");
    let mut thread = client.thread(1);
    let mut slowest = 0;
    for n in 1..=300 {
        eventually("it is recorded", || thread.visit(trace(n), "visit", &[7; 20_000]).then_some(()));
        eventually("its trigger fires", || thread.try_fire(TriggerId::MANUAL, trace(n), &[]).then_some(()));
        if n % 10 == 0 {
            let started = std::time::Instant::now();
            agent.status();
            slowest = slowest.max(started.elapsed().as_millis());
        }
    }
    eventually("all are kept", || (agent.kept().len() == 300).then_some(()));
    slowest
}

#[test]
fn a_bad_collector_blocks_neither_clients_nor_the_loop() {
    let garbage = impostor(|mut stream| {
        let mut hello = [0; 64];
        let _ = stream.read(&mut hello);
        let _ = stream.write_all(&[0xa5; 4096]);
    });
    let hung = impostor(std::mem::forget);
    let silent = Collector::start(Conduct::Silent);
    let full = Collector::start(Conduct::Full);
    for (name, port) in [("garbage", garbage), ("hung", hung), ("silent", silent.port), ("full", full.port)] {
        let slowest_ms = works_with(port);
        assert!(slowest_ms < 2_000, "{name}: the loop answered after {slowest_ms} ms");
        println!("{name}: slowest status {slowest_ms} ms");
    }
}

#[test]
fn without_a_collector_nothing_is_queued() {
    let agent = Agent::start("");
    let client = Client::connect(&agent.socket(), "shop");
    let mut thread = client.thread(1);
    thread.visit(trace(1), "one", b"");
    thread.fire(TriggerId::MANUAL, trace(1), &[]);
    eventually("it is kept", || (state_of(&agent, trace(1))? == "kept").then_some(()));
    assert!(agent.status()["uplinks"][0].is_null());
    assert_eq!(agent.metric("backsight_agent_uplink_batches_total"), None);
}

#[test]
fn the_names_of_triggers_are_told_to_the_collector_and_learnt_from_it() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&collector.config());
    let client = Client::connect(&agent.socket(), "shop");
    let mut thread = client.thread(1);
    client.intern("bricks.slow");
    let slow = TriggerId::from_name("bricks.slow").unwrap();
    thread.visit(trace(1), "visit", b"");
    thread.fire(slow, trace(1), &[]);
    let announce = eventually("it is announced", || collector.heard(|heard| heard.announces.first().cloned()));
    assert_eq!((announce.trigger, announce.trigger_name.as_str()), (slow.0, "bricks.slow"));
    let reports = eventually("it is reported", || Some(collector.reports(trace(1))).filter(|of| !of.is_empty()));
    assert_eq!((reports[0].trigger, reports[0].names.get(slow)), (slow, Some("bricks.slow")));
    thread.visit(trace(2), "visit", b"");
    let trigger_name = "of another host".to_owned();
    let trigger = TriggerId::from_name(&trigger_name).unwrap().0;
    let base = trace_bytes(trace(2));
    let traces = vec![base.clone()];
    collector.collect(&Collect { group: 9, trigger, origin: 5, fired_ns: wall_ns(), traces, trigger_name, base });
    eventually("it is kept", || {
        let kept = agent.kept();
        kept.contains(&(trace(2).to_string(), "of another host".to_owned())).then_some(())
    });
    let reports = eventually("it is reported", || Some(collector.reports(trace(2))).filter(|of| !of.is_empty()));
    assert_eq!(reports[0].names.get(TriggerId(trigger)), Some("of another host"));
}
