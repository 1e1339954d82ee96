//! A host: its agent, and the processes that record there.

use crate::network::SimPort;
use crate::plan::{MS, Plan, S};
use crate::reserve::Spent;
use crate::rng::Rng;
use backsight_agent::journal::Journal;
use backsight_agent::recorder::{Applicant, Ending, Now, Recorder, Settings, Survivor};
use backsight_agent::triggers;
use backsight_agent::uplink;
use backsight_agent::uplink::cluster::Cluster;
use backsight_agent::uplink::driver::Driver;
use backsight_core::clock::{CalibrationPoint, ClockSource, Timeline};
use backsight_core::ids::{AgentId, RegionId, TraceId};
use backsight_core::segment::Slice;
use backsight_core::shard::Member;
use backsight_core::units::Nanos;
use backsight_ringbuf::region::{self, CrumbRules};
use backsight_ringbuf::shm::Mapping;
use backsight_ringbuf::slot;
use backsight_ringbuf::writer::Writer;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The wall clock when the simulation begins.
const EPOCH_NS: u64 = 1_800_000_000 * S;
/// How far clocks of hosts are apart at most.
const SKEW_NS: u64 = 20 * MS;
/// How long a triggered trace stays so: longer than a simulation's load.
const LINGER: Nanos = Nanos::from_ms(30_000);

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    /// Its recorder.
    pub recorder: Recorder,
    /// Its uplinks.
    pub cluster: Cluster<SimPort>,
    timeline: Timeline,
    beaten_ns: u64,
    /// How often there was an agent on the host before: processes know by it that theirs is gone.
    pub incarnation: u64,
}

impl Agent {
    /// Returns what is kept or retained of a trace.
    pub fn kept(&mut self, trace: TraceId, now: Now) -> Vec<Slice> {
        self.recorder.slices(trace, &self.timeline, now).unwrap_or_default()
    }
}

/// What outlives an agent for the next one: its journal, and its regions with the process of each and its start.
#[derive(Debug)]
struct Left {
    journal: OwnedFd,
    regions: Vec<(RegionId, OwnedFd)>,
}

/// What a process has from its agent.
#[derive(Debug)]
pub struct Session {
    incarnation: u64,
    position: u32,
    region: RegionId,
    memory: Arc<Mapping>,
    idle: Vec<Writer<Arc<Mapping>>>,
    n_threads: u32,
}

/// A process of an application.
#[derive(Debug, Default)]
pub struct Process {
    /// How often it was started; 0 while it is dead.
    pub life: u64,
    n_lives: u64,
    session: Option<Session>,
    spent: Spent,
    /// The agents that answered last, by callee.
    pub remembered: BTreeMap<(usize, usize), AgentId>,
}

/// See the module.
#[derive(Debug)]
pub struct Host {
    /// Its agent's id.
    pub id: AgentId,
    skew_ns: u64,
    /// Its agent, `None` while that is dead.
    pub agent: Option<Agent>,
    n_agents: u64,
    left: Option<Left>,
    /// Its processes.
    pub processes: Vec<Process>,
    /// Requests that were here lately.
    pub recent: VecDeque<TraceId>,
    /// Whether a process may have written more than was granted ahead while its agent was away.
    pub has_outlasted: bool,
}

impl Host {
    /// Returns the host number `idx`, with everything started.
    #[must_use]
    pub fn new(idx: usize, plan: &Plan, rng: &mut Rng, now_ns: u64) -> Self {
        let processes = (0..plan.n_processes).map(|_| Process::default()).collect();
        let id = AgentId(idx as u32 + 1);
        let mut host = Self {
            id,
            skew_ns: rng.below(SKEW_NS),
            agent: None,
            n_agents: 0,
            left: None,
            processes,
            recent: VecDeque::new(),
            has_outlasted: false,
        };
        host.start_agent(plan, now_ns);
        (0..plan.n_processes).for_each(|process| host.start_process(process, now_ns));
        host
    }

    /// Returns the present instant on the clocks of this host.
    #[must_use]
    pub fn now(&self, now_ns: u64) -> Now {
        Now { time: Nanos(now_ns), ticks: now_ns, wall_ns: EPOCH_NS + self.skew_ns + now_ns }
    }

