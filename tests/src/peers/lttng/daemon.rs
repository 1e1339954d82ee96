//! A private LTTng: a folder, the compiled peer program, and a session daemon in a snapshot session.
//!
//! Called by the peer when it is first asked, and by [`crate::slow::lttng`]. Run as root it drops to `nobody`, because LTTng's root daemon would use the system's
//! sockets; the daemon also dies with this process (`setpriv --pdeathsig`), so that an interrupted bench leaves nothing running.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};

const EVENTS: (&str, &str) = ("events.h", include_str!("../../../bench/peers/lttng/events.h"));
/// Where snapshots go, in the private folder.
const SNAPSHOTS: &str = "snapshots";
/// Sub-buffers of each core's ring.
pub const SUBBUFS: u64 = 4;
/// What the program is compiled to.
const PROGRAM: &str = "program";
const NOBODY: u32 = 65534;
const START_MAX: Duration = Duration::from_secs(10);
const STOP_MAX: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// What a daemon is started for.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The program that it traces: a file's name and its text, C that includes `events.h`.
    pub program: (&'static str, &'static str),
    /// Bytes of a sub-buffer, a power of two; each core's ring has [`SUBBUFS`].
    pub subbuf_bytes: u64,
}

/// A running session daemon and its folder; both are gone when it is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    dir: Dir,
}

impl Daemon {
    /// Compiles the program and starts a daemon with all of the program's events enabled in a snapshot session.
    ///
    /// # Errors
    /// Something that it needs is not installed, or it does not start; says what happened.
    pub fn start(setup: &Setup) -> Result<Self> {
        let dir = Dir::new()?;
        dir.compile(setup)?;
        let log = fs::File::create(dir.path.join("sessiond.log")).context("making the daemon's log")?;
        let child = dir
            .command("lttng-sessiond")
            .args(["--no-kernel", "--quiet"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting lttng-sessiond")?;
        let mut daemon = Self { child, dir };
        daemon.wait_until_ready()?;
        let output = daemon.dir.path.join(SNAPSHOTS);
        daemon.lttng(&["create", "bks", "--snapshot", &format!("--output={}", output.display())])?;
        let (size, n) = (format!("--subbuf-size={}", setup.subbuf_bytes), format!("--num-subbuf={SUBBUFS}"));
        daemon.lttng(&["enable-channel", "--userspace", &size, &n, "bks"])?;
        daemon.lttng(&["enable-event", "--userspace", "--channel=bks", "bks_peer:*"])?;
        daemon.lttng(&["start"])?;
        Ok(daemon)
    }

    /// Returns the command that runs the program, which waits for the daemon before it begins.
    #[must_use]
    pub fn program(&self) -> Command {
        let mut command = self.dir.command(&self.dir.path.join(PROGRAM).to_string_lossy());
        command.env("LTTNG_UST_REGISTER_TIMEOUT", START_MAX.as_millis().to_string());
        command
    }

    /// Takes a snapshot while the session goes on, and returns the folder that it lies in.
    ///
    /// # Errors
    /// The daemon refuses, or nothing was written.
    pub fn snapshot(&self) -> Result<PathBuf> {
        let folder = self.dir.path.join(SNAPSHOTS);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        self.lttng(&["snapshot", "record"])?;
        ensure!(folder.exists(), "lttng wrote no snapshot to {}", folder.display());
        Ok(folder)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        while self.lttng(&["list"]).is_err() {
            if let Some(status) = self.child.try_wait().context("waiting for lttng-sessiond")? {
                let log = fs::read_to_string(self.dir.path.join("sessiond.log")).unwrap_or_default();
                bail!("lttng-sessiond ended with {status}: {}", log.trim());
            }
            ensure!(start.elapsed() < START_MAX, "lttng-sessiond was not ready within {START_MAX:?}");
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn lttng(&self, args: &[&str]) -> Result<()> {
        run(self.dir.command("lttng").args(["--no-sessiond"]).args(args), "lttng")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Nobody is told of a failure here: what is left to do is to stop the daemon, and that is done by force below.
        let _ = self.lttng(&["destroy", "--all"]);
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < STOP_MAX {
            thread::sleep(POLL);
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The private folder, removed when dropped.
#[derive(Debug)]
struct Dir {
    path: PathBuf,
    drops_to_nobody: bool,
}

impl Dir {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("bks-lttng-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        let dir = Self { path, drops_to_nobody: geteuid().is_root() };
        if dir.drops_to_nobody {
            chown(&dir.path, Some(NOBODY), Some(NOBODY)).context("giving the folder to nobody")?;
        }
        Ok(dir)
    }

    /// Returns a command that runs `program` as the folder's owner, with its LTTng home there, and dies with this process.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        if self.drops_to_nobody {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        command
            .args(["--pdeathsig=TERM", "--", program])
            .current_dir(&self.path)
            .env("LTTNG_HOME", &self.path)
            .env("HOME", &self.path);
        command
    }

    fn compile(&self, setup: &Setup) -> Result<()> {
        for (name, text) in [EVENTS, setup.program] {
            fs::write(self.path.join(name), text).with_context(|| format!("writing {name}"))?;
        }
        let mut gcc = Command::new("gcc");
        gcc.current_dir(&self.path).args([
            "-O2",
            "-Wall",
            "-I.",
            "-o",
            PROGRAM,
            setup.program.0,
            "-llttng-ust",
            "-ldl",
            "-pthread",
        ]);
        run(&mut gcc, "compiling against liblttng-ust")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        eprintln!("{} is left behind: {error}", path.display());
    }
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("{what}: {:?}", command.get_program()))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{what}: {}: {}",
        output.status,
        stderr.trim().lines().next().unwrap_or("no message")
    );
    Ok(())
}
