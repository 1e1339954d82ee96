//! The loop around the recorder: one thread, one epoll, every descriptor of the data plane.
//!
//! Called by `main` and by tests. It owns sockets, descriptors and clocks, and tells the recorder what happened; it never waits for a
//! client, a file or the admin thread.

mod beginning;
mod clients;
mod resume;
mod triggers;
mod uplink;

use crate::admin::{self, Command, Commands, Reply};
use crate::clock::{HostClock, monotonic, thread_time};
use crate::config::Config;
use crate::ident;
use crate::keep::{self, Holder, Keep, Survivors};
use crate::notify;
use crate::recorder::{Now, Pace, Recorder, Settings};
use crate::sessions::expelled::Expelled;
use crate::sessions::socket::{ListenError, Listener};
use crate::sessions::{SessionLimits, Sessions};
use crate::state_dir::{InUse, StateDir};
use crate::status;
use backsight_core::ids::AgentId;
use backsight_core::sync::{AtomicBool, Ordering};
use backsight_core::units::Nanos;
use backsight_proto::admin::{KeptState, UplinkStatus};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::SocketType;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};
use uplink::Collectors;

/// How often calibration points and heartbeats are written.
const BEAT_EVERY: Nanos = Nanos::from_ms(1_000);
/// How long the loop sleeps while a process uses up its chunks fast.
const POLL_PRESSED: Nanos = Nanos::from_ms(1);
/// How long it sleeps after something was fired: what is fired within it goes together.
const POLL_AWAKE: Nanos = Nanos::from_ms(8);
/// How long it sleeps while processes write; doorbells wake it.
const POLL_DOZING: Nanos = Nanos::from_ms(20);
/// How long it sleeps while none does; doorbells wake it.
const POLL_ASLEEP: Nanos = crate::recorder::SWEEP_EVERY;
/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;
/// Admin commands answered in one turn of the loop.
const COMMANDS_PER_TURN: usize = 16;
/// Access rights of the producer socket: any process of the host may record.
const SOCKET_MODE: u32 = 0o666;
/// Access rights of the admin socket: owner and group may look and command.
const ADMIN_SOCKET_MODE: u32 = 0o660;

/// An agent that could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket could not be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Another agent has the state directory.
    #[error(transparent)]
    StateDir(#[from] InUse),
    /// A trigger cannot fire by its expression.
    #[error("trigger {name:?}: {why}")]
    Trigger {
        /// Its name.
        name: String,
        /// Why not.
        why: String,
    },
    /// The kernel lacks something, or a limit is too low.
    #[error("{what}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// Why it did not work.
        source: std::io::Error,
    },
}

/// What an event is about. In the event's 64 bits the kind stands above the number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Listener,
    Commands,
    Stop,
    Client(u32),
    Process(u32),
    Doorbell(u32),
    Collectors,
}

impl Source {
    const fn code(self) -> u64 {
        let (kind, number) = match self {
            Self::Listener => (0, 0),
            Self::Commands => (1, 0),
            Self::Stop => (2, 0),
            Self::Client(number) => (3, number),
            Self::Process(number) => (4, number),
            Self::Doorbell(number) => (5, number),
            Self::Collectors => (6, 0),
        };
        kind << 32 | number as u64
    }

    const fn from_code(code: u64) -> Option<Self> {
        let number = code as u32;
        Some(match code >> 32 {
            0 => Self::Listener,
            1 => Self::Commands,
            2 => Self::Stop,
            3 => Self::Client(number),
            4 => Self::Process(number),
            5 => Self::Doorbell(number),
            6 => Self::Collectors,
            _ => return None,
        })
    }
}

/// By what an agent is told to stop.
#[derive(Debug)]
pub struct Stop {
    /// Readable once it is to stop.
    pub fd: OwnedFd,
    /// Whether it is to stop for good, so that nothing is kept for a successor.
    pub for_good: Arc<AtomicBool>,
}

