//! The keeper: a small process that holds descriptors where no service manager does, and hands them to the next agent.
//!
//! It knows names and descriptors, and looks into neither. One agent speaks to it at a time: the newest, which has the state directory. With
//! nobody connected it ends after a while, and what it holds is gone.

use super::Survivors;
use super::message::{self, Message, Received};
use super::name::Name;
use crate::host;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The socket in the agent's state directory.
const SOCKET_FILE: &str = "keeper.sock";
/// The subcommand by which the agent's binary is one.
pub const SUBCOMMAND: &str = "keeper";
/// How long a keeper may take to hand over a descriptor.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long one waits for an agent that does not take what it asked for.
const TAKEN_WITHIN: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// A connection to a keeper, and what it held.
#[derive(Debug)]
pub struct Dial {
    /// The connection.
    pub socket: OwnedFd,
    /// The keeper, where it was started for this.
    pub child: Option<Child>,
    /// What an earlier agent left.
    pub survivors: Survivors,
}

/// Connects to the keeper of a state directory; starts one that holds for `hold` where there is none.
///
/// # Errors
/// No keeper answers and none can be started.
pub fn dial(state_dir: &Path, hold: Duration) -> io::Result<Dial> {
    let path = state_dir.join(SOCKET_FILE);
    match reach(&path) {
        Ok(socket) => match take(socket.as_fd()) {
            Ok(survivors) => return Ok(Dial { socket, child: None, survivors }),
            Err(error) => tracing::warn!(%error, "keeper does not answer, another is started"),
        },
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
        Err(error) => return Err(error),
    }
    let child = start(&path, hold)?;
    Ok(Dial { socket: reach(&path)?, child: Some(child), survivors: Vec::new() })
}

