//! A service manager as an agent sees it: a notify socket behind which descriptors are held, and handed to the next agent by number.

use anyhow::{Context as _, Result};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

type Store = Arc<Mutex<BTreeMap<String, OwnedFd>>>;

/// What runs an agent with the descriptors that are held: they begin at number 3, and the process must be the one that they are said to be for.
const HAND_OVER: &str = r#"
n=3
for fd in $HELD; do eval "exec $n<&$fd"; n=$((n + 1)); done
for fd in $HELD; do [ "$fd" -lt "$n" ] || eval "exec $fd<&-"; done
export LISTEN_PID=$$ LISTEN_FDS=$((n - 3))
exec "$@"
"#;

/// See the module.
#[derive(Debug)]
pub struct Manager {
    folder: TempDir,
    store: Store,
}

impl Manager {
    /// Opens the notify socket.
    ///
    /// # Errors
    /// No folder, or no thread.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bks-manager-").tempdir().context("make a folder")?;
        let socket = UnixDatagram::bind(folder.path().join("notify.sock")).context("bind a notify socket")?;
        let store = Store::default();
        let kept = store.clone();
        let thread = std::thread::Builder::new().name("manager".into());
        thread.spawn(move || while hear(&socket, &kept).is_ok() {}).context("start the manager's thread")?;
        Ok(Self { folder, store })
    }

    /// Returns the notify socket's path.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("notify.sock")
    }

    /// Returns the names of what is held.
    ///
    /// # Panics
    /// The manager's thread panicked.
    #[must_use]
    #[allow(clippy::unwrap_used, reason = "documented")]
    pub fn names(&self) -> Vec<String> {
        self.store.lock().unwrap().keys().cloned().collect()
    }

    /// Waits until what is held `is_it`.
    ///
    /// # Errors
    /// It is not so within ten seconds; the error names what is held.
    pub fn until(&self, is_it: impl Fn(&[String]) -> bool) -> Result<()> {
        for _ in 0..2_000 {
            if is_it(&self.names()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        anyhow::bail!("still held: {:?}", self.names())
    }

    /// Returns a command that runs `agent` with its arguments as this manager does: told where to say what it has to say, and with what is
    /// held. It is good for one run.
    ///
    /// # Panics
    /// The manager's thread panicked.
    ///
    /// # Errors
    /// A descriptor cannot be passed on.
    #[allow(clippy::unwrap_used, reason = "documented")]
    pub fn command(&self, agent: &Path) -> Result<Command> {
        let store = self.store.lock().unwrap();
        let mut numbers = Vec::new();
        for fd in store.values() {
            fcntl_setfd(fd, FdFlags::empty()).context("have a descriptor inherited")?;
            numbers.push(fd.as_raw_fd().to_string());
        }
        let names: Vec<&str> = store.keys().map(String::as_str).collect();
        let mut command = Command::new("bash");
        command.args(["-c", HAND_OVER, "manager"]).arg(agent);
        command.env("HELD", numbers.join(" ")).env("LISTEN_FDNAMES", names.join(":"));
        command.env("NOTIFY_SOCKET", self.socket()).env("FDSTORE", "16384");
        Ok(command)
    }
}

/// Takes one message of an agent.
#[allow(clippy::unwrap_used, reason = "nobody panics with the lock")]
fn hear(socket: &UnixDatagram, store: &Store) -> Result<()> {
    let mut buffer = [0; 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let len = recvmsg(socket.as_fd(), &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let fds = control.drain().filter_map(|part| match part {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fd = fds.flatten().next();
    let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    match (value("FDNAME"), fd) {
        (Some(name), Some(fd)) if value("FDSTORE") == Some("1") && value("FDPOLL") == Some("0") => {
            store.lock().unwrap().insert(name.to_owned(), fd);
        }
        (Some(name), None) if value("FDSTOREREMOVE") == Some("1") => {
            store.lock().unwrap().remove(name);
        }
        _ => {} // it is ready, or stops
    }
    Ok(())
}