/// A running agent.
#[derive(Debug)]
pub struct Daemon {
    agent: AgentId,
    /// Ours alone for as long as the agent runs.
    _lock: StateDir,
    state_dir: PathBuf,
    /// What a successor gets back, and for how long it is held for one.
    keep: Keep,
    hold: Duration,
    clock: HostClock,
    recorder: Recorder,
    sessions: Sessions,
    expelled: Expelled,
    /// `None` where none is configured.
    collectors: Option<Collectors>,
    listener: Listener,
    epoll: OwnedFd,
    commands: Commands,
    /// Ends the admin thread when it is dropped.
    _admin: admin::Server,
    stop: Stop,
    started: Nanos,
    beaten: Nanos,
    /// Where the look at processes without a socket goes on.
    next_detached: u32,
    warnings: Warnings,
}

/// Limits warnings that a client can cause to one a second.
#[derive(Debug, Default)]
struct Warnings {
    last: Option<Nanos>,
    n_silenced: u64,
}

impl Warnings {
    /// Returns how many warnings were left out since the last, or `None` where this one is to be left out too.
    fn admit(&mut self, now: Nanos) -> Option<u64> {
        if self.last.is_some_and(|last| now.0.saturating_sub(last.0) < BEAT_EVERY.0) {
            self.n_silenced += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.n_silenced))
    }
}

