//! Several hosts: a request goes from one to the next, something happens, and the collector has all of it, or says what is missing.
//!
//! A host is an agent with a folder and an id of its own.

use backsight::TraceId;
use backsight_core::certificate::{GapKind, Verdict};
use backsight_core::holding::HoldingState;
use backsight_core::ids::TriggerId;
use backsight_core::trace::Trace;
use backsight_proto::v1;
use backsight_proto::wire::StoredTrace;
use backsight_tests::harness::agent::{Agent, AgentOptions};
use backsight_tests::harness::api::Api;
use backsight_tests::harness::collector::{Collector, CollectorOptions};
use backsight_tests::harness::network::Host;
use backsight_tests::hop::{Act, Hop, Request, Step};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

/// A collector and hosts that report to it, with a service on each.
pub(crate) struct Cluster {
    // Ends before the agents, and these before the collector.
    hops: Vec<Hop>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) collector: Collector,
    /// The host of the first service, on which requests begin.
    first: Option<Host>,
}

impl Cluster {
    pub(crate) fn start(n_hosts: usize) -> Self {
        Self::start_on(&vec![None; n_hosts], CollectorOptions::default(), "")
    }

    /// Starts a cluster on hosts of their own, each `None` this machine; `config` is of all agents.
    pub(crate) fn start_on(hosts: &[Option<&Host>], collector: CollectorOptions<'_>, config: &str) -> Self {
        let collector = Collector::start_with(collector).unwrap();
        let url = collector.url();
        let options = AgentOptions { collector: Some(&url), config, ..AgentOptions::default() };
        let start_agent = |host: &Option<&Host>| Agent::start(AgentOptions { host: *host, ..options }).unwrap();
        let agents: Vec<Agent> = hosts.iter().map(start_agent).collect();
        let start_hop = |(idx, (host, agent)): (usize, (&Option<&Host>, &Agent))| {
            let (socket, service) = (agent.socket(), format!("service-{idx}"));
            host.map_or_else(|| Hop::start(&socket, &service), |host| Hop::start_on(host, &socket, &service)).unwrap()
        };
        let hops = hosts.iter().zip(&agents).enumerate().map(start_hop).collect();
        Self { hops, agents, collector, first: hosts.first().copied().flatten().cloned() }
    }

    /// Returns a path over all hosts in which each does what `acts` says.
    fn path(&self, acts: &[Act]) -> Vec<Step> {
        self.hops.iter().zip(acts).map(|(hop, act)| hop.does(*act)).collect()
    }

    /// Sends a request over all hosts; returns its trace.
    pub(crate) fn send(&self, acts: &[Act]) -> TraceId {
        let trace = new_trace();
        let request = Request::new(trace, self.path(acts));
        // One that dies does not answer.
        let _ = match &self.first {
            Some(host) => host.inside(|| request.send()).unwrap(),
            None => request.send(),
        };
        trace
    }

    /// Sends a request over all hosts, whose answer nobody waits for here.
    fn send_in_background(&self, trace: TraceId, acts: &[Act]) -> JoinHandle<anyhow::Result<String>> {
        let request = Request::new(trace, self.path(acts));
        std::thread::spawn(move || request.send())
    }

    /// Has every hop know its callee's host, and every agent old enough to have missed nothing lately: clocks may differ by a second.
    fn settle(&self) {
        self.send(&vec![Act::Serve; self.hops.len()]);
        for agent in &self.agents {
            let is_old = |api: &Api| {
                let uptime_ms = api.json("/v1/status")?["uptime_ms"].as_u64().unwrap_or(0);
                Ok((uptime_ms > 1_200).then_some(()))
            };
            agent.api().until("the agent to be old enough", is_old).unwrap();
        }
    }

    /// Waits until the collector calls the trace complete.
    #[track_caller]
    pub(crate) fn complete(&self, trace: TraceId) -> StoredTrace {
        let is_complete = |stored: &StoredTrace| stored.certificate.verdict == Verdict::Complete;
        self.collector.until(trace, is_complete).unwrap_or_else(|error| {
            let logs: Vec<String> = self.agents.iter().map(Agent::log).collect();
            panic!("{error:#}\n{}\n{}", self.collector.log(), logs.join("\n"))
        })
    }
}

