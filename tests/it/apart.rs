//! Hosts apart, over a network that is slow, loses packets and falls apart: what is asked for comes whole in the end, and nothing is called
//! complete before.
//!
//! Three services with their agents and a collector, each on a host of its own, over mutual TLS. Where there can be no such hosts these tests
//! say so, and pass.

use crate::certificates::Keys;
use crate::hosts::{Cluster, spans_by_service};
use backsight::TraceId;
use backsight_core::certificate::{GapKind, Verdict};
use backsight_proto::wire::StoredTrace;
use backsight_tests::harness::collector::CollectorOptions;
use backsight_tests::harness::network::links::Link;
use backsight_tests::harness::network::{Host, Network, available};
use backsight_tests::hop::Act;
use std::time::Duration;

/// Hosts with a service; the collector's is the one after them.
const N_SERVICES: usize = 3;
/// Requests that a test sends at a time.
const N_REQUESTS: usize = 8;

/// A cluster on hosts apart.
struct Apart {
    // Ends before its hosts.
    cluster: Cluster,
    network: Network,
    _keys: Keys,
}

impl Apart {
    /// Starts one, or says why there can be none here.
    fn start(link: Link) -> Option<Self> {
        if let Err(why) = available() {
            println!("skipped: {why}");
            return None;
        }
        let network = Network::start(N_SERVICES + 1, 7).unwrap();
        network.link_all(link);
        let (collector, services) = network.hosts().split_last().unwrap();
        let keys = Keys::of(&[&collector.address().to_string()]);
        let options = CollectorOptions { host: Some(collector), tls: Some(keys.sides()) };
        let services: Vec<Option<&Host>> = services.iter().map(Some).collect();
        let cluster = Cluster::start_on(&services, options, &keys.of_agents());
        let apart = Self { cluster, network, _keys: keys };
        for agent in &apart.cluster.agents {
            let is_there = |api: &backsight_tests::harness::api::Api| {
                Ok((api.metric("backsight_agent_uplink_reporting")? == 1.0).then_some(()))
            };
            agent.api().until("the agent to reach the collector", is_there).unwrap();
        }
        Some(apart)
    }

    /// Sends requests at one time; returns their traces.
    fn send(&self, acts: [Act; N_SERVICES]) -> Vec<TraceId> {
        std::thread::scope(|scope| {
            let sent: Vec<_> = (0..N_REQUESTS).map(|_| scope.spawn(|| self.cluster.send(&acts))).collect();
            sent.into_iter().map(|sent| sent.join().unwrap()).collect()
        })
    }

    /// Waits until the collector has of each trace what `is_it`; none is called complete meanwhile that is not whole.
    #[track_caller]
    fn until(&self, traces: &[TraceId], is_it: impl Fn(&StoredTrace) -> bool) -> Vec<StoredTrace> {
        let looked = |stored: &StoredTrace| {
            if stored.certificate.verdict == Verdict::Complete {
                let services = spans_by_service(&stored.assemble(), "serve");
                assert_eq!(services, [1; N_SERVICES], "called complete: {:?}", stored.certificate);
            }
            is_it(stored)
        };
        traces.iter().map(|trace| self.cluster.collector.until(*trace, looked).unwrap()).collect()
    }

    #[track_caller]
    fn until_complete(&self, traces: &[TraceId]) -> Vec<StoredTrace> {
        self.until(traces, |stored| stored.certificate.verdict == Verdict::Complete)
    }

    /// Fires a trigger for each trace on the first host.
    fn fire(&self, traces: &[TraceId]) {
        for trace in traces {
            let body = serde_json::json!({"trigger": "manual", "trace": trace.to_string(), "laterals": []});
            self.cluster.agents[0].api().post("/v1/triggers/fire", &body).unwrap();
        }
    }
}

const fn slow(loss_share: f64) -> Link {
    Link { delay: Duration::from_millis(20), loss_share }
}

const FAILS: [Act; N_SERVICES] = [Act::Serve, Act::Serve, Act::Fail];

#[test]
fn a_slow_network_that_loses_packets_brings_every_trace_whole() {
    let Some(apart) = Apart::start(slow(0.01)) else { return };
    let traces = apart.send(FAILS);
    apart.until_complete(&traces);
    let counts = apart.network.counts();
    assert!(counts.lost > 0 && counts.parted == 0, "{counts:?}");
}

#[test]
fn an_agent_that_is_cut_off_is_called_unreachable_and_what_it_holds_comes_once_it_is_back() {
    let Some(apart) = Apart::start(slow(0.0)) else { return };
    let traces = apart.send([Act::Serve; N_SERVICES]);
    apart.network.part(&[N_SERVICES - 1]);
    apart.fire(&traces);
    let is_unreachable = |stored: &StoredTrace| {
        let certificate = &stored.certificate;
        assert_ne!(certificate.verdict, Verdict::Complete, "one host is away: {certificate:?}");
        certificate.gaps.iter().any(|gap| gap.kind == GapKind::Unreachable)
    };
    apart.until(&traces, is_unreachable);
    apart.network.heal();
    apart.until_complete(&traces);
}

#[test]
fn a_collector_that_is_cut_off_from_all_is_told_everything_once_it_is_back() {
    let Some(apart) = Apart::start(slow(0.0)) else { return };
    let before = apart.send(FAILS);
    let stored = apart.until_complete(&before);
    apart.network.part(&[N_SERVICES]);
    let away = apart.send(FAILS);
    for agent in &apart.cluster.agents {
        let is_away = |api: &backsight_tests::harness::api::Api| {
            Ok((api.metric("backsight_agent_uplink_connected")? == 0.0).then_some(()))
        };
        agent.api().until("the agent to find the collector gone", is_away).unwrap();
    }
    let found: Vec<_> = away.iter().map(|trace| apart.cluster.collector.get(*trace).unwrap()).collect();
    assert!(found.iter().all(Option::is_none), "nothing comes through: {found:?}");
    apart.network.heal();
    apart.until_complete(&away);
    // A report whose acknowledgement was lost comes again, by the clock as it is known by then: times may differ by nanoseconds.
    let spans = |stored: &StoredTrace| -> Vec<_> {
        stored.assemble().spans.iter().map(|span| (span.id, span.name.clone(), span.parent)).collect()
    };
    let again = apart.until_complete(&before);
    assert!(again.iter().map(spans).eq(stored.iter().map(spans)), "it stays");
}

#[test]
fn a_network_that_loses_a_fifth_for_a_while_costs_nothing_that_was_acknowledged() {
    let Some(mut apart) = Apart::start(slow(0.0)) else { return };
    apart.network.link_all(slow(0.2));
    let traces = apart.send(FAILS);
    apart.until(&traces, |stored| !stored.slices.is_empty()); // something came through
    apart.network.link_all(slow(0.0));
    let stored = apart.until_complete(&traces);
    let counts = apart.network.counts();
    assert!(counts.lost > 20, "{counts:?}");
    // What was acknowledged is on disk.
    apart.cluster.collector.restart().unwrap();
    let again = apart.cluster.collector.get_stored(&traces).unwrap();
    assert!(again.iter().map(StoredTrace::assemble).eq(stored.iter().map(StoredTrace::assemble)), "it stays");
}
