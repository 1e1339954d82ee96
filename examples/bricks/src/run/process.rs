//! One process of the run: started, spoken to, stopped or killed.

use super::options::Host;
use crate::protocol::{Order, Standing, WORD_TIMEOUT_MS, Word};
use anyhow::{Context as _, Result, bail};
use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long a process may take to end when its input does; it is killed then.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

/// A process; it is killed when this drops.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    pid: u32,
    orders: Option<ChildStdin>,
    words: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a process on `host`.
    pub(crate) fn start(name: &str, host: &Host) -> Result<Self> {
        let program = std::env::current_exe().context("own program")?;
        let netns = host.netns.iter().flat_map(|netns| ["ip", "netns", "exec", netns]).map(OsString::from);
        let mut words = netns.chain(host.under.iter().map(OsString::from)).chain([program.into_os_string()]);
        let mut command = Command::new(words.next().context("a command begins with a word")?);
        command.args(words).args(["serve", name]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        command.process_group(0); // Ctrl-C is for the supervisor, which stops all of them in order
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let (orders, words) = (child.stdin.take(), child.stdout.take().context("its output is a pipe")?);
        let pid = child.id().with_context(|| format!("{name} ended at once"))?;
        Ok(Self { name: name.to_owned(), child, pid, orders, words: BufReader::new(words).lines() })
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Gives an order and waits for the word that answers it.
    pub(crate) async fn ask(&mut self, order: &Order) -> Result<Word> {
        let asked = tokio::time::timeout(Duration::from_millis(WORD_TIMEOUT_MS), self.exchange(order)).await;
        match asked {
            Ok(Ok(word)) => Ok(word),
            Ok(Err(why)) => Err(why.context(format!("{} (pid {})", self.name, self.pid))),
            Err(_) => bail!("{} (pid {}) has not answered for {WORD_TIMEOUT_MS} ms", self.name, self.pid),
        }
    }

    async fn exchange(&mut self, order: &Order) -> Result<Word> {
        let mut line = serde_json::to_string(order).context("an order as JSON")?;
        line.push('\n');
        let orders = self.orders.as_mut().context("it is being stopped")?;
        orders.write_all(line.as_bytes()).await.context("it takes no orders")?;
        let word = self.words.next_line().await.context("its standard output")?.context("it ended")?;
        serde_json::from_str(&word).with_context(|| format!("it says `{word}`"))
    }

    /// Asks how it stands.
    pub(crate) async fn stand(&mut self) -> Result<Standing> {
        match self.ask(&Order::Stand).await? {
            Word::Standing(standing) => Ok(standing),
            other => bail!("{} says {other:?}, and was asked how it stands", self.name),
        }
    }

    /// Says whether it still runs.
    ///
    /// # Errors
    /// It does not: how it ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| format!("wait for {}", self.name))? {
            None => Ok(()),
            Some(status) => bail!("{} (pid {}) ended in the middle of the run: {status}", self.name, self.pid),
        }
    }

    /// Kills it with SIGKILL and waits for its end.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("kill {} (pid {})", self.name, self.pid))
    }

    /// Ends its input, and waits until it is gone.
    pub(crate) async fn stop(mut self) {
        drop(self.orders.take());
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            eprintln!("bricks: {} (pid {}) did not end by itself and is killed", self.name, self.pid);
        }
    }
}
