//! Asking the demo's agent: one HTTP request a connection over its admin socket.

use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// A client of one admin socket.
pub(crate) struct Admin {
    socket: PathBuf,
}

impl Admin {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Returns the JSON behind `path`.
    ///
    /// # Errors
    /// As [`Admin::get`], or a body that is not JSON.
    pub(crate) fn json(&self, path: &str) -> Result<serde_json::Value> {
        serde_json::from_str(&self.get(path)?).with_context(|| format!("read the agent's answer to {path}"))
    }

    /// Returns the body behind `path`.
    ///
    /// # Errors
    /// No answer, or another status than 200.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let mut stream = UnixStream::connect(&self.socket).context("connect to the demo's agent")?;
        // HTTP/1.0: the body ends with the connection, so it needs no decoding.
        write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n").context("ask the demo's agent")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).context("read the agent's answer")?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the agent's answer is no HTTP")?;
        ensure!(head.split(' ').nth(1) == Some("200"), "{path}: {}", body.trim());
        Ok(body.to_owned())
    }
}
