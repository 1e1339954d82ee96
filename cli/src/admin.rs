//! The client of the agent's admin API: one request over a unix socket, one JSON answer.
//!
//! Called by the subcommands. Errors say which socket, why, and what to do.

use anyhow::{Context, Result, anyhow, bail};
use backsight_proto::admin::ErrorReply;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// The whole of a request may take this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read: far above the 8 MiB that one host keeps of a trace, even as hex.
const REPLY_MAX_BYTES: usize = 256 << 20;

/// The longest path of a unix socket: `sun_path` less its NUL.
const SOCKET_PATH_MAX_BYTES: usize = 107;
/// What `connect` says of a socket of another type (`EPROTOTYPE`).
const WRONG_TYPE: i32 = Errno::PROTOTYPE.raw_os_error();

/// The agent cannot be asked.
#[derive(Debug)]
pub(crate) struct Unreachable {
    /// Whether it may well run: this user is not let in.
    pub(crate) is_forbidden: bool,
    pub(crate) text: String,
}

impl std::fmt::Display for Unreachable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Unreachable {}

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
        accepted(self.request(Method::GET, path, String::new())?)
    }

    /// Returns what stands at a path, `None` where the agent has nothing there.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Reply>> {
        match self.request(Method::GET, path, String::new())? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            answer => accepted(answer).map(Some),
        }
    }

    pub(crate) fn post<T: Serialize>(&self, path: &str, body: &T) -> Result<Reply> {
        accepted(self.request(Method::POST, path, serde_json::to_string(body).context("write the request")?)?)
    }

    fn request(&self, method: Method, path: &str, body: String) -> Result<(StatusCode, String)> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
        runtime.block_on(async {
            tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(method, path, body)).await.map_err(|_| {
                anyhow!("agent at {} did not answer within {} s", self.socket.display(), REQUEST_TIMEOUT.as_secs())
            })?
        })
    }

    async fn exchange(&self, method: Method, path: &str, body: String) -> Result<(StatusCode, String)> {
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
        Ok((status, text))
    }

    fn unreachable(&self, error: &std::io::Error) -> Unreachable {
        let socket = self.socket.display();
        let is_socket = std::fs::metadata(&self.socket).map_or(true, |of| of.file_type().is_socket());
        let len = self.socket.as_os_str().len();
        let text = match error.kind() {
            _ if len > SOCKET_PATH_MAX_BYTES => {
                format!(
                    "{socket} is no path of a socket: it has {len} bytes, and may have at most {SOCKET_PATH_MAX_BYTES}"
                )
            }
            _ if !is_socket => format!("{socket} is no socket; name the agent's (agent.admin_socket) with --agent"),
            _ if error.raw_os_error() == Some(WRONG_TYPE) => {
                format!(
                    "{socket} is the producer socket, which applications use; name the admin socket (agent.admin_socket) with --agent"
                )
            }
            ErrorKind::NotFound => format!(
                "no agent: there is no socket {socket}; start it with `backsight-agent --config …`, or name its socket with --agent"
            ),
            ErrorKind::ConnectionRefused => format!(
                "no agent: nobody listens on {socket}, it was left behind; start it with `backsight-agent --config …`"
            ),
            ErrorKind::PermissionDenied => format!(
                "no permission for {socket}: {}; run this as that user or with sudo, or join that group",
                access(&self.socket)
            ),
            _ => format!("connect to the agent at {socket}: {error}"),
        };
        Unreachable { is_forbidden: error.kind() == ErrorKind::PermissionDenied, text }
    }
}

/// Returns an answer of status 200.
fn accepted((status, text): (StatusCode, String)) -> Result<Reply> {
    if status != StatusCode::OK {
        bail!(refusal(status, &text));
    }
    Ok(Reply { text })
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
