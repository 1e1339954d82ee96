//! An agent: its real recorder and uplink, driven as its loop drives them, and a process of it with nothing to do.

use super::threads::private_bytes;
use super::{Effort, Values};
use crate::bench::clock::thread_cpu_ns;
use crate::bench::stats::SplitMix;
use crate::harness::agent::{Agent, AgentOptions};
use crate::harness::collector::Collector;
use crate::harness::cpu::CpuMeter;
use anyhow::{Context as _, Result, ensure};
use backsight_agent::recorder::{Applicant, Now, Recorder, Settings};
use backsight_agent::triggers;
use backsight_agent::uplink::cluster::Cluster;
use backsight_agent::uplink::driver::{Driver, Port};
use backsight_agent::uplink::link::{Heard, Outgoing};
use backsight_agent::uplink::{Room, Rules};
use backsight_core::clock::{CalibrationPoint, ClockSource, Timeline};
use backsight_core::coordination::{Collection, Greeting};
use backsight_core::ids::{AgentId, RegionId, SpanId, TraceId, TriggerId};
use backsight_core::record::{Kind, SpanKind, name_word};
use backsight_core::shard::Member;
use backsight_core::units::{Bytes, Nanos};
use backsight_proto::packing::Packer;
use backsight_proto::v1::{self, agent_says};
use backsight_ringbuf::region::CrumbRules;
use backsight_ringbuf::shm::Mapping;
use backsight_ringbuf::slot;
use backsight_ringbuf::writer::{Carried, SegmentStart, Writer};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const AGENT: AgentId = AgentId(1);
const MS: u64 = 1_000_000;
/// The wall clock when time begins.
const EPOCH_NS: u64 = 1_800_000_000_000_000_000;
/// Between two visits: a thousand a second.
const VISIT_NS: u64 = MS;
/// Visits between two rounds of the loop: 20 ms of them.
const VISITS_PER_ROUND: usize = 20;
/// Payload of a small visit, which makes it 600 bytes with its records.
const SMALL: usize = 472;
/// Payload of one ten times as long.
const LARGE: usize = 5_872;

/// The agent's end of a connection: what it says stays here.
#[derive(Debug, Default)]
struct Wire {
    heard: RefCell<VecDeque<Heard>>,
    sent: RefCell<Vec<Outgoing>>,
    n_said: RefCell<usize>,
}

impl Port for Wire {
    fn take(&mut self) -> Option<Heard> {
        self.heard.borrow_mut().pop_front()
    }

    fn remind(&self) {}

    fn room(&self) -> Room {
        Room { coordination: 256, batches: 8 }
    }

    fn say(&self, _: agent_says::What) {
        *self.n_said.borrow_mut() += 1;
    }

    fn send(&self, batch: Outgoing) {
        self.sent.borrow_mut().push(batch);
    }

    fn reset_reports(&self) {}

    fn sent_bytes(&self) -> u64 {
        0
    }
}

/// A host with one process, one thread of which writes.
struct Host {
    recorder: Recorder,
    cluster: Cluster<Wire>,
    timeline: Timeline,
    writer: Writer<Arc<Mapping>>,
    now_ns: u64,
    n_visits: u64,
    rounds_ns: u64,
}

/// Real reports, by the length of their visits.
#[derive(Debug)]
pub struct Reports {
    /// Of 600 bytes of records.
    pub small: Vec<v1::TraceReport>,
    /// Ten times as long.
    pub large: Vec<v1::TraceReport>,
}