    fn point(&self, now_ns: u64) -> CalibrationPoint {
        CalibrationPoint { ticks: now_ns, realtime_ns: self.now(now_ns).wall_ns, monotonic_ns: now_ns }
    }

    /// Kills the agent. What processes recorded goes with it unless it `is_held`.
    pub fn kill_agent(&mut self, is_held: bool) {
        let Some(mut agent) = self.agent.take() else { return };
        self.left = is_held.then(|| {
            let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().expect("there are descriptors");
            let regions = agent.recorder.regions().map(|(region, fd)| (region, copy(fd))).collect();
            Left { journal: copy(agent.recorder.keep_journal().expect("it has one")), regions }
        });
    }

    /// Starts the agent, which goes on with what the one before has left.
    pub fn start_agent(&mut self, plan: &Plan, now_ns: u64) {
        self.n_agents += 1;
        self.has_outlasted |= self.processes.iter().any(|process| process.spent.is_more_than_promised());
        let now = self.now(now_ns);
        let mut recorder = Recorder::new(settings(self.id, self.n_agents, plan), now);
        if let Some(left) = self.left.take() {
            self.take_over(&mut recorder, left, now_ns);
        }
        let _ = recorder.keep_journal().expect("there is memory for it");
        let rules = uplink::Rules {
            batch_bytes: 131_072,
            bytes_per_s: plan.report_bytes_per_s,
            resend: Nanos::from_ms(2_000),
            linger: LINGER,
        };
        let uplink = |idx| {
            let name = format!("collector-{idx}");
            (Member::from_name(&name), Driver::new(SimPort::default(), rules, name, now.time))
        };
        let cluster = Cluster::new((0..plan.n_collectors).map(uplink).collect());
        let timeline = Timeline::new([self.point(now_ns.saturating_sub(1))]);
        self.agent = Some(Agent { recorder, cluster, timeline, beaten_ns: 0, incarnation: self.n_agents });
    }

    fn take_over(&mut self, recorder: &mut Recorder, left: Left, now_ns: u64) {
        let (now, point) = (self.now(now_ns), self.point(now_ns));
        let of_region = |process: &&mut Process, region| process.session.as_ref().is_some_and(|of| of.region == region);
        let ids: Vec<RegionId> = left.regions.iter().map(|(region, _)| *region).collect();
        let runs = |region| self.processes.iter().flat_map(|process| &process.session).any(|of| of.region == region);
        let survivor = |(region, fd): (RegionId, OwnedFd)| {
            let of = Mapping::from_fd(fd.as_fd()).ok().and_then(|memory| region::open(&memory).ok());
            let of = of.expect("it is a region");
            Survivor { fd, region, pid: of.pid, uid: 0, start_time: of.start_time, is_running: runs(region) }
        };
        let survivors = left.regions.into_iter().map(survivor).collect();
        let journal = Journal::adopt(left.journal, self.id, boot(self.id));
        let positions = recorder.take_over(survivors, journal, point, &|| now);
        for (region, position) in ids.into_iter().zip(positions) {
            let position = position.expect("nobody scribbles here");
            let process = self.processes.iter_mut().find(|process| of_region(process, region));
            if let Some(session) = process.and_then(|process| process.session.as_mut()) {
                (session.incarnation, session.position) = (self.n_agents, position);
            }
        }
    }

    /// Lets the agent do what is due: a round, and what there is to say.
    pub fn turn(&mut self, now_ns: u64) {
        let (now, point) = (self.now(now_ns), self.point(now_ns));
        let Some(agent) = &mut self.agent else { return };
        if now_ns.saturating_sub(agent.beaten_ns) >= S || agent.beaten_ns == 0 {
            agent.beaten_ns = now_ns;
            agent.timeline.push(point);
            agent.recorder.beat(point);
        }
        for session in self.processes.iter().filter_map(|process| process.session.as_ref()) {
            if session.incarnation == agent.incarnation && region::is_agent_sleeping(&*session.memory) {
                agent.recorder.wake(session.position, now);
            }
        }
        agent.recorder.round(now);
        self.processes.iter_mut().for_each(|process| process.spent.seen());
        agent.cluster.turn(&mut agent.recorder, &agent.timeline, now);
    }

