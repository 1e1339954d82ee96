//! The admin API of an agent, as a test asks it: HTTP/1.1 over a unix socket, one request a connection.

use super::metrics;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A client of one admin socket.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Api {
    /// Returns a client of the admin socket at `socket`.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Returns the body of `GET path`.
    ///
    /// # Errors
    /// No answer, or a status other than 200.
    pub fn get(&self, path: &str) -> Result<String> {
        let answer = self.request("GET", path, "")?;
        ensure!(answer.status == 200, "GET {path} answered {}: {}", answer.status, answer.body);
        Ok(answer.body)
    }

    /// Returns the JSON of `GET path`.
    ///
    /// # Errors
    /// As [`Api::get`], or a body that is not JSON.
    pub fn json(&self, path: &str) -> Result<Value> {
        serde_json::from_str(&self.get(path)?).with_context(|| format!("the answer to GET {path} is not JSON"))
    }

    /// Returns the value of metric `name`, summed over its labels.
    ///
    /// # Errors
    /// As [`Api::get`], or there is no such metric.
    pub fn metric(&self, name: &str) -> Result<f64> {
        metrics::value(&self.get("/metrics")?, name).with_context(|| format!("the agent has no metric {name}"))
    }

    /// Returns the JSON of `POST path` with the JSON `body`.
    ///
    /// # Errors
    /// No answer, a status other than 200, or an answer that is not JSON.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.request("POST", path, &body.to_string())?;
        ensure!(answer.status == 200, "POST {path} answered {}: {}", answer.status, answer.body);
        serde_json::from_str(&answer.body).with_context(|| format!("the answer to POST {path} is not JSON"))
    }

    /// Asks until `accept` returns something, or the time is over.
    ///
    /// # Errors
    /// What the last attempt said.
    pub fn until<T>(&self, what: &str, mut accept: impl FnMut(&Self) -> Result<Option<T>>) -> Result<T> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let attempt = accept(self);
            if let Ok(Some(found)) = attempt {
                return Ok(found);
            }
            if Instant::now() > deadline {
                attempt?;
                anyhow::bail!("{what} did not happen within {TIMEOUT:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends one request and reads the answer to the end.
    ///
    /// # Errors
    /// No connection, or no HTTP answer.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let mut stream = UnixStream::connect(&self.socket)
            .with_context(|| format!("connect to the admin socket {}", self.socket.display()))?;
        stream.set_read_timeout(Some(TIMEOUT)).context("set a time-out")?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).with_context(|| format!("send {method} {path}"))?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).with_context(|| format!("read the answer to {method} {path}"))?;
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no HTTP answer: `{text}`"))?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            unchunk(body)
        } else {
            body.to_owned()
        };
        Ok(Answer { status: status.with_context(|| format!("no HTTP status in `{head}`"))?, body })
    }
}

/// Returns the body behind a chunked transfer encoding, as far as it is whole.
fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((len, rest)) = body.split_once("\r\n") {
        let Some(piece) = usize::from_str_radix(len.trim(), 16).ok().and_then(|len| rest.get(..len)) else { break };
        if piece.is_empty() {
            break;
        }
        whole.push_str(piece);
        body = rest.get(piece.len() + 2..).unwrap_or("");
    }
    whole
}
