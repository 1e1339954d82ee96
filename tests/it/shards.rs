//! Several collectors share the traces of a cluster, and stand in for each other.

use backsight_core::certificate::Verdict;
use backsight_core::ids::TraceId;
use backsight_core::shard::{Member, owner};
use backsight_tests::harness::agent::{Agent, AgentOptions};
use backsight_tests::harness::api::Api;
use backsight_tests::harness::binaries;
use backsight_tests::harness::collector::Collector;
use backsight_tests::hop::{Act, Hop, Request};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Hosts that know all collectors, with a service on each.
struct Shards {
    // Ends before the agents, and these before the collectors.
    hops: Vec<Hop>,
    agents: Vec<Agent>,
    collectors: Vec<Collector>,
}

impl Shards {
    fn start(n_hosts: usize, n_collectors: usize) -> Self {
        let collectors: Vec<Collector> = (0..n_collectors).map(|_| Collector::start().unwrap()).collect();
        let urls: Vec<String> = collectors.iter().map(Collector::url).collect();
        let urls = urls.join(",");
        let options = AgentOptions { collector: Some(&urls), ..AgentOptions::default() };
        let agents: Vec<Agent> = (0..n_hosts).map(|_| Agent::start(options).unwrap()).collect();
        let start = |(idx, agent): (usize, &Agent)| Hop::start(&agent.socket(), &format!("service-{idx}")).unwrap();
        let shards = Self { hops: agents.iter().enumerate().map(start).collect(), agents, collectors };
        shards.until_connected(n_collectors);
        shards
    }

    /// Waits until every agent is connected to `n` collectors.
    fn until_connected(&self, n: usize) {
        let is_so = |api: &Api| Ok((api.metric("backsight_agent_uplink_connected")? == n as f64).then_some(()));
        self.agents.iter().for_each(|agent| agent.api().until("connections", is_so).unwrap());
    }

    /// Sends a request over all hosts that fails on the last; returns its trace, number `n` of this test.
    fn send(&self, n: u64) -> TraceId {
        let trace = TraceId::new(u64::from(std::process::id()), 0x5a4d_0000 + n);
        let last = self.hops.len() - 1;
        let act = |idx| if idx == last { Act::Fail } else { Act::Serve };
        let steps = self.hops.iter().enumerate().map(|(idx, hop)| hop.does(act(idx))).collect();
        let _ = Request::new(trace, steps).send(); // it fails
        trace
    }

    /// Waits until a collector calls the trace complete; returns which.
    #[track_caller]
    fn complete_at(&self, trace: TraceId, among: &[usize]) -> usize {
        let has = |idx: &usize| {
            let stored = self.collectors[*idx].get(trace).unwrap();
            stored.is_some_and(|stored| stored.certificate.verdict == Verdict::Complete)
        };
        let began = Instant::now();
        while began.elapsed() < TIMEOUT {
            if let Some(idx) = among.iter().copied().find(has) {
                return idx;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let logs: Vec<String> = self.agents.iter().map(Agent::log).collect();
        panic!("{trace} is complete in none of {among:?}\n{}", logs.join("\n"))
    }

    /// Returns the collector to which a trace belongs.
    fn owner(&self, trace: TraceId) -> usize {
        let members: Vec<Member> = self.collectors.iter().map(|of| Member::from_name(&of.url())).collect();
        owner(trace, &members, |_| true).unwrap()
    }
}

fn backsight(agent: &Agent, args: &[&str]) -> Value {
    let mut command = Command::new(binaries::find("backsight").unwrap());
    command.env_remove("BACKSIGHT_COLLECTOR").arg("--agent").arg(agent.folder().join("admin.sock")).arg("--json");
    let output = command.args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn each_trace_is_at_its_owner_and_people_find_all_of_them_as_if_there_were_one_collector() {
    let shards = Shards::start(2, 2);
    let traces: Vec<TraceId> = (0..12).map(|n| shards.send(n)).collect();
    let used: BTreeSet<usize> = traces
        .iter()
        .map(|trace| {
            assert_eq!(shards.complete_at(*trace, &[0, 1]), shards.owner(*trace));
            assert!(shards.collectors[1 - shards.owner(*trace)].get(*trace).unwrap().is_none(), "it is there once");
            shards.owner(*trace)
        })
        .collect();
    assert_eq!(used.len(), 2, "each of them has some");
    let agent = &shards.agents[0];
    for trace in &traces {
        let got = backsight(agent, &["trace", "get", &trace.to_string()]);
        assert_eq!(got["certificate"]["state"], "complete");
    }
    let began = Instant::now();
    let found = || {
        let found = backsight(agent, &["trace", "search"]);
        let ids = found["traces"].as_array().unwrap().iter().map(|trace| trace["trace"].as_str().unwrap().to_owned());
        ids.collect::<BTreeSet<String>>()
    };
    let all: BTreeSet<String> = traces.iter().map(ToString::to_string).collect();
    while found() != all {
        assert!(began.elapsed() < TIMEOUT, "{:?} of {all:?}", found());
        std::thread::sleep(Duration::from_millis(100));
    }
    let few = backsight(agent, &["trace", "search", "--limit", "5"]);
    assert_eq!((few["traces"].as_array().unwrap().len(), &few["n_more"]), (5, &Value::from(7)));
}

#[test]
fn while_a_collector_is_away_another_stands_in_and_it_has_its_own_again_when_it_is_back() {
    let mut shards = Shards::start(2, 2);
    let before = (0..).map(|n| shards.send(n)).find(|trace| shards.owner(*trace) == 1).unwrap();
    shards.collectors[1].kill().unwrap(); // it may have followed that one to the end, or not
    for n in 100..108 {
        let trace = shards.send(n);
        assert_eq!(shards.complete_at(trace, &[0]), 0);
    }
    shards.collectors[1].restart().unwrap();
    shards.until_connected(2);
    shards.complete_at(before, &[0, 1]);
    for trace in (200..208).map(|n| shards.send(n)) {
        assert_eq!(shards.complete_at(trace, &[0, 1]), shards.owner(trace));
    }
}