fn new_trace() -> TraceId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    TraceId::new(u64::from(std::process::id()), 0x5eed_0000_0000 + NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns how many spans of a name each service has, in the order of the services' names.
pub(crate) fn spans_by_service(trace: &Trace, name: &str) -> Vec<usize> {
    let services: BTreeSet<&str> = trace.processes.iter().map(|process| &*process.service).collect();
    let is_of = |service: &str| {
        trace
            .spans
            .iter()
            .filter(|span| *span.name == *name && *trace.processes[span.process_idx].service == *service)
            .count()
    };
    services.into_iter().map(is_of).collect()
}

#[test]
fn a_dead_agent_is_passed_from_either_side_and_the_trace_is_not_called_complete() {
    let mut cluster = Cluster::start(3);
    cluster.settle();
    cluster.agents[1].kill().unwrap();
    for acts in [[Act::TriggerAfter, Act::Serve, Act::Serve], [Act::Serve, Act::Serve, Act::TriggerBefore]] {
        let trace = cluster.send(&acts);
        let has_both = |stored: &StoredTrace| {
            let assembled = stored.assemble();
            let served: BTreeSet<&str> = assembled.processes.iter().map(|process| &*process.service).collect();
            served == BTreeSet::from(["service-0", "service-2"])
        };
        let stored = cluster.collector.until(trace, has_both).unwrap();
        assert_ne!(stored.certificate.verdict, Verdict::Complete, "{acts:?}");
    }
}

#[test]
fn a_trigger_on_any_host_fetches_the_request_from_all_of_them() {
    let cluster = Cluster::start(3);
    for acts in [
        [Act::Serve, Act::Serve, Act::Fail],
        [Act::TriggerAfter, Act::Serve, Act::Serve],
        [Act::Serve, Act::TriggerBefore, Act::Serve],
        [Act::TriggerBefore, Act::Serve, Act::Serve],
        [Act::ServeInFuture, Act::ServeInFuture, Act::Fail],
    ] {
        let trace = cluster.send(&acts);
        let stored = cluster.complete(trace);
        let assembled = stored.assemble();
        assert_eq!(spans_by_service(&assembled, "serve"), [1, 1, 1], "{acts:?}: {assembled:#?}");
        assert_eq!(spans_by_service(&assembled, "call"), [1, 1, 0], "{acts:?}");
        assert_eq!((assembled.open_edges.len(), assembled.losses.len()), (0, 0));
        assert_eq!(stored.certificate.agents.len(), 3);
        // Parents reach across hosts.
        let spans: BTreeSet<_> = assembled.spans.iter().map(|span| span.id).collect();
        let n_roots = assembled.spans.iter().filter(|span| !spans.contains(&span.parent)).count();
        assert_eq!(n_roots, 1);
    }
}

/// The agent that links both ends of a chain is dead when the last host asks: the crumbs before it lead past it, from the log of each host.
#[test]
fn a_dead_agent_is_passed_by_the_crumbs_of_the_hosts_before_it() {
    let mut cluster = Cluster::start(5);
    let trace = cluster.send(&[Act::Serve; 5]);
    // The last host knows the three before it. Only the third can lead to the first, and the second is dead.
    drop(cluster.agents.remove(1));
    let body = serde_json::json!({"trigger": "manual", "trace": trace.to_string(), "laterals": []});
    cluster.agents[3].api().post("/v1/triggers/fire", &body).unwrap();
    let has_all = |stored: &StoredTrace| {
        let services: BTreeSet<&str> = stored.slices.iter().map(|slice| &*slice.process.service).collect();
        services == BTreeSet::from(["service-0", "service-2", "service-3", "service-4"])
    };
    let is_settled = |stored: &StoredTrace| stored.certificate.gaps.iter().any(|gap| gap.kind == GapKind::Unreachable);
    let stored = cluster.collector.until(trace, |stored| has_all(stored) && is_settled(stored)).unwrap();
    assert_ne!(stored.certificate.verdict, Verdict::Complete, "{:?}", stored.certificate);
}

#[test]
fn what_nobody_asked_for_stays_on_its_hosts() {
    let cluster = Cluster::start(2);
    let untouched = cluster.send(&[Act::Serve, Act::Serve]);
    let fetched = cluster.send(&[Act::Serve, Act::Fail]);
    cluster.complete(fetched);
    assert_eq!(cluster.collector.get(untouched).unwrap(), None);
}

#[test]
fn a_callee_that_aborts_says_so_in_its_last_words() {
    let cluster = Cluster::start(2);
    cluster.send(&[Act::Serve, Act::Serve]); // the caller learns where its callee runs
    let trace = cluster.send(&[Act::Serve, Act::Abort]);
    let assembled = cluster.complete(trace).assemble();
    let deaths: Vec<_> = assembled.processes.iter().filter_map(|process| process.death.as_ref()).collect();
    let [death] = deaths.as_slice() else { panic!("{deaths:?}") };
    assert_eq!((death.last_words.signal, death.last_words.trace), (6, trace), "SIGABRT, for this request");
}

#[test]
fn a_killed_callee_is_in_the_trace_with_what_it_had_done() {
    let cluster = Cluster::start(3);
    // The middle one learns where its callee runs.
    cluster.send(&[Act::Serve, Act::Serve, Act::Serve]);
    let trace = cluster.send(&[Act::Serve, Act::Serve, Act::Die]);
    let stored = cluster.complete(trace);
    let assembled = stored.assemble();
    assert_eq!(spans_by_service(&assembled, "serve"), [1, 1, 1]);
    let dead: Vec<_> = assembled.processes.iter().filter(|process| process.death.is_some()).collect();
    assert_eq!(dead.iter().map(|process| &*process.service).collect::<Vec<_>>(), ["service-2"]);
    let cut: Vec<_> = assembled.spans.iter().filter(|span| span.is_cut).map(|span| &*span.name).collect();
    assert_eq!(cut, ["serve"]);
    assert_eq!(assembled.open_edges.len(), 1, "nobody answered, and the callee was found all the same");
    assert!(stored.fired.iter().any(|fired| fired.trigger == TriggerId::PROCESS_DEATH));
}

#[test]
fn a_call_that_was_refused_leaves_nothing_out() {
    let cluster = Cluster::start(1);
    let mut path = cluster.path(&[Act::TriggerAfter]);
    path.push(Step { at: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), act: Act::Serve }); // nobody listens there
    let trace = new_trace();
    Request::new(trace, path).send().unwrap();
    let assembled = cluster.complete(trace).assemble();
    assert_eq!((spans_by_service(&assembled, "call"), assembled.open_edges.len()), (vec![1], 0));
}

