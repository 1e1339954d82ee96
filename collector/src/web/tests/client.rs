//! Requests as they stand on the wire, and what comes back. Answers of our own API are held against what its file promises.

use super::schema;
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn unpacked(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        GzDecoder::new(&*self.body).read_to_end(&mut bytes).unwrap();
        bytes
    }
}

/// Sends a request whose head is `head`, lines ended, without the one that ends it.
pub(super) async fn ask(address: SocketAddr, head: &str) -> Answer {
    ask_on(TcpStream::connect(address).await.unwrap(), head).await.unwrap()
}

/// Does the same on a connection; `None` where it is closed without an answer.
pub(super) async fn ask_on(mut stream: impl AsyncRead + AsyncWrite + Unpin, head: &str) -> Option<Answer> {
    let mut bytes = Vec::new();
    // A server that has heard enough answers and closes.
    let _ = stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await;
    let _ = stream.read_to_end(&mut bytes).await;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = text.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(Answer { status, headers: lines.filter_map(header).collect(), body: bytes[end + 4..].to_vec() })
}

/// Gets what is at `path`, which names this host.
pub(super) async fn get(address: SocketAddr, path: &str) -> Answer {
    get_with(address, path, &[]).await
}

/// Gets what is at `path`, with further headers.
pub(super) async fn get_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let answer = ask(address, &format!("GET {path} HTTP/1.1\r\nhost: localhost:1\r\n{headers}")).await;
    if path.starts_with("/api/v1/") || path.starts_with("/healthz") || path.starts_with("/ready") {
        schema::hold(path, &answer);
    }
    answer
}