/// Returns the costs of an agent, and reports for an intake to take.
pub(super) fn measure(effort: Effort) -> Result<(Values, Reports)> {
    let mut host = Host::new(Bytes::mib(32))?;
    let n_visits = effort.of(200_000);
    host.write(n_visits, SMALL);
    let visit_us = host.rounds_ns as f64 / 1e3 / n_visits as f64;
    let mut host = Host::new(Bytes::mib(256))?;
    host.write(4 * VISITS_PER_ROUND, SMALL); // so that everything was done once
    let (n_alone, n_among, n_each) = (effort.of(500), effort.of(20), 100);
    let first = host.n_visits;
    host.write(n_alone + n_among * n_each, SMALL);
    let mut asked = first..host.n_visits;
    let (mut alone_ns, mut among_ns, mut batch_ns) = (0, 0, 0);
    for _ in 0..n_alone {
        alone_ns += host.asked(asked.by_ref().take(1));
        batch_ns += host.reports();
    }
    for _ in 0..n_among {
        among_ns += host.asked(asked.by_ref().take(n_each));
        batch_ns += host.reports();
    }
    let small = host.sent();
    ensure!(small.len() == n_alone + n_among * n_each, "{} reports", small.len());
    let alone_us = alone_ns as f64 / 1e3 / n_alone as f64;
    let collect_us = among_ns as f64 / 1e3 / (n_among * n_each) as f64;
    let first = host.n_visits;
    host.write(effort.of(500), LARGE);
    host.asked(first..host.n_visits);
    host.reports();
    let large = host.sent();
    let (pack_us, wire_bytes) = packed(&small)?;
    let mut values = Values::from([
        ("agent_visit_us", visit_us),
        ("agent_turn_us", (alone_us - collect_us).max(0.0)),
        ("agent_collect_us", collect_us),
        ("agent_report_us", batch_ns as f64 / 1e3 / small.len() as f64),
        ("agent_pack_us", pack_us),
        ("report_wire_bytes", wire_bytes),
    ]);
    values.extend(idle(effort)?);
    Ok((values, Reports { small, large }))
}

/// Returns what packing a report costs, where some go together, and how long it is then.
fn packed(reports: &[v1::TraceReport]) -> Result<(f64, f64)> {
    const TOGETHER: usize = 8;
    let batches: Vec<v1::Traces> =
        reports.chunks(TOGETHER).map(|reports| v1::Traces { traces: reports.to_vec() }).collect();
    let (mut packer, mut bytes, start) = (Packer::default(), 0, thread_cpu_ns());
    for (number, traces) in (1..).zip(&batches) {
        bytes += packer.pack(number, traces)?.packed.len();
    }
    let n = reports.len() as f64;
    Ok(((thread_cpu_ns() - start) as f64 / 1e3 / n, bytes as f64 / n))
}

/// Returns what an agent costs that has nothing to do but its connection.
fn idle(effort: Effort) -> Result<Values> {
    let collector = Collector::start()?;
    let url = collector.url();
    let agent = Agent::start(AgentOptions { collector: Some(&url), ..AgentOptions::default() })?;
    std::thread::sleep(Duration::from_secs(1));
    let mut meter = CpuMeter::new(agent.pid());
    let (before, time) = (meter.cpu_ns()?, Duration::from_millis(effort.of(5_000) as u64));
    std::thread::sleep(time);
    let worked_us = (meter.cpu_ns()? - before) as f64 / 1e3;
    Ok(Values::from([
        ("agent_idle_us_per_s", worked_us / time.as_secs_f64()),
        ("agent_bytes", private_bytes(agent.pid())?),
    ]))
}

impl Host {
    fn new(budget: Bytes) -> Result<Self> {
        let start = 1_000 * MS;
        let (now, point) = (at(start), point(start));
        let mut recorder = Recorder::new(settings(budget), now);
        let applicant = Applicant { pid: 100, uid: 0, start_time: 1, service: "checkout".to_owned(), fork_of: None };
        let position = recorder.admit(applicant, point, now)?;
        let (_, fd) = recorder.region(position).context("the process has no region")?;
        let memory = Arc::new(Mapping::from_fd(fd).context("map the region")?);
        let number = slot::claim(&*memory, 1).context("the region has no slot")?;
        let rules = Rules {
            batch_bytes: 131_072,
            bytes_per_s: 0,
            resend: Nanos::from_ms(60_000),
            linger: Nanos::from_ms(30_000),
        };
        let driver = Driver::new(Wire::default(), rules, "measured".to_owned(), now.time);
        let greeting = Greeting { instance: 1, shard_epoch: 1, ..Greeting::default() };
        driver.port().heard.borrow_mut().extend([Heard::Connected(greeting), Heard::ReportReady(16 << 20)]);
        let cluster = Cluster::new(vec![(Member::from_name("measured"), driver)]);
        let (timeline, writer) = (Timeline::new([point]), Writer::new(memory, number, 1));
        let mut host = Self { recorder, cluster, timeline, writer, now_ns: start, n_visits: 0, rounds_ns: 0 };
        host.turn();
        Ok(host)
    }