#[test]
fn a_callee_that_may_have_been_reached_leaves_the_trace_partial() {
    let cluster = Cluster::start(2);
    let mut path = cluster.path(&[Act::TriggerAfter]);
    // Somebody takes the request, or some of it, and says nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, silent.local_addr().unwrap().port());
    path.push(Step { at, act: Act::Serve });
    let silent = std::thread::spawn(move || drop(silent.accept().unwrap()));
    let trace = new_trace();
    Request::new(trace, path).send().unwrap();
    silent.join().unwrap();
    let has_gap = |stored: &StoredTrace| {
        let mut gaps = stored.certificate.gaps.iter();
        stored.certificate.verdict == Verdict::Partial && gaps.any(|gap| gap.kind == GapKind::NoAnswer)
    };
    cluster.collector.until(trace, has_gap).unwrap();
}

#[test]
fn a_caller_that_is_killed_while_its_request_lies_unread_leaves_nothing_out() {
    let mut cluster = Cluster::start(2);
    cluster.settle();
    cluster.hops[1].stop().unwrap();
    let trace = new_trace();
    let sent = cluster.send_in_background(trace, &[Act::Serve, Act::Serve]);
    cluster.hops[1].until_request_waits().unwrap();
    cluster.hops[0].kill().unwrap();
    assert!(sent.join().unwrap().is_err());
    let stored = cluster.complete(trace);
    let assembled = stored.assemble();
    assert_eq!((spans_by_service(&assembled, "serve"), assembled.open_edges.len()), (vec![1], 1));
    assert_eq!(stored.certificate.agents.len(), 2, "the callee's host was asked");
}

