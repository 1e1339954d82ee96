//! LTTng-UST as a peer: a C program under a session daemon of its own, both started when first asked and stopped with the peer.
//!
//! Called through [`Peer`]. The daemon knows no kernel tracer and keeps its state in a private folder, so a system's own LTTng is
//! neither used nor disturbed.

use std::cell::RefCell;

use anyhow::{Result, ensure};
use serde::Deserialize;

use self::daemon::{Daemon, Setup};
use super::{Availability, Op, PAYLOADS, Peer, unsupported};
use crate::{bench::threads::Measurement, harness::dialogue::Dialogue};

pub mod daemon;

const INSTALL: &str = "apt-get install -y liblttng-ust-dev lttng-tools gcc";
const SETUP: Setup =
    Setup { program: ("peer.c", include_str!("../../bench/peers/lttng/peer.c")), subbuf_bytes: 1 << 20 };

/// LTTng-UST in a snapshot session.
#[derive(Default)]
pub struct Lttng {
    state: RefCell<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Unasked,
    Running(Session),
    Missing(String),
}

/// The peer program and its daemon; dropped in this order.
struct Session {
    program: Dialogue,
    _daemon: Daemon,
}

/// What a program says first.
#[derive(Deserialize)]
pub(crate) struct Greeting {
    enabled: bool,
}

impl Greeting {
    /// Checks that the daemon's session records the program's events.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.enabled, "the session enabled none of the program's events");
        Ok(())
    }
}

#[derive(Deserialize)]
struct Answer {
    cpu_ns: f64,
}

impl Peer for Lttng {
    fn name(&self) -> &'static str {
        "lttng"
    }

    fn measures(&self) -> &'static str {
        "LTTng-UST from C: a u64 and the payload as a fixed array, user space only, snapshot session (overwrite), 4 sub-buffers of 1 MiB \
         per core; a visit is visit_begin, its events, visit_end"
    }

    fn availability(&self) -> Availability {
        let mut state = self.state.borrow_mut();
        if matches!(*state, State::Unasked) {
            *state = match Session::start() {
                Ok(session) => State::Running(session),
                Err(error) => State::Missing(format!("{error:#}; try: {INSTALL}")),
            };
        }
        match &*state {
            State::Missing(why) => Availability::Missing { why: why.clone() },
            _ => Availability::Ok,
        }
    }

    fn supports(&self, op: Op) -> bool {
        match op {
            Op::Event { payload } => PAYLOADS.contains(&payload),
            Op::Visit { .. } => true,
            Op::BeginEnd | Op::Span | Op::Attr => false,
        }
    }

    fn measure(&self, op: Op, threads: usize, n: u64) -> Result<Measurement> {
        let command = match op {
            Op::Event { payload } => format!("event {payload} {threads} {n}"),
            Op::Visit { events } => format!("visit {events} {threads} {n}"),
            Op::BeginEnd | Op::Span | Op::Attr => return Err(unsupported(self, op)),
        };
        match (self.availability(), &mut *self.state.borrow_mut()) {
            (Availability::Ok, State::Running(session)) => {
                let answer: Answer = session.program.ask(&command)?;
                Ok(Measurement { cpu_ns: answer.cpu_ns, lost_share: 0.0 })
            }
            (availability, _) => anyhow::bail!("lttng cannot be measured: {availability:?}"),
        }
    }
}

impl Session {
    /// Compiles the program, starts a daemon with a snapshot session, and the program under it.
    fn start() -> Result<Self> {
        let daemon = Daemon::start(&SETUP)?;
        let mut program = Dialogue::start(&mut daemon.program())?;
        program.answer::<Greeting>()?.check()?;
        Ok(Self { program, _daemon: daemon })
    }
}
