//! The client of the agent's admin API: one request over a unix socket, one JSON answer.
//!
//! Called by the subcommands. Errors say which socket, why, and what to do.

use anyhow::{Context, Result, anyhow, bail};
use backsight_proto::admin::ErrorReply;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// The whole of a request may take this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read: far above the 8 MiB that one host keeps of a trace, even as hex.
const REPLY_MAX_BYTES: usize = 256 << 20;

/// The admin API behind a socket.
pub(crate) struct Admin {
    socket: PathBuf,
}

/// An answer: JSON, not yet read.
pub(crate) struct Reply {
    text: String,
}

impl Reply {
    /// Reads the answer.
    ///
    /// # Errors
    /// It is not what this version expects.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.text).context("read the agent's answer: is it of another version?")
    }

    /// Returns the answer as it is, indented.
    ///
    /// # Errors
    /// It is not JSON.
    pub(crate) fn pretty(&self) -> Result<String> {
        let value: serde_json::Value = self.parse()?;
        Ok(format!("{value:#}\n"))
    }
}

impl Admin {
    pub(crate) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Reply> {
        self.request(Method::GET, path, String::new())
    }

    pub(crate) fn post<T: Serialize>(&self, path: &str, body: &T) -> Result<Reply> {
        self.request(Method::POST, path, serde_json::to_string(body).context("write the request")?)
    }

    fn request(&self, method: Method, path: &str, body: String) -> Result<Reply> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
        runtime.block_on(async {
            tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(method, path, body)).await.map_err(|_| {
                anyhow!("agent at {} did not answer within {} s", self.socket.display(), REQUEST_TIMEOUT.as_secs())
            })?
        })
    }

    async fn exchange(&self, method: Method, path: &str, body: String) -> Result<Reply> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        let at_socket = || format!("speak HTTP with the agent at {}", self.socket.display());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.with_context(at_socket)?;
        // It ends with the connection, which ends when `sender` is dropped; its errors are those of the request.
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "backsight-agent")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .context("make the request")?;
        let response = sender.send_request(request).await.with_context(at_socket)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), REPLY_MAX_BYTES).collect().await;
        let body = body.map_err(|error| anyhow!(error)).with_context(at_socket)?.to_bytes();
        drop(sender);
        connection.abort();
        let text = String::from_utf8(body.into()).context("read the agent's answer")?;
        if status != StatusCode::OK {
            bail!(refusal(status, &text));
        }
        Ok(Reply { text })
    }

    fn unreachable(&self, error: &std::io::Error) -> anyhow::Error {
        let socket = self.socket.display();
        match error.kind() {
            ErrorKind::NotFound => anyhow!(
                "no agent: there is no socket {socket}; start it with `backsight-agent --config …`, or name its socket with --agent"
            ),
            ErrorKind::ConnectionRefused => anyhow!(
                "no agent: nobody listens on {socket}, it was left behind; start it with `backsight-agent --config …`"
            ),
            ErrorKind::PermissionDenied => anyhow!(
                "no permission for {socket}: {}; run this as that user or with sudo, or join that group",
                access(&self.socket)
            ),
            _ => anyhow!("connect to the agent at {socket}: {error}"),
        }
    }
}

/// Returns what an answer other than 200 says.
fn refusal(status: StatusCode, text: &str) -> String {
    match serde_json::from_str::<ErrorReply>(text) {
        Ok(reply) => reply.error,
        Err(_) => format!("the agent answered {status}"),
    }
}

/// Returns who may use a socket, as far as this process may know.
fn access(socket: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    match std::fs::metadata(socket) {
        Ok(of) => {
            format!("it belongs to user {} and group {}, with mode {:04o}", of.uid(), of.gid(), of.mode() & 0o7777)
        }
        Err(_) => "its folder is closed to this user".to_owned(),
    }
}

#[cfg(test)]
mod tests;