#[test]
fn a_callee_that_is_killed_before_it_reads_its_request_leaves_nothing_out() {
    // Its host is asked after the death, or has answered before it.
    for act in [Act::TriggerAfter, Act::TriggerBefore] {
        let mut cluster = Cluster::start(2);
        cluster.settle();
        cluster.hops[1].stop().unwrap();
        let trace = new_trace();
        let sent = cluster.send_in_background(trace, &[act, Act::Serve]);
        cluster.hops[1].until_request_waits().unwrap();
        if act == Act::TriggerBefore {
            let is_in_doubt = |stored: &StoredTrace| {
                let certificate = &stored.certificate;
                certificate.gaps.iter().any(|gap| gap.kind == GapKind::NoAnswer)
                    && certificate.agents.iter().any(|part| part.state == Some(HoldingState::NeverSeen))
            };
            cluster.collector.until(trace, is_in_doubt).unwrap();
        }
        cluster.hops[1].kill().unwrap();
        sent.join().unwrap().unwrap();
        let stored = cluster.complete(trace);
        let assembled = stored.assemble();
        assert_eq!((spans_by_service(&assembled, "serve"), assembled.open_edges.len()), (vec![1], 1), "{act:?}");
        assert_eq!(stored.certificate.agents.len(), 2, "the callee's host was asked");
    }
}

#[test]
fn a_collector_that_is_killed_loses_nothing_that_it_acknowledged_and_nothing_that_waits() {
    let mut cluster = Cluster::start(2);
    let acts = [Act::Serve, Act::Fail];
    let before: Vec<TraceId> = (0..20).map(|_| cluster.send(&acts)).collect();
    let stored: Vec<StoredTrace> = before.iter().map(|trace| cluster.complete(*trace)).collect();
    let mid_flight: Vec<TraceId> = (0..20).map(|_| cluster.send(&acts)).collect();
    cluster.collector.kill().unwrap();
    let away: Vec<TraceId> = (0..20).map(|_| cluster.send(&acts)).collect();
    cluster.collector.restart().unwrap();
    // What was acknowledged is there at once, and the same.
    for (trace, stored) in before.iter().zip(&stored) {
        let again = cluster.collector.get(*trace).unwrap().unwrap();
        assert_eq!(again.assemble(), stored.assemble());
    }
    for trace in mid_flight.into_iter().chain(away) {
        cluster.complete(trace);
    }
}

#[test]
fn stored_traces_are_found_by_what_they_did() {
    let cluster = Cluster::start(2);
    let failed = cluster.send(&[Act::Serve, Act::Fail]);
    let slow = cluster.send(&[Act::TriggerAfter, Act::Serve]);
    cluster.complete(failed);
    cluster.complete(slow);
    let search = |filter: v1::Filter| -> BTreeSet<TraceId> {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            // Summaries come once nothing has arrived for a second.
            let found = cluster.collector.search(&v1::Filter::default()).unwrap();
            if found.iter().filter(|summary| summary.n_agents == 2).count() == 2 {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{found:#?}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        cluster.collector.search(&filter).unwrap().into_iter().map(|summary| summary.trace).collect()
    };
    let of_service = v1::Filter { service: "service-1".to_owned(), ..v1::Filter::default() };
    assert_eq!(search(of_service.clone()), BTreeSet::from([failed, slow]));
    assert_eq!(search(v1::Filter { errors_only: true, ..of_service.clone() }), BTreeSet::from([failed]));
    assert_eq!(search(v1::Filter { operation: "call".to_owned(), ..of_service }), BTreeSet::new());
    let manual = v1::Filter { trigger: TriggerId::MANUAL.0, ..v1::Filter::default() };
    assert_eq!(search(manual), BTreeSet::from([failed, slow]));
    assert_eq!(search(v1::Filter { trigger: TriggerId::CLI.0, ..v1::Filter::default() }), BTreeSet::new());
}