    /// Starts a process, and has it record if there is an agent.
    pub fn start_process(&mut self, process: usize, now_ns: u64) {
        let of = &mut self.processes[process];
        of.n_lives += 1;
        (of.life, of.session) = (of.n_lives, None);
        self.join(process, now_ns);
    }

    /// Kills a process; its agent sees that.
    pub fn kill_process(&mut self, process: usize, now_ns: u64) {
        let now = self.now(now_ns);
        let of = &mut self.processes[process];
        of.life = 0;
        of.remembered.clear();
        let session = of.session.take();
        let agent = self.agent.as_mut();
        if let Some((session, agent)) = session.zip(agent).filter(|(of, agent)| of.incarnation == agent.incarnation) {
            agent.recorder.end(session.position, Ending::Death, now);
        }
    }

    /// Has a process that records with no living agent join the present one.
    pub fn join(&mut self, process: usize, now_ns: u64) {
        let (now, point, pid) = (self.now(now_ns), self.point(now_ns), process as u32 + 100);
        let (Some(agent), of) = (&mut self.agent, &mut self.processes[process]) else { return };
        if of.life == 0 || of.session.as_ref().is_some_and(|session| session.incarnation == agent.incarnation) {
            return;
        }
        let service = format!("service-{process}");
        let applicant = Applicant { pid, uid: 0, start_time: of.life, service, fork_of: None };
        let Ok(position) = agent.recorder.admit(applicant, point, now) else { return };
        let Some((region, fd)) = agent.recorder.region(position) else { return };
        of.session = Mapping::from_fd(fd.as_fd()).ok().map(|memory| Session {
            incarnation: agent.incarnation,
            position,
            region,
            memory: Arc::new(memory),
            idle: Vec::new(),
            n_threads: 0,
        });
    }

    /// Notes that a thread of a process has written, at most so much.
    pub fn note_written(&mut self, process: usize, thread: u32, bytes: u64) {
        self.processes[process].spent.write(thread, bytes);
    }

    /// Returns a thread of a process, to write with; `None` where nobody takes what it would write.
    pub fn take_thread(&mut self, process: usize) -> Option<Writer<Arc<Mapping>>> {
        let session = self.processes[process].session.as_mut()?;
        session.idle.pop().or_else(|| {
            session.n_threads += 1;
            let number = slot::claim(&*session.memory, session.n_threads)?;
            Some(Writer::new(session.memory.clone(), number, session.n_threads))
        })
    }

    /// Gives a thread back, if its process still records where it did.
    pub fn give_back(&mut self, process: usize, writer: Writer<Arc<Mapping>>) {
        if let Some(session) = &mut self.processes[process].session
            && Arc::ptr_eq(&session.memory, writer.store())
        {
            session.idle.push(writer);
        }
    }
}

fn boot(agent: AgentId) -> [u64; 2] {
    [1, u64::from(agent.0)]
}

fn settings(agent: AgentId, incarnation: u64, plan: &Plan) -> Settings {
    Settings {
        agent,
        boot: boot(agent),
        clock: ClockSource::Monotonic,
        ticks_per_second: S,
        first_region: RegionId(incarnation << 10),
        budget: plan.budget,
        kept_share: 0.40,
        process_share: 0.50,
        user_share: 0.75,
        reserve_lasts: Nanos::from_ms(250),
        reserve_share: 0.10,
        slots_per_process: 512,
        crumbs: CrumbRules::default(),
        horizon_target: Nanos::from_ms(plan.horizon_target_ms),
        record_share: 1.0,
        walk_cpu_share: 0.05,
        process_death: Nanos::from_ms(5_000),
        rules: triggers::Rules {
            rate_per_s: plan.rate_per_s,
            remote_rate_per_s: 50_000,
            linger: LINGER,
            lateral_max: 32,
        },
        is_reporting: true,
        has_predecessor: incarnation > 1,
    }
}