    /// Writes visits, with a round of the loop now and then.
    fn write(&mut self, n: usize, payload: usize) {
        let mut random = SplitMix(self.n_visits);
        for idx in 1..=n {
            self.now_ns += VISIT_NS;
            // Random digits: text packs to half, as what applications record roughly does.
            let payload: Vec<u8> = (0..payload).map(|_| b"0123456789abcdef"[random.below(16)]).collect();
            self.visit(&payload);
            if idx % VISITS_PER_ROUND == 0 {
                self.round();
            }
        }
        self.round();
    }

    /// One span of a server, with what a thread writes for it.
    fn visit(&mut self, payload: &[u8]) {
        let (trace, span) = (trace(self.n_visits), SpanId(self.n_visits + 1));
        self.n_visits += 1;
        let (now, writer) = (self.now_ns, &mut self.writer);
        let parent = SpanId(1 << 40);
        let carried = Carried { from_agent: AgentId(2), ..Carried::default() };
        writer.begin(SegmentStart { trace, parent_span: parent, span: parent, carried }, now);
        let name = name_word(0, 0, SpanKind::Server as u8);
        writer.record(now, Kind::SpanStart, 0, [span.0, parent.0, name], &[]);
        writer.record(now, Kind::Raw, 0, [], payload);
        writer.record(now + MS / 2, Kind::SpanEnd, 0, [span.0], &[]);
        writer.end(now + MS / 2);
    }

    fn round(&mut self) {
        let now = at(self.now_ns);
        let start = thread_cpu_ns();
        self.recorder.round(now);
        self.rounds_ns += thread_cpu_ns() - start;
        self.timeline.push(point(self.now_ns));
    }

    /// Returns what the loop works in a turn.
    fn turn(&mut self) -> u64 {
        let start = thread_cpu_ns();
        self.cluster.turn(&mut self.recorder, &self.timeline, at(self.now_ns));
        thread_cpu_ns() - start
    }

    /// Asks for visits, each in a question of its own, all in one turn.
    fn asked(&mut self, visits: impl Iterator<Item = u64>) -> u64 {
        let ask = |visit| {
            let (trigger, base) = (TriggerId(300), trace(visit));
            let (origin, traces) = (AgentId(9), vec![base]);
            Heard::Collects(vec![Collection { group: visit, trigger, base, traces, origin, ..Collection::default() }])
        };
        self.port().heard.borrow_mut().extend(visits.map(ask));
        self.turn()
    }

    /// Lets the agent make the reports of what it was asked for; returns what that works.
    fn reports(&mut self) -> u64 {
        self.now_ns += 300 * MS;
        let mut works = 0;
        loop {
            let n_before = self.port().sent.borrow().len();
            works += self.turn();
            let sent = self.port().sent.borrow();
            if sent.len() == n_before {
                return works;
            }
            let acked = sent.last().map(|batch| Heard::BatchAck(batch.number));
            drop(sent);
            self.port().heard.borrow_mut().extend(acked);
        }
    }

    fn port(&self) -> &Wire {
        self.cluster.ports().next().expect("it has one collector")
    }

    /// Takes the reports that were made.
    fn sent(&self) -> Vec<v1::TraceReport> {
        self.port().sent.take().into_iter().flat_map(|batch| batch.traces.traces).collect()
    }
}

fn trace(visit: u64) -> TraceId {
    TraceId::new(11, (visit + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

const fn at(now_ns: u64) -> Now {
    Now { time: Nanos(now_ns), ticks: now_ns, wall_ns: EPOCH_NS + now_ns }
}

const fn point(now_ns: u64) -> CalibrationPoint {
    CalibrationPoint { ticks: now_ns, realtime_ns: EPOCH_NS + now_ns, monotonic_ns: now_ns }
}

fn settings(budget: Bytes) -> Settings {
    Settings {
        agent: AGENT,
        boot: [1, 1],
        clock: ClockSource::Monotonic,
        ticks_per_second: 1_000 * MS,
        first_region: RegionId(1),
        budget,
        kept_share: 0.40,
        process_share: 1.0,
        user_share: 1.0,
        reserve_lasts: Nanos::from_ms(250),
        reserve_share: 0.10,
        slots_per_process: 512,
        crumbs: CrumbRules::default(),
        horizon_target: Nanos::from_ms(1),
        record_share: 1.0,
        walk_cpu_share: 0.05,
        process_death: Nanos::from_ms(5_000),
        rules: triggers::Rules {
            rate_per_s: 10_000,
            remote_rate_per_s: 1_000_000,
            linger: Nanos::from_ms(30_000),
            lateral_max: 32,
        },
        is_reporting: true,
        has_predecessor: false,
    }
}
