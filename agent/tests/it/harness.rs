//! An agent in a directory of its own, and its admin socket.

use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Calls `probe` until it returns something.
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::yield_now();
    }
}

/// A running agent; killed when it is dropped.
pub(crate) struct Agent {
    pub(crate) child: Child,
    pub(crate) dir: tempfile::TempDir,
}

/// Returns the command that starts an agent in `dir`, with `config` as the rest of its configuration.
pub(crate) fn command(dir: &Path, config: &str) -> Command {
    command_at(&dir.join("agent.sock"), dir, config)
}

/// As [`command`], with the producer socket elsewhere.
pub(crate) fn command_at(socket: &Path, dir: &Path, config: &str) -> Command {
    let file = dir.join("agent.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_backsight-agent"));
    command.arg("--config").arg(file);
    command.arg("--socket").arg(socket).arg("--admin-socket").arg(dir.join("admin.sock")).arg("--keep-s").arg("0");
    command.arg("--state-dir").arg(dir.join("state"));
    command.stdout(Stdio::null()).stderr(std::fs::File::create(dir.join("log")).unwrap());
    command
}

impl Agent {
    pub(crate) fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config)
    }

    /// Starts an agent in a folder that is there.
    pub(crate) fn start_in(dir: tempfile::TempDir, config: &str) -> Self {
        let child = command(dir.path(), config).spawn().unwrap();
        let mut agent = Self { child, dir };
        eventually("the agent is healthy", || {
            assert_eq!(agent.child.try_wait().unwrap(), None, "the agent ended: {}", agent.log());
            agent.try_get("/healthz").filter(|(status, _)| *status == 200)
        });
        agent
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("agent.sock")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn request(&self, request: &str) -> Option<(u16, String)> {
        let mut stream = UnixStream::connect(self.dir.path().join("admin.sock")).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split_whitespace().nth(1)?.parse().ok()?, body.to_owned()))
    }

    fn try_get(&self, path: &str) -> Option<(u16, String)> {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n"))
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).unwrap_or_else(|| panic!("no answer on {path}: {}", self.log()))
    }

    pub(crate) fn json(&self, path: &str) -> Option<Value> {
        let (status, body) = self.get(path);
        (status == 200).then(|| serde_json::from_str(&body).unwrap())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\nContent-Length: {}", body.len());
        let (status, answer) = self.request(&format!("{head}\r\n\r\n{body}")).unwrap();
        (status, serde_json::from_str(&answer).unwrap())
    }

    pub(crate) fn status(&self) -> Value {
        self.json("/v1/status").unwrap()
    }

    /// Returns a metric by the text before its value.
    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        let (_, text) = self.get("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        value.map(|value| value.parse().unwrap())
    }

    /// Returns the ids of the kept traces with the trigger that kept them.
    pub(crate) fn kept(&self) -> Vec<(String, String)> {
        let kept = self.json("/v1/traces").unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        kept["traces"].as_array().unwrap().iter().map(|kept| (text(&kept["trace"]), text(&kept["trigger"]))).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