fn reach(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Asks for everything that the keeper holds.
fn take(socket: BorrowedFd<'_>) -> io::Result<Survivors> {
    message::send(socket, Message::Take, None)?;
    let mut survivors = Vec::new();
    let mut last = Instant::now();
    loop {
        match message::receive(socket) {
            Ok(Received::Store(name, fd)) => {
                survivors.push((name, fd));
                last = Instant::now();
            }
            Ok(Received::That) => return Ok(survivors),
            Ok(Received::Closed) => return Err(io::ErrorKind::ConnectionReset.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = ANSWER_WITHIN.saturating_sub(last.elapsed());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
                let _ = poll(&mut [PollFd::from_borrowed_fd(socket, PollFlags::IN)], Some(&left));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Starts a keeper that listens at `path`. Its socket is made here, so that it can be connected to at once.
fn start(path: &Path, hold: Duration) -> io::Result<Child> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = socket()?;
    rustix::fs::fchmod(&listener, Mode::RUSR | Mode::WUSR)?; // nobody connects before the access rights stand
    bind(&listener, &SocketAddrUnix::new(path)?)?;
    listen(&listener, 1)?;
    let mut command = Command::new("/proc/self/exe"); // which is there also where an update has replaced the file
    command.arg(SUBCOMMAND).arg("--hold-s").arg(hold.as_secs().to_string());
    // Of its own group: what ends the agent at a terminal is not meant for it.
    command.stdin(Stdio::from(listener)).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.current_dir("/").spawn()
}

/// What is held, in the order in which it came.
#[derive(Debug, Default)]
struct Held(Vec<(Name, OwnedFd)>);

impl Held {
    fn store(&mut self, name: Name, fd: OwnedFd) {
        self.remove(name);
        self.0.push((name, fd));
    }

    fn remove(&mut self, name: Name) {
        self.0.retain(|(held, _)| *held != name);
    }
}

/// Holds descriptors for agents that connect to `listener`, until none has been there for `hold`.
///
/// # Errors
/// The kernel's, which no supported one returns.
pub fn run(listener: BorrowedFd<'_>, hold: Duration) -> io::Result<()> {
    host::raise_descriptor_limit();
    let mut held = Held::default();
    let mut agent: Option<OwnedFd> = None;
    let mut alone = Instant::now();
    loop {
        let left = hold.saturating_sub(alone.elapsed());
        if agent.is_none() && left.is_zero() {
            return Ok(());
        }
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut fds = vec![PollFd::from_borrowed_fd(listener, PollFlags::IN)];
        fds.extend(agent.as_ref().map(|agent| PollFd::new(agent, PollFlags::IN)));
        match poll(&mut fds, agent.is_none().then_some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_heard = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        let is_called = !fds[0].revents().is_empty();
        drop(fds);
        if is_heard && let Some(socket) = &agent {
            match serve(socket.as_fd(), &mut held)? {
                Next::Agent => {}
                Next::Alone => (agent, alone) = (None, Instant::now()),
                Next::End => return Ok(()),
            }
        }
        if is_called && let Ok(socket) = accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            agent = Some(socket); // the one before is dead, or lost its state directory
        }
    }
}

/// What follows a message.
enum Next {
    /// The agent goes on.
    Agent,
    /// It has gone.
    Alone,
    /// Nobody needs a keeper any more.
    End,
}

/// Takes what an agent says, until there is nothing.
fn serve(agent: BorrowedFd<'_>, held: &mut Held) -> io::Result<Next> {
    loop {
        match message::receive(agent) {
            Ok(Received::Store(name, fd)) => held.store(name, fd),
            Ok(Received::Remove(name)) => held.remove(name),
            Ok(Received::Take) => {
                if hand_over(agent, held).is_err() {
                    return Ok(Next::Alone);
                }
            }
            Ok(Received::End) => return Ok(Next::End),
            Ok(Received::Closed) | Err(Errno::CONNRESET) => return Ok(Next::Alone),
            Ok(Received::That | Received::Other) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(Next::Agent),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends everything to an agent that takes it.
fn hand_over(agent: BorrowedFd<'_>, held: &Held) -> Result<(), Errno> {
    for (name, fd) in &held.0 {
        say(agent, Message::Store(name), Some(fd.as_fd()))?;
    }
    say(agent, Message::That, None)
}

fn say(agent: BorrowedFd<'_>, message: Message<'_>, fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    loop {
        match message::send(agent, message, fd) {
            Err(Errno::AGAIN | Errno::TOOMANYREFS) => {
                let mut writable = [PollFd::from_borrowed_fd(agent, PollFlags::OUT)];
                if poll(&mut writable, Some(&TAKEN_WITHIN))? == 0 {
                    return Err(Errno::TIMEDOUT);
                }
            }
            sent => return sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Dial, run, take};
    use crate::keep::message::{Message, send};
    use crate::keep::name::Name;
    use backsight_core::ids::RegionId;
    use rustix::net::{SocketAddrUnix, bind, connect, listen};
    use std::os::fd::{AsFd, OwnedFd};
    use std::path::Path;
    use std::thread::JoinHandle;
    use std::time::Duration;

    fn keeper(path: &Path, hold: Duration) -> JoinHandle<std::io::Result<()>> {
        let listener = super::socket().unwrap();
        bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
        listen(&listener, 1).unwrap();
        std::thread::spawn(move || run(listener.as_fd(), hold))
    }

    fn agent(path: &Path) -> OwnedFd {
        let socket = super::socket().unwrap();
        connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        socket
    }

    fn names(of: OwnedFd) -> Vec<Name> {
        let Dial { survivors, .. } = Dial { survivors: take(of.as_fd()).unwrap(), socket: of, child: None };
        survivors.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn the_next_agent_gets_what_was_stored_and_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keeper.sock");
        let ended = keeper(&path, Duration::from_secs(60));
        let first = agent(&path);
        let held = [Name::Journal, Name::Socket(RegionId(1)), Name::Doorbell(RegionId(1))];
        for name in &held {
            send(first.as_fd(), Message::Store(name), Some(first.as_fd())).unwrap();
        }
        send(first.as_fd(), Message::Store(&held[0]), Some(first.as_fd())).unwrap(); // in its place
        send(first.as_fd(), Message::Remove(&held[1]), None).unwrap();
        drop(first);
        assert_eq!(names(agent(&path)), [held[2], held[0]]);
        let last = agent(&path);
        assert_eq!(take(last.as_fd()).unwrap().len(), 2, "they stay");
        send(last.as_fd(), Message::End, None).unwrap();
        ended.join().unwrap().unwrap();
    }

    #[test]
    fn nobody_comes_and_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keeper.sock");
        let ended = keeper(&path, Duration::from_millis(50));
        drop(agent(&path));
        ended.join().unwrap().unwrap();
        let socket = super::socket().unwrap();
        assert!(connect(&socket, &SocketAddrUnix::new(&path).unwrap()).is_err());
    }
}