impl Daemon {
    /// Opens the sockets, takes the memory's measure, and goes on where an earlier agent ended; clients can connect from now on.
    ///
    /// # Errors
    /// A state directory or a socket that somebody else has, or a kernel that refuses.
    pub fn start(config: &Config, stop: Stop) -> Result<Self, StartError> {
        let system = |what| move |source: Errno| StartError::System { what, source: source.into() };
        let lock = StateDir::take(&config.agent.state_dir, ident::boot_id())?; // before anybody could connect to an agent that may not start
        if let Some((file, error)) = &lock.not_locked {
            warn!(file = %file.display(), error = %error, "state directory not locked, another agent could take the same id");
        }
        let hold = Duration::from_secs(config.agent.keep_s);
        let (keep, survivors) = open_keep(config, hold);
        let listener = Listener::open(&config.agent.socket, SocketType::SEQPACKET, SOCKET_MODE)?;
        let admin_listener = Listener::open(&config.agent.admin_socket, SocketType::STREAM, ADMIN_SOCKET_MODE)?;
        let clock = HostClock::start();
        let agent = beginning::identify(config);
        let (commands, client) =
            admin::channel().map_err(|source| StartError::System { what: "make an eventfd", source })?;
        let server = admin::Server::start(admin_listener, client)
            .map_err(|source| StartError::System { what: "start the admin thread", source })?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("make an epoll instance"))?;
        let now = now_on(&clock);
        let collectors = uplink::dial(config, agent, now.time)?;
        let budget = beginning::budget(config, keep::memory_of(&survivors));
        let settings =
            Settings { has_predecessor: lock.was_taken, ..beginning::settings(config, agent, &clock, budget) };
        let limits =
            SessionLimits { sessions_max: config.pool.sessions_max, sessions_per_uid: config.pool.sessions_per_uid };
        let mut recorder = Recorder::new(settings, now);
        recorder.set_weights(config.triggers.weights());
        triggers::install(&mut recorder, &config.trigger)?;
        let mut daemon = Self {
            agent,
            _lock: lock,
            state_dir: config.agent.state_dir.clone(),
            keep,
            hold,
            clock,
            recorder,
            sessions: Sessions::new(limits),
            expelled: Expelled::default(),
            collectors,
            listener,
            epoll,
            commands,
            _admin: server,
            stop,
            started: now.time,
            beaten: now.time,
            next_detached: 0,
            warnings: Warnings::default(),
        };
        let watch = |fd: BorrowedFd<'_>, source| daemon.watch(fd, source).map_err(system("watch a descriptor"));
        watch(daemon.listener.fd(), Source::Listener)?;
        watch(daemon.commands.eventfd(), Source::Commands)?;
        watch(daemon.stop.fd.as_fd(), Source::Stop)?;
        daemon.watch_collectors().map_err(system("watch a descriptor"))?;
        daemon.resume(survivors);
        daemon.begin_journal();
        info!(
            agent = %daemon.agent,
            socket = %config.agent.socket.display(),
            admin_socket = %config.agent.admin_socket.display(),
            budget_bytes = settings.budget.0,
            "agent started"
        );
        Ok(daemon)
    }

    /// Returns the agent's id.
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// Runs until told to stop.
    ///
    /// # Errors
    /// The kernel refuses to wait for events, which no supported one does.
    pub fn run(mut self) -> Result<(), StartError> {
        notify::ready();
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut sleep = POLL_ASLEEP;
        let mut turned = Nanos::default();
        loop {
            events.clear();
            let timeout = Timespec { tv_sec: 0, tv_nsec: sleep.0.min(999_999_999).cast_signed() };
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(source) => {
                    return Err(StartError::System { what: "wait for events", source: source.into() });
                }
            }
            self.hold_bells(&events, turned);
            // Whoever connects comes last: it may get the number of a session that ends in this turn, of which more was said.
            let is_connection = |event: &&epoll::Event| event.data.u64() == Source::Listener.code();
            let first = events.iter().filter(|event| !is_connection(event));
            for event in first.chain(events.iter().filter(is_connection)) {
                match Source::from_code(event.data.u64()) {
                    Some(Source::Stop) => {
                        info!("agent stops");
                        notify::stopping();
                        if self.stop.for_good.load(Ordering::Relaxed) {
                            self.keep.dismiss();
                        }
                        return Ok(());
                    }
                    Some(source) => self.handle(source),
                    None => {}
                }
            }
            sleep = self.turn();
            turned = monotonic();
        }
    }

    /// Waits a moment where nothing but doorbells woke the loop right after its last turn, at `turned`: processes ring as often as they like.
    fn hold_bells(&self, events: &[epoll::Event], turned: Nanos) {
        let is_bell = |event: &epoll::Event| matches!(Source::from_code(event.data.u64()), Some(Source::Doorbell(_)));
        let rest = POLL_PRESSED.0.saturating_sub(monotonic().0.saturating_sub(turned.0));
        if !events.is_empty() && rest > 0 && events.iter().all(is_bell) {
            std::thread::sleep(Duration::from_nanos(rest));
        }
    }

    fn handle(&mut self, source: Source) {
        match source {
            Source::Listener => self.accept(),
            Source::Commands => self.answer(),
            Source::Stop => {}
            Source::Client(number) => self.hear(number),
            Source::Process(number) => self.process_ended(number),
            Source::Doorbell(number) => self.doorbell_rang(number),
            Source::Collectors => self.collectors_rang(),
        }
    }

    /// One round of the recorder and, once a second, the clock; returns how long to sleep then.
    fn turn(&mut self) -> Nanos {
        let now = self.now();
        let round = self.recorder.round(now);
        for member in round.offenders {
            self.close_offender(member);
        }
        if now.time.0.saturating_sub(self.beaten.0) >= BEAT_EVERY.0 {
            self.beaten = now.time;
            notify::alive();
            let point = self.clock.calibrate();
            self.recorder.beat(point);
            self.close_silent();
            self.look_at_detached();
            self.look_at_expelled();
            self.look_after_keeper();
        }
        for region in self.recorder.take_forgotten() {
            self.keep.remove_region(region);
        }
        let sleep = match round.pace {
            Pace::Pressed => POLL_PRESSED,
            Pace::Awake => POLL_AWAKE,
            Pace::Dozing => POLL_DOZING,
            Pace::Asleep => POLL_ASLEEP,
        };
        let walk = self.recorder.walk(self.now(), &thread_time);
        self.serve_collectors().into_iter().chain(walk).fold(sleep, Nanos::min)
    }

    fn now(&self) -> Now {
        now_on(&self.clock)
    }

    fn watch(&self, fd: BorrowedFd<'_>, source: Source) -> Result<(), Errno> {
        // A doorbell is never read: its process has it, too, and could have that wait. Each ring is an event of its own.
        let edges =
            if matches!(source, Source::Doorbell(_)) { epoll::EventFlags::ET } else { epoll::EventFlags::empty() };
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(source.code()), epoll::EventFlags::IN | edges)
    }

    /// Ends the watch of a descriptor that is given up. To close it is not enough: the process has its doorbell, too, and whoever holds descriptors for
    /// a successor has all of them, so that the watch would go on and wake the loop for nobody.
    fn unwatch(&self, fd: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.epoll, fd); // one that was never watched
    }

    /// Answers what the admin thread asks; it waits for no answer longer than it likes.
    fn answer(&mut self) {
        self.commands.acknowledge();
        for _ in 0..COMMANDS_PER_TURN {
            let Some((command, answer)) = self.commands.take() else { return };
            let reply = self.obey(command);
            let _ = answer.send(reply); // nobody waits any more: the connection was closed
        }
        self.commands.remind(); // the rest in the next turn
    }

    fn uplinks(&self, now: Now) -> Vec<UplinkStatus> {
        self.collectors.as_ref().map(|collectors| collectors.status(now.time)).unwrap_or_default()
    }

    fn obey(&mut self, command: Command) -> Reply {
        let now = self.now();
        match command {
            Command::Status => {
                let uptime = Nanos(now.time.0 - self.started.0);
                let host = status::Host { agent: self.agent, uptime, holder: self.keep.holder() };
                let mut status = status::status(&self.recorder, &self.clock, host, now);
                status.uplinks = self.uplinks(now);
                Reply::Status(Box::new(status))
            }
            Command::Horizon => Reply::Horizon(self.recorder.horizon_report(now)),
            Command::Triggers => Reply::Triggers(self.recorder.trigger_list()),
            Command::Kept => {
                let collectors = self.collectors.as_ref();
                let state = |trace| collectors.map_or(KeptState::Kept, |of| of.state_of(trace, &self.recorder));
                Reply::Kept(self.recorder.kept_list(self.clock.timeline(), &state))
            }
            Command::Trace(trace) => {
                let slices = self.recorder.slices(trace, self.clock.timeline(), now);
                let names = self.recorder.names_of(&[], slices.as_deref().unwrap_or_default());
                Reply::Trace { trace, slices, names }
            }
            Command::Metrics => {
                let uplinks = self.collectors.as_ref().map(|collectors| (self.uplinks(now), collectors.details()));
                let doors =
                    status::Doors { sessions: &self.sessions, requests: self.commands.refused(), keep: &self.keep };
                Reply::Metrics(status::metrics(&self.recorder, doors, uplinks.as_ref(), now))
            }
            Command::Fire { trigger, name, trace, laterals } => {
                self.recorder.note_name(&name);
                Reply::Fired(self.recorder.fire(trigger, trace, laterals, now))
            }
            Command::SetTrigger { name, when } => self.set_trigger(&name, when),
            Command::StartTest { expr, n_traces } => self.start_test(expr, n_traces),
            Command::Test(id) => self.look_at_test(id),
        }
    }
}

/// Finds who holds descriptors for a successor; where nobody can, the agent works without.
fn open_keep(config: &Config, hold: Duration) -> (Keep, Survivors) {
    match Keep::open(&config.agent.state_dir, hold) {
        Ok((keep, survivors)) => {
            if keep.holder() == Holder::Nobody {
                info!("nothing is kept for a successor (agent.keep_s is 0): what is recorded goes with this agent");
            }
            (keep, survivors)
        }
        Err(error) => {
            warn!(state_dir = %config.agent.state_dir.display(), %error, "no keeper: what is recorded goes with this agent");
            (Keep::nobody(), Vec::new())
        }
    }
}

fn now_on(clock: &HostClock) -> Now {
    let time = monotonic();
    let newest = clock.timeline().points().last().copied().unwrap_or_default();
    let wall_ns = newest.realtime_ns.saturating_add(time.0).saturating_sub(newest.monotonic_ns);
    Now { time, ticks: clock.ticks(), wall_ns }
}
